// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// earshot is a listener with a payload that sleeps and a caller whose messages come
// out of the channel.
func earshot(t *testing.T) (*container, *listener, <-chan string) {
	t.Helper()
	dir := t.TempDir()
	host, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/host", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	heard := make(chan string, 10000)
	go func() {
		for b := make([]byte, 1<<16); ; {
			n, err := host.Read(b)
			if err != nil {
				return
			}
			heard <- string(b[:n])
		}
	}()
	payload := exec.Command("sleep", "1000")
	if err := payload.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = payload.Process.Kill(); _ = payload.Wait() })
	k := &container{dir: dir, record: record{PID: payload.Process.Pid}}
	if _, err := k.showNotifyDir(nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", dir+"/host")
	l, err := k.listen()
	if err != nil {
		t.Fatal(err)
	}
	return k, l, heard
}

// voice is the payload's end.
func voice(t *testing.T, k *container) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { unix.Close(fd) })
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: k.dir + notifyDir + "/" + notifySocket})
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// A payload that means ill: too long, with descriptors, for others; and what is well
// meant passes all the same, with its process.
func TestNotifyOfAHostilePayload(t *testing.T) {
	k, l, heard := earshot(t)
	done := make(chan struct{})
	go func() { defer close(done); l.pass(true) }()
	fd := voice(t, k)
	say := func(text string, rights []byte) {
		t.Helper()
		if err := unix.Sendmsg(fd, []byte(text), rights, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	before := openDescriptors(t)
	say("", nil)
	say(strings.Repeat("STATUS=long\n", 400)+"READY=1", nil)
	for range 50 {
		say("MAINPID=1\nFDSTORE=1\nFDNAME=x\nNOTIFYACCESS=all\nMAINPIDFDID=1", unix.UnixRights(0, 0, 0))
	}
	say("READY=0\nSTATUS=\x00\x1b[2J", nil)
	if got := <-heard; got != "READY=0\nSTATUS=[2J" {
		t.Errorf("the caller hears %q", got)
	}
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
	say("MAINPID=1\nREADY=1\nMAINPID=1", nil)
	if got, want := <-heard, fmt.Sprintf("READY=1\nMAINPID=%d", k.PID); got != want {
		t.Errorf("the caller hears %q, want %q", got, want)
	}
	if got := <-heard; got != "BARRIER=1" {
		t.Errorf("the caller hears %q at the end", got)
	}
	<-done
	if _, err := unix.Write(fd, []byte("READY=1")); err == nil {
		t.Error("somebody hears the payload still")
	}
	if err := k.removeNotifyDir(); err != nil {
		t.Error(err)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A payload that speaks without end is heard at a bearable pace, and is not waited for
// when it has ended.
func TestNotifyOfALoudPayload(t *testing.T) {
	k, l, heard := earshot(t)
	done := make(chan struct{})
	go func() { defer close(done); l.pass(false) }()
	fd := voice(t, k)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for {
			if _, err := unix.Write(fd, []byte("WATCHDOG=1")); err != nil {
				return
			}
		}
	}()
	time.Sleep(500 * time.Millisecond)
	if n := len(heard); n < 100 || n > 100+60 {
		t.Errorf("%d of its messages were passed on", n)
	}
	_ = unix.Kill(k.PID, unix.SIGKILL)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for after its end")
	}
	<-stop // nobody hears it
}
