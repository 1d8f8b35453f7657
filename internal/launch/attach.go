// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/relay/order"
)

// hasTerminal tells whether the payload gets one, whoever keeps its other end.
func (s *starter) hasTerminal() bool { return s.plan.Spec.Process.Terminal }

// keepsTerminal tells whether the relay does.
func (s *starter) keepsTerminal() bool { return s.hasTerminal() && !s.session.takesStreams() }

// canBeJoined tells whether the relay lets others join the payload's streams
// (`unitc attach`): where there is a terminal, or an open input whose output
// passes the relay.
func (s *starter) canBeJoined() bool {
	return s.keepsTerminal() || s.service.StdinOpen && s.streams == nil && !s.hasTerminal() && s.plan.Logging == definition.LogJournald
}

// bindAttachSocket makes the socket of `unitc attach` before the payload runs:
// who starts the unit finds it. It is root's alone, as its directory is.
func (s *starter) bindAttachSocket() error {
	if !s.canBeJoined() {
		return nil
	}
	var err error
	s.attach, err = listenAt(s.stateDir+"/"+order.AttachSocket, unix.SOCK_SEQPACKET)
	return err
}

// listenAt makes a listening socket that root alone may connect to.
func listenAt(path string, kind int) (*os.File, error) {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a socket for %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	// The mode is the socket file's from the first moment on (unix(7)).
	if err := unix.Fchmod(fd, 0o600); err != nil {
		return nil, fmt.Errorf("chmod of the socket for %s: %w", path, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, fmt.Errorf("bind %s: %w", path, err)
	}
	if err := unix.Listen(fd, 16); err != nil {
		return nil, fmt.Errorf("listen %s: %w", path, err)
	}
	return f, nil
}

// takeTerminal gives the other end of the payload's terminal, nil without one.
func (s *starter) takeTerminal() (*os.File, error) {
	switch {
	case s.launch != nil:
		return s.launch.Terminal()
	case s.console != nil:
		return s.receiveConsole()
	}
	return nil, nil
}

// receiveConsole takes the terminal that another runtime has sent before its
// command ended.
func (s *starter) receiveConsole() (*os.File, error) {
	fd, _, err := unix.Accept4(int(s.console.Fd()), unix.SOCK_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("accept %s: %w", s.console.Name(), err)
	}
	defer unix.Close(fd)
	buf, oob := make([]byte, 256), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("receiving the terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("receiving the terminal: %d control messages: %w", len(messages), unix.ENOTTY)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("receiving the terminal: %d descriptors: %w", len(fds), unix.ENOTTY)
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}

// openInput opens the payload's standard input for the relay.
func (s *starter) openInput() (*os.File, error) {
	path := s.stateDir + "/stdin"
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
