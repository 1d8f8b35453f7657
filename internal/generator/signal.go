// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"strconv"
	"strings"
)

// stopSignals are the numbers of signal(7) on x86 and ARM of the signals that
// programs use to be stopped with. SIGKILL is not among them: a payload that had
// to be killed did not stop by itself.
var stopSignals = map[string]int{
	"SIGHUP": 1, "SIGINT": 2, "SIGQUIT": 3, "SIGABRT": 6, "SIGUSR1": 10, "SIGUSR2": 12, "SIGALRM": 14, "SIGTERM": 15,
	"SIGWINCH": 28, "SIGPWR": 30,
}

// rtMin is SIGRTMIN as the C library counts.
const rtMin = 34

// stoppedStatus is the exit status 128+n of a process that was ended by its
// stop signal.
func stoppedStatus(signal string) (int, bool) {
	if rest, ok := strings.CutPrefix(signal, "SIGRTMIN"); ok {
		offset := 0
		if rest != "" {
			n, err := strconv.Atoi(strings.TrimPrefix(rest, "+"))
			if err != nil {
				return 0, false
			}
			offset = n
		}
		return 128 + rtMin + offset, true
	}
	number, ok := stopSignals[signal]
	return 128 + number, ok
}
