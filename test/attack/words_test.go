// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/relay/order"
)

// wordAttacks are about what a payload says to systemd, which the relay passes on.
var wordAttacks = []attack{
	{"words-to-systemd", "MAINPID=, FDSTORE=, NOTIFYACCESS=", "a payload's messages to systemd name another main process, leave descriptors there and let others speak", "notify-filter", nil, "", speakForTheService},
}

// evilWords are messages of a payload that knows its notify socket.
var evilWords = []string{
	"MAINPID=1", "READY=1\nMAINPID=1", "MAINPID=1\nREADY=1\n", "\nMAINPID=1", "STATUS=x\nMAINPID=1\nSTATUS=y", "READY=1\x00\nMAINPID=1", "READY=1\rMAINPID=1",
	"FDSTORE=1\nFDNAME=kept", "NOTIFYACCESS=all", "WATCHDOG_USEC=1", "MAINPIDFDID=1\nMAINPIDFD=1", "FDPOLL=0", "BARRIER=1", "EXTEND_TIMEOUT_USEC=1\nMAINPID=1",
	"STOPPING=1 \nMAINPID=1", "X_UNITC_MARK=1\nMAINPID=1", strings.Repeat("STATUS=long\n", 300) + "MAINPID=1", "READY=1" + strings.Repeat(" ", 5000) + "\nMAINPID=1",
}

// harmlessWords are the names of what may pass.
var harmlessWords = []string{"READY", "STATUS", "WATCHDOG", "RELOADING", "STOPPING", "ERRNO", "EXTEND_TIMEOUT_USEC", "MONOTONIC_USEC"}

// speakForTheService runs the relay as the helper starts it, with a socket in the
// place of systemd's, and tells whether systemd would have heard of anything else.
func speakForTheService(t *testing.T, c *target) bool {
	pair := func(kind int) (ours, theirs *os.File) {
		fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		ours, theirs = os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
		t.Cleanup(func() { ours.Close(); theirs.Close() })
		return ours, theirs
	}
	systemd, notify := pair(unix.SOCK_DGRAM)
	helper, helpers := pair(unix.SOCK_STREAM)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	proxy := os.NewFile(uintptr(fd), "proxy")
	defer proxy.Close()
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: c.dir + "/notify"}))
	payload := exec.Command("cat")
	life, err := payload.StdinPipe()
	must(t, err)
	must(t, payload.Start())
	pidfd, err := unix.PidfdOpen(payload.Process.Pid, 0)
	must(t, err)
	must(t, os.WriteFile(c.dir+"/order", (&order.Order{Unit: "target.service", Dir: c.dir, Ready: order.ReadyContainer}).Encode(), 0o600))
	text, err := os.Open(c.dir + "/order")
	must(t, err)
	defer text.Close()
	root, err := os.Open(c.root)
	must(t, err)
	defer root.Close()

	relay := exec.Command(build("unitc-relay", c.off))
	relay.Env = []string{"UNITC_UNSAFE=" + c.off}
	var fault bytes.Buffer
	relay.Stderr = &fault
	for at, f := range map[int]*os.File{order.Text: text, order.Notify: notify, order.Payload: os.NewFile(uintptr(pidfd), "payload"), order.Root: root, order.Proxy: proxy, order.Helper: helpers} {
		for len(relay.ExtraFiles) <= at-3 {
			relay.ExtraFiles = append(relay.ExtraFiles, nil)
		}
		relay.ExtraFiles[at-3] = f
	}
	must(t, relay.Start())
	must(t, helper.Close()) // the start is over
	speak(t, c.dir+"/notify")
	heard := hear(t, systemd)
	life.Close()
	must(t, payload.Wait())
	if err := relay.Wait(); err != nil {
		t.Errorf("the relay ended: %v: %s", err, fault.String())
	}
	return heard
}

// speak is the payload: each message with a descriptor, and a last one.
func speak(t *testing.T, path string) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	for _, message := range append(slices.Clone(evilWords), "STATUS=that was all") {
		must(t, unix.Sendmsg(fd, []byte(message), unix.UnixRights(fd), &unix.SockaddrUnix{Name: path}, 0))
	}
}

// hear is systemd: it tells whether anything but harmless words arrives before the
// last one.
func hear(t *testing.T, systemd *os.File) (evil bool) {
	timeout := unix.NsecToTimeval(time.Minute.Nanoseconds())
	must(t, unix.SetsockoptTimeval(int(systemd.Fd()), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout))
	for {
		buf, rights := make([]byte, 8192), make([]byte, unix.CmsgSpace(16))
		n, rn, _, _, err := unix.Recvmsg(int(systemd.Fd()), buf, rights, 0)
		if errors.Is(err, unix.EINTR) {
			continue // a call with a time limit is not begun again by itself (signal(7))
		}
		must(t, err)
		evil = evil || rn > 0
		for line := range strings.SplitSeq(string(buf[:n]), "\n") {
			name, value, _ := strings.Cut(line, "=")
			if line == "STATUS=that was all" {
				return evil
			}
			evil = evil || !slices.Contains(harmlessWords, name) || strings.ContainsAny(value, "\r\x00")
		}
	}
}
