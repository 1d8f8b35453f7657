// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/notification"
)

// A caller that waits for the payload's word (sd_notify(3)) says so by NOTIFY_SOCKET:
// a unit with Type=notify. Its socket is not for the payload, who could speak for the
// whole service there. The payload gets one of ours, at runc's place, and what may pass
// is passed on by a process that systemd knows to be the service's: `run` as long as
// the payload lives, `start` and `run --detach` until it is ready, after which nobody
// hears it, as with runc and crun.
const (
	notifyDir    = "/notify"
	notifySocket = "notify.sock"
	notifyPlace  = "/run/notify"
)

// notifyAddress is the caller's socket; "" = nobody listens.
func notifyAddress() (string, error) {
	to := os.Getenv("NOTIFY_SOCKET")
	if to != "" && to[0] != '/' && to[0] != '@' {
		return "", fmt.Errorf("NOTIFY_SOCKET is %q, and neither an absolute path nor an abstract name (@...)", to)
	}
	return to, nil
}

// showNotifyDir makes the directory of the payload's socket and mounts it in the
// container. It cannot be written there, so that the socket stays what it is.
func (k *container) showNotifyDir(mounts []specs.Mount) ([]specs.Mount, error) {
	dir := k.dir + notifyDir
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		return nil, err
	}
	return append(slices.Clone(mounts), specs.Mount{
		Destination: notifyPlace, Type: "bind", Source: dir,
		Options: []string{"bind", "ro", "nosuid", "nodev", "noexec", "private"},
	}), nil
}

// removeNotifyDir removes it with all that a payload has put there which could mount
// it writable: one with CAP_SYS_ADMIN over the host.
func (k *container) removeNotifyDir() error { return os.RemoveAll(k.dir + notifyDir) }

// addNotify adds the variables of sd_notify(3). Those of the watchdog
// (sd_watchdog_enabled(3)) are for a payload that is heard as long as it lives.
func (in *inheritance) addNotify(always bool) {
	in.variables = append(in.variables, "NOTIFY_SOCKET="+notifyPlace+"/"+notifySocket)
	pid, given := os.LookupEnv("WATCHDOG_PID")
	if interval := os.Getenv("WATCHDOG_USEC"); always && interval != "" && (!given || pid == strconv.Itoa(os.Getpid())) {
		in.variables = append(in.variables, "WATCHDOG_USEC="+interval)
		in.ownPID = append(in.ownPID, "WATCHDOG_PID")
	}
}

// becomesService tells whether this process is a unit's own and leaves the payload in
// its place. systemd waits for no main process that is not its child: it would kill it
// at a stop at once. So that process is made a child of systemd's.
func (m *creation) becomesService() bool {
	return m.notify != "" && m.c.verb.name == "run" && m.detached && os.Getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(os.Getpid())
}

// listener hears the payload and speaks to the caller.
type listener struct {
	socket  int // bound, the payload's
	payload int // pidfd
	pid     int
	caller  int
	address *unix.SockaddrUnix
	unheard bool // something was said that the caller may not have read
}

// listen makes the payload's socket, before its program runs; nil where the caller has
// none.
func (k *container) listen() (*listener, error) {
	to, err := notifyAddress()
	if to == "" || err != nil {
		return nil, err
	}
	dir, err := os.OpenFile(k.dir+notifyDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("NOTIFY_SOCKET is set, and was not when the container was created: it can tell nobody that it is ready; set it for both, or unset it")
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	l := &listener{socket: -1, payload: -1, pid: k.PID, caller: -1, address: &unix.SockaddrUnix{Name: to}}
	if err := l.open(dir); err != nil {
		l.close()
		return nil, fmt.Errorf("making the container's notify socket: %w", err)
	}
	return l, nil
}

func (l *listener) open(dir *os.File) error {
	var err error
	if l.payload, err = unix.PidfdOpen(l.pid, 0); err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	if l.caller = takeMouthpiece(); l.caller >= 0 {
		l.address = nil
	} else if l.caller, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	// systemd may be reloading; nobody else is held up by who waits here.
	if err := unix.SetsockoptTimeval(l.caller, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: int64(callerPatience / time.Second)}); err != nil {
		return err
	}
	if l.socket, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return err
	}
	// By the directory's descriptor: a path may be longer than an address.
	path := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), notifySocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := unix.Bind(l.socket, &unix.SockaddrUnix{Name: path}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return os.Chmod(path, 0o777) // the payload's user connects to it, and none else can get here
}

func (l *listener) close() {
	if l == nil {
		return
	}
	for _, fd := range []int{l.socket, l.payload, l.caller} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// callerPatience bounds the wait for a caller that does not read.
const callerPatience = 30 * time.Second

// pass passes on what the payload says until it has ended, or, where it is left alone
// then, until it is ready.
func (l *listener) pass(detached bool) {
	defer l.close()
	var pace notification.Pace
	buf := make([]byte, notification.Longest)
	for ended := false; ; {
		now := time.Now()
		next := pace.Next(now)
		switch {
		case !next.After(now):
			ended = l.await(unix.POLLIN, -1) || ended
		case ended:
			return // who has spoken without end is not heard to the end
		default:
			ended = l.await(0, next.Sub(now))
			continue
		}
		n, _, err := unix.Recvfrom(l.socket, buf, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EAGAIN) && ended:
			if l.unheard {
				l.barrier()
			}
			return
		case err != nil:
			continue
		}
		pace.Passed()
		if n > len(buf) {
			continue // systemd itself ignores such a message
		}
		lines := notification.Filter(string(buf[:n]))
		if len(lines) == 0 {
			continue
		}
		ready := detached && slices.Contains(lines, "READY=1")
		if ready && !ended && !l.await(0, 0) {
			// From now on the service is this process.
			lines = append(lines, "MAINPID="+strconv.Itoa(l.pid))
		}
		l.send(strings.Join(lines, "\n"), nil)
		if ready {
			l.barrier()
			return
		}
	}
}

// await waits for a message, or only for the payload's end, and tells whether that has
// come. A negative time is without end.
func (l *listener) await(message int16, most time.Duration) (ended bool) {
	fds := []unix.PollFd{{Fd: int32(l.payload), Events: unix.POLLIN}, {Fd: int32(l.socket), Events: message}}
	timeout := -1
	if most >= 0 {
		timeout = int((most + time.Millisecond - 1) / time.Millisecond)
	}
	if _, err := unix.Poll(fds, timeout); err != nil {
		return false
	}
	return fds[0].Revents != 0
}

// send says something to the caller. Nothing is done about errors: where nobody
// hears, nothing of the payload's life depends on it.
func (l *listener) send(text string, rights []byte) {
	var to unix.Sockaddr // an interface with a nil pointer in it would be an address
	if l.address != nil {
		to = l.address
	}
	for {
		err := unix.Sendmsg(l.caller, []byte(text), rights, to, unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			l.unheard = err == nil
			return
		}
	}
}

// barrier waits until the caller has read what was said: systemd does not know the
// service of a process that is gone by then (S-9).
func (l *listener) barrier() {
	var p [2]int
	if unix.Pipe2(p[:], unix.O_CLOEXEC) != nil {
		return
	}
	l.send("BARRIER=1", unix.UnixRights(p[1]))
	unix.Close(p[1])
	deadline := time.Now().Add(callerPatience)
	for l.unheard {
		left := time.Until(deadline).Milliseconds()
		if left <= 0 {
			break
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(p[0])}}, int(left)); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	unix.Close(p[0])
	l.unheard = false
}
