// SPDX-License-Identifier: Apache-2.0

// unitc-generator-yaml is what unitc-generator becomes where there is a definition
// that it does not read: it does the same, with all of YAML.
package main

import (
	"os"

	_ "github.com/unitc/unitc/internal/bigstack"
	_ "github.com/unitc/unitc/internal/entry" // where it begins
	"github.com/unitc/unitc/internal/generator/command"
	"github.com/unitc/unitc/internal/syntax/library"
)

func main() { os.Exit(command.Run(os.Args[1:], library.Full)) }
