// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func said(at int, id, invocation string, fields ...string) string {
	line := fmt.Sprintf(`{"__MONOTONIC_TIMESTAMP":"%d","MESSAGE_ID":"%s","INVOCATION_ID":"%s"`, at, id, invocation)
	for i := 0; i < len(fields); i += 2 {
		line += fmt.Sprintf(`,"%s":"%s"`, fields[i], fields[i+1])
	}
	return line + "}\n"
}

func TestFatalities(t *testing.T) {
	records, err := parseRecords([]byte(strings.Join([]string{
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
