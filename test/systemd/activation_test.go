// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// polite answers each connection with a number of its own life and the client's
// address. It is slow to begin, and ends what it has begun.
const polite = `use Socket; my $life = int(rand(1e9)); my $stop; $SIG{TERM} = sub { $stop = 1 };
select undef, undef, undef, 0.3;
my $l; socket($l, PF_INET, SOCK_STREAM, 0) && setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1) && bind($l, pack_sockaddr_in(80, INADDR_ANY)) && listen($l, 128) or die $!;
my $c; until ($stop) { my $from = accept($c, $l) or next; my ($port, $a) = unpack_sockaddr_in($from);
  syswrite $c, "$life " . inet_ntoa($a) . "\n"; close $c }`

// x-activation keeps the listening socket with systemd: the first connection
// starts the container, and none is lost while it restarts under a stream of
// them.
func TestActivatedPort(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			const unit, proxy = "actport.service", "unitc-port@actport:80"
			if err := os.WriteFile("/root/polite.pl", []byte(polite), 0o644); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Remove("/root/polite.pl") })
			defineFor(t, "actport", `rootfs: host
command: [perl, /app.pl]
volumes: ['/root/polite.pl:/app.pl:ro']
ports: [{target: 80, published: 18400, x-activation: true}, {target: 80, published: 18401, host_ip: '::1', x-activation: true}, "18402:80"]
`)
			t.Cleanup(func() {
				must(t, "systemctl", "stop", proxy+".socket", proxy+".service", unit)
				command(t, "systemctl", "reset-failed", proxy+".service", unit)
			})
			client(t)
			must(t, "systemctl", "start", proxy+".socket")
			if state := property(t, unit, "ActiveState"); state != "inactive" {
				t.Fatalf("before the first connection the container is %s", state)
			}
			first := ask(t, 18400)
			if life, _, _ := strings.Cut(first, " "); life == "" {
				out, _ := command(t, "journalctl", "-q", "-n", "40", "-u", unit, "-u", proxy+".service")
				t.Fatalf("the first connection hears %q\n%s", first, out)
			}
			// From then on a rule leads there, with the client's own address.
			fromOutside := []string{"ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "192.0.2.1", "18400"}
			await(t, "the client's address is kept", func() bool {
				out, _ := command(t, fromOutside[0], fromOutside[1:]...)
				return strings.HasSuffix(strings.TrimSpace(out), " 192.0.2.2")
			})
			if got := askAt(t, "[::1]:18401"); got == "" {
				t.Error("nobody answers at ::1")
			}
			if got := askAt(t, "[::1]:18400"); got == "" {
				t.Error("nobody answers at ::1 on the port of all addresses")
			}
			if got := must(t, "unitc", "port", "actport", "80"); !strings.Contains(got, "0.0.0.0:18400\n") || !strings.Contains(got, "[::1]:18401\n") {
				t.Errorf("unitc port says %q", got)
			}
			lives, lost := underConnections(t, func(lives func() int) {
				for i := range 3 {
					await(t, "the new one answers", func() bool { return lives() > i })
					must(t, "systemctl", "restart", unit)
				}
			})
			if len(lost) > 0 || lives < 3 {
				out, _ := command(t, "journalctl", "-q", "-n", "60", "-o", "short-precise", "-u", unit, "-u", proxy+".service")
				t.Errorf("%d connections are lost, for example %s; %d lives answered\n%s", len(lost), lost[:min(len(lost), 3)], lives, out)
			}
			must(t, "systemctl", "stop", proxy+".socket", proxy+".service", unit)
			if c, err := net.Dial("tcp", "127.0.0.1:18400"); err == nil {
				c.Close()
				t.Error("someone still listens")
			}
			// Without its socket the port is one as any other.
			must(t, "systemctl", "start", unit)
			must(t, "systemctl", "stop", proxy+".socket", unit)
		})
	})
}

// A container that does not start is told to those who wait for it.
func TestActivatedPortOfABrokenContainer(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			const unit, proxy = "actbroken.service", "unitc-port@actbroken:80"
			defineFor(t, "actbroken", "rootfs: host\ncommand: [/no/such/program]\nports: [{target: 80, published: 18410, x-activation: true}]\n")
			t.Cleanup(func() {
				must(t, "systemctl", "stop", proxy+".socket", proxy+".service", unit)
				command(t, "systemctl", "reset-failed", proxy+".service", unit)
			})
			must(t, "systemctl", "start", proxy+".socket")
			for range 2 {
				if got := ask(t, 18410); got != "" && !strings.Contains(got, "reset") {
					t.Errorf("the connection hears %q", got)
				}
			}
			if state := property(t, proxy+".socket", "ActiveState"); state != "active" {
				t.Errorf("the socket is %s", state)
			}
		})
	})
}

// underConnections does something while clients connect without a pause, and
// gives how many lives of the server have answered, and what was lost.
func underConnections(t *testing.T, do func(lives func() int)) (lives int, lost []string) {
	t.Helper()
	var mu sync.Mutex
	var clients sync.WaitGroup
	seen := map[string]bool{}
	done := make(chan struct{})
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				answer, err := once("127.0.0.1:18400")
				mu.Lock()
				if life, _, ok := strings.Cut(answer, " "); ok && err == nil {
					seen[life] = true
				} else {
					lost = append(lost, fmt.Sprintf("%q, %v", answer, err))
				}
				mu.Unlock()
			}
		})
	}
	do(func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen)
	})
	close(done)
	clients.Wait()
	return len(seen), lost
}

func once(address string) (string, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(c)
	return string(answer), err
}

func askAt(t *testing.T, address string) string {
	t.Helper()
	answer, err := once(address)
	if err != nil {
		t.Errorf("%s: %v", address, err)
	}
	return answer
}
