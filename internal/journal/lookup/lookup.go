// SPDX-License-Identifier: Apache-2.0

// Package lookup reads entries that journald keeps, by journalctl(1): whose files are of
// a format of their own.
package lookup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

var program = "/usr/bin/journalctl"

// Record is an entry: its fields by name (systemd.journal-fields(7)), also of bytes that
// are no text.
type Record map[string]string

// At is when it was written, by the monotonic clock.
func (r Record) At() time.Duration {
	us, _ := strconv.ParseInt(r["__MONOTONIC_TIMESTAMP"], 10, 64)
	return time.Duration(us) * time.Microsecond
}

// Wall is when it was written, by the wall clock of that moment.
func (r Record) Wall() time.Time {
	us, _ := strconv.ParseInt(r["__REALTIME_TIMESTAMP"], 10, 64)
	return time.UnixMicro(us)
}

// Query is what to look for.
type Query struct {
	Last     int      // so many of them, 0 = all
	Fields   string   // beside the times, with a comma between them; "" = all
	AllBoots bool     // and not this one alone
	Options  []string // further ones of journalctl's
	// Until ends the reading, which begins at the newest entry then: this one and those
	// before it are not wanted.
	Until func(Record) bool
	// Matches are FIELD=VALUE, and + between what suffices each (journalctl(1)).
	Matches []string
}

// Records gives the entries that match, oldest first. That there are none is no error.
func Records(ctx context.Context, q Query) ([]Record, error) {
	args := []string{"--quiet", "--no-pager", "--all", "--output=json"}
	if !q.AllBoots {
		args = append(args, "--boot")
	}
	if q.Last > 0 {
		args = append(args, "--lines="+strconv.Itoa(q.Last))
	}
	if q.Fields != "" {
		args = append(args, "--output-fields="+q.Fields)
	}
	if q.Until != nil {
		args = append(args, "--reverse")
	}
	cmd := exec.CommandContext(ctx, program, slices.Concat(args, q.Options, q.Matches)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if q.Until != nil {
		records, err := backwards(cmd, q.Until)
		return records, failure(err, stderr.Bytes())
	}
	out, err := cmd.Output()
	if err = failure(err, stderr.Bytes()); err != nil {
		return nil, err
	}
	return Parse(out)
}

// failure is what journalctl has failed with: it exits with 1 where nothing matches.
func failure(err error, stderr []byte) error {
	said := bytes.TrimSpace(stderr)
	switch exited := (*exec.ExitError)(nil); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("asking the journal: %w; install systemd", err)
	case errors.As(err, &exited) && len(said) == 0:
		return nil
	case err != nil:
		return fmt.Errorf("asking the journal: %w: %s", err, said)
	}
	return nil
}

// backwards reads entries that come newest first, as far as they are wanted, and gives
// them oldest first.
func backwards(cmd *exec.Cmd, until func(Record) bool) (records []Record, err error) {
	defer func() { slices.Reverse(records) }()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil { // its end
			return records, cmd.Wait()
		}
		parsed, err := Parse(line)
		if err != nil || until(parsed[0]) {
			_ = cmd.Process.Kill() // it would go on
			_ = cmd.Wait()
			return records, err
		}
		records = append(records, parsed[0])
	}
}

// Parse reads what journalctl prints as JSON.
func Parse(out []byte) ([]Record, error) {
	var records []Record
	for line := range bytes.Lines(out) {
		var entry map[string]any
		if err := json.Unmarshal(line, &entry); err != nil {
			return nil, fmt.Errorf("reading what journalctl says: %w", err)
		}
		r := Record{}
		for name, value := range entry {
			r[name] = text(value)
		}
		records = append(records, r)
	}
	return records, nil
}

// text is a field: a string, or the bytes of what is no text.
func text(value any) string {
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
