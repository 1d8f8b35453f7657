// SPDX-License-Identifier: Apache-2.0

// Command show prints what it was started with.
package main

import (
	"encoding/json"
	"os"
	"runtime"

	_ "github.com/unitc/unitc/internal/generator/entry"
)

func main() {
	_ = json.NewEncoder(os.Stdout).Encode(struct {
		Args, Env  []string
		Processors int
		PageSize   int // of the auxiliary vector
	}{os.Args, os.Environ(), runtime.GOMAXPROCS(0), os.Getpagesize()})
}
