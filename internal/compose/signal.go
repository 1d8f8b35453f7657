// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strconv"
	"strings"
)

// signals are those of signal(7) by number on x86 and ARM, for which unitc is
// built; "" is no signal. The resolved definition has names, never numbers.
var signals = [...]string{
	1: "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
	16: "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
}

// Real-time signals as the C library counts them: it keeps 32 and 33.
const (
	rtMin = 34
	rtMax = 64
)

// signalName gives a signal's full name: TERM, SIGTERM, 15, RTMIN+3, 37.
func signalName(s string) (string, bool) {
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if number, err := strconv.Atoi(name); err == nil {
		switch {
		case number > 0 && number < len(signals):
			return "SIG" + signals[number], true
		case number >= rtMin && number <= rtMax:
			return rtName(number), true
		}
		return "", false
	}
	if offset, ok := strings.CutPrefix(name, "RTMIN"); ok {
		n, ok := rtOffset(offset, "+")
		return rtName(rtMin + n), ok
	}
	if offset, ok := strings.CutPrefix(name, "RTMAX"); ok {
		n, ok := rtOffset(offset, "-")
		return rtName(rtMax - n), ok
	}
	for _, known := range signals {
		if known != "" && known == name {
			return "SIG" + name, true
		}
	}
	return "", false
}

func rtOffset(offset, sign string) (int, bool) {
	if offset == "" {
		return 0, true
	}
	digits, ok := strings.CutPrefix(offset, sign)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && isDigits(digits) && n <= rtMax-rtMin
}

func rtName(number int) string {
	if number == rtMin {
		return "SIGRTMIN"
	}
	return "SIGRTMIN+" + strconv.Itoa(number-rtMin)
}

// signalPattern knows the names in capitals and in small letters.
func signalPattern() string {
	var names []string
	for _, name := range signals {
		if name != "" {
			names = append(names, name)
		}
	}
	all := strings.Join(names, "|")
	return "^([1-9][0-9]?|(SIG)?(" + all + `|RTMIN(\+[0-9]{1,2})?|RTMAX(-[0-9]{1,2})?)|(sig)?(` + strings.ToLower(all) + "))$"
}

var signalFormat = format{
	name:      "signal",
	empty:     true,
	patternOf: signalPattern, bounds: &bounds{low: 1, high: rtMax},
	check: func(s string) (string, string) {
		if _, ok := signalName(s); ok {
			return "", ""
		}
		cure := "write for example SIGTERM, SIGINT or SIGRTMIN+3"
		if near := nearest(strings.TrimPrefix(strings.ToUpper(s), "SIG"), signals[:]); near != "" {
			cure = "did you mean SIG" + near + "?"
		}
		return quote(s) + " is no signal", cure
	},
}
