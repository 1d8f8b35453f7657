// SPDX-License-Identifier: Apache-2.0

package postmortem

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/journal/lookup"
	"github.com/unitc/unitc/internal/plan"
)

func said(at int, id, invocation string, fields ...string) string {
	line := fmt.Sprintf(`{"__MONOTONIC_TIMESTAMP":"%d","MESSAGE_ID":"%s","INVOCATION_ID":"%s"`, at, id, invocation)
	for i := 0; i < len(fields); i += 2 {
		line += fmt.Sprintf(`,"%s":"%s"`, fields[i], fields[i+1])
	}
	return line + "}\n"
}

func TestFatalities(t *testing.T) {
	records, err := lookup.Parse([]byte(strings.Join([]string{
		said(1, processExited, "a", "COMMAND", "ExecStart", "EXIT_CODE", "killed", "EXIT_STATUS", "9"),
		said(2, unitFailed, "a", "UNIT_RESULT", "signal"),
		said(3, restartScheduled, "a", "N_RESTARTS", "1"),
		said(4, processExited, "b", "COMMAND", "ExecStart", "EXIT_CODE", "exited", "EXIT_STATUS", "7"),
		said(5, processExited, "b", "COMMAND", "ExecStop", "EXIT_CODE", "exited", "EXIT_STATUS", "1"),
		said(6, unitFailed, "b", "UNIT_RESULT", "exit-code"),
		said(7, unitFailed, "b", "UNIT_RESULT", "start-limit-hit"),
		said(8, restartScheduled, "b", "N_RESTARTS", "2"),
		said(9, unitSucceeded, "c"),
		said(10, unitFailed, "d", "UNIT_RESULT", "timeout", "X", "]\",\"Y\":[1,2],\"Z\":\""),
	}, "")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range fatalities(records) {
		got = append(got, fmt.Sprintf("%d %s %s %s %s %s", d.at/time.Microsecond, d.invocation, d.result, d.code, d.status, d.restarts))
	}
	want := []string{"2 a signal killed KILL ", "6 b exit-code exited 7 1", "10 d timeout   "}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}
}

// PID 1 could not tell journald how the process has ended, or of the failure at
// all: what it knows itself is that of the last start.
func TestLastEnd(t *testing.T) {
	lines := []string{
		said(1, unitFailed, "a", "UNIT_RESULT", "signal"),
		said(2, restartScheduled, "a", "N_RESTARTS", "1"),
		said(3, processExited, "b", "COMMAND", "ExecStartPre", "EXIT_CODE", "exited", "EXIT_STATUS", "1"),
		said(4, unitFailed, "b", "UNIT_RESULT", "exit-code"),
		said(5, restartScheduled, "b", "N_RESTARTS", "2"),
		said(6, unitFailed, "c", "UNIT_RESULT", "signal"),
	}
	const honest = "ended with the result signal; systemd's line on how its process ended is not in the journal, and systemd itself knows it only until the next start "
	before := []string{"a " + honest, "b ended with the result exit-code 1"}
	killed := cgroupsd.End{Failed: true, Result: "signal", Code: 2, Status: 9, At: 7 * time.Microsecond, Restarts: 3}
	as := func(e cgroupsd.End, invocation string) *cgroupsd.End { e.Invocation = invocation; return &e }
	for name, c := range map[string]struct {
		last *cgroupsd.End
		want []string
	}{
		"nobody knows it":      {nil, []string{"c " + honest + "2"}},
		"systemd knows it":     {as(killed, "c"), []string{"c killed by SIGKILL 2"}},
		"it runs again":        {as(cgroupsd.End{Result: "success"}, "d"), []string{"c " + honest + "2"}},
		"it has failed again":  {as(killed, "d"), []string{"c " + honest + "2", "d killed by SIGKILL 3"}},
		"no process has ended": {as(cgroupsd.End{Failed: true, Result: "resources"}, "d"), []string{"c " + honest + "2", "d ended with the result resources "}},
	} {
		records, err := lookup.Parse([]byte(strings.Join(lines, "")))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range addLastEnd(fatalities(records), c.last) {
			d.plan = &plan.Plan{}
			d.explain()
			got = append(got, d.invocation+" "+d.cause+" "+d.restarts)
			if d.unheard != (d.invocation == "d") {
				t.Errorf("%s: %s: the journal has nothing of it: %v", name, d.invocation, d.unheard)
			}
		}
		if want := append(slices.Clone(before), c.want...); !slices.Equal(got, want) {
			t.Errorf("%s:\n%q\nin place of\n%q", name, got, want)
		}
	}
}

func TestLastWhereabouts(t *testing.T) {
	lines := SlowStart + "at first-step after 5s\nsome line\n" + SlowStart + "at second-step, its network at join-network after 10s\nanother\n"
	if got := lastWhereabouts(lines); got != "at second-step, its network at join-network after 10s" {
		t.Errorf("the last is %q", got)
	}
	if got := lastWhereabouts("some line\n"); got != "" {
		t.Errorf("of a start that is not slow: %q", got)
	}
}
