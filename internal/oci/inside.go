// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
)

// systemd knows a unit by the number of the process that speaks, so the process that
// was started speaks for the one inside the user namespace (usernamespace.go).

// mouthpiece says in the environment by which descriptor.
const mouthpiece = "_UNITC_RUNTIME_NOTIFY"

// forOneInside takes out what holds for this very process, and would not be believed
// by another.
func forOneInside(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool {
		name, value, _ := strings.Cut(v, "=")
		return name == mouthpiece || (name == "LISTEN_PID" || name == "WATCHDOG_PID") && value == strconv.Itoa(os.Getpid())
	})
}

// insider is the connection to the one inside; nil = nobody wants to hear.
type insider struct {
	ours, theirs int
	caller       int
	address      *unix.SockaddrUnix
	done         chan struct{} // nil = it has not begun
}

// speakForOneInside has the program keep its end.
func speakForOneInside(p *program.Program) (*insider, error) {
	to, err := notifyAddress()
	if to == "" || err != nil {
		return nil, nil // the one inside says so, if it is to listen
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	in := &insider{ours: fds[0], theirs: fds[1], address: &unix.SockaddrUnix{Name: to}}
	if in.caller, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		unix.Close(in.ours)
		unix.Close(in.theirs)
		return nil, err
	}
	p.Call("fcntl", "the notify socket F_SETFD 0", unix.SYS_FCNTL, in.theirs, unix.F_SETFD, 0)
	return in, nil
}

// begin is for when the one inside is there.
func (in *insider) begin() {
	if in == nil {
		return
	}
	unix.Close(in.theirs)
	in.theirs, in.done = -1, make(chan struct{})
	go func() {
		defer close(in.done)
		text, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
		for {
			n, r, _, _, err := unix.Recvmsg(in.ours, text, rights, unix.MSG_CMSG_CLOEXEC)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || n == 0 {
				return
			}
			for {
				if err := unix.Sendmsg(in.caller, text[:n], rights[:r], in.address, unix.MSG_NOSIGNAL); !errors.Is(err, unix.EINTR) {
					break
				}
			}
			closeRights(rights[:r])
		}
	}()
}

func closeRights(rights []byte) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return
	}
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}
}

// end passes on what was said last.
func (in *insider) end() {
	if in.done != nil {
		_ = unix.Shutdown(in.ours, unix.SHUT_RD) // what is there already is still read
		<-in.done
	} else {
		unix.Close(in.theirs)
	}
	unix.Close(in.ours)
	unix.Close(in.caller)
}

// takeMouthpiece is the one inside's end; -1 = this process speaks for itself.
func takeMouthpiece() int {
	fd, err := strconv.Atoi(os.Getenv(mouthpiece))
	if err != nil || !isReborn() {
		return -1
	}
	unix.CloseOnExec(fd)
	return fd
}
