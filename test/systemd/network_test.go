// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// server answers on port 80 with its own name.
const server = `rootfs: host
command: [busybox, nc, -ll, -p, "80", -e, hostname]
init: true
stop_grace_period: 0s
`

// networks is what the kernel knows of networks.
func networks(t *testing.T) string {
	t.Helper()
	return must(t, "ip", "-d", "-o", "link") + must(t, "ip", "netns") + must(t, "nft", "list", "ruleset") + must(t, "sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
}

// sameNetworks runs test and demands that the kernel's networks are then as
// they were.
func sameNetworks(t *testing.T, test func()) {
	t.Helper()
	await(t, "the networks of the tests before have gone", isSettled)
	before := networks(t)
	leavesNothing(t, test)
	after := ""
	for deadline := time.Now().Add(60 * time.Second); after != before; {
		if after = networks(t); after != before && time.Now().After(deadline) {
			t.Fatalf("the networks are not as before, but\n%s\nbefore:\n%s", after, before)
		}
	}
}

// inside runs a command in a container's network, with its files below /etc.
func inside(t *testing.T, unit string, args ...string) string {
	t.Helper()
	out, status := command(t, "nsenter", append([]string{"-t", property(t, unit, "MainPID"), "-m", "-n", "--"}, args...)...)
	if status != 0 {
		return fmt.Sprintf("status %d: %s", status, out)
	}
	return strings.TrimSpace(out)
}

// client is a machine on a wire with the host, as a network namespace; it has
// 192.0.2.2 and 2001:db8::2.
func client(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		must(t, "ip", "netns", "del", "client")
		must(t, "umount", "/run/netns")
		must(t, "rmdir", "/run/netns")
	})
	for _, line := range []string{
		"ip netns add client", "ip link add wire type veth peer name wire netns client",
		"ip addr add 192.0.2.1/24 dev wire", "ip addr add 2001:db8::1/64 dev wire nodad", "ip link set wire up",
		"ip -n client addr add 192.0.2.2/24 dev wire", "ip -n client addr add 2001:db8::2/64 dev wire nodad", "ip -n client link set wire up",
	} {
		f := strings.Fields(line)
		must(t, f[0], f[1:]...)
	}
}

// stop stops units while their files are there.
func stop(t *testing.T, units ...string) {
	t.Helper()
	must(t, "systemctl", append([]string{"stop"}, units...)...)
	command(t, "systemctl", append([]string{"reset-failed"}, units...)...)
}

// asks waits until a port answers with a name.
func asks(t *testing.T, want string, args ...string) {
	t.Helper()
	got := ""
	await(t, fmt.Sprintf("%q answers %q, not %q", args, want, got), func() bool {
		out, _ := command(t, args[0], args[1:]...)
		got = strings.TrimSpace(out)
		return got == want
	})
}

//lab:once
func TestNetworkOfAProject(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			cleanReload(t)
			place(t, "/etc/unitc/netshop.yaml", `services:
  web:
    `+strings.ReplaceAll(server, "\n", "\n    ")+`
    hostname: web
    ports: ["8080:80", "127.0.0.1:8081:80"]
    networks: {front: {aliases: [www]}, back: {}}
  db:
    `+strings.ReplaceAll(server, "\n", "\n    ")+`
    hostname: db
    networks: [back]
    extra_hosts: {printer: 192.0.2.9}
  side:
    `+strings.ReplaceAll(strings.Replace(server, "80", "81", 1), "\n", "\n    ")+`
    network_mode: service:db
networks:
  front: {enable_ipv6: true, driver_opts: {bridge: netshop0}}
  back: {internal: true, ipam: {config: [{subnet: 198.51.100.0/24}]}}
`)
			reload(t)
			t.Cleanup(func() { stop(t, "netshop.target", "netshop-web.service", "netshop-db.service", "netshop-side.service") })
			// Its wire goes before the networks do: other virtual links of the host
			// keep forwarding on.
			client(t)
			must(t, "systemctl", "start", "netshop.target")
			asks(t, "web", "busybox", "nc", "-w", "5", "127.0.0.1", "8080")
			asks(t, "web", "busybox", "nc", "-w", "5", "127.0.0.1", "8081")
			asks(t, "web", "busybox", "nc", "-w", "5", "192.0.2.1", "8080")
			asks(t, "web", "ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "192.0.2.1", "8080")
			asks(t, "web", "ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "2001:db8::1", "8080")
			for unit, tests := range map[string][][2]string{
				"netshop-web": {
					{"busybox nc -w 5 db 80", "db"},
					{"busybox nc -w 5 192.0.2.1 8080", "web"}, // its own port
					{"getent -s dns ahostsv4 netshop-db", "198.51.100."},
					{"cat /etc/hostname", "web"},
				},
				"netshop-db": {
					{"busybox nc -w 5 www 80", "status"}, // an alias on another network
					{"busybox nc -w 5 web 80", "web"},
					{"busybox nc -w 2 192.0.2.2 1", "status"},
					{"busybox nc -w 2 192.0.2.1 8080", "status"}, // no way out by the host either
					{"getent hosts printer", "192.0.2.9"},
					{"busybox nc -w 5 127.0.0.1 81", "netshop-side"}, // who shares its network
				},
				"netshop-side": {{"busybox nc -w 5 127.0.0.1 80", "db"}, {"getent hosts printer", "192.0.2.9"}},
			} {
				for _, test := range tests {
					if got := inside(t, unit, strings.Fields(test[0])...); !strings.HasPrefix(got, test[1]) {
						t.Errorf("in %s %s gives %q, not %q", unit, test[0], got, test[1])
					}
				}
			}
			if got := must(t, "unitc", "port", "netshop-web", "80"); got != "0.0.0.0:8080\n[::]:8080\n127.0.0.1:8081\n" {
				t.Errorf("unitc port says %q", got)
			}
			if got := must(t, "unitc", "network", "ls", "-q"); got != "netshop_back\nnetshop_front\n" {
				t.Errorf("unitc network ls says %q", got)
			}
			if out, status := command(t, "unitc", "network", "rm", "netshop_back"); status == 0 || !strings.Contains(out, "netshop-db") {
				t.Errorf("unitc network rm exits with %d: %s", status, out)
			}
			must(t, "unitc", "network", "prune")
			must(t, "ip", "link", "show", "netshop0")
			// Names go both ways.
			var record struct{ IPv4, IPv6 string }
			if err := json.Unmarshal([]byte(file(t, "/run/unitc/.networks/netshop_back/netshop-db.json")), &record); err != nil {
				t.Fatal(err)
			}
			if got := inside(t, "netshop-web", "getent", "hosts", record.IPv4); !strings.HasSuffix(got, "netshop-db") {
				t.Errorf("%s is %q", record.IPv4, got)
			}
		})
	})
}

// Who names no network is on the project's, and a lone container on unitc0:
// neighbours by name, and neither sees the other.
//
//lab:once
func TestNetworksByDefault(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			cleanReload(t)
			service := "\n    " + strings.ReplaceAll(strings.TrimSpace(server), "\n", "\n    ") + "\n"
			place(t, "/etc/unitc/netplain.yaml", "services:\n  web:"+service+"    hostname: web\n  db:"+service+"    hostname: db\n")
			reload(t)
			t.Cleanup(func() { stop(t, "netplain.target", "netplain-web.service", "netplain-db.service") })
			alone := scoped.define(t, "net-lone", server+"hostname: lone").start()
			beside := scoped.define(t, "net-lone-too", server+"hostname: lonetoo").start()
			must(t, "systemctl", "start", "netplain.target")
			if got := must(t, "unitc", "network", "ls", "-q"); got != "netplain_default\nunitc0\n" {
				t.Errorf("unitc network ls says %q", got)
			}
			web, _ := addressOf(t, "netplain_default", "netplain-web")
			lone, _ := addressOf(t, "unitc0", alone.name)
			for _, c := range []struct{ from, to, want string }{
				{"netplain-web", "db", "db"}, {"netplain-db", "web", "web"}, {"netplain-db", web, "web"},
				{beside.unit(), alone.name, "lone"}, {beside.unit(), lone, "lone"},
			} {
				// It is started before it listens.
				await(t, fmt.Sprintf("in %s %s answers %q", c.from, c.to, c.want), func() bool {
					return inside(t, c.from, "busybox", "nc", "-w", "5", c.to, "80") == c.want
				})
			}
			for _, c := range [][2]string{{"netplain-web", alone.name}, {"netplain-web", lone}, {beside.unit(), "netplain-web"}, {beside.unit(), web}} {
				if got := inside(t, c[0], "busybox", "nc", "-w", "1", c[1], "80"); !strings.HasPrefix(got, "status") {
					t.Errorf("in %s %s gives %q", c[0], c[1], got)
				}
			}
		})
	})
}

// A port that is taken is an error that names who has it: a container, a
// service, a socket unit, a process.
func TestPortTaken(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			first := scoped.define(t, "port-first", server+`ports: ["8090:80", "8090:80/udp"]`).start()
			t.Cleanup(func() {
				command(t, "systemctl", "stop", "lab-holder.service", "lab-stream.socket", "lab-datagram.socket", "lab-stream.service", "lab-datagram.service")
				reload(t)
			})
			must(t, "systemd-run", "--unit=lab-holder", "busybox", "nc", "-ll", "-p", "8091", "-e", "true")
			must(t, "systemd-run", "--unit=lab-stream", "--socket-property=ListenStream=127.0.0.1:8092", "true")
			must(t, "systemd-run", "--unit=lab-datagram", "--socket-property=ListenDatagram=8093", "true")
			own, err := net.ListenPacket("udp", "127.0.0.1:8094")
			if err != nil {
				t.Fatal(err)
			}
			defer own.Close()
			await(t, "it listens", func() bool {
				out, _ := command(t, "ss", "-Hltn", "sport", "=", "8091")
				return out != ""
			})
			for port, want := range map[string]string{
				"8090:80":               first.unit(),
				"127.0.0.1:8090:80/udp": first.unit(),
				"8091:80":               "lab-holder.service",
				"8092:80":               "lab-stream.socket",
				"8093:80/udp":           "lab-datagram.socket",
				"8094-8095:80-81/udp":   fmt.Sprintf("process %d", os.Getpid()),
			} {
				t.Run(want, func(t *testing.T) {
					c := scoped.define(t, "port-second", server+`ports: ["`+port+`"]`)
					_, status := command(t, "systemctl", "start", c.unit())
					if text := c.show("StatusText"); status == 0 || !strings.Contains(text, want) {
						t.Errorf("a second one at %s exits with %d and says %q, and not %q", port, status, text, want)
					}
				})
			}
			// The port is found where it is written, whatever the ranges before it are.
			late := scoped.define(t, "port-late", server+`ports: ["7000-7010:7000-7010", "7020-7021:1", "8091:80"]`)
			_, status := command(t, "systemctl", "start", late.unit())
			at := fmt.Sprintf(":5:%d: ", 1+strings.Index(`ports: ["7000-7010:7000-7010", "7020-7021:1", "8091:80"]`, `"8091`))
			if text := late.show("StatusText"); status == 0 || !strings.Contains(text, at) || !strings.Contains(text, "ports[2]: ") {
				t.Errorf("a port behind ranges exits with %d and says %q, and not%sports[2]", status, text, at)
			}
			// What is on another address or protocol is no hindrance.
			c := scoped.define(t, "port-beside", server+`ports: ["127.0.0.2:8094:80/udp", "8091:80/udp", "8093:80", "192.0.2.7:8092:80"]`)
			c.start()
		})
	})
}

// Two hundred at once: no address twice, and nothing is left.
//
//lab:once
func TestManyOnOneNetwork(t *testing.T) {
	const count = 200
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			c := placement{"service", "direct"}.define(t, "many@", endless+"\nstop_grace_period: 0s\nports: ['127.0.0.1::80', '127.0.0.1::53/udp']")
			var units []string
			for i := range count {
				units = append(units, c.instance(t, fmt.Sprint(i)).unit())
			}
			must(t, "systemctl", append([]string{"start"}, units...)...)
			holders := map[string]string{}
			taken, err := os.ReadDir("/run/unitc/.networks/unitc0/.taken")
			if err != nil || len(taken) != count {
				t.Errorf("%d addresses are taken, %v", len(taken), err)
			}
			for i := range units {
				name := strings.TrimSuffix(units[i], ".service")
				v4, _ := addressOf(t, "unitc0", name)
				if holders[v4] != "" {
					t.Errorf("%s is %s's and %s's", v4, holders[v4], name)
				}
				holders[v4] = name
			}
			if links := strings.Count(must(t, "ip", "-br", "link", "show", "master", "unitc0"), "\n"); links != count {
				t.Errorf("unitc0 has %d ports", links)
			}
			if maps := must(t, "nft", "list", "map", "inet", "unitc", "hostports4"); strings.Count(maps, "127.0.0.1 . ") != 2*count {
				t.Errorf("not %d ports are published:\n%s", 2*count, maps)
			}
			must(t, "systemctl", append([]string{"stop"}, units...)...)
			// The network has a unit, that ends a moment later; nobody is in it.
			if left := must(t, "sh", "-c", "cd /run/unitc/.networks 2>/dev/null && ls -A . unitc0/*.json unitc0/.taken .ports 2>/dev/null; true"); strings.Contains(left, "many") || strings.Contains(left, "10.") {
				t.Errorf("claims are left:\n%s", left)
			}
		})
	})
}

// networkSteps are the steps within the helper's own that change the kernel's
// networks.
var networkSteps = []string{"make-network", "make-rules", "write-lease", "make-link", "configure-link", "publish-ports"}

// The helper killed at each of them: the next start works and nothing is left.
//
//lab:once
func TestHelperKilledAtEveryNetworkStep(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			// One after the other: each is to be the first on its network.
			c := scoped.defineTemplate(t, "crash-network@", endless+"\nports: [\"127.0.0.1::80\"]", "TimeoutStartSec=20")
			before, kills := networks(t), map[string]string{}
			for _, step := range networkSteps {
				kills[c.name+step] = step
				t.Run(step, func(t *testing.T) {
					await(t, "the network has gone", func() bool { return networks(t) == before })
					c.instance(t, step).surviveKillAt(step)
				})
			}
			expectKills(t, kills)
		})
	})
}

// A network's unit holds its bridge, with or without containers.
func TestNetworkUnit(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			cleanReload(t)
			place(t, "/etc/unitc/nethold.yaml", "services: {one: {rootfs: host, command: [sleep, inf], init: true, networks: [n]}}\nnetworks: {n: {driver_opts: {bridge: lab-bridge, mtu: 1400}}}\n")
			reload(t)
			unit := "unitc-network@nethold_n.service"
			t.Cleanup(func() { stop(t, unit, "nethold-one.service") })
			must(t, "systemctl", "start", unit)
			if out := must(t, "ip", "link", "show", "lab-bridge"); !strings.Contains(out, "mtu 1400") {
				t.Errorf("the bridge is %s", out)
			}
			if out := must(t, "unitc", "ps"); !strings.Contains(out, "unitc-network@nethold_n") {
				t.Errorf("unitc ps says\n%s", out)
			}
			must(t, "systemctl", "start", "nethold-one")
			must(t, "systemctl", "stop", "nethold-one")
			must(t, "ip", "link", "show", "lab-bridge")
			must(t, "unitc", "network", "rm", "nethold_n")
			if out, status := command(t, "ip", "link", "show", "lab-bridge"); status == 0 {
				t.Errorf("after unitc network rm there is %s", out)
			}
			if got := property(t, unit, "ActiveState"); got != "inactive" {
				t.Errorf("after unitc network rm its unit is %s", got)
			}
			for _, test := range [][]string{{"rm", "nethold_n", "no container is in it"}, {"inspect", "nethold_n", "systemctl start " + unit[:len(unit)-len(".service")]}, {"inspect", "nobody", "there is none"}, {"rm", "nobody", "there is none"}} {
				if out, status := command(t, "unitc", append([]string{"network"}, test[:2]...)...); status != 1 || !strings.Contains(out, test[2]) {
					t.Errorf("unitc network %s exits with %d and says %q", test[:2], status, out)
				}
			}
			var listed []struct {
				Name, Driver, Link string
				Containers         []struct{ Name string }
			}
			must(t, "systemctl", "start", "nethold-one")
			if out := must(t, "unitc", "ps", "-a"); strings.Contains(out, "unitc-network@") {
				t.Errorf("a network that is used, and whose unit is not, is called stopped:\n%s", out)
			}
			if err := json.Unmarshal([]byte(must(t, "unitc", "network", "ls", "--json")), &listed); err != nil || len(listed) != 1 || listed[0].Link != "lab-bridge" || len(listed[0].Containers) != 1 || listed[0].Containers[0].Name != "nethold-one" {
				t.Errorf("unitc network ls --json: %+v, %v", listed, err)
			}
		})
	})
}

// A container of a network that is not there, or whose file has a fault, says so at
// the place of its own key, or of the fault.
func TestStartWithoutItsNetwork(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			t.Cleanup(func() {
				command(t, "systemctl", "reset-failed", "netless")
				reload(t)
			})
			place(t, definitions+"netless.yaml", "rootfs: host\nnetworks: [gone]\ncommand: [sleep, inf]\n")
			refused := func(want string) {
				t.Helper()
				reload(t)
				if _, status := command(t, "systemctl", "start", "netless"); status == 0 {
					t.Error("it starts")
				}
				if out := must(t, "systemctl", "show", "-P", "StatusText", "netless"); !strings.Contains(out, want) {
					t.Errorf("it says %q, want %q", out, want)
				}
			}
			refused("/etc/unitc/netless.yaml:2:1: error: networks: no definition makes the network gone; install the definition that makes it, or write /etc/unitc/gone.network.yaml, in which `driver: bridge` is enough")
			place(t, definitions+"gone.network.yaml", "driver: bridge\nsubnet: 10.9.0.0/24\n")
			refused("/etc/unitc/gone.network.yaml:2:1: error: subnet: unknown key")
			place(t, definitions+"gone.network.yaml", "ipam: {config: [{subnet: 10.9.0.0}]}\n")
			refused("/etc/unitc/gone.network.yaml:1:")
		})
	})
}
