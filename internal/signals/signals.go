// SPDX-License-Identifier: Apache-2.0

// Package signals knows the names of signals as Compose, images and systemd
// write them.
package signals

import (
	"strconv"
	"strings"
)

// Names are those of signal(7) by number on x86 and ARM, for which unitc is
// built; "" is no signal. The resolved definition has names, never numbers.
var Names = [...]string{
	1: "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
	16: "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
}

// Real-time signals as the C library counts them: it keeps 32 and 33.
const (
	rtMin = 34
	Max   = 64
)

// Name gives a signal's full name: TERM, SIGTERM, 15, RTMIN+3, 37.
func Name(s string) (string, bool) {
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if number, err := strconv.Atoi(name); err == nil {
		switch {
		case number > 0 && number < len(Names):
			return "SIG" + Names[number], true
		case number >= rtMin && number <= Max:
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
		return rtName(Max - n), ok
	}
	for _, known := range Names {
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
	return n, ok && err == nil && digits != "" && strings.Trim(digits, "0123456789") == "" && n <= Max-rtMin
}

func rtName(number int) string {
	if number == rtMin {
		return "SIGRTMIN"
	}
	return "SIGRTMIN+" + strconv.Itoa(number-rtMin)
}

// Number gives the number of a full name.
func Number(name string) (int, bool) {
	for number, known := range Names {
		if known != "" && "SIG"+known == name {
			return number, true
		}
	}
	if offset, ok := strings.CutPrefix(name, "SIGRTMIN"); ok {
		n, ok := rtOffset(offset, "+")
		return rtMin + n, ok
	}
	return 0, false
}
