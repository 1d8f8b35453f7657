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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/clock"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/realm"
)

// idleFile stands beside the plan of a container with x-idle-timeout: the time-out
// and since when nobody is connected, in nanoseconds, the latter of the monotonic
// clock, which nobody sets; and whether it is about to be stopped for that.
const idleFile = "/idle"

type idleness struct {
	timeout, since time.Duration
	stopping       bool
}

// writeIdle makes the file, changeIdle writes to one that is there: of a container
// that ends meanwhile systemd removes the directory, and would leave one in which
// there is a new file.
func writeIdle(dir string, i idleness) error { return openIdle(dir, os.O_CREATE, i) }

func changeIdle(dir string, i idleness) error { return openIdle(dir, 0, i) }

func openIdle(dir string, flags int, i idleness) error {
	file, err := os.OpenFile(dir+idleFile, os.O_WRONLY|flags, 0o600)
	if err != nil {
		return err
	}
	// Of one length, so that one write replaces it.
	_, err = fmt.Fprintf(file, "%20d %20d %5t\n", i.timeout.Nanoseconds(), i.since.Nanoseconds(), i.stopping)
	return errors.Join(err, file.Close())
}

func readIdle(dir string) (i idleness, err error) {
	text, err := os.ReadFile(dir + idleFile)
	if err != nil {
		return i, err
	}
	// The third is not in one of an earlier version.
	if n, err := fmt.Sscan(string(text), &i.timeout, &i.since, &i.stopping); err != nil && n < 2 {
		return i, fmt.Errorf("reading %s: %w", dir+idleFile, err)
	}
	return i, nil
}

// idleTimeout bounds one look, however many containers there are.
const idleTimeout = 50 * time.Second

// Idle is ExecStart= of unitc-idle.service: it stops the containers that nobody
// has been connected to for their x-idle-timeout. A connection that comes meanwhile
// waits at its socket, as at any stop, and starts the container again.
func Idle() int {
	files, err := filepath.Glob(realm.Run + "/*" + idleFile)
	if err != nil || len(files) == 0 {
		return tell(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), idleTimeout)
	defer cancel()
	m, err := cgroupsd.Connect(ctx)
	if err != nil {
		return tell(err)
	}
	defer m.Close()
	var idle []string
	var errs []error
	l, err := takeLook(ctx, m)
	if err != nil {
		return tell(err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		is, err := l.isIdle(ctx, dir)
		if is {
			idle = append(idle, dir)
		}
		errs = append(errs, about(dir, err))
	}
	return tell(errors.Join(append(errs, stopIdle(ctx, m, idle))...))
}

// look is what is known at a moment.
type look struct {
	m     *cgroupsd.Manager
	units map[string]cgroupsd.UnitState
	flows network.FlowTable
}

func takeLook(ctx context.Context, m *cgroupsd.Manager) (l look, err error) {
	l.m = m
	if l.units, err = m.States(ctx, "*.service", "*.socket"); err == nil {
		l.flows, err = network.Flows()
	}
	return l, err
}

// about says of which container an error is. One that has ended meanwhile has no
// files, or is not loaded.
func about(dir string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) || cgroupsd.IsNotLoaded(err) {
		return nil
	}
	return fmt.Errorf("%s: %w", filepath.Base(dir), err)
}

// isIdle looks at one container, and notes when it was used.
func (l look) isIdle(ctx context.Context, dir string) (bool, error) {
	name := filepath.Base(dir)
	unit := name + ".service"
	i, err := readIdle(dir)
	if err != nil {
		return false, err
	}
	now := clock.Monotonic()
	used, err := l.isUsed(ctx, name, now-i.since >= i.timeout)
	if err != nil {
		return false, err
	}
	switch {
	case used, l.units[unit].Active != "active": // its time begins when it is up
		i.since = now
		fallthrough
	case i.stopping: // by a look that was killed
		i.stopping = false
		if err := changeIdle(dir, i); err != nil {
			return false, err
		}
	}
	if now-i.since < i.timeout || l.units[unit].Busy {
		return false, nil
	}
	// Its definition may have changed since: then it wants no timer any more.
	if wants, err := l.m.Wants(ctx, unit, "unitc-idle.timer"); err != nil || !wants {
		return false, err
	}
	needed, err := l.m.IsNeeded(ctx, unit)
	return err == nil && !needed, err
}

// stopIdle leads new connections to the sockets, where they wait for the next start,
// before it looks once more: one that comes behind the first look would end with the
// container.
func stopIdle(ctx context.Context, m *cgroupsd.Manager, dirs []string) error {
	closed, errs := closePorts(dirs)
	if len(closed) == 0 {
		return errors.Join(errs...)
	}
	l, lookErr := takeLook(ctx, m)
	// All are looked at before the first one is stopped: systemd tells who has asked it
	// something of all that happens then.
	closed = slices.DeleteFunc(closed, func(dir string) bool {
		used, err := false, lookErr
		if err == nil {
			used, err = l.isUsed(ctx, filepath.Base(dir), true)
		}
		if err == nil && !used {
			return false
		}
		errs = append(errs, about(dir, errors.Join(err, mark(dir, false)))) // the next connection has the rule back
		return true
	})
	for _, dir := range closed {
		errs = append(errs, about(dir, stopFor(ctx, m, dir)))
	}
	return errors.Join(errs...)
}

// closePorts has new connections wait for the next start. Changing the rules once for
// each container would have them wait for all the others.
func closePorts(dirs []string) (closed []string, errs []error) {
	var names []string
	for _, dir := range dirs {
		err := mark(dir, true)
		if err == nil {
			closed, names = append(closed, dir), append(names, filepath.Base(dir))
		}
		errs = append(errs, about(dir, err))
	}
	if len(closed) == 0 || network.Close(names...) == nil {
		return closed, errs
	}
	// What cannot be closed is not to keep the others from their stop.
	closed = slices.DeleteFunc(closed, func(dir string) bool {
		err := network.Close(filepath.Base(dir))
		if err != nil {
			err = errors.Join(err, mark(dir, false))
		}
		errs = append(errs, about(dir, err))
		return err != nil
	})
	return closed, errs
}

// stopFor stops a container for its time-out.
func stopFor(ctx context.Context, m *cgroupsd.Manager, dir string) error {
	unit := filepath.Base(dir) + ".service"
	i, err := readIdle(dir)
	if err != nil {
		return err
	}
	err = journal.Send([]journal.Field{
		{"PRIORITY", "5"}, {"SYSLOG_IDENTIFIER", "unitc"}, {realm.ObjectUnitField(), unit},
		{"MESSAGE", fmt.Sprintf("stopping %s: nobody has been connected to it for %v (x-idle-timeout); the next connection starts it", unit, i.timeout)},
	})
	stopErr := m.StopUnit(ctx, unit)
	if stopErr != nil {
		stopErr = errors.Join(stopErr, mark(dir, false))
	}
	return errors.Join(err, stopErr)
}

// mark notes whether a container is about to be stopped: a port's service that is
// started waits for the next one meanwhile. One that is not stopped is in use.
func mark(dir string, stopping bool) error {
	i, err := readIdle(dir)
	if err != nil {
		return err
	}
	if i.stopping = stopping; !stopping {
		i.since = clock.Monotonic()
	}
	return changeIdle(dir, i)
}

// isUsed tells whether somebody is connected to an activated port: by the rule
// that leads past the socket, through the proxy, or straight from a neighbour. One
// that no connection could start again counts as used. Who is about to stop it looks
// closely.
func (l look) isUsed(ctx context.Context, name string, closely bool) (bool, error) {
	targets, err := network.Activated(name)
	if err != nil {
		return false, err
	}
	if len(targets) == 0 {
		return true, nil // a change of its definition took them: who knows
	}
	for target, own := range targets {
		unit := definition.PortUnit(name, int(target))
		switch l.units[unit+".service"].Active {
		case "", "inactive", "failed":
		default:
			return true, nil
		}
		if l.flows.To(own, target) || l.units[unit+".socket"].Active != "active" {
			return true, nil
		}
	}
	pid, err := l.m.MainPID(ctx, name+".service")
	return err == nil && pid != 0 && (closely || anyEstablished(pid)) && isConnected(pid, targets), err
}

// isConnected tells whether a process has a connection from elsewhere to one of
// the ports of its network (proc_net_tcp of the kernel's documentation,
// net/tcp_states.h).
func isConnected(pid int, targets map[uint16][]netip.Addr) bool {
	// In close-wait the client has said all, and waits for the answer.
	const established, closeWait = "01", "08"
	for _, file := range []string{"tcp", "tcp6"} {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, file))
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 4 || f[3] != established && f[3] != closeWait {
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

// anyEstablished tells whether a process's network has any connection at all
// (CurrEstab of RFC 4022; kernels before 6.10 do not count those in close-wait). The list of them would take some milliseconds: the kernel
// goes through the connections of all networks for it.
func anyEstablished(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp", pid))
	if err != nil {
		return true
	}
	var names []string
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] != "Tcp:":
		case names == nil:
			names = f
		default:
			at := slices.Index(names, "CurrEstab")
			return at < 0 || at >= len(f) || f[at] != "0"
		}
	}
	return true
}
