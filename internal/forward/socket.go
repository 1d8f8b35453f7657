// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// isReadable tells whether somebody waits at a listening socket.
func isReadable(fd uintptr) bool {
	list := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(list, 0)
	return err == nil && n > 0
}

// keepAlive finds clients that have vanished without a word.
const keepAlive = time.Minute

// accept takes a connection that waits.
func accept(listener syscall.RawConn) (*net.TCPConn, error) {
	var fd int
	var err error
	if control := listener.Control(func(l uintptr) { fd, err = acceptFrom(int(l)) }); control != nil {
		return nil, control
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "client")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		c.Close()
		return nil, errors.New("no TCP connection")
	}
	_ = tcp.SetKeepAlive(true)
	_ = tcp.SetKeepAlivePeriod(keepAlive)
	return tcp, nil
}

func acceptFrom(listener int) (fd int, err error) {
	for {
		fd, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNABORTED) {
			return fd, err
		}
	}
}

// refuse takes the connections that wait and ends them: they would start the next
// process for nothing.
func refuse(f *os.File) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(l uintptr) {
		for {
			fd, err := acceptFrom(int(l))
			if err != nil {
				return
			}
			unix.Close(fd)
		}
	})
}
