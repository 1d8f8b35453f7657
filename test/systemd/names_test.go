// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// named is a container that does nothing and has the programs that ask.
const named = `rootfs: host
command: [sleep, inf]
init: true
stop_grace_period: 0s
volumes: [/root/test/systemd/testdata:/mnt:ro]
`

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n"
}

// addressOf is what a container has in a network.
func addressOf(t *testing.T, network, name string) (v4, v6 string) {
	t.Helper()
	var record struct{ IPv4, IPv6 string }
	if err := json.Unmarshal([]byte(file(t, "/run/unitc/.networks/"+network+"/"+name+".json")), &record); err != nil {
		t.Fatal(err)
	}
	return record.IPv4, record.IPv6
}

// resolved is what a C library says of a name in a container.
func resolved(t *testing.T, unit, libc, name string) string {
	t.Helper()
	return strings.TrimPrefix(inside(t, unit, "/mnt/resolve-"+libc, name), name+": ")
}

var libcs = []string{"glibc", "musl"}

// Both C libraries, on networks with IPv4, with IPv6 and with both.
//
//lab:once
func TestNames(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			cleanReload(t)
			text := "services:\n"
			for _, s := range []struct{ name, more string }{
				{"web", "networks: {four: {aliases: [www, Shared]}}\nextra_hosts: {printer: 192.0.2.9, gate: host-gateway}\nhostname: webhost"},
				{"db", "networks: {four: {aliases: [shared]}, both: {}}\ndns_search: [example.test]\ndns_opt: ['ndots:1', 'timeout:3']"},
				{"six", "networks: [only6]"},
				{"six2", "networks: {only6: {aliases: [vi]}}\nports: ['5399:53/udp']"},
				{"own", "networks: [both]\ndns: [192.0.2.3]\ndns_search: [example.test]"},
				{"hidden", "networks: [inner]"},
			} {
				text += "  " + s.name + ":\n" + indent(named+s.more)
			}
			text += "networks: {four: {}, both: {enable_ipv6: true}, only6: {enable_ipv4: false, enable_ipv6: true}, inner: {internal: true, enable_ipv6: true}}\n"
			place(t, "/etc/unitc/names.yaml", text)
			reload(t)
			t.Cleanup(func() { stop(t, "names.target", "names-*.service") })
			client(t)
			must(t, "ip", "-n", "client", "addr", "add", "192.0.2.3/24", "dev", "wire")
			outside := zone{
				"up.example.test":          {"203.0.113.7", "2001:db8:7::7"},
				"short.example.test":       {"203.0.113.8"},
				"big.example.test":         many("203.0.113.", 60),
				"7.113.0.203.in-addr.arpa": {"up.example.test."},
			}
			nameserver(t, "/run/netns/client", "192.0.2.2:53", outside)
			nameserver(t, "/run/netns/client", "192.0.2.3:53", zone{"up.example.test": {"203.0.113.9"}, "short.example.test": {"203.0.113.10"}})
			hostServers(t, "nameserver 192.0.2.2\noptions ndots:3\n")
			must(t, "systemctl", "start", "names.target")
			web4, _ := addressOf(t, "names_four", "names-web")
			db4, _ := addressOf(t, "names_four", "names-db")
			dbBoth4, dbBoth6 := addressOf(t, "names_both", "names-db")
			_, six6 := addressOf(t, "names_only6", "names-six")
			_, sixTwo := addressOf(t, "names_only6", "names-six2")
			hidden4, hidden6 := addressOf(t, "names_inner", "names-hidden")
			sorted := func(list ...string) string { slices.Sort(list); return strings.Join(list, " ") }
			const none = "status"
			for _, libc := range libcs {
				for _, c := range []struct{ unit, name, want string }{
					{"web", "db", db4},
					{"web", "names-db", db4},
					{"web", "shared", sorted(web4, db4)},
					{"web", "SHARED", sorted(web4, db4)},
					{"web", "www", web4},
					{"web", "six", none},
					{"web", "printer", "192.0.2.9"},
					{"web", "webhost", web4},
					{"web", "up.example.test", "2001:db8:7::7 203.0.113.7"},
					{"web", "nobody.example.test", none},
					{"web", db4, "names-db"},
					{"web", "203.0.113.7", "up.example.test"},
					{"db", "web", web4},
					{"db", "short", "203.0.113.8"}, // by its search list
					{"db", "own", sorted(strings.Fields(resolved(t, "names-own", "glibc", "own"))...)},
					{"own", "db", sorted(dbBoth4, dbBoth6)},
					{"own", dbBoth6, "names-db"},
					{"own", "up.example.test", "203.0.113.9"}, // its own server
					{"six", "six2", sixTwo},
					{"six", "vi", sixTwo},
					{"six2", "six", six6},
					{"six", sixTwo, "names-six2"},
					{"six", "up.example.test", "2001:db8:7::7 203.0.113.7"},
					{"six", "web", none},
					{"hidden", "hidden", sorted(hidden4, hidden6)},
					{"hidden", "up.example.test", none}, // no way out by names
				} {
					if got := resolved(t, "names-"+c.unit, libc, c.name); got != c.want && !(c.want == none && strings.HasPrefix(got, none)) {
						t.Errorf("%s in %s: %s is %q, want %q", libc, c.unit, c.name, got, c.want)
					}
				}
			}
			// More than a datagram has room for: glibc and new musl ask over TCP, of IPv6 too.
			for _, unit := range []string{"names-web", "names-six"} {
				if got := strings.Fields(resolved(t, unit, "glibc", "big.example.test")); len(got) != 60 {
					t.Errorf("glibc in %s finds %d addresses: %q", unit, len(got), got)
				}
			}
			if got := resolved(t, "names-own", "glibc", "short"); got != "203.0.113.10" {
				t.Errorf("glibc finds %q by its search list", got)
			}
			if got := file(t, "/run/unitc/names-db/resolv.conf"); !strings.Contains(got, "search example.test\n") || !strings.Contains(got, "options ndots:1 timeout:3\n") {
				t.Errorf("resolv.conf is\n%s", got)
			}
			if got := inside(t, "names-web", "cat", "/etc/hosts"); !strings.Contains(got, "\tgate\n") && !strings.HasSuffix(got, "\tgate") {
				t.Errorf("/etc/hosts is\n%s", got)
			}
		})
	})
}

// The stub of systemd-resolved is asked where it is heard: by the resolver on
// the host. A network without a bridge gets the servers that it asks itself.
//
//lab:once
func TestNamesBesideResolved(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			hostServers(t, "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n")
			place(t, "/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.2\nsearch .\n")
			nameserver(t, "/proc/1/ns/net", "127.0.0.53:53", zone{"up.example.test": {"203.0.113.53"}})
			nameserver(t, "/run/netns/client", "192.0.2.2:53", zone{"up.example.test": {"203.0.113.2"}})
			c := scoped.define(t, "beside-resolved", named).start()
			// A network that somebody has made by hand, on the same wire.
			for _, line := range []string{
				"ip netns add byhand", "ip link add wire2 type veth peer name eth0 netns byhand", "ip link add wires type bridge",
				"ip link set wires up", "ip link set wire2 master wires up", "ip addr add 198.51.100.1/24 dev wires",
				"ip -n byhand addr add 198.51.100.2/24 dev eth0", "ip -n byhand link set eth0 up", "ip -n byhand route add default via 198.51.100.1",
				"ip -n client route add 198.51.100.0/24 via 192.0.2.1",
			} {
				f := strings.Fields(line)
				must(t, f[0], f[1:]...)
			}
			t.Cleanup(func() { must(t, "ip", "netns", "del", "byhand"); must(t, "ip", "link", "del", "wires") })
			hand := scoped.define(t, "beside-resolved-ns", named+"network_mode: ns:/run/netns/byhand\n").start()
			for _, libc := range libcs {
				if got := resolved(t, c.unit(), libc, "up.example.test"); got != "203.0.113.53" {
					t.Errorf("%s on a bridge finds %q", libc, got)
				}
				if got := resolved(t, hand.unit(), libc, "up.example.test"); got != "203.0.113.2" {
					t.Errorf("%s in a network by hand finds %q", libc, got)
				}
			}
		})
	})
}

// answersAll asks for a name again and again until stop is closed and gives
// the number of questions; each must be answered with the address.
func answersAll(t *testing.T, c *net.UDPConn, name, want string, stop <-chan struct{}) int {
	b := make([]byte, 512)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return i
		default:
		}
		time.Sleep(time.Millisecond) // a steady stream, that leaves others the processor
		if _, err := c.Write(packQuestion(t, uint16(i), name, dnsmessage.TypeA)); err != nil {
			t.Errorf("question %d: %v", i, err)
			return i
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(b)
		if err != nil {
			t.Errorf("question %d is not answered: %v", i, err)
			return i
		}
		var m dnsmessage.Message
		if err := m.Unpack(b[:n]); err != nil || m.ID != uint16(i) || len(m.Answers) != 1 || fmt.Sprint(m.Answers[0].Body.(*dnsmessage.AResource).A) != fmt.Sprint([4]byte(net.ParseIP(want).To4())) {
			t.Errorf("question %d is answered with %+v, %v", i, m, err)
			return i
		}
	}
}

// A container that starts again and again has its names each time.
//
//lab:once
func TestNamesOfManyStarts(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			often := scoped.define(t, "names-often", named)
			for range 8 { // five are systemd's limit in ten seconds
				must(t, "systemctl", "start", often.unit())
				if got := property(t, "unitc-resolver.socket", "ActiveState"); got != "active" {
					t.Errorf("the resolver's socket is %s", got)
				}
				must(t, "systemctl", "reset-failed", often.unit())
				must(t, "systemctl", "stop", often.unit())
			}
		})
	})
}

// The resolver is restarted, stopped and left alone until it ends, while
// containers come and go and others ask: no question is lost.
func TestNamesWhileTheResolverRestarts(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			cleanReload(t)
			t.Cleanup(func() { os.Remove("/run/systemd/system/unitc-resolver.service.d") })
			place(t, "/run/systemd/system/unitc-resolver.service.d/test.conf",
				"[Service]\nExecStart=\nExecStart="+strings.TrimSpace(must(t, "sh", "-c", "systemctl show -P ExecStart unitc-resolver.service | sed 's/.*path=\\([^ ]*\\) .*/\\1/'"))+" 50ms\n")
			// Without a server to ask, C libraries ask several times.
			hostServers(t, "nameserver 127.0.0.99\n")
			nameserver(t, "/proc/1/ns/net", "127.0.0.99:53", zone{})
			web := scoped.define(t, "names-web", named).start()
			late := scoped.define(t, "names-late", named)
			v4, _ := addressOf(t, "unitc0", web.name)
			stopped := make(chan struct{})
			var clients sync.WaitGroup
			counts := make([]int, 3)
			for i := range counts {
				c := asking(t, web.unit(), "169.254.53.53")
				clients.Go(func() { counts[i] = answersAll(t, c, web.name, v4, stopped) })
			}
			runs := map[string]bool{}
			for i := range 8 {
				command(t, "systemctl", "reset-failed", late.unit()) // so many starts are meant
				late.start()
				if got, want := resolved(t, web.unit(), libcs[i%2], late.name), ""; got == want || strings.HasPrefix(got, "status") {
					t.Errorf("%s has come, and is %q", late.name, got)
				}
				must(t, "systemctl", []string{"restart", "stop"}[i%2], "unitc-resolver.service")
				runs[property(t, "unitc-resolver.service", "InvocationID")] = true
				late.stop()
				await(t, late.name+" is not known any more", func() bool {
					return strings.HasPrefix(resolved(t, web.unit(), libcs[i%2], late.name), "status")
				})
			}
			close(stopped)
			clients.Wait()
			t.Logf("%v questions were answered, by %d runs of the resolver", counts, len(runs))
			// Alone, it ends, and comes back for the next question.
			command(t, "systemctl", "reset-failed", late.unit())
			late.start()
			v4, _ = addressOf(t, "unitc0", late.name)
			for range 3 {
				await(t, "the resolver has ended", func() bool { return property(t, "unitc-resolver.service", "ActiveState") == "inactive" })
				for _, libc := range libcs {
					if got := resolved(t, web.unit(), libc, late.name); got != v4 {
						t.Errorf("%s finds %q", libc, got)
					}
				}
			}
		})
	})
}

// 5,000 questions a second: all are answered, and one processor has the time for as
// many, however busy this machine is.
//
//lab:once
func TestResolverUnderLoad(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			const each, sockets, rate, window = 1500, 10, 5000, 200
			web := scoped.define(t, "names-load", named).start()
			v4, _ := addressOf(t, "unitc0", web.name)
			var lost, wrong [sockets]int
			var clients sync.WaitGroup
			began := time.Now()
			for i := range sockets {
				c := asking(t, web.unit(), "169.254.53.53")
				clients.Go(func() { lost[i], wrong[i] = flood(t, c, web.name, v4, each, rate/sockets, window) })
			}
			clients.Wait()
			took := time.Since(began)
			t.Logf("%d questions in %v, %.0f a second", each*sockets, took, each*sockets/took.Seconds())
			used := processorTime(t, "unitc-resolver.service")
			t.Logf("the resolver has taken %v of a processor, %v a question", used, used/(each*sockets))
			if used/(each*sockets) > time.Second/rate {
				t.Errorf("a question takes %v of a processor: it could not answer %d in a second", used/(each*sockets), rate)
			}
			for i := range sockets {
				if lost[i] != 0 || wrong[i] != 0 {
					t.Errorf("client %d lost %d answers, %d were wrong", i, lost[i], wrong[i])
				}
			}
		})
	})
}

// processorTime is what a unit's main process has taken since its start.
func processorTime(t *testing.T, unit string) time.Duration {
	t.Helper()
	// The fields behind the name, which may have blanks: proc_pid_stat(5).
	_, rest, _ := strings.Cut(file(t, "/proc/"+property(t, unit, "MainPID")+"/stat"), ") ")
	f := strings.Fields(rest)
	var ticks time.Duration
	for _, field := range f[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	const second = 100 // USER_HZ
	return ticks * time.Second / second
}

// flood asks n times, rate times a second or as fast as the answers come.
func flood(t *testing.T, c *net.UDPConn, name, want string, n, rate, window int) (lost, wrong int) {
	slots := make(chan struct{}, window)
	done := make(chan struct{})
	go func() {
		defer close(done)
		answered := make([]bool, n)
		b := make([]byte, 512)
		for left := n; left > 0; {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			size, err := c.Read(b)
			if err != nil {
				lost = left
				break
			}
			var m dnsmessage.Message
			if err := m.Unpack(b[:size]); err != nil || int(m.ID) >= n || answered[m.ID] || len(m.Answers) != 1 ||
				net.IP(m.Answers[0].Body.(*dnsmessage.AResource).A[:]).String() != want {
				wrong++
				continue
			}
			answered[m.ID] = true
			left--
			<-slots
		}
	}()
	began := time.Now()
	for i := range n {
		select {
		case slots <- struct{}{}:
		case <-done:
			return lost, wrong
		}
		if ahead := time.Duration(i)*time.Second/time.Duration(rate) - time.Since(began); ahead > 0 {
			time.Sleep(ahead)
		}
		if _, err := c.Write(packQuestion(t, uint16(i), name, dnsmessage.TypeA)); err != nil {
			t.Errorf("question %d: %v", i, err)
		}
	}
	<-done
	return lost, wrong
}

// Garbage over UDP and TCP: the resolver lives on and answers.
//
//lab:once
func TestResolverAndGarbage(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			web := scoped.define(t, "names-garbage", named).start()
			other := scoped.define(t, "names-other", named).start()
			v4, _ := addressOf(t, "unitc0", other.name)
			c := asking(t, web.unit(), "169.254.53.53")
			if got := resolved(t, web.unit(), "musl", other.name); got != v4 {
				t.Fatalf("it finds %q", got)
			}
			run := property(t, "unitc-resolver.service", "InvocationID")
			random := rand.New(rand.NewPCG(1, 2))
			whole := packQuestion(t, 7, web.name, dnsmessage.TypeA)
			for i := range 4000 {
				b := garbage(random, whole)
				// A full queue is no fault of the packet.
				for _, err := c.Write(b); err == unix.ENOBUFS; _, err = c.Write(b) {
				}
				if i%100 == 0 {
					overTCP(t, web.unit(), b)
				}
			}
			fresh := asking(t, web.unit(), "169.254.53.53")
			_, _ = fresh.Write(whole)
			_ = fresh.SetReadDeadline(time.Now().Add(patience))
			if _, err := fresh.Read(make([]byte, 512)); err != nil {
				t.Errorf("after garbage: %v", err)
			}
			for _, libc := range libcs {
				if got := resolved(t, web.unit(), libc, other.name); got != v4 {
					t.Errorf("after garbage %s finds %q", libc, got)
				}
			}
			if now := property(t, "unitc-resolver.service", "InvocationID"); now != run {
				t.Errorf("the resolver is not the one that was there before:\n%s", must(t, "journalctl", "-q", "-u", "unitc-resolver.service", "-n", "30", "-o", "cat"))
			}
		})
	})
}

// garbage is a message that was changed, cut, or made of nothing.
func garbage(random *rand.Rand, whole []byte) []byte {
	b := slices.Clone(whole)
	switch random.IntN(4) {
	case 0:
		b = make([]byte, random.IntN(600))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
	case 1:
		b = b[:random.IntN(len(b))]
	case 2:
		b = append(b, b[:random.IntN(len(b))]...)
	}
	for range random.IntN(8) {
		if len(b) > 0 {
			b[random.IntN(len(b))] = byte(random.Uint32())
		}
	}
	return b
}

func overTCP(t *testing.T, unit string, b []byte) {
	t.Helper()
	var c net.Conn
	within(t, networkOf(t, unit), func() (err error) {
		c, err = net.DialTimeout("tcp", "169.254.53.53:53", patience)
		return err
	})
	defer c.Close()
	_, _ = c.Write(b)
}
