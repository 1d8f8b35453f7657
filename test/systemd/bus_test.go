// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const busSocket = "/run/dbus/system_bus_socket"

// The bus daemon passes on what is asked of PID 1, and a start needs none: none
// is there, it does not answer, or it is somebody else.
func TestStartsWithAndWithoutABusDaemon(t *testing.T) {
	// A stop comes right behind the start: before a shell had set its trap.
	c := placements[0].define(t, "bus", endless+"\ninit: true\nrestart: on-failure")
	starts := func(t *testing.T) {
		t.Helper()
		c.start()
		c.expect(c.payloadUnit(), "ActiveState=active", "Delegate=yes")
		c.stop()
		c.expect(c.unit(), "ActiveState=inactive", "Result=success")
	}
	for method, of := range map[string]string{"StartTransientUnit": c.payloadUnit(), "Get": "NRestarts"} {
		t.Run("it passes on "+method, func(t *testing.T) {
			seen := monitor(t, method)
			for range 10 { // the monitor needs a moment, and says nothing of it
				starts(t)
				select {
				case line := <-seen:
					if !strings.Contains(line, of) {
						t.Errorf("it was told %s", line)
					}
					return
				case <-time.After(time.Second):
				}
			}
			t.Error("the bus daemon has seen no call")
		})
	}
	t.Run("it does not answer", func(t *testing.T) {
		daemon, err := strconv.Atoi(strings.Fields(must(t, "pidof", "dbus-daemon"))[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(daemon, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer syscall.Kill(daemon, syscall.SIGCONT)
		starts(t)
		// systemctl waits 90 s for it where it does not ask systemd itself.
		if out, status := command(t, "timeout", "60", "unitc", "why", c.name); status != 0 {
			t.Errorf("unitc why: %d, %s", status, out)
		}
		if out, status := command(t, "timeout", "60", "setpriv", "--reuid=65534", "--groups=systemd-journal", "unitc", "why", c.name); status != 0 {
			t.Errorf("unitc why of who is not root: %d, %s", status, out)
		}
	})
	t.Run("it is not there", func(t *testing.T) {
		hide(t)
		starts(t)
	})
	t.Run("it is somebody else", func(t *testing.T) {
		hide(t)
		l, err := net.Listen("unix", busSocket)
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan int, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				told <- 0
				return
			}
			n, _ := conn.Read(make([]byte, 1))
			told <- n
		}()
		starts(t)
		l.Close()
		if n := <-told; n > 0 {
			t.Error("somebody who is not PID 1's child was told something")
		}
	})
}

// hide takes the bus daemon's socket away until the test has ended.
func hide(t *testing.T) {
	t.Helper()
	if err := os.Rename(busSocket, busSocket+".hidden"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Rename(busSocket+".hidden", busSocket); err != nil {
			t.Error(err)
		}
	})
}

// monitor gives the messages of a method that pass the bus daemon from now on.
func monitor(t *testing.T, method string) <-chan string {
	t.Helper()
	cmd := exec.Command("busctl", "monitor", "--json=short", "--match=type='method_call',member='"+method+"'")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := make(chan string, 16)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}
