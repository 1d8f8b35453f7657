// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"strconv"
	"strings"
)

// rtMin is SIGRTMIN as the C library counts.
const rtMin = 34

// stoppedStatus is the exit status 128+n of a process that was ended by its
// stop signal: one of those that programs use for it, numbered as signal(7) has
// them on x86 and ARM. SIGKILL is not among them: a payload that had to be
// killed did not stop by itself.
func stoppedStatus(signal string) (int, bool) {
	if rest, ok := strings.CutPrefix(signal, "SIGRTMIN"); ok {
		n, err := strconv.Atoi("0" + strings.TrimPrefix(rest, "+"))
		return 128 + rtMin + n, err == nil
	}
	number := 0
	switch signal {
	case "SIGHUP":
		number = 1
	case "SIGINT":
		number = 2
	case "SIGQUIT":
		number = 3
	case "SIGABRT":
		number = 6
	case "SIGUSR1":
		number = 10
	case "SIGUSR2":
		number = 12
	case "SIGALRM":
		number = 14
	case "SIGTERM":
		number = 15
	case "SIGWINCH":
		number = 28
	case "SIGPWR":
		number = 30
	}
	return 128 + number, number != 0
}
