// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package entry

import (
	"runtime"

	_ "github.com/unitc/unitc/internal/slack" // which start calls
)

// memProfileRate is where the linker has put it: no assembler may name what is
// the runtime's.
//
//lint:ignore U1000 start names it
var memProfileRate = &runtime.MemProfileRate

// Symbol is what the linker is told to begin with.
const Symbol = "github.com/unitc/unitc/internal/oci/entry.start"

// start is no function: the kernel jumps to it with the arguments, the
// environment and the auxiliary vector on the stack (System V ABI for AMD64,
// 3.4.1; load_elf_binary of Linux for all), and it jumps to where Go begins.
//
//lint:ignore U1000 the linker is told its name
func start()
