// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// listener answers each connection with what sd_listen_fds(3) would find.
const listener = `$| = 1; open(my $l, "+<&=", 3) or die "fd 3: $!"; print "ready\n";
while (accept(my $c, $l)) { my $pid = $$ == $ENV{LISTEN_PID} ? "mine" : "$$ and not $ENV{LISTEN_PID}"; syswrite $c, "$pid $ENV{LISTEN_FDS} $ENV{LISTEN_FDNAMES}\n"; close $c }`

// `systemd: socket:` keeps the listening socket with systemd: the first
// connection starts the service, and one that comes while it restarts waits.
func TestSocketReachesThePayload(t *testing.T) {
	leavesNothing(t, func() {
		for _, c := range []struct {
			name, keys string
			port       int
		}{
			{"sock", "", 18311},
			{"sock-init", "init: true\n", 18312},
			{"sock-service", "userns_mode: host\n", 18313},
			{"sock-host-pid", "pid: host\n", 18314},
			{"sock-host-pid-init", "pid: host\ninit: true\n", 18315},
		} {
			const want = "mine 1 front\n"
			t.Run(c.name, func(t *testing.T) {
				place := map[string]string{"sock-service": ", cgroup: service"}[c.name]
				text := fmt.Sprintf("rootfs: host\nnetwork_mode: none\nstop_signal: SIGKILL\nvolumes: ['/root/%s.pl:/app.pl:ro']\ncommand: [perl, /app.pl]\n%ssystemd: {socket: {ListenStream: '127.0.0.1:%d', FileDescriptorName: front}%s}\n",
					c.name, c.keys, c.port, place)
				if err := os.WriteFile("/root/"+c.name+".pl", []byte(listener), 0o644); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.Remove("/root/" + c.name + ".pl") })
				defineFor(t, c.name, text)
				must(t, "systemctl", "start", c.name+".socket")
				t.Cleanup(func() {
					must(t, "systemctl", "stop", c.name+".socket", c.name+".service")
					command(t, "systemctl", "reset-failed", c.name+".service")
				})
				if got := property(t, c.name, "ActiveState"); got != "inactive" {
					t.Fatalf("before the first connection the service is %s", got)
				}
				if got := ask(t, c.port); got != want {
					out, _ := command(t, "journalctl", "-q", "-n", "20", "-u", c.name)
					t.Fatalf("the payload says %q, want %q\n%s", got, want, out)
				}
				if out := must(t, "unitc", "exec", c.name, "env"); strings.Contains(out, "LISTEN_") {
					t.Errorf("who joins it is told of its sockets: %s", out)
				}
				must(t, "systemctl", "restart", "--no-block", c.name)
				// None is refused; the process that ends may take one with it.
				got := ""
				for got == "" {
					got = ask(t, c.port)
				}
				if got != want {
					t.Errorf("while it restarts: %q", got)
				}
				await(t, "the service is there again", func() bool { return property(t, c.name, "ActiveState") == "active" })
				must(t, "systemctl", "stop", c.name+".socket", c.name+".service")
				if conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", c.port)); err == nil {
					conn.Close()
					t.Error("someone still listens")
				}
			})
		}
	})
}

// ask connects once and reads to the end.
func ask(t *testing.T, port int) string {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return fmt.Sprintf("%v after %q", err, strings.TrimSpace(string(answer)))
	}
	return string(answer)
}
