// SPDX-License-Identifier: Apache-2.0

//go:build !amd64 && !arm64

package entry

// Symbol is empty: the program begins where Go has it.
const Symbol = ""
