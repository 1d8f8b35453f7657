// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package slack

// begin is for the assembly with which programs begin (internal/entry,
// internal/oci/entry): it needs no Go, and changes AX, CX, DI, SI and R11 only,
// on arm64 R0, R1, R8, R27 and R30.
//
//lint:ignore U1000 assembly calls it
func begin()
