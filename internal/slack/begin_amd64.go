// SPDX-License-Identifier: Apache-2.0

package slack

// begin is for the assembly with which programs begin (internal/entry,
// internal/oci/entry): it needs no Go, and changes AX, CX, DI, SI and R11 only.
//
//lint:ignore U1000 assembly calls it
func begin()
