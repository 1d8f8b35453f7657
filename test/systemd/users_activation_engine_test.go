// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// outside gives the machine a client and a way out, which pasta takes.
func outside(t *testing.T) {
	t.Helper()
	client(t)
	for _, line := range []string{"ip route add default via 192.0.2.2", "ip -6 route add default via 2001:db8::2"} {
		f := strings.Fields(line)
		must(t, f[0], f[1:]...)
	}
}

// stopPort stops a container with a port of the user's systemd, and tells of it after a
// failure.
func (s *session) stopPort(name, proxy string) {
	s.t.Cleanup(func() {
		if s.t.Failed() {
			must(s.t, "journalctl", "--sync")
			out, _ := command(s.t, "journalctl", "-q", "-n", "80", "-o", "short-precise", "_UID=1500")
			s.t.Log(out)
		}
		_, _ = s.run("systemctl", "--user", "stop", proxy+".socket", proxy+".service", name)
		_, _ = s.run("systemctl", "--user", "reset-failed")
	})
}

// A user's systemd keeps the listening socket as the system's does: the first connection
// starts the container, alone or on networks, and none is lost while it restarts under a
// stream of them. What forwards has no power over the container.
func TestEngineUserActivatedPort(t *testing.T) {
	s := newSession(t)
	outside(t)
	place(t, s.home+"/polite.pl", polite)
	const site = "rootfs: host\ncommand: [perl, /app.pl]\nvolumes: ['/home/somebody/polite.pl:/app.pl:ro']\n" +
		"ports: [{target: 80, published: 18400, x-activation: true}, {target: 80, published: 18401, host_ip: '::1', x-activation: true}, \"18402:80\"]\n"
	for kind, text := range map[string]string{"alone": site, "networks": site + "networks: [a]\n"} {
		t.Run(kind, func(t *testing.T) {
			s := &session{t, s.home, s.run}
			const proxy = "unitc-port@port:80"
			s.define("port.yaml", text)
			if kind == "networks" {
				s.define("a.network.yaml", "driver: bridge\n")
			}
			s.stopPort("port", proxy)
			s.must("systemctl", "--user", "start", proxy+".socket")
			if state := s.property("port", "ActiveState"); state != "inactive" {
				t.Fatalf("before the first connection the container is %s", state)
			}
			if got := ask(t, 18400); !strings.Contains(got, " ") || strings.Contains(got, " 127.") {
				t.Fatalf("the first connection hears %q", got)
			}
			status, err := os.ReadFile("/proc/" + s.property(proxy, "MainPID") + "/status")
			if err != nil || !strings.Contains(string(status), "\nNoNewPrivs:\t1\n") || !strings.Contains(string(status), "\nCapPrm:\t0000000000000000\n") || !strings.Contains(string(status), "\nCapEff:\t0000000000000000\n") {
				t.Errorf("what forwards has powers (%v):\n%s", err, status)
			}
			if own := s.property("port", "MainPID"); must(t, "readlink", "/proc/"+own+"/ns/net") != must(t, "readlink", "/proc/"+s.property(proxy, "MainPID")+"/ns/net") {
				t.Error("it is not where the container is")
			}
			for _, address := range []string{"[::1]:18401", "[::1]:18400", "192.0.2.1:18400", "127.0.0.1:18402"} {
				if got := askAt(t, address); got == "" {
					t.Errorf("nobody answers at %s", address)
				}
			}
			if out := must(t, "ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "192.0.2.1", "18400"); !strings.Contains(out, " ") {
				t.Errorf("a client hears %q", out)
			}
			if got := s.must("unitc", "--user", "port", "port", "80"); !strings.Contains(got, "0.0.0.0:18400\n") || !strings.Contains(got, "[::1]:18401\n") {
				t.Errorf("unitc port says %q", got)
			}
			lives, lost := underConnections(t, func(lives func() int) {
				for i := range 3 {
					await(t, "the new one answers", func() bool { return lives() > i })
					s.must("systemctl", "--user", "restart", "port")
				}
				await(t, "the last one answers", func() bool { return lives() > 3 })
			})
			if len(lost) > 0 {
				t.Errorf("%d connections are lost, for example %s; %d lives answered", len(lost), lost[:min(len(lost), 3)], lives)
			}
			// The container's end is the process's, whatever it is.
			s.must("systemctl", "--user", "stop", proxy+".socket")
			s.must("systemctl", "--user", "kill", "--kill-whom=main", "-s", "KILL", "port")
			await(t, "the process has ended", func() bool {
				state := s.property(proxy, "ActiveState")
				return state == "inactive" || state == "failed"
			})
			if result := s.property(proxy, "Result"); result != "success" {
				t.Errorf("its end is called %s", result)
			}
			if c, err := net.Dial("tcp", "127.0.0.1:18400"); err == nil {
				c.Close()
				t.Error("someone still listens")
			}
			// Started by hand it has its socket, too.
			s.must("systemctl", "--user", "start", "port")
			if got := ask(t, 18400); !strings.Contains(got, " ") {
				t.Errorf("started by hand it answers %q", got)
			}
			s.must("systemctl", "--user", "stop", proxy+".socket", proxy+".service", "port")
			s.isGone("port")
		})
	}
	s.noNetworks()
}

// What was said last is heard, by either side: a client may end its half first.
func TestEngineUserActivatedPortHalfClosed(t *testing.T) {
	s := newSession(t)
	outside(t)
	const proxy = "unitc-port@half:80"
	s.define("half.yaml", "rootfs: host\ncommand: [busybox, nc, -ll, -p, '80', -e, wc, -c]\ninit: true\nstop_grace_period: 0s\nports: [{target: 80, published: 18403, x-activation: true}]\n")
	s.stopPort("half", proxy)
	s.must("systemctl", "--user", "start", proxy+".socket")
	for range 3 {
		c, err := net.Dial("tcp", "127.0.0.1:18403")
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		go func() {
			_, _ = c.Write(make([]byte, 1<<20))
			_ = c.(*net.TCPConn).CloseWrite()
		}()
		if answer, err := io.ReadAll(c); strings.TrimSpace(string(answer)) != fmt.Sprint(1<<20) {
			t.Errorf("of a megabyte the payload has read %q: %v", answer, err)
		}
		c.Close()
	}
}

// finishing answers a connection a while later, also when it is to stop.
const finishing = `use Socket; my $stop; $SIG{TERM} = sub { $stop = 1 }; my $life = int(rand(1e9)); my $l;
socket($l, PF_INET, SOCK_STREAM, 0) && setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1) && bind($l, pack_sockaddr_in(80, INADDR_ANY)) && listen($l, 128) or die $!;
my $c; until ($stop) { accept($c, $l) or next; syswrite $c, "$life begun\n"; my $end = time + 3; select undef, undef, undef, 0.1 while time < $end; syswrite $c, "ended\n"; close $c }`

// At a stop a connection that is there goes on to its end, and one that comes meanwhile
// waits for the next start.
func TestEngineUserActivatedPortAtAStop(t *testing.T) {
	s := newSession(t)
	outside(t)
	const proxy = "unitc-port@late:80"
	place(t, s.home+"/finishing.pl", finishing)
	s.define("late.yaml", "rootfs: host\ncommand: [perl, /app.pl]\nvolumes: ['/home/somebody/finishing.pl:/app.pl:ro']\nports: [{target: 80, published: 18404, x-activation: true}]\n")
	s.stopPort("late", proxy)
	s.must("systemctl", "--user", "start", proxy+".socket")
	// None of these clients hangs up by itself.
	begin := func() (*bufio.Reader, string) {
		c, err := net.Dial("tcp", "127.0.0.1:18404")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		r := bufio.NewReader(c)
		line, err := r.ReadString('\n')
		if !strings.HasSuffix(line, " begun\n") {
			t.Fatalf("the connection hears %q: %v", line, err)
		}
		return r, line
	}
	first, one := begin()
	begun := time.Now()
	s.must("systemctl", "--user", "stop", "--no-block", "late")
	await(t, "no more are taken", func() bool { return s.property(proxy, "ActiveState") == "deactivating" })
	_, two := begin()
	if one == two {
		t.Error("the connection of meanwhile was taken by the one that stops")
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("it was answered after %v", took)
	}
	if line, err := first.ReadString('\n'); line != "ended\n" {
		t.Errorf("the connection of before ends with %q: %v", line, err)
	}
}

// A container that does not start, or does not listen, is told to those who wait for it.
func TestEngineUserActivatedPortOfABrokenContainer(t *testing.T) {
	s := newSession(t)
	outside(t)
	const proxy = "unitc-port@broken:80"
	s.define("broken.yaml", "rootfs: host\ncommand: [/no/such/program]\nports: [{target: 80, published: 18410, x-activation: true}]\n")
	s.stopPort("broken", proxy)
	s.must("systemctl", "--user", "start", proxy+".socket")
	for range 2 {
		if got := ask(t, 18410); got != "" && !strings.Contains(got, "reset") {
			t.Errorf("the connection hears %q", got)
		}
	}
	if state := s.property(proxy+".socket", "ActiveState"); state != "active" {
		t.Errorf("the socket is %s", state)
	}
	s.says(proxy, "forwarding connections to broken: broken.service does not start")
}

// x-idle-timeout stops a user's container that nobody is connected to, and the next
// connection starts it again.
func TestEngineUserIdleTimeout(t *testing.T) {
	s := newSession(t)
	outside(t)
	const proxy, look = "unitc-port@idle:80", "unitc-idle.service"
	place(t, s.home+"/patient.pl", patient)
	s.define("idle.yaml", "rootfs: host\ncommand: [perl, /app.pl]\nvolumes: ['/home/somebody/patient.pl:/app.pl:ro']\nports: [{target: 80, published: 18420, x-activation: true}]\nx-idle-timeout: 1s\n")
	s.stopPort("idle", proxy)
	s.must("systemctl", "--user", "start", proxy+".socket")
	for range 2 {
		c, err := net.Dial("tcp", "127.0.0.1:18420")
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if line, err := bufio.NewReader(c).ReadString('\n'); line != "hello\n" {
			t.Fatalf("the connection hears %q: %v", line, err)
		}
		if state := s.property("unitc-idle.timer", "ActiveState"); state != "active" {
			t.Errorf("the timer is %s", state)
		}
		for range 3 {
			s.must("systemctl", "--user", "start", look)
			time.Sleep(700 * time.Millisecond)
		}
		if state := s.property("idle", "ActiveState"); state != "active" {
			t.Errorf("with a connection it is %s", state)
		}
		c.Close()
		await(t, "nobody uses it", func() bool {
			s.must("systemctl", "--user", "start", look)
			return s.property("idle", "ActiveState") == "inactive"
		})
		s.says("idle", "nobody has been connected to it for 1s (x-idle-timeout)")
	}
	await(t, "the timer ends with the last container", func() bool { return s.property("unitc-idle.timer", "ActiveState") == "inactive" })
}
