// SPDX-License-Identifier: Apache-2.0

package postmortem

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/journal/catchup"
)

// record is an entry of the journal.
type record map[string]string

func (r record) at() time.Duration {
	us, _ := strconv.ParseInt(r["__MONOTONIC_TIMESTAMP"], 10, 64)
	return time.Duration(us) * time.Microsecond
}

func (r record) wall() time.Time {
	us, _ := strconv.ParseInt(r["__REALTIME_TIMESTAMP"], 10, 64)
	return time.UnixMicro(us)
}

// exit is what EXIT_CODE and EXIT_STATUS would be in the environment of a
// command that systemd runs after the end.
func (r record) exit() (code, status string) { return exitWords(r["EXIT_CODE"], r["EXIT_STATUS"]) }

// exitWords has a signal's name in place of its number.
func exitWords(code, status string) (string, string) {
	if n, err := strconv.Atoi(status); err == nil && (code == "killed" || code == "dumped") {
		if name := unix.SignalName(unix.Signal(n)); name != "" {
			status = strings.TrimPrefix(name, "SIG")
		}
	}
	return code, status
}

// askJournal gives the last entries of this boot that match, oldest first, with
// all that was sent by now.
func askJournal(most int, fields string, matches ...string) ([]record, error) {
	awaitJournal()
	return lookUp(most, fields, matches...)
}

// awaitJournal waits until journald has what was sent to it by now. One that others'
// lines keep busy answers that last of all: then there is what it has.
func awaitJournal() {
	ctx, cancel := context.WithTimeout(context.Background(), syncTimeout)
	defer cancel()
	catchup.Wait(ctx)
}

// syncTimeout is short of what `unitc why` waits for, several times.
const syncTimeout = 5 * time.Second

// lookUp is askJournal for what is written by now.
func lookUp(most int, fields string, matches ...string) ([]record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*lookTimeout)
	defer cancel()
	return readJournal(ctx, most, fields, matches...)
}

// readJournal is lookUp within a time.
func readJournal(ctx context.Context, most int, fields string, matches ...string) ([]record, error) {
	cmd := exec.CommandContext(ctx, journalctl, append([]string{"--quiet", "--no-pager", "--boot", "--all", "--output=json",
		"--lines=" + strconv.Itoa(most), "--output-fields=" + fields}, matches...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && stderr.Len() > 0 { // it exits with 1 where nothing matches
		return nil, fmt.Errorf("journalctl: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return parseRecords(out)
}

func parseRecords(out []byte) ([]record, error) {
	var records []record
	for line := range bytes.Lines(out) {
		var entry map[string]any
		if err := json.Unmarshal(line, &entry); err != nil {
			return nil, fmt.Errorf("reading what journalctl says: %w", err)
		}
		r := record{}
		for name, value := range entry {
			r[name] = fieldText(value)
		}
		records = append(records, r)
	}
	return records, nil
}

// fieldText is a field of journalctl's JSON: a string, or the bytes of what is no
// text.
func fieldText(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case []any:
		var b []byte
		for _, n := range value {
			if f, ok := n.(float64); ok {
				b = append(b, byte(f))
			}
		}
		return string(b)
	}
	return ""
}
