// SPDX-License-Identifier: Apache-2.0

// Package notification is what of a payload's messages to systemd (sd_notify(3)) may
// pass, and how often. Whoever stands between the two asks here: the relay of unitc's
// own containers, and the OCI command line for those of others. It opens nothing.
package notification

import (
	"strings"
	"time"

	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/protection"
)

// Longest is what systemd reads of one message (NOTIFY_BUFFER_MAX).
const Longest = 4096

// passed are the words of a payload that reach systemd. Those left out would
// let it act for its service: name another main process, keep descriptors in
// systemd, change its own watchdog (SECURITY §3).
var passed = []string{"READY=", "STATUS=", "WATCHDOG=", "RELOADING=", "MONOTONIC_USEC=", "STOPPING=", "ERRNO=", "EXTEND_TIMEOUT_USEC="}

// Filter keeps the lines that may pass, each value plain text.
func Filter(message string) []string {
	if protection.Off("notify-filter") {
		return strings.Split(message, "\n")
	}
	var lines []string
	for line := range strings.SplitSeq(message, "\n") {
		for _, name := range passed {
			value, ok := strings.CutPrefix(line, name)
			if !ok {
				continue
			}
			if name == "STATUS=" {
				value = OneLine(value)
			} else if strings.Trim(value, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
				continue
			}
			lines = append(lines, name+value)
		}
	}
	return lines
}

// OneLine makes text of a payload fit for a line of status: printable, short.
func OneLine(s string) string {
	const most = 160
	if s = strings.TrimSpace(strings.ReplaceAll(journal.Plain(s), "\t", " ")); len(s) > most {
		cut := most
		for cut > 0 && s[cut]&0xc0 == 0x80 {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}

// Each word costs PID 1 a look at the service and a signal to all who watch it, and
// PID 1 serves the host: so many are passed at once, and then one in each pause. Those
// beyond wait in the payload's own socket, which makes it wait in its turn; none is lost.
const (
	mostWords = 100
	wordPause = 10 * time.Millisecond
)

// Pace bounds how many of a payload's words are passed on. The zero value is a payload
// that has said nothing yet.
type Pace struct {
	passed int       // that no pause has gone by for
	since  time.Time // of the last pause that was counted
}

// Next is when one more may be passed: now, or later.
func (p *Pace) Next(now time.Time) time.Time {
	if gone := int(now.Sub(p.since) / wordPause); gone >= p.passed {
		p.passed, p.since = 0, now
	} else {
		p.passed, p.since = p.passed-gone, p.since.Add(time.Duration(gone)*wordPause)
	}
	if p.passed < mostWords {
		return now
	}
	return p.since.Add(wordPause)
}

// Passed counts a word, whether systemd was told of it or not.
func (p *Pace) Passed() { p.passed++ }
