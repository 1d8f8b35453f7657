// SPDX-License-Identifier: Apache-2.0

// Package entry is where unitc-runtime begins: before Go's runtime it does what
// runtime.Seal does for create, run and exec, so that a process which is about
// to start once more, from a read-only mount of its own file, has not started Go
// for it. That is a quarter of the CPU of `run` (docs/PERFORMANCE.md).
//
// Nothing rests on it. What it does not get done, runtime.Seal does and
// explains, as it does on other processors and in builds whose linker was not
// told to begin here (`-E`, see Makefile).
package entry
