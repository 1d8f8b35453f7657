// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/runtime"
)

// ByRelay in the place of a name says that the relay runs the hooks: it passes
// the payload as descriptor 3 and its unit's directory as the name.
const ByRelay = "relay"

// PostStart runs the commands of `post_start` in the container. systemd calls it
// by ExecStartPost=, after READY=1. Where that waits for more than the payload's
// first instruction the relay has called it by then: what is waited for may
// depend on these commands. The first that fails makes the start fail.
func PostStart(name string, byRelay bool) int {
	p, pid, started, err := hookTarget(name, byRelay)
	if err == nil && (byRelay || p.Ready == "") {
		err = runLifeHooks(context.Background(), "post_start", p, p.PostStart, pid, started)
	}
	if errors.Is(err, runtime.ErrNotRunning) {
		// A payload with so little to do has ended well or badly by itself.
		fmt.Fprintln(journal.Stderr, "<4>post_start: the payload ended before")
		return 0
	}
	if err != nil {
		fmt.Fprintf(journal.Stderr, "<3>%v\n", err)
		return exitFailure
	}
	return 0
}

// PreStop is ExecStop=: systemd waits for it before it sends the stop signal.
// Nothing that goes wrong here keeps the payload from being stopped in order.
func PreStop(name string) int {
	p, pid, started, err := hookTarget(name, false)
	if err == nil {
		// systemd bounds this process by the same time, and would call the stop failed.
		ctx, cancel := context.WithTimeout(context.Background(), p.StopGrace-p.StopGrace/10)
		defer cancel()
		err = runLifeHooks(ctx, "pre_stop", p, p.PreStop, pid, started)
	}
	if err != nil && !errors.Is(err, runtime.ErrNotRunning) {
		fmt.Fprintf(journal.Stderr, "<4>%v\n", err)
	}
	return 0
}

// hookTarget is a running payload. Of one that has ended by itself systemd says
// no number any more (systemd.service(5), ExecStop=).
func hookTarget(name string, byRelay bool) (p *plan.Plan, pid int, started uint64, err error) {
	dir := ownDirectory()
	if byRelay {
		dir = name
		pid, started, err = payloadOf(payloadFD)
	} else if pid, err = strconv.Atoi(os.Getenv("MAINPID")); err == nil {
		started, err = runtime.StartTime(pid)
	}
	if err != nil {
		return nil, 0, 0, runtime.ErrNotRunning
	}
	if dir == "" {
		dir = realm.StateDir(name)
	}
	// May start this program once more, with the same arguments and descriptors.
	if err := runtime.SealFor(pid); err != nil {
		return nil, 0, 0, err
	}
	if p, err = plan.Read(dir); errors.Is(err, fs.ErrNotExist) {
		err = runtime.ErrNotRunning
	}
	return p, pid, started, err
}

func runLifeHooks(ctx context.Context, key string, p *plan.Plan, hooks []plan.Hook, pid int, started uint64) error {
	for i, h := range hooks {
		if err := runLifeHook(ctx, p, h, pid, started); err != nil {
			return fmt.Errorf("%s[%d]: %w", key, i, err)
		}
	}
	return nil
}

func runLifeHook(ctx context.Context, p *plan.Plan, h plan.Hook, pid int, started uint64) error {
	spec := *p.Spec
	if h.Unfiltered && spec.Linux != nil {
		linux := *spec.Linux
		linux.Seccomp, spec.Linux = nil, &linux
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	// A pipe, and not the journal's own socket: that is the host's.
	output, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer output.Close()
	j, err := runtime.Exec(ctx, runtime.ExecConfig{
		PID: pid, StartTime: started, Spec: &spec, Process: h.Process, User: h.User, Groups: p.Groups, Stdio: [3]*os.File{null, theirs, theirs},
		InUserNamespace: realm.Own() != nil,
	})
	theirs.Close()
	var inside *program.OpError
	switch {
	case errors.As(err, &inside) && inside.Step == "exec-payload":
		return fmt.Errorf("%s: %w", h.Process.Args[0], inside.Err)
	case errors.Is(err, context.DeadlineExceeded):
		return errLate
	case err != nil:
		return err
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(os.Stdout, struct{ io.Reader }{output})
	}()
	err = awaitHook(ctx, j)
	// What it has left behind may keep the pipe open.
	_ = output.SetReadDeadline(time.Now().Add(lastWords))
	<-copied
	return err
}

// lastWords is what is given to output that a hook has written and nobody has
// read yet.
const lastWords = 100 * time.Millisecond

var errLate = errors.New("no end within stop_grace_period")

// awaitHook waits for a hook; one that is late is killed with all of its session.
func awaitHook(ctx context.Context, j *runtime.Joined) error {
	stop := context.AfterFunc(ctx, func() {
		_ = unix.Kill(-j.PID, unix.SIGKILL)
		_ = unix.Kill(j.PID, unix.SIGKILL)
	})
	ws, err := j.Wait()
	switch {
	case !stop() && ctx.Err() != nil:
		return errLate
	case err != nil:
		return err
	case ws.Signaled():
		return fmt.Errorf("killed by %s", unix.SignalName(ws.Signal()))
	case ws.ExitStatus() != 0:
		return fmt.Errorf("exit status %d", ws.ExitStatus())
	}
	return nil
}
