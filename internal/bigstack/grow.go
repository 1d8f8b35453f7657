// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package bigstack

// A package that imports nothing is initialized among the first.
func init() { grow() }

// grow has a frame that a small stack has no room for, and leaves it untouched.
func grow()
