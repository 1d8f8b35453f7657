// SPDX-License-Identifier: Apache-2.0

package pump

import "unsafe"

const machine = 62 // EM_X86_64

//lint:ignore U1000 its address alone is asked for, by address
func program()

func address() unsafe.Pointer

// text is the program's, and a little of what stands behind it.
func text() []byte {
	return unsafe.Slice((*byte)(address()), textSize)
}
