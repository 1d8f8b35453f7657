// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network"
)

// idleFile stands beside the plan of a container with x-idle-timeout: the time-out
// and since when nobody is connected, in nanoseconds, the latter of the monotonic
// clock, which nobody sets.
const idleFile = "/idle"

type idleness struct{ timeout, since time.Duration }

func monotonic() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // it cannot fail
	return time.Duration(now.Nano())
}

func writeIdle(dir string, i idleness) error {
	text := strconv.FormatInt(int64(i.timeout), 10) + " " + strconv.FormatInt(int64(i.since), 10) + "\n"
	tmp := dir + idleFile + ".new"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, dir+idleFile)
}

func readIdle(dir string) (i idleness, err error) {
	text, err := os.ReadFile(dir + idleFile)
	if err != nil {
		return i, err
	}
	if _, err := fmt.Sscan(string(text), &i.timeout, &i.since); err != nil {
		return i, fmt.Errorf("reading %s: %w", dir+idleFile, err)
	}
	return i, nil
}

// Idle is ExecStart= of unitc-idle.service: it stops the containers that nobody
// has been connected to for their x-idle-timeout. A connection that comes meanwhile
// waits at its socket, as at any stop, and starts the container again.
func Idle() int {
	files, err := filepath.Glob(stateRoot + "/*" + idleFile)
	if err != nil || len(files) == 0 {
		return tell(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	m, err := cgroupsd.Connect(ctx)
	if err != nil {
		return tell(err)
	}
	defer m.Close()
	flows, err := network.Flows()
	if err != nil {
		return tell(err)
	}
	var errs []error
	for _, file := range files {
		dir := filepath.Dir(file)
		if err := idle(ctx, m, flows, dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !cgroupsd.IsNotLoaded(err) {
			errs = append(errs, fmt.Errorf("%s: %w", filepath.Base(dir), err))
		}
	}
	return tell(errors.Join(errs...))
}

// idle looks at one container. One that has ended meanwhile has no files, or is
// not loaded.
func idle(ctx context.Context, m *cgroupsd.Manager, flows network.FlowTable, dir string) error {
	name := filepath.Base(dir)
	unit := name + ".service"
	i, err := readIdle(dir)
	if err != nil {
		return err
	}
	now := monotonic()
	used, err := isUsed(ctx, m, flows, name)
	if err != nil {
		return err
	}
	if used {
		i.since = now
		return writeIdle(dir, i)
	}
	if now-i.since < i.timeout {
		return nil
	}
	state, err := m.ActiveState(ctx, unit)
	if err != nil {
		return err
	}
	if state != "active" {
		i.since = now // its time begins when it is up
		return writeIdle(dir, i)
	}
	if busy, err := m.HasJob(ctx, unit); err != nil || busy {
		return err
	}
	if needed, err := m.IsNeeded(ctx, unit); err != nil || needed {
		return err
	}
	err = writeJournal([]field{
		{"PRIORITY", "5"}, {"SYSLOG_IDENTIFIER", "unitc"}, {"OBJECT_SYSTEMD_UNIT", unit},
		{"MESSAGE", fmt.Sprintf("stopping %s: nobody has been connected to it for %v (x-idle-timeout); the next connection starts it", unit, i.timeout)},
	})
	return errors.Join(err, m.StopUnit(ctx, unit))
}

// isUsed tells whether somebody is connected to an activated port: by the rule
// that leads past the socket, through the proxy, or straight from a neighbour.
func isUsed(ctx context.Context, m *cgroupsd.Manager, flows network.FlowTable, name string) (bool, error) {
	targets, err := network.Activated(name)
	if err != nil {
		return false, err
	}
	if len(targets) == 0 {
		return true, nil // a change of its definition took them: who knows
	}
	for target, own := range targets {
		if flows.To(own, target) {
			return true, nil
		}
		state, err := m.ActiveState(ctx, definition.PortUnit(name, int(target))+".service")
		if err != nil && !cgroupsd.IsNotLoaded(err) {
			return false, err
		}
		if err == nil && state != "inactive" && state != "failed" {
			return true, nil
		}
	}
	pid, err := cgroupsd.MainPID(ctx, name+".service")
	return err == nil && pid != 0 && isConnected(pid, targets), err
}

// isConnected tells whether a process has a connection from elsewhere to one of
// the ports of its network (proc_net_tcp of the kernel's documentation,
// net/tcp_states.h).
func isConnected(pid int, targets map[uint16]netip.Addr) bool {
	const established = "01"
	for _, file := range []string{"tcp", "tcp6"} {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, file))
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 4 || f[3] != established {
				continue
			}
			local, number, _ := strings.Cut(f[1], ":")
			remote, _, _ := strings.Cut(f[2], ":")
			port, err := strconv.ParseUint(number, 16, 16)
			if _, ours := targets[uint16(port)]; err == nil && ours && local != remote {
				return true
			}
		}
	}
	return false
}
