// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
)

func hasTerminal(l *Launch) bool { return l.spec.Process.Terminal }

// openConsole makes the pair of sockets over which the child hands the
// terminal's other end back: a descriptor that it opens exists nowhere else.
func openConsole(l *Launch) error {
	if !hasTerminal(l) {
		return nil
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair for the terminal: %w", err)
	}
	for i, fd := range pair {
		l.console[i] = l.own(os.NewFile(uintptr(fd), "console socket"))
	}
	return nil
}

// closeConsole closes the child's end here, so that a missing terminal shows
// as the end of the stream.
func (l *Launch) closeConsole() {
	if l.console[1] != nil {
		l.console[1].Close()
	}
}

// Terminal gives the payload's terminal once it is made, nil without one. The
// caller owns it.
func (l *Launch) Terminal() (*os.File, error) {
	if !hasTerminal(l) {
		return nil, nil
	}
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := unix.Recvmsg(int(l.console[0].Fd()), buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("receiving the terminal: %w", errors.Join(err, unix.ENOTTY))
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("receiving the terminal: %d control messages: %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("receiving the terminal: %d descriptors: %w", len(fds), err)
	}
	number, err := unix.IoctlGetInt(fds[0], unix.TIOCGPTN)
	if err != nil {
		unix.Close(fds[0])
		return nil, fmt.Errorf("TIOCGPTN: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), fmt.Sprintf("/dev/pts/%d", number)), nil
}

// openTerminal opens a terminal of the devpts at dir below root, leaves its
// slave in c.tty and sends its master to the caller. Nothing is opened by the
// name of a slave, and the directory must prove to be a devpts
// (CVE-2025-52565): in one there is nothing but its own multiplexer and slaves.
func (c *compiler) openTerminal(root any, dir string, resolve uint64) {
	const devptsMagic = 0x1cd1
	c.tty = c.p.Reg()
	mark := c.p.Mark()
	pts, master := c.p.Reg(), c.p.Reg()
	how, size := c.how(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, resolve)
	c.p.Call("openat2", "/dev/pts", unix.SYS_OPENAT2, root, c.p.Str(dir), how, size).Into(pts)
	st, want := make([]byte, 120), make([]byte, 8) // struct statfs, f_type first
	binary.NativeEndian.PutUint64(want, devptsMagic)
	c.p.Call("fstatfs", "/dev/pts", unix.SYS_FSTATFS, pts, c.p.Bytes(st))
	c.p.Compare("fstatfs", "/dev/pts must be a devpts", st[:8], want)
	how, size = c.how(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV)
	c.p.Call("openat2", "/dev/pts/ptmx", unix.SYS_OPENAT2, pts, c.p.Str("ptmx"), how, size).Into(master)
	c.p.Call("ioctl", "TIOCSPTLCK 0", unix.SYS_IOCTL, master, unix.TIOCSPTLCK, c.p.Bytes(make([]byte, 4)))
	c.p.Call("ioctl", "TIOCGPTPEER", unix.SYS_IOCTL, master, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC).Into(c.tty)
	if s := c.spec.Process.ConsoleSize; s != nil {
		ws := program.Keep(c.p, &unix.Winsize{Row: uint16(min(s.Height, 1<<16-1)), Col: uint16(min(s.Width, 1<<16-1))})
		c.p.Call("ioctl", fmt.Sprintf("TIOCSWINSZ %dx%d", s.Width, s.Height), unix.SYS_IOCTL, c.tty, unix.TIOCSWINSZ, ws)
	}
	c.p.Call("fchown", "the terminal to the payload's user", unix.SYS_FCHOWN, c.tty, int(c.hostUID(c.user.UID)), -1)
	c.sendDescriptor(c.console[1], master)
	c.close(master)
	c.close(pts)
	c.p.Release(mark)
}

// sendDescriptor sends what is in a register over a socket (unix(7), SCM_RIGHTS).
func (c *compiler) sendDescriptor(socket *os.File, r program.Reg) {
	iov := program.Keep(c.p, &[2]uint64{uint64(c.p.Bytes([]byte{0})), 1})
	c.sendRights(socket, r, iov).Want(1)
}

// sendRights sends the bytes of a struct iovec with it.
func (c *compiler) sendRights(socket *os.File, r program.Reg, iov program.Ptr) *program.Call {
	control := make([]byte, unix.CmsgSpace(4))
	binary.NativeEndian.PutUint64(control, uint64(unix.CmsgLen(4)))
	binary.NativeEndian.PutUint32(control[8:], unix.SOL_SOCKET)
	binary.NativeEndian.PutUint32(control[12:], unix.SCM_RIGHTS)
	c.p.Store(r, control[16:])
	// struct msghdr: name, namelen, iov, iovlen, control, controllen, flags.
	message := program.Keep(c.p, &[7]uint64{0, 0, uint64(iov), 1, uint64(c.p.Bytes(control)), uint64(len(control)), 0})
	return c.p.Call("sendmsg", "SCM_RIGHTS", unix.SYS_SENDMSG, int(socket.Fd()), message, unix.MSG_NOSIGNAL)
}

func takeTerminal(c *compiler) {
	c.p.Call("ioctl", "TIOCSCTTY", unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
}

// openOwnTerminal makes the terminal of a container's first process and binds
// it to /dev/console. Both places are found on descriptors without following a
// link (CVE-2026-88264), and it is the open terminal that is bound, not a name.
func openOwnTerminal(c *compiler) {
	c.openTerminal(c.rootDir(), "dev/pts", resolveNoLinks())
	mark := c.p.Mark()
	dev, place, mnt := c.p.Reg(), c.p.Reg(), c.p.Reg()
	how, size := c.how(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, resolveNoLinks())
	c.p.Call("openat2", "/dev", unix.SYS_OPENAT2, c.rootDir(), c.p.Str("dev"), how, size).Into(dev)
	c.p.Call("mknodat", "/dev/console", unix.SYS_MKNODAT, dev, c.p.Str("console"), unix.S_IFREG|0o600, 0).Ignore(unix.EEXIST)
	// Without O_NOFOLLOW: with it the descriptor of a link would be given.
	how, size = c.how(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	c.p.Call("openat2", "/dev/console", unix.SYS_OPENAT2, dev, c.p.Str("console"), how, size).Into(place)
	c.clone(c.tty, mnt)
	c.attach("/dev/console", mnt, place)
	c.close(mnt)
	c.close(place)
	c.close(dev)
	c.p.Release(mark)
}
