// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/session"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/journal/lookup"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/unitfile"
)

// systemctl runs systemctl with its own words on the terminal.
func (a *app) systemctl(args ...string) error {
	err := a.control(func(cmd *exec.Cmd) { cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr }, a.stderr, args)
	var status *exec.ExitError
	if errors.As(err, &status) || errors.Is(err, errStart) {
		return statusError(exitFailed)
	}
	if err != nil {
		return fmt.Errorf("running systemctl %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// apart runs systemctl in a process group of its own: an interrupt is for the
// container, whose end systemctl then sees. Its words go to said.
func (a *app) apart(said io.Writer, args ...string) error {
	return a.control(func(cmd *exec.Cmd) {
		cmd.Stderr = said
		cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	}, said, args)
}

// errStart is told where systemctl itself no longer can; its words were said.
var errStart = errors.New("a start has failed")

// control runs systemctl. Where systemd begins anew meanwhile (systemctl
// daemon-reexec, an update of its package), which ends systemctl and nothing that
// systemd does, it is run again for what is left to do or to wait for.
func (a *app) control(prepare func(*exec.Cmd), words io.Writer, args []string) error {
	failed := false
	for len(args) > 0 {
		before := units.Now()
		cmd := exec.Command("systemctl", ofSystemd(args)...)
		prepare(cmd)
		err := cmd.Run()
		var status *exec.ExitError
		if err == nil || !errors.As(err, &status) || !before.BegunAnew() {
			if err == nil {
				break
			}
			return err
		}
		say(words, "systemd has begun anew meanwhile (systemctl daemon-reexec); this goes on")
		l, err := a.leftOf(args, before)
		if err != nil {
			return err
		}
		if err := a.awaitJobs(&l, before); err != nil {
			return err
		}
		for _, unit := range l.failed {
			failed = true
			say(words, "%s has failed to start meanwhile; `systemctl status %[1]s` says more", unit)
		}
		if len(l.await) > 0 {
			if err := a.control(prepare, words, append([]string{"start", "--"}, l.await...)); err != nil {
				return err
			}
		}
		args = l.again
	}
	if failed {
		return errStart
	}
	return nil
}

func say(to io.Writer, format string, values ...any) {
	if to != nil {
		fmt.Fprintf(to, format+"\n", values...)
	}
}

// left is what is left of a command to a systemd that has begun anew.
type left struct {
	again  []string // the command, for what systemd knows nothing of
	await  []string // units that are on their way
	queued []string // units whose jobs are to be waited for
	failed []string // units
}

// awaitJobs waits until systemd has no job for the units any more, and only then has
// systemctl look at them: it would start once more what has failed by then.
func (a *app) awaitJobs(l *left, since units.Moment) error {
	for _, unit := range l.queued {
		for progress := units.Queued; progress == units.Queued; time.Sleep(jobPause) {
			var err error
			if progress, err = a.progressOf(unit, since); err != nil {
				return err
			}
			switch progress {
			case units.Broken:
				l.failed = append(l.failed, unit)
			case units.Underway:
				l.await = append(l.await, unit)
			}
		}
	}
	return nil
}

// jobPause is between two questions for a job that others have asked for.
const jobPause = 100 * time.Millisecond

func (a *app) progressOf(unit string, since units.Moment) (units.Progress, error) {
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	bus, err := a.connect(ctx)
	if err != nil {
		return units.Untouched, err
	}
	defer bus.Close()
	progress, err := units.ProgressOf(ctx, bus, unit, since)
	if err != nil {
		return progress, fmt.Errorf("asking systemd what has become of %s: %w", unit, err)
	}
	return progress, nil
}

// leftOf asks how far the units have come: what has run since is not started a
// second time.
func (a *app) leftOf(args []string, since units.Moment) (left, error) {
	at := slices.IndexFunc(args[1:], func(w string) bool { return !strings.HasPrefix(w, "-") }) + 1
	if at == 0 || args[0] != "start" && args[0] != "try-restart" {
		return left{again: args}, nil // twice is as once
	}
	var l left
	var again []string
	for _, word := range args[at:] {
		unit := unitfile.FullName(word)
		progress, err := a.progressOf(unit, since)
		if err != nil {
			return l, err
		}
		switch {
		case progress == units.Queued:
			l.queued = append(l.queued, unit)
		case progress == units.Broken:
			l.failed = append(l.failed, unit)
		case progress == units.Underway:
			l.await = append(l.await, unit)
		case progress == units.Untouched && !begunByJournal(unit, since.At):
			again = append(again, unit)
		}
	}
	if len(again) > 0 {
		l.again = append(slices.Clone(args[:at]), again...)
	}
	return l, nil
}

// startingID is of systemd's word that it starts a unit (SD_MESSAGE_UNIT_STARTING).
const startingID = "7d4958e842da4a758f6c1cdc7b36dcc5"

// begunByJournal tells of a unit that systemd knows nothing of whether it was
// started since a time of the monotonic clock: one that has ended well is unloaded.
func begunByJournal(unit string, since time.Duration) bool {
	_ = session.SyncJournal()
	records, err := lookup.Records(context.Background(), lookup.Query{Last: 1, Fields: "UNIT",
		Matches: []string{realm.ManagerMatch(), realm.UnitField() + "=" + unit, "MESSAGE_ID=" + startingID}})
	return err == nil && len(records) > 0 && records[0].At() >= since
}
