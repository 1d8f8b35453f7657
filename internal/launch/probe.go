// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/relay/order"
	"github.com/unitc/unitc/internal/runtime"
)

// payloadFD is the payload's pidfd, which the relay passes.
const payloadFD = 3

// Probe makes one check inside: a process of the container like its payload, in
// the same namespaces and cgroup, with the same ids, capabilities and filter. dir
// is the unit's directory below /run, timeout is in nanoseconds. The exit status
// is the check's own; order.ProbeFailed says that there was no check, and the
// output why.
func Probe(dir, timeout string) int {
	status, err := probe(dir, timeout)
	if err != nil {
		fmt.Printf("\n%s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		return order.ProbeFailed
	}
	return status
}

func probe(dir, timeout string) (int, error) {
	span, err := strconv.ParseInt(timeout, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("time-out %q: %w", timeout, err)
	}
	pid, started, err := payloadOf(payloadFD)
	if err != nil {
		return 0, err
	}
	// May start this program once more, with the same arguments and descriptors.
	if err := runtime.SealFor(pid); err != nil {
		return 0, err
	}
	p, err := plan.Read(dir)
	if err != nil {
		return 0, err
	}
	if p.Health == nil || len(p.Health.Command) == 0 {
		return 0, errors.New("the plan has no check to run")
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	process := *p.Spec.Process
	process.Args, process.Terminal, process.ConsoleSize = p.Health.Command, false, nil
	process.Env = plan.WithoutSockets(process.Env)
	// `unitc healthcheck` passes an interrupt on; nothing of the check is left behind.
	whole, stop := signal.NotifyContext(context.Background(), unix.SIGINT)
	defer stop()
	ctx, cancel := context.WithTimeout(whole, time.Duration(span))
	defer cancel()
	j, err := runtime.Exec(ctx, runtime.ExecConfig{
		PID: pid, StartTime: started, Spec: p.Spec, Process: &process, User: p.User, Groups: p.Groups,
		Stdio: [3]*os.File{null, os.Stdout, os.Stderr}, ID: strings.TrimSuffix(p.Unit, ".service"), Bundle: dir,
		InUserNamespace: realm.Own() != nil,
	})
	var inside *program.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return 0, lateError(span)
	case errors.Is(err, context.Canceled):
		return 0, errInterrupted
	case errors.As(err, &inside) && inside.Step == "exec-payload":
		return 0, fmt.Errorf("%s: %w", process.Args[0], inside.Err)
	case err != nil:
		return 0, err
	}
	return await(ctx, j, span)
}

var errInterrupted = errors.New("interrupted")

func lateError(span int64) error { return fmt.Errorf("no end in %v", time.Duration(span)) }

// await waits for the check; one that is late is killed with all of its session,
// so that no check outlives another.
func await(ctx context.Context, j *runtime.Joined, span int64) (int, error) {
	late := false
	stop := context.AfterFunc(ctx, func() {
		late = true
		_ = unix.Kill(-j.PID, unix.SIGKILL)
		_ = unix.Kill(j.PID, unix.SIGKILL)
	})
	ws, err := j.Wait()
	ended := !stop() && late
	switch {
	case ended && errors.Is(ctx.Err(), context.Canceled):
		return 0, errInterrupted
	case ended:
		return 0, lateError(span)
	case err != nil:
		return 0, err
	case ws.Signaled():
		return 0, fmt.Errorf("killed by %s", unix.SignalName(ws.Signal()))
	}
	return ws.ExitStatus(), nil
}

// payloadOf gives the number and the start of the process behind a pidfd
// (pidfd_open(2), fdinfo).
func payloadOf(fd int) (pid int, started uint64, err error) {
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(info)) {
		if number, ok := strings.CutPrefix(line, "Pid:"); ok {
			pid, err = strconv.Atoi(strings.TrimSpace(number))
		}
	}
	if err != nil || pid <= 0 {
		return 0, 0, runtime.ErrNotRunning
	}
	if started, err = runtime.StartTime(pid); err != nil {
		return 0, 0, runtime.ErrNotRunning
	}
	// Still there: then what was read is of this very process.
	if err := unix.PidfdSendSignal(fd, 0, nil, 0); err != nil {
		return 0, 0, runtime.ErrNotRunning
	}
	return pid, started, nil
}
