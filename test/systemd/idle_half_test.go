// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"net"
	"strings"
	"testing"
	"time"
)

// late answers a connection when its client has said all and eight seconds have passed,
// and a datagram at once.
const late = `use Socket; $SIG{TERM} = sub { exit }; $SIG{CHLD} = "IGNORE"; my ($l, $u);
socket($l, PF_INET, SOCK_STREAM, 0) && setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1) && bind($l, pack_sockaddr_in(80, INADDR_ANY)) && listen($l, 128) or die $!;
socket($u, PF_INET, SOCK_DGRAM, 0) && bind($u, pack_sockaddr_in(80, INADDR_ANY)) or die $!;
if (!fork) { while (1) { my $from = recv($u, my $b, 100, 0); send($u, "pong\n", 0, $from) } }
while (1) { my $c; accept($c, $l) or next; next if fork; 1 while sysread $c, my $b, 100; sleep 8; syswrite $c, "late\n"; exit }`

// A client that has said all and waits for the answer is in the way of the time-out,
// whatever the kernel remembers of connections; so is one that speaks by datagrams with
// the port of that number, as HTTP/3 does.
//
//lab:once
func TestIdleTimeoutOfHalfAConnection(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			place(t, "/root/late.pl", late)
			const unit, socket, look = "idle-half.service", "unitc-port@idle-half:80.socket", "unitc-idle.service"
			defineFor(t, "idle-half", `rootfs: host
command: [perl, /app.pl]
volumes: ['/root/late.pl:/app.pl:ro']
ports: [{target: 80, published: 18428, x-activation: true}, {target: 80, published: 18428, protocol: udp}]
x-idle-timeout: 1s
`, socket, "unitc-port@idle-half:80.service", unit)
			forgetful(t)
			must(t, "systemctl", "start", socket)
			place(t, "/root/half.pl", `use IO::Socket; $| = 1; my $s = IO::Socket::INET->new("idle-half:80") or die $!; shutdown $s, 1; print "said all\n"; print "heard ", <$s>;`)
			defineFor(t, "halves", "rootfs: host\ncommand: [perl, /app.pl]\nvolumes: ['/root/half.pl:/app.pl:ro']\n")
			must(t, "systemctl", "start", unit)
			must(t, "systemctl", "start", "halves")
			says := func(what string) func() bool {
				return func() bool { return strings.Contains(must(t, "journalctl", "-q", "-o", "cat", "-u", "halves"), what) }
			}
			await(t, "a neighbour waits for an answer", says("said all"))
			for range 4 {
				time.Sleep(time.Second)
				must(t, "systemctl", "start", look)
				if state := property(t, unit, "ActiveState"); state != "active" {
					t.Fatalf("with half a connection it is %s", state)
				}
			}
			await(t, "the neighbour has the answer", says("heard late"))

			u, err := net.Dial("udp", "127.0.0.1:18428")
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			for range 4 {
				u.SetDeadline(time.Now().Add(30 * time.Second))
				b := make([]byte, 10)
				if _, err := u.Write([]byte("ping")); err != nil {
					t.Fatal(err)
				}
				if n, err := u.Read(b); string(b[:n]) != "pong\n" {
					t.Fatalf("it says %q: %v", b[:n], err)
				}
				time.Sleep(time.Second)
				must(t, "systemctl", "start", look)
				time.Sleep(time.Second)
				must(t, "systemctl", "start", look)
				if state := property(t, unit, "ActiveState"); state != "active" {
					t.Fatalf("with datagrams it is %s", state)
				}
			}
			for _, name := range []string{"udp_timeout", "udp_timeout_stream"} {
				path := "/proc/sys/net/netfilter/nf_conntrack_" + name
				before := file(t, path)
				t.Cleanup(func() { writeFile(t, path, before) })
				writeFile(t, path, "1")
			}
			u.Write([]byte("ping")) // which is remembered for a second
			await(t, "nobody uses it", func() bool {
				must(t, "systemctl", "start", look)
				return property(t, unit, "ActiveState") == "inactive"
			})
		})
	})
}
