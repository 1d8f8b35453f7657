// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

func runContainer(c *call) error {
	detached := c.has("detach")
	if !detached && !c.has("no-subreaper") {
		// What the container leaves behind becomes ours, and is reaped.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("becoming a subreaper: %w", err)
		}
	}
	m, err := c.create(c.args[0], detached)
	if err != nil {
		return failed("run", err)
	}
	k := m.k
	attached := attach(m.terminal, !detached)
	if err := k.start(c); err != nil {
		attached.end()
		_ = k.killAndWaitChild()
		if k.relock() == nil { // start may have deleted it already
			_ = k.destroy(c)
		}
		return fmt.Errorf("%s run failed: %w", runtimeName, err)
	}
	if detached {
		if k.ears != nil {
			k.ears.pass(true)
		}
		return nil
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		if k.ears != nil {
			k.ears.pass(false)
		}
	}()
	attached.passSignals(k.PID)
	status := reap(k.PID)
	attached.end()
	<-heard
	if !c.has("keep") {
		if err := k.relock(); err == nil {
			if err := k.destroy(c); err != nil {
				return err
			}
		}
	}
	return exitStatus(status)
}

func (k *container) killAndWaitChild() error {
	err := k.signal(unix.SIGKILL)
	reap(k.PID)
	return err
}

// reap waits for a child and reaps all others that end meanwhile; the status
// is as a shell tells it.
func reap(pid int) int {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 255
		case got != pid:
			continue
		case ws.Signaled():
			return 128 + int(ws.Signal())
		}
		return ws.ExitStatus()
	}
}

// attachment joins this process's terminal and signals to a container's.
type attachment struct {
	terminal *os.File
	restore  *unix.Termios
	signals  chan os.Signal
	copied   chan struct{}
}

// attach passes on what is typed to the terminal. foreground is false for a
// container that is left alone.
func attach(terminal *os.File, foreground bool) *attachment {
	a := &attachment{terminal: terminal}
	if foreground && terminal != nil {
		a.joinTerminal()
	}
	return a
}

// passSignals passes them on to pid. It belongs behind the start: of each signal
// there is Go's runtime has two threads talk, 1 ms in all.
func (a *attachment) passSignals(pid int) {
	a.signals = make(chan os.Signal, 64)
	signal.Notify(a.signals)
	go func() {
		for s := range a.signals {
			switch n := s.(unix.Signal); n {
			case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE:
				// SIGURG is the Go runtime's own.
			case unix.SIGWINCH:
				a.resize()
			default:
				_ = unix.Kill(pid, n)
			}
		}
	}()
}

func (a *attachment) joinTerminal() {
	if t, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		raw := *t
		// As cfmakeraw(3).
		raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		raw.Oflag &^= unix.OPOST
		raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
		if unix.IoctlSetTermios(0, unix.TCSETS, &raw) == nil {
			a.restore = t
		}
		a.resize()
	}
	a.copied = make(chan struct{})
	go func() { _, _ = io.Copy(a.terminal, os.Stdin) }()
	go func() {
		_, _ = io.Copy(os.Stdout, a.terminal) // ends with EIO when the last slave is closed
		close(a.copied)
	}()
}

func (a *attachment) resize() {
	if a.terminal == nil {
		return
	}
	if ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil {
		_ = unix.IoctlSetWinsize(int(a.terminal.Fd()), unix.TIOCSWINSZ, ws)
	}
}

// end waits for the last output and gives the terminal back.
func (a *attachment) end() {
	if a.copied != nil {
		<-a.copied
	}
	if a.restore != nil {
		_ = unix.IoctlSetTermios(0, unix.TCSETS, a.restore)
	}
}
