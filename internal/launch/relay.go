// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"cmp"
	"fmt"
	"os"
	"os/signal"
	goruntime "runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/pump"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/relay/order"
	"github.com/unitc/unitc/internal/slack"
)

// waitingFor is what `systemctl status` shows until READY=1.
var waitingFor = map[string]string{
	plan.ReadyHealthy:   "starting: waiting for the first check that succeeds",
	plan.ReadyContainer: "starting: waiting for READY=1 of the payload",
	plan.ReadyExit:      "running: waiting for its end",
}

// relayFiles are the descriptors of a relay of ours.
type relayFiles struct {
	payload, root, network, terminal, input *os.File

	process *os.File // the relay itself; it begins when this is closed
}

// wantsRelay tells whether the payload needs more company than cat(1) is.
func (s *starter) wantsRelay() bool {
	if realm.Own() != nil && s.logs != nil {
		return true // cat(1) would be gone before journald has seen whose lines they are
	}
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

// prepareRelay opens what the relay watches while the payload cannot end, and starts it.
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
	if err := s.leaveTop(); err != nil {
		return err
	}
	return s.startRelay()
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
		if realm.Own() != nil && s.network.HasPasta() {
			o.Network = cgroupsd.NetworkBeside(o.Cgroup)
		}
	}
	o.Terminal, o.Attach = s.relay.terminal != nil, s.attach != nil
	switch {
	case o.Terminal && s.plan.Logging == definition.LogNone:
		o.Log = order.LogDrop
	case s.logs != nil || o.Terminal:
		o.Log, o.Tag = order.LogCopy, cmp.Or(s.plan.Tag, strings.TrimSuffix(s.plan.Unit, ".service"))
		if s.plan.LogFormat == definition.LogFormatJSON {
			o.Log = order.LogJSON
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
// which ends with the last writer. Where only log bytes flow cat(1) does that;
// a relay of ours is there, and goes on when the helper ends.
func (s *starter) becomeRelay() error {
	s.watch.print()
	s.netWatch.print()
	switch {
	case s.relay != nil:
		defer s.relay.process.Close()
		if err := s.notify.barrierFor(statePatience); err != nil || !order.Awaits(s.plan.Ready) {
			return err
		}
		return s.watchRelay()
	case s.logs == nil:
		// The messages must be read before this process is gone (S-9): with 262 one of
		// a few hundred was lost.
		return s.notify.barrierFor(statePatience)
	}
	if err := unix.Dup3(int(s.logs.Fd()), 0, 0); err != nil {
		return fmt.Errorf("dup3 of the log pipe: %w", err)
	}
	becomePump()
	// It cannot be here: then cat(1) does the same.
	cat, err := catPath()
	if err != nil {
		return err
	}
	if err := syscall.Exec(cat, []string{"unitc-relay"}, nil); err != nil {
		return fmt.Errorf("exec %s: %w", cat, err)
	}
	return nil
}

// becomePump returns where it cannot be.
func becomePump() {
	goruntime.LockOSThread()
	slack.Restore()
	// A journald that has gone would end it by that; ignored, it hears of it.
	signal.Ignore(unix.SIGPIPE)
	_ = pump.Exec([]string{"unitc-relay"}, buildinfo.HelperPath)
}

// startRelay starts the relay and waits until no stop signal can end it any
// more: Go's runtime keeps ignored ones ignored only until it installs its own
// handlers, so that a stop just then, or of a payload that has ended by then, ends
// the relay with all that it was to pass on. The helper, which ignores them, starts
// it again.
func (s *starter) startRelay() error {
	const stops = 3 // systemd sends two: of the stop, and to what is left behind
	var err error
	for range stops {
		if err = s.tryRelay(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("starting %s: %w", buildinfo.RelayPath, err)
}

// tryRelay passes descriptors by number (package order) and nothing else.
func (s *starter) tryRelay() error {
	text, err := Memfd("order", s.order().Encode())
	if err != nil {
		return err
	}
	defer text.Close()
	if err := s.notify.connect(); err != nil {
		return err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	files := make([]uintptr, order.Helper+1)
	for i := range files {
		files[i] = ^uintptr(0) // closed
	}
	files[order.Logs] = cmp.Or(s.relay.terminal, s.logs, s.stdio[0]).Fd() // the last is /dev/null
	files[order.Journal], files[order.Journal+1] = os.Stdout.Fd(), os.Stderr.Fd()
	files[order.Text], files[order.Payload], files[order.Root], files[order.Helper] = text.Fd(), s.relay.payload.Fd(), s.relay.root.Fd(), theirs.Fd()
	if s.notify.fd >= 0 {
		files[order.Notify] = uintptr(s.notify.fd)
	}
	for at, f := range map[int]*os.File{order.Proxy: s.proxy, order.Attach: s.attach, order.Input: s.relay.input} {
		if f != nil {
			files[at] = f.Fd()
		}
	}
	if err := forkRelay(s.relay.network, files); err != nil {
		ours.Close()
		return err
	}
	theirs.Close()
	s.relay.process = ours
	if n, err := ours.Read(make([]byte, 1)); n != 1 {
		ours.Close()
		return fmt.Errorf("it ended before it was there: %w", err)
	}
	return nil
}

// forkRelay starts it in a network namespace, on a thread that ends with that.
func forkRelay(network *os.File, files []uintptr) error {
	failed := make(chan error)
	go func() {
		goruntime.LockOSThread()
		if err := JoinNetwork(network); err != nil {
			failed <- err
			return
		}
		// A huge page would be three times what the relay has in all; the word to the
		// kernel is inherited (prctl(2), PR_SET_THP_DISABLE), the other is Go's.
		_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
		slack.Restore()
		_, err := syscall.ForkExec(buildinfo.RelayPath, []string{"unitc-relay"},
			&syscall.ProcAttr{Env: append(realm.Told(), "GOMAXPROCS=1", "GODEBUG=disablethp=1"), Files: files})
		failed <- err
	}()
	return <-failed
}

// JoinNetwork moves this thread, which is locked to its goroutine for good.
func JoinNetwork(network *os.File) error {
	// A user may not join what is the host's, and is there already.
	if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil && !isOwnNetwork(network) {
		return fmt.Errorf("setns of the payload's network: %w", err)
	}
	return nil
}

// isOwnNetwork tells whether a network namespace is this process's.
func isOwnNetwork(network *os.File) bool {
	own, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return false
	}
	other, err := network.Stat()
	return err == nil && os.SameFile(own, other)
}

// socketPair is a stream to somebody else.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "relay"), os.NewFile(uintptr(fds[1]), "helper"), nil
}

// Memfd is a file without a name, to hand a text to the next program.
func Memfd(name string, text []byte) (*os.File, error) {
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
