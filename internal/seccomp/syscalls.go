// SPDX-License-Identifier: Apache-2.0

package seccomp

//go:generate go run mksyscalls.go

// syscallRow is one name with its number on each ABI, -1 where there is none.
// The table is an array of constants, so that the linker lays it out and no
// start of a program pays for it.
type syscallRow struct {
	name string
	nr   [columns]int32
}

// Columns of a syscallRow, in the order of mksyscalls.go.
const (
	columnAMD64 = iota
	columnARM64
	columnI386
	columnARM
	columnX32
	columns
)

// armPrivate is the first of 32-bit Arm's private calls (set_tls and the
// like). They lie far above the ordinary ones and say nothing about how new a
// kernel the author of a profile knew.
const armPrivate = 0xf0000

// findSyscall returns the row of a name, or nil if no architecture has it.
func findSyscall(name string) *syscallRow {
	low, high := 0, len(syscallTable)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if syscallTable[mid].name < name {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(syscallTable) && syscallTable[low].name == name {
		return &syscallTable[low]
	}
	return nil
}
