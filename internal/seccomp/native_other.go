// SPDX-License-Identifier: Apache-2.0

//go:build !amd64 && !arm64 && !386 && !arm

package seccomp

// Native is 0 where there is no system call table: Compile then says so.
const Native = 0
