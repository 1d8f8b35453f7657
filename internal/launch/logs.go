// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/relay/order"
	"github.com/unitc/unitc/internal/runtime"
)

// openLogs makes the payload's descriptors 0 to 2.
func (s *starter) openLogs() error {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	s.stdio = [3]*os.File{null, null, null}
	// `direct` hands over what is systemd's, or the operator's.
	if s.streams != nil || s.plan.Logging != definition.LogDirect {
		defer s.labelPipes()
	}
	if s.streams != nil {
		s.stdio = *s.streams
		return nil
	}
	if s.hasTerminal() {
		return nil // it is all three, and is opened inside
	}
	if s.service.StdinOpen {
		if s.stdio[0], err = openStdin(s.stateDir + "/stdin"); err != nil {
			return err
		}
	}
	switch s.plan.Logging {
	case definition.LogNone:
	case definition.LogDirect:
		s.stdio[1], s.stdio[2] = os.Stdout, os.Stderr
	default:
		if _, err := catPath(); err != nil {
			return err
		}
		r, w, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("opening the log pipe: %w", err)
		}
		s.logs, s.stdio[1], s.stdio[2] = r, w, w
		// A larger pipe lets a burst pass while the relay waits for its turn; a
		// refused size changes nothing but that.
		_, _ = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 1<<18)
	}
	return nil
}

// labelPipes lets a payload that SELinux holds use its descriptors.
func (s *starter) labelPipes() {
	if s.plan.Spec == nil || s.plan.Spec.Linux == nil {
		return
	}
	for _, f := range s.stdio {
		runtime.LabelPipe(f, s.plan.Spec.Linux.MountLabel)
	}
}

// openStdin makes a FIFO that root can write to. The payload has it open for
// writing too, so that it never reads an end, and no process need hold it.
func openStdin(path string) (*os.File, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("mkfifo %s: %w", path, err)
	}
	// Not os.OpenFile, which makes a FIFO non-blocking, for the payload too.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// catPath finds cat(1). Its path is the host's, never the payload's.
func catPath() (string, error) {
	for _, path := range []string{"/usr/bin/cat", "/bin/cat"} {
		if unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("the log relay needs /usr/bin/cat: %w; install coreutils, or set `logging: {driver: direct}`", unix.ENOENT)
}

// ignoreStopSignals makes every signal that a stop may send ignored; that
// survives the exec of the relay, which must drain the pipe to its end (V-4). A
// payload may end as soon as it runs, and systemd stops what is left in the
// service before a session was told.
func (s *starter) ignoreStopSignals() error {
	if s.logs == nil && !s.wantsRelay() && s.session == nil {
		return nil
	}
	signal.Ignore(order.StopSignals()...)
	return nil
}
