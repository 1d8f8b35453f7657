// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

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
	cmd := exec.Command("journalctl", "--quiet", "--no-pager", "--all", "--boot", "--output=json", "--output-fields=MESSAGE",
		realm.ManagerMatch(), realm.UnitField()+"="+unit, "+", "_TRANSPORT=kernel", "SYSLOG_IDENTIFIER=systemd")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && len(bytes.TrimSpace(stderr.Bytes())) > 0 {
		return nil, fmt.Errorf("asking the journal: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return findDropped(unit, out)
}

// findDropped looks for the last such start in entries of systemd's own, as
// journalctl's JSON. The words are those of systemd's
// transaction_verify_order_one(): 252 to 257 tell the cycle in one line for each
// unit, 262 in one for all.
func findDropped(unit string, entries []byte) (*failure, error) {
	var found *failure
	var cycle []string
	for line := range bytes.Lines(entries) {
		var entry map[string]any
		if err := json.Unmarshal(line, &entry); err != nil {
			return nil, fmt.Errorf("reading what journalctl says: %w", err)
		}
		message := journalText(entry["MESSAGE"])
		switch {
		case strings.Contains(message, ": Found ordering cycle"):
			cycle = []string{message}
		case strings.Contains(message, ": Found dependency on "):
			cycle = append(cycle, message)
		case strings.Contains(message, ": Job "+unit+"/start deleted to break ordering cycle"):
			us, _ := strconv.ParseInt(journalText(entry["__REALTIME_TIMESTAMP"]), 10, 64)
			found = &failure{
				Unit: unit, Time: time.UnixMicro(us),
				Cause:      "not started: its start was part of an ordering cycle, and systemd dropped it to break that",
				Suggestion: "take one of After=, Before= and depends_on between these units away (`systemctl cat UNIT` shows which file says so), then `systemctl start " + unit + "`",
				Lines:      append(slices.Clone(cycle), message),
			}
		}
	}
	return found, nil
}
