// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"bufio"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// patient greets, and holds each connection until the client ends it.
const patient = `use Socket; $SIG{TERM} = sub { exit }; $SIG{CHLD} = "IGNORE"; my $l;
socket($l, PF_INET, SOCK_STREAM, 0) && setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1) && bind($l, pack_sockaddr_in(80, INADDR_ANY)) && listen($l, 128) or die $!;
while (1) { my $c; accept($c, $l) or next; next if fork; syswrite $c, "hello\n"; sysread $c, my $b, 1; exit }`

// x-idle-timeout stops a container that nobody is connected to, by whichever way,
// and the next connection starts it again.
//
//lab:once
func TestIdleTimeout(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			const unit, proxy, look = "idle.service", "unitc-port@idle:80", "unitc-idle.service"
			if err := os.WriteFile("/root/patient.pl", []byte(patient), 0o644); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Remove("/root/patient.pl") })
			place(t, definitions+"idle.yaml", `rootfs: host
command: [perl, /app.pl]
volumes: ['/root/patient.pl:/app.pl:ro']
ports: [{target: 80, published: 18420, x-activation: true}]
x-idle-timeout: 1s
`)
			defineFor(t, "neighbour", "rootfs: host\ncommand: [sh, -c, 'sleep inf | busybox nc idle 80']\nstop_grace_period: 100ms\nrestart: on-failure\n")
			t.Cleanup(func() {
				must(t, "systemctl", "stop", proxy+".socket", proxy+".service", unit, "neighbour")
				command(t, "systemctl", "reset-failed")
				os.Remove(definitions + "idle.yaml")
				reload(t)
			})
			forgetful(t)
			must(t, "systemctl", "start", proxy+".socket")

			hold := func() net.Conn {
				t.Helper()
				c, err := net.Dial("tcp", "127.0.0.1:18420")
				if err != nil {
					t.Fatal(err)
				}
				c.SetReadDeadline(time.Now().Add(60 * time.Second))
				if line, err := bufio.NewReader(c).ReadString('\n'); line != "hello\n" {
					out, _ := command(t, "journalctl", "-q", "-n", "40", "-u", unit, "-u", proxy+".service")
					t.Fatalf("the connection hears %q: %v\n%s", line, err, out)
				}
				return c
			}
			stays := func(why string) {
				t.Helper()
				for range 3 {
					must(t, "systemctl", "start", look)
					time.Sleep(700 * time.Millisecond)
				}
				if state := property(t, unit, "ActiveState"); state != "active" {
					t.Errorf("with a connection %s it is %s", why, state)
				}
			}
			ends := func() {
				t.Helper()
				await(t, "nobody uses it", func() bool {
					must(t, "systemctl", "start", look)
					return property(t, unit, "ActiveState") == "inactive"
				})
			}
			c := hold()
			if state := property(t, "unitc-idle.timer", "ActiveState"); state != "active" {
				t.Errorf("the timer is %s", state)
			}
			stays("through the proxy")
			c.Close()
			ends()
			if out := must(t, "journalctl", "-q", "-o", "cat", "-u", unit); !strings.Contains(out, "nobody has been connected to it for 1s (x-idle-timeout)") {
				t.Errorf("the journal says\n%s", out)
			}
			await(t, "the timer ends with the last container", func() bool { return property(t, "unitc-idle.timer", "ActiveState") == "inactive" })

			hold().Close() // it is started
			await(t, "the proxy has ended", func() bool { return property(t, proxy+".service", "ActiveState") == "inactive" })
			c = hold()
			stays("past the socket")
			must(t, "systemctl", "start", "neighbour")
			await(t, "the neighbour is connected", func() bool {
				return strings.Contains(must(t, "nsenter", "-t", property(t, unit, "MainPID"), "-n", "cat", "/proc/net/tcp"), " 01 ")
			})
			c.Close()
			time.Sleep(2 * time.Second)
			stays("of a neighbour")
			must(t, "systemctl", "stop", "neighbour")
			ends()
			if n := strings.Count(must(t, "journalctl", "-q", "-o", "cat", "-u", look), "Starting"); n > 0 {
				t.Errorf("the looks have written %d lines", n)
			}
		})
	})
}

var memories = []string{"time_wait", "close", "close_wait", "last_ack", "fin_wait"}

// forgetful: connections that have ended are remembered for a second here, until the
// end of the test.
func forgetful(t *testing.T) {
	t.Helper()
	for _, state := range memories {
		before := file(t, memoryOf+state)
		t.Cleanup(func() { os.WriteFile(memoryOf+state, []byte(before), 0o644) })
	}
	remember(t, "1")
}

const memoryOf = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_"

func remember(t *testing.T, seconds string) {
	t.Helper()
	for _, state := range memories {
		writeFile(t, memoryOf+state, seconds)
	}
}

// The time of a container begins when it is up, however long its start takes.
//
//lab:once
func TestIdleTimeoutOfASlowStart(t *testing.T) {
	const unit, look = "idle-slow.service", "unitc-idle.service"
	dir := t.TempDir()
	defineFor(t, "idle-slow", `rootfs: host
command: [sleep, infinity]
init: true
volumes: ['`+dir+`:/word:ro']
healthcheck: {test: [CMD, test, -e, /word/up], interval: 100ms, retries: 1000}
ports: [{target: 80, published: 18421, x-activation: true}]
x-idle-timeout: 5s
`)
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "unitc-port@idle-slow:80.socket", unit)
		command(t, "systemctl", "reset-failed", unit)
	})
	must(t, "systemctl", "start", "--no-block", unit)
	await(t, "it starts", func() bool { _, err := os.Stat("/run/unitc/idle-slow/idle"); return err == nil })
	time.Sleep(5500 * time.Millisecond)
	must(t, "systemctl", "start", look)
	writeFile(t, dir+"/up", "")
	await(t, "it is up", func() bool { return property(t, unit, "ActiveState") == "active" })
	must(t, "systemctl", "start", look)
	if state := property(t, unit, "ActiveState"); state != "active" {
		t.Errorf("at the first look after its start it is %s", state)
	}
}
