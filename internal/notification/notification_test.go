// SPDX-License-Identifier: Apache-2.0

package notification

import (
	"strings"
	"testing"
	"time"
)

// What lets a payload act for its service is left out, and text stays text.
func TestFilter(t *testing.T) {
	got := strings.Join(Filter("READY=1\nMAINPID=1\nSTATUS=all \x1b[31mwell\u009b2J\xff\nFDSTORE=1\nWATCHDOG_USEC=1\nNOTIFYACCESS=all\nWATCHDOG=trigger\nBARRIER=1\nEXTEND_TIMEOUT_USEC=5\nRELOADING=1\nSTOPPING=1\nERRNO=2\nERRNO=2;x\nMONOTONIC_USEC=1\nBUSERROR=x\nEXIT_STATUS=0\nREADY"), "|")
	want := "READY=1|STATUS=all  [31mwell 2J|WATCHDOG=trigger|EXTEND_TIMEOUT_USEC=5|RELOADING=1|STOPPING=1|ERRNO=2|MONOTONIC_USEC=1"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A payload that speaks without end is heard as often as PID 1 can bear, and nothing is
// held back of one that does not.
func TestWordsComeSlowly(t *testing.T) {
	var w Pace
	start := time.Now()
	hear := func(now time.Time) (heard int) {
		for ; !w.Next(now).After(now); heard++ {
			w.Passed()
		}
		return heard
	}
	if n := hear(start); n != mostWords {
		t.Errorf("%d at once, want %d", n, mostWords)
	}
	if at := w.Next(start); at != start.Add(wordPause) {
		t.Errorf("the next one comes after %v", at.Sub(start))
	}
	all := 0
	for now := start; now.Before(start.Add(time.Second)); now = now.Add(wordPause / 4) {
		all += hear(now)
	}
	if all < 95 || all > 100 {
		t.Errorf("%d in a second", all)
	}
	if n := hear(start.Add(time.Minute)); n != mostWords {
		t.Errorf("%d after a rest, want %d", n, mostWords)
	}
}
