// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package entry

import (
	"runtime"
	"syscall"

	_ "github.com/unitc/unitc/internal/slack" // which start calls
)

// memProfileRate is where the linker has put it: no assembler may name what is
// the runtime's.
//
//lint:ignore U1000 start names it
var memProfileRate = &runtime.MemProfileRate

// Symbol is what the linker is told to begin with, SymbolAlone that of a program
// which starts no other.
const (
	Symbol      = "github.com/unitc/unitc/internal/entry.start"
	SymbolAlone = Symbol + "Alone"
)

// openFiles is the limit of open files with which the program was started; fewFiles
// is the one while Go starts, its Max 0 where startAlone has not changed it.
var openFiles, fewFiles syscall.Rlimit

// RestoreLimits gives back what startAlone took, for a program that is run in the
// place of this one: Go would pass on what it has found.
func RestoreLimits() {
	if fewFiles.Max != 0 {
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &openFiles)
	}
}

// start is no function: the kernel jumps to it with the arguments, the
// environment and the auxiliary vector on the stack (System V ABI for AMD64,
// 3.4.1; load_elf_binary of Linux for all), and it jumps to where Go begins.
//
//lint:ignore U1000 the linker is told its name
func start()

//lint:ignore U1000 the linker is told its name
func startAlone()
