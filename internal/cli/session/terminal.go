// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// IsTerminal tells terminals from pipes and files.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Size of a terminal; 0 by 0 where there is none.
func Size(f *os.File) (columns, rows uint) {
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return uint(ws.Col), uint(ws.Row)
}

// raw hands each key over as it is (cfmakeraw(3)) and gives what undoes it.
func raw(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	t := *before
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &t); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil
}

// Terminal joins a process that has a terminal, of which master is the other
// end. Keys go to it as they are typed; its size follows that of the operator's.
func Terminal(p Process, signals *Signals, own Streams, master *os.File) (unix.WaitStatus, error) {
	pollable, err := again(master)
	if err != nil {
		return 0, err
	}
	s := &session{process: p, signals: signals, hangup: func() { master.Close(); pollable.Close() }}
	s.copies = []*outputCopy{copyOutput(pollable, own.Out)}
	if own.In != nil {
		if IsTerminal(own.In) {
			restore, err := raw(own.In)
			if err != nil {
				return 0, err
			}
			defer restore()
			stopFollowing := followSize(own.In, master)
			defer stopFollowing()
		}
		go func() {
			err := carry(pollable, own.In)
			if err == nil && !IsTerminal(own.In) {
				// The end of a file is the end-of-file key.
				_, _ = pollable.Write([]byte{4})
			}
			if errors.Is(err, unix.EIO) && IsTerminal(own.In) {
				signals.queue <- unix.SIGHUP
			}
		}()
	}
	return s.run()
}

// again opens a terminal's descriptor for waiting with a deadline.
func again(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "terminal"), nil
}

// followSize passes changes of the size on.
func followSize(from, to *os.File) (stop func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	pass := func() {
		if ws, err := unix.IoctlGetWinsize(int(from.Fd()), unix.TIOCGWINSZ); err == nil {
			_ = unix.IoctlSetWinsize(int(to.Fd()), unix.TIOCSWINSZ, ws)
		}
	}
	go func() {
		for range changed {
			pass()
		}
	}()
	pass()
	return func() { signal.Stop(changed); close(changed) }
}
