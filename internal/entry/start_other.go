// SPDX-License-Identifier: Apache-2.0

//go:build !amd64 && !arm64

package entry

// Symbol and SymbolAlone are empty: the program begins where Go has it.
const Symbol, SymbolAlone = "", ""

// RestoreLimits has nothing to give back.
func RestoreLimits() {}
