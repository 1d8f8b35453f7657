// SPDX-License-Identifier: Apache-2.0

package order

import (
	"os"
	"syscall"
)

// StopSignals are all that a stop may send; those of the Go runtime and those of
// a fault are not among them.
func StopSignals() []os.Signal {
	var list []os.Signal
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGPIPE,
			syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGURG, 32, 33:
		default:
			list = append(list, n)
		}
	}
	return list
}
