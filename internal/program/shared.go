// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package program

// canShare: a child in this process's memory needs a few lines of assembly.
const canShare = true

func cloneShared(args *cloneArgs, size uintptr, c *child) (r uintptr)
