// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/units"
)

func (a *app) wait() *cobra.Command {
	return &cobra.Command{
		Use:   "wait NAME…",
		Short: "wait until containers end, and print their exit statuses",
		Long: `Wait until the payload of each container ends, also where systemd then starts it
again, and print its exit status, a line for each; 128 and the signal's number for
one that a signal has ended. What has ended already is not waited for.`,
		Args:              some("the name of a container"),
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			var names []string
			pids := map[string]int{}
			err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) (err error) {
				names, err = a.targets(ctx, bus, args)
				for _, name := range names {
					if err == nil {
						pids[name], err = units.MainPID(ctx, bus, name+".service")
					}
				}
				return err
			})
			if err != nil {
				return err
			}
			// Each is asked for as soon as it has ended: systemd may start it again.
			ends := make([]chan result, len(names))
			for i, name := range names {
				ends[i] = make(chan result, 1)
				go func() {
					err := awaitEnd(pids[name])
					var r result
					if r.err = err; err == nil {
						r.status, r.err = a.endOf(cmd, name, pids[name])
					}
					ends[i] <- r
				}()
			}
			for _, end := range ends {
				r := <-end
				if r.err != nil {
					return r.err
				}
				fmt.Fprintln(a.stdout, r.status)
			}
			return nil
		},
	}
}

type result struct {
	status int
	err    error
}

// awaitEnd waits for a process that is not this one's child. Nobody is asked
// meanwhile, and nothing is polled.
func awaitEnd(pid int) error {
	if pid == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pidfd_open of process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// reapTimeout is how long systemd may take to note the end of a process.
const reapTimeout = 20 * time.Second

// endOf is the exit status as a shell gives it, once systemd knows it.
func (a *app) endOf(cmd *cobra.Command, name string, pid int) (int, error) {
	var end units.Ended
	err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) (err error) {
		deadline := time.Now().Add(reapTimeout)
		for delay := time.Millisecond; ; delay = min(2*delay, 100*time.Millisecond) {
			end, err = units.LastEnd(ctx, bus, name+".service")
			// A unit of which nothing runs is all told; one that was started again
			// meanwhile has another process.
			if err != nil || end.Code != 0 || end.PID == 0 || pid != 0 && end.PID != pid || time.Now().After(deadline) {
				return err
			}
			time.Sleep(delay)
		}
	})
	if err != nil {
		return 0, err
	}
	if pid != 0 && end.PID != pid && end.PID != 0 {
		return 0, fmt.Errorf("%s was started again before systemd was asked how process %d ended; `unitc logs %s` tells", name, pid, name)
	}
	return shellStatus(end), nil
}

// CLD_EXITED of waitid(2); the other codes are signals.
const cldExited = 1

func shellStatus(end units.Ended) int {
	if end.Code > cldExited {
		return 128 + end.Status
	}
	return end.Status
}

// untilInterrupted gives a context that Ctrl-C and SIGTERM end, so that what
// was begun can be put in order.
func untilInterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}
