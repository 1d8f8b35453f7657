// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package pump

import "unsafe"

//lint:ignore U1000 its address alone is asked for, by address
func program()

func address() unsafe.Pointer

//lint:ignore U1000 its address alone is asked for, by watchAddress
func watch()

func watchAddress() unsafe.Pointer

// text is the program's, and a little of what stands behind it.
func text() []byte {
	return unsafe.Slice((*byte)(address()), textSize)
}

func watchText() []byte {
	return unsafe.Slice((*byte)(watchAddress()), textSize)
}
