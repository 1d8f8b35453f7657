// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/journal"
)

// sessionVariable names the socket of an operator's program that waits for this
// very container (`unitc run`): it gives the payload's streams, or takes its
// terminal, and is told how the container fares. Each message is one packet.
const sessionVariable = "UNITC_SESSION"

// sessionConn is a connection to it; nil where nobody waits.
type sessionConn struct {
	fd int
	// detached: it is told and takes no streams.
	detached bool
}

// takesStreams tells whether the payload's streams are somebody's.
func (c *sessionConn) takesStreams() bool { return c != nil && !c.detached }

func dialSession() (*sessionConn, error) {
	path := os.Getenv(sessionVariable)
	if path == "" {
		return nil, nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a socket for %s: %w", sessionVariable, err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connecting to %s: %w", path, err)
	}
	return &sessionConn{fd: fd}, nil
}

// openSession takes the payload's streams from the one who waits. They are in
// the place of the logs: nothing is copied here, and nobody stays for it.
func (s *starter) openSession() error {
	var err error
	if s.session, err = dialSession(); err != nil || s.session == nil {
		return err
	}
	if err := s.session.send("start", nil); err != nil {
		return err
	}
	buf, oob := make([]byte, 64), make([]byte, unix.CmsgSpace(3*4))
	length, n, _, _, err := unix.Recvmsg(s.session.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return fmt.Errorf("receiving the streams: %w", err)
	}
	s.session.detached = string(buf[:length]) == "detached"
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		return err // the logs go to the journal
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	if len(fds) != 3 {
		return fmt.Errorf("got %d streams, want 3", len(fds))
	}
	s.streams = &[3]*os.File{os.NewFile(uintptr(fds[0]), "stdin"), os.NewFile(uintptr(fds[1]), "stdout"), os.NewFile(uintptr(fds[2]), "stderr")}
	return nil
}

// tellSession says that the payload runs, and hands its terminal over.
func (s *starter) tellSession() error {
	if s.session == nil {
		return nil
	}
	var terminal *os.File
	if s.session.takesStreams() {
		var err error
		if terminal, err = s.takeTerminal(); err != nil {
			return err
		}
	}
	// Who went away meanwhile is no fault of the payload's.
	_ = s.session.send(fmt.Sprintf("started %d", s.payload), terminal)
	if terminal != nil {
		terminal.Close()
	}
	return nil
}

func (c *sessionConn) send(text string, f *os.File) error {
	var rights []byte
	if f != nil {
		rights = unix.UnixRights(int(f.Fd()))
	}
	if err := unix.Sendmsg(c.fd, []byte(text), rights, nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("telling the session: %w", err)
	}
	return nil
}

// failSession says why there is nothing to wait for.
func (s *starter) failSession(text string) {
	if s.session != nil {
		_ = s.session.send("failed "+strings.TrimSpace(text), nil)
	}
}

// endSession says how the payload ended. It is the clean-up's: the helper is
// gone by then.
func endSession() {
	c, err := dialSession()
	if err != nil || c == nil {
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ECONNREFUSED) {
			fmt.Fprintf(journal.Stderr, "<4>%v\n", err)
		}
		return
	}
	defer unix.Close(c.fd)
	_ = c.send(fmt.Sprintf("ended %s %s", os.Getenv("EXIT_CODE"), os.Getenv("EXIT_STATUS")), nil)
}
