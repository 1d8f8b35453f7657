// SPDX-License-Identifier: Apache-2.0

// unitc-generator makes systemd units of the definitions in /etc/unitc and its
// like; PID 1 runs it at boot and at each daemon-reload (systemd.generator(7)). What
// is not of the plain part of YAML it leaves to unitc-generator-yaml.
package main

import (
	"os"

	_ "github.com/unitc/unitc/internal/bigstack"
	"github.com/unitc/unitc/internal/buildinfo"
	_ "github.com/unitc/unitc/internal/entry" // where it begins
	"github.com/unitc/unitc/internal/generator/command"
)

func main() { os.Exit(command.RunPlain(os.Args[1:], buildinfo.YAMLGeneratorPath)) }
