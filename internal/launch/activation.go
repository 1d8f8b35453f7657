// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/slack"
)

// How long connections are kept waiting for a container that runs and does not
// answer, and how often it is asked.
const (
	answerTimeout = 60 * time.Second
	leastPause    = 20 * time.Millisecond
	mostPause     = 250 * time.Millisecond
)

// proxyPaths are where systemd-socket-proxyd(8) is.
var proxyPaths = []string{"/usr/lib/systemd/systemd-socket-proxyd", "/lib/systemd/systemd-socket-proxyd"}

// Forward is ExecStart= of the service of a port's socket unit: connections wait
// at the socket. It has the container started, waits until the port answers,
// has a rule lead new connections there, and becomes systemd's proxy for those
// that wait and those that no rule can lead. When they cannot be helped they
// are closed: clients hear so, and the socket does not start this again for
// them.
func Forward(name, port string) int {
	target, err := strconv.ParseUint(port, 10, 16)
	var to netip.Addr
	if err == nil {
		err = awaitPort(name, uint16(target), func(own []netip.Addr) bool {
			if len(own) == 0 {
				return false
			}
			to = own[0]
			return answers(netip.AddrPortFrom(to, uint16(target)))
		})
	}
	if err == nil {
		err = network.Open(name, uint16(target))
	}
	if err == nil {
		err = becomeProxy(netip.AddrPortFrom(to, uint16(target)))
	}
	closeWaiting()
	return tell(fmt.Errorf("forwarding connections to %s: %w", name, err))
}

// awaitPort has a container started and waits until its port answers at one of its own
// addresses.
func awaitPort(name string, target uint16, answer func(own []netip.Addr) bool) error {
	var asked, failed bool
	var answerBy time.Time
	for pause := leastPause; ; pause = min(pause*3/2, mostPause) {
		state, err := containerState(name, &asked)
		if err != nil {
			return err
		}
		switch state {
		case "active":
			if answerBy.IsZero() {
				answerBy = time.Now().Add(answerTimeout)
			}
			list, err := network.Activated(name)
			if err != nil {
				return err
			}
			own, ok := list[target]
			if !ok {
				return errors.New("the port is not the container's; `systemctl restart` of it brings what its definition says")
			}
			if answer(own) && !isDraining(name) {
				return nil
			}
			if time.Now().After(answerBy) {
				return fmt.Errorf("port %d does not answer in %v", target, answerTimeout)
			}
		case "failed", "inactive":
			// Twice: between two looks a restart may be on its way.
			if failed {
				return fmt.Errorf("%s.service does not start", name)
			}
			failed = true
			time.Sleep(mostPause)
			continue
		}
		failed = false
		time.Sleep(pause)
	}
}

// containerState asks for the state of a container, and has it started once if
// nobody else is about to do anything with it.
func containerState(name string, asked *bool) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	m, err := cgroupsd.Connect(ctx)
	if err != nil {
		return "", err
	}
	// Not kept: PID 1 tells every client of every unit.
	defer m.Close()
	unit := name + ".service"
	state, err := m.ActiveState(ctx, unit)
	if cgroupsd.IsNotLoaded(err) {
		state, err = "inactive", nil
	}
	if err != nil || state != "inactive" && state != "failed" {
		return state, err
	}
	if busy, err := m.HasJob(ctx, unit); err == nil && busy {
		return "activating", nil
	}
	if *asked {
		return state, nil
	}
	*asked = true
	if err := m.StartUnit(ctx, unit); err != nil {
		return state, fmt.Errorf("starting %s: %w", unit, err)
	}
	return "activating", nil
}

// answers tells whether a connection is taken at once.
func answers(to netip.AddrPort) bool {
	domain, address := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(to.Port())})
	if to.Addr().Is4() {
		address.(*unix.SockaddrInet4).Addr = to.Addr().As4()
	} else {
		domain, address = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	// A connect(2) is bounded by the time for sending (socket(7)).
	timeout := unix.Timeval{Sec: 1}
	if unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout) != nil {
		return false
	}
	return unix.Connect(fd, address) == nil
}

// becomeProxy: the sockets that systemd passed go with this process's number.
// It ends a second after its last connection.
func becomeProxy(to netip.AddrPort) error {
	// The proxy of systemd 252 does not say so itself.
	n, err := openNotifier()
	if err == nil {
		err = n.send("READY=1")
	}
	if err != nil {
		return err
	}
	for _, path := range proxyPaths {
		err = slack.Run(func() error {
			return syscall.Exec(path, []string{path, "--exit-idle-time=1s", to.String()}, os.Environ())
		})
	}
	return fmt.Errorf("exec %s: %w", proxyPaths[0], err)
}

// closeWaiting takes the connections that wait and ends them.
func closeWaiting() {
	n, _, err := takeSockets()
	for fd := firstSocket; err == nil && fd < firstSocket+n; fd++ {
		_ = unix.SetNonblock(fd, true)
		for {
			conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNABORTED) {
				continue
			}
			if err != nil {
				break
			}
			unix.Close(conn)
		}
	}
}

// drainingFile says that a container is about to stop: what waits is for the
// next one.
const drainingFile = "/draining"

func isDraining(name string) bool {
	dir := realm.StateDir(name)
	if i, err := readIdle(dir); err == nil && i.stopping {
		return true
	}
	return unix.Access(dir+drainingFile, unix.F_OK) == nil
}

// drainTimeout bounds what a stop waits for.
const drainTimeout = 5 * time.Second

// Drain is ExecStop= of a container with such ports, and what makes a restart
// lose no connection: new ones come to the sockets again, and those that the
// kernel has taken for the payload already are left to it before the stop
// signal.
func Drain(name string) int {
	targets, err := network.Activated(name)
	pid, _ := strconv.Atoi(os.Getenv("MAINPID"))
	if err != nil || len(targets) == 0 || pid == 0 {
		return tell(errors.Join(err, network.Close(name)))
	}
	if n, err := openNotifier(); err == nil {
		_ = n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (3*drainTimeout).Microseconds()), status("letting connections end"))
	}
	if err := os.WriteFile(realm.StateDir(name)+drainingFile, nil, 0o600); err != nil {
		fmt.Fprintf(journal.Stderr, "<4>%v\n", err)
	}
	deadline := time.Now().Add(drainTimeout)
	// The proxy first: while rules lead past it, it gets nothing new.
	for target := range targets {
		awaitProxy(definition.PortUnit(name, int(target)), deadline)
	}
	if err := network.Close(name); err != nil {
		return tell(err)
	}
	for areWaiting(pid, targets) && time.Now().Before(deadline) {
		time.Sleep(leastPause)
	}
	return 0
}

// awaitProxy waits for the end of a proxy's last connection. One that is being
// started looks whether the container drains.
func awaitProxy(unit string, deadline time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(cleanTimeout))
	defer cancel()
	starting, told := 0, false
	for {
		m, err := cgroupsd.Connect(ctx)
		if err != nil {
			return
		}
		state, err := m.ActiveState(ctx, unit+".service")
		if state == "active" && realm.Own() != nil && !told {
			// A user's takes no connection any more then; those that it has go on.
			told = true
			_ = m.SignalUnit(ctx, unit+".service", unix.SIGTERM)
		}
		if state == "active" && time.Now().After(deadline) {
			_ = m.StopUnit(ctx, unit+".service")
			m.Close()
			return
		}
		m.Close()
		if state == "activating" {
			starting++
		}
		if err != nil || starting > 2 || state != "active" && state != "activating" {
			return
		}
		time.Sleep(mostPause / 2)
	}
}

// areWaiting tells whether connections to the ports are not yet the payload's: in
// the queue of a listening socket, or with their handshake not at its end
// (proc_net_tcp of the kernel's documentation, net/tcp_states.h).
func areWaiting(pid int, targets map[uint16][]netip.Addr) bool {
	const listening, receiving = "0A", "03"
	for _, file := range []string{"tcp", "tcp6"} {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, file))
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 5 {
				continue
			}
			_, number, _ := strings.Cut(f[1], ":")
			port, err := strconv.ParseUint(number, 16, 16)
			if _, ours := targets[uint16(port)]; err != nil || !ours {
				continue
			}
			_, queued, _ := strings.Cut(f[4], ":")
			if f[3] == receiving || f[3] == listening && strings.Trim(queued, "0") != "" {
				return true
			}
		}
	}
	return false
}
