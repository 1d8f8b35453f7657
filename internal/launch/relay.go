// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"cmp"
	"fmt"
	"os"
	goruntime "runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/relay/order"
)

// waitingFor is what `systemctl status` shows until READY=1.
var waitingFor = map[string]string{
	plan.ReadyHealthy:   "starting: waiting for the first check that succeeds",
	plan.ReadyContainer: "starting: waiting for READY=1 of the payload",
	plan.ReadyExit:      "running: waiting for its end",
}

// relayFiles are the descriptors of a relay of ours.
type relayFiles struct{ payload, root, network, terminal, input *os.File }

// wantsRelay tells whether the payload needs more company than cat(1) is.
func (s *starter) wantsRelay() bool {
	return s.plan.Health != nil || s.plan.Ready != "" || s.plan.LogFormat != "" && !s.session.takesStreams() || s.canBeJoined()
}

// openProxy makes the socket of `systemd: notify: container`. The payload's
// user, whoever that is, may write to it; on the host nobody comes past the
// unit's directory.
func (s *starter) openProxy() error {
	if s.plan.Ready != plan.ReadyContainer {
		return nil
	}
	path := s.stateDir + "/" + planner.NotifySocket
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the payload's notify socket: %w", err)
	}
	s.proxy = os.NewFile(uintptr(fd), path)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return fmt.Errorf("bind %s: %w", path, err)
	}
	return os.Chmod(path, 0o666)
}

// prepareRelay opens what the relay watches while the payload cannot end.
func (s *starter) prepareRelay() error {
	if !s.wantsRelay() {
		return nil
	}
	needed := []string{buildinfo.RelayPath}
	if s.plan.Health != nil && s.plan.Health.IsTLS() {
		needed = append(needed, buildinfo.ProbePath)
	}
	for _, path := range needed {
		if err := unix.Access(path, unix.X_OK); err != nil {
			return fmt.Errorf("the program %s: %w; install unitc again", path, err)
		}
	}
	pidfd, err := unix.PidfdOpen(s.payload, 0)
	if err != nil {
		return fmt.Errorf("pidfd_open %d: %w", s.payload, err)
	}
	r := &relayFiles{payload: os.NewFile(uintptr(pidfd), "payload")}
	proc := fmt.Sprintf("/proc/%d/", s.payload)
	if r.root, err = os.OpenFile(proc+"root", unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return err
	}
	if r.network, err = os.Open(proc + "ns/net"); err != nil {
		return err
	}
	if s.keepsTerminal() {
		if r.terminal, err = s.takeTerminal(); err != nil {
			return err
		}
	} else if s.canBeJoined() {
		if r.input, err = s.openInput(); err != nil {
			return err
		}
	}
	s.relay = r
	return s.leaveTop()
}

// leaveTop moves the helper out of a delegated cgroup's inner node (C-3, C-7):
// beside the payload's leaf the relay has one of its own.
func (s *starter) leaveTop() error {
	if s.plan.Scope != nil {
		return nil
	}
	dir, err := cgroupsd.OwnDelegated()
	if err != nil {
		return err
	}
	defer dir.Close()
	leaf, err := cgroupsd.RelayLeaf(dir)
	if err != nil {
		return err
	}
	defer leaf.Close()
	return cgroupsd.Enter(leaf, os.Getpid())
}

// order is what the relay is told.
func (s *starter) order() *order.Order {
	o := &order.Order{Unit: s.plan.Unit, Dir: s.stateDir, Helper: buildinfo.HelperPath, Ready: s.plan.Ready,
		PostStart: s.plan.Ready != "" && len(s.plan.PostStart) > 0}
	if s.cgroup != nil {
		o.Cgroup = s.cgroup.Name()
	}
	o.Terminal, o.Attach = s.relay.terminal != nil, s.attach != nil
	switch {
	case o.Terminal && s.plan.Logging == definition.LogNone:
		o.Log = order.LogDrop
	case s.logs != nil || o.Terminal:
		o.Log = order.LogCopy
		if s.plan.LogFormat == definition.LogFormatJSON {
			o.Log, o.Tag = order.LogJSON, s.plan.Tag
		}
	}
	if h := s.plan.Health; h != nil {
		o.Probe, o.Target = h.Kind, h.Target
		o.Interval, o.Timeout, o.StartPeriod, o.StartInterval, o.Retries = h.Interval, h.Timeout, h.StartPeriod, h.StartInterval, h.Retries
		o.Restart, o.Extend = h.Restart, !h.OwnTimeout
		if h.IsTLS() {
			o.Prober, o.CA, o.Name = buildinfo.ProbePath, h.TLS.CA, h.TLS.ServerName
		}
		if h.Kind == definition.ProbeExec {
			o.Target = strings.Join(h.Command, " ")
		}
	}
	return o
}

// becomeRelay replaces the helper by what stays beside the payload, in the
// service's cgroup, so that journald finds the service behind every line, and
// which ends with the last writer. Where only log bytes flow cat(1) does that.
func (s *starter) becomeRelay() error {
	s.watch.print()
	switch {
	case s.relay != nil:
		return s.execRelay()
	case s.logs == nil:
		// The messages must be read before this process is gone (S-9).
		return s.notify.barrier()
	}
	cat, err := catPath()
	if err != nil {
		return err
	}
	if err := unix.Dup3(int(s.logs.Fd()), 0, 0); err != nil {
		return fmt.Errorf("dup3 of the log pipe: %w", err)
	}
	if err := syscall.Exec(cat, []string{"unitc-relay"}, nil); err != nil {
		return fmt.Errorf("exec %s: %w", cat, err)
	}
	return nil
}

// execRelay passes descriptors by number (package order) and leaves all others
// to close-on-exec.
func (s *starter) execRelay() error {
	text, err := memfd("order", s.order().Encode())
	if err != nil {
		return err
	}
	if err := s.notify.connect(); err != nil {
		return err
	}
	logs := cmp.Or(s.relay.terminal, s.logs, s.stdio[0]) // the last is /dev/null
	passed := map[int]int{
		order.Logs: int(logs.Fd()), order.Text: int(text.Fd()), order.Payload: int(s.relay.payload.Fd()), order.Root: int(s.relay.root.Fd()),
	}
	if s.notify.fd >= 0 {
		passed[order.Notify] = s.notify.fd
	}
	if s.proxy != nil {
		passed[order.Proxy] = int(s.proxy.Fd())
	}
	if s.attach != nil {
		passed[order.Attach] = int(s.attach.Fd())
	}
	if s.relay.input != nil {
		passed[order.Input] = int(s.relay.input.Fd())
	}
	// The calling thread alone survives the exec, with its namespaces.
	goruntime.LockOSThread()
	if err := unix.Setns(int(s.relay.network.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("setns of the payload's network: %w", err)
	}
	if err := placeDescriptors(passed); err != nil {
		return err
	}
	// A huge page would be three times what the relay has in all; the word to the
	// kernel survives the exec (prctl(2), PR_SET_THP_DISABLE), the other is Go's.
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
	err = syscall.Exec(buildinfo.RelayPath, []string{"unitc-relay"}, []string{"GOMAXPROCS=1", "GODEBUG=disablethp=1"})
	return fmt.Errorf("exec %s: %w", buildinfo.RelayPath, err)
}

// placeDescriptors makes each descriptor known by its number.
func placeDescriptors(passed map[int]int) error {
	for to, from := range passed {
		if from >= order.Text {
			return fmt.Errorf("descriptor %d is in the way of those of the relay", from)
		}
		if err := unix.Dup3(from, to, 0); err != nil {
			return fmt.Errorf("dup3 %d: %w", to, err)
		}
	}
	return nil
}

// memfd is a file without a name, to hand a text to the next program.
func memfd(name string, text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(text); err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	return f, nil
}
