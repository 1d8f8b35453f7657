// SPDX-License-Identifier: Apache-2.0

// Package usernet is where the networks of a user's containers are: a network
// namespace of the user's own, in which bridges are made as root's are on the host, and
// which has no way out. One process of the user's keeps it, and answers names there;
// systemd keeps what it holds (FileDescriptorStoreMax=), so that another one goes on
// where it was killed.
//
// Who asks at its door is given the network namespace, and the user namespace that it
// belongs to, of which the namespaces of containers are children: root of it has power
// over both ends of an interface between them.
package usernet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/realm"
)

// Unit is the service that keeps it, of the user's systemd.
const Unit = "unitc-network.service"

// Verb has the helper enter a namespace of the user's and become the keeper.
const Verb = "keep-network"

// Room is the two namespaces.
type Room struct{ User, Net *os.File }

// Close lets them go.
func (r *Room) Close() {
	r.User.Close()
	r.Net.Close()
}

// doorPath is the socket of the keeper.
func doorPath() string { return realm.Run + "/.network" }

// ErrGone: nobody keeps networks for this user.
var ErrGone = errors.New("the user's networks are not there")

// patience bounds the wait for the keeper, which may be about to be started again.
const patience = 20 // seconds

// Ask gives the room as its keeper has it; ErrGone where there is none.
func Ask() (*Room, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: patience}); err != nil {
		return nil, os.NewSyscallError("setsockopt SO_RCVTIMEO", err)
	}
	err = again(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: doorPath()}) })
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", doorPath(), err)
	}
	files, err := receive(fd)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", doorPath(), err)
	}
	if len(files) != 2 {
		for _, f := range files {
			f.Close()
		}
		return nil, fmt.Errorf("%s gives %d descriptors, not 2", doorPath(), len(files))
	}
	return &Room{User: files[0], Net: files[1]}, nil
}

func receive(fd int) (files []*os.File, err error) {
	var text [1]byte
	room := make([]byte, unix.CmsgSpace(4*4))
	var n int
	err = again(func() (err error) {
		_, n, _, _, err = unix.Recvmsg(fd, text[:], room, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(room[:n])
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return nil, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "namespace"))
		}
	}
	return files, nil
}

func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Within runs do on a thread in a network namespace. A user may not go back to the
// host's, so the thread ends with its goroutine.
func Within(ns *os.File, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		if err != nil {
			err = fmt.Errorf("setns to %s: %w", ns.Name(), err)
		} else {
			err = do()
		}
		done <- err
	}()
	return <-done
}
