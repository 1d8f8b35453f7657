// SPDX-License-Identifier: Apache-2.0

package postmortem

import (
	"context"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/journal/catchup"
	"github.com/unitc/unitc/internal/journal/lookup"
)

// exitOf is what EXIT_CODE and EXIT_STATUS would be in the environment of a
// command that systemd runs after the end.
func exitOf(r lookup.Record) (code, status string) {
	return exitWords(r["EXIT_CODE"], r["EXIT_STATUS"])
}

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
func askJournal(most int, fields string, matches ...string) ([]lookup.Record, error) {
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
func lookUp(most int, fields string, matches ...string) ([]lookup.Record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*lookTimeout)
	defer cancel()
	return readJournal(ctx, most, fields, matches...)
}

// readJournal is lookUp within a time.
func readJournal(ctx context.Context, most int, fields string, matches ...string) ([]lookup.Record, error) {
	return lookup.Records(ctx, lookup.Query{Last: most, Fields: fields, Matches: matches})
}
