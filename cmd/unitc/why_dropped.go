// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/journal/lookup"
	"github.com/unitc/unitc/internal/realm"
)

// droppedStart tells that systemd has not started a unit in this boot because
// its start was part of an ordering cycle, nil = that is not so. Such a unit is
// inactive as one that nobody wanted, and what systemd says of it at boot has
// gone to the kernel's log, where `journalctl -u` does not look.
func droppedStart(unit string) (*failure, error) {
	shown := showProperties(unit, "ActiveState", "InactiveExitTimestampMonotonic")
	if shown["ActiveState"] != "inactive" || shown["InactiveExitTimestampMonotonic"] != "0" {
		return nil, nil // what cannot be asked has nothing to say here
	}
	records, err := lookup.Records(context.Background(), lookup.Query{Fields: "MESSAGE",
		Matches: []string{realm.ManagerMatch(), realm.UnitField() + "=" + unit, "+", "_TRANSPORT=kernel", "SYSLOG_IDENTIFIER=systemd"}})
	if err != nil {
		return nil, err
	}
	return findDropped(unit, records), nil
}

// findDropped looks for the last such start in entries of systemd's own, as
// journalctl's JSON. The words are those of systemd's
// transaction_verify_order_one(): 252 to 257 tell the cycle in one line for each
// unit, 262 in one for all.
func findDropped(unit string, entries []lookup.Record) *failure {
	var found *failure
	var cycle []string
	for _, entry := range entries {
		message := strings.ToValidUTF8(entry["MESSAGE"], "\ufffd")
		switch {
		case strings.Contains(message, ": Found ordering cycle"):
			cycle = []string{message}
		case strings.Contains(message, ": Found dependency on "):
			cycle = append(cycle, message)
		case strings.Contains(message, ": Job "+unit+"/start deleted to break ordering cycle"):
			found = &failure{
				Unit: unit, Time: entry.Wall(),
				Cause:      "not started: its start was part of an ordering cycle, and systemd dropped it to break that",
				Suggestion: "take one of After=, Before= and depends_on between these units away (`systemctl cat UNIT` shows which file says so), then `systemctl start " + unit + "`",
				Lines:      append(slices.Clone(cycle), message),
			}
		}
	}
	return found
}
