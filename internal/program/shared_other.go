// SPDX-License-Identifier: Apache-2.0

//go:build !amd64 && !arm64

package program

const canShare = false

func cloneShared(*cloneArgs, uintptr, *child) uintptr { panic("program: not on this processor") }
