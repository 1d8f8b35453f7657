// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// Sysctls of an interface are written when it is there, whoever runs the
// container; so are those of Docker's driver option.
//
//lab:once
func TestSysctlsOfAnInterface(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			for _, keys := range []string{"", "runtime: crun"} {
				t.Run(keys, func(t *testing.T) {
					text := endless + `
stop_grace_period: 0s
sysctls: {net.ipv4.conf.eth0.arp_ignore: 2, net.ipv4.neigh.eth0.gc_stale_time: 77, net.ipv4.conf.lan1.log_martians: 1, net.core.somaxconn: 99}
networks:
  sysfirst: {priority: 2, driver_opts: {mtu: 1300, com.docker.network.endpoint.sysctls: "net.ipv4.conf.IFNAME.arp_notify=1"}}
  syssecond: {interface_name: lan1}
` + keys
					place(t, "/etc/unitc/sysfirst.network.yaml", "{}\n")
					place(t, "/etc/unitc/syssecond.network.yaml", "{}\n")
					c := scoped.define(t, "interface-sysctls", text).start()
					got := inside(t, c.name, "sysctl", "-n", "net.ipv4.conf.eth0.arp_ignore", "net.ipv4.neigh.eth0.gc_stale_time",
						"net.ipv4.conf.lan1.log_martians", "net.core.somaxconn", "net.ipv4.conf.eth0.arp_notify", "net.ipv4.conf.lan1.arp_notify")
					if got != "2\n77\n1\n99\n1\n0" {
						t.Errorf("the sysctls are %q", got)
					}
					if got := inside(t, c.name, "ip", "-o", "link", "show", "eth0"); !strings.Contains(got, "mtu 1300") {
						t.Errorf("the interface is %s", got)
					}
					c.stop()
				})
			}
			c := scoped.define(t, "no-such-interface", endless+"\nsysctls: {net.ipv4.conf.eth7.arp_ignore: 1}")
			if _, status := command(t, "systemctl", "start", c.unit()); status == 0 {
				t.Error("a sysctl of no interface is ignored")
			}
			if text := c.show("StatusText"); !strings.Contains(text, "sysctls.net.ipv4.conf.eth7.arp_ignore") {
				t.Errorf("the status is %q", text)
			}
		})
	})
}

// A device of the host's is the container's for as long as it runs, beside its
// interfaces on networks or alone; a start waits for one that is about to come.
//
//lab:once
func TestNetDevices(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			t.Cleanup(dropPair)
			for name, keys := range map[string]string{"device-net": "ports: ['127.0.0.1::80']", "device-alone": "network_mode: none", "device-own": "userns_mode: host"} {
				if err := devicePair(); err != nil {
					t.Fatal(err)
				}
				c := scoped.define(t, name, endless+"\nstop_grace_period: 0s\nx-net-devices: {lab-dev: lan0}\nsysctls: {net.ipv4.conf.lan0.arp_ignore: 2}\n"+keys).start()
				if got := inside(t, c.name, "ip", "-o", "address", "show", "dev", "lan0"); !strings.Contains(got, "192.0.2.77/24") || !strings.Contains(got, "2001:db8:77::7/64") {
					t.Errorf("%s: the device inside has %q", name, got)
				}
				if got := inside(t, c.name, "sysctl", "-n", "net.ipv4.conf.lan0.arp_ignore"); got != "2" {
					t.Errorf("%s: its sysctl is %q", name, got)
				}
				if onHost("lab-dev") {
					t.Errorf("%s: the host has it still", name)
				}
				if got := inside(t, c.name, "ip", "-o", "link", "show", "eth0"); strings.Contains(got, "status") != (name == "device-alone") {
					t.Errorf("%s: the interface on its network is %q", name, got)
				}
				c.stop()
				await(t, "the pair ends with the network namespace", func() bool { return !onHost("lab-peer") })
				// Virtual links that come while there is one keep forwarding on.
				await(t, "there is no network", func() bool { _, err := os.Stat("/run/unitc/.networks"); return err != nil })
			}
			late := scoped.define(t, "device-late", endless+"\nstop_grace_period: 0s\nnetwork_mode: none\nx-net-devices: [lab-dev]")
			if _, status := command(t, "systemctl", "start", late.unit()); status == 0 {
				t.Error("it starts without the device")
			}
			if text := late.show("StatusText"); strings.Contains(text, ".yaml:1:1:") || !strings.Contains(text, ":1: error: move-network-devices: network device lab-dev: no such device; the host has no interface of that name") {
				t.Errorf("without the device it says %q", text)
			}
			must(t, "systemctl", "start", "--no-block", late.unit())
			await(t, "the container waits for its device", func() bool { return late.show("StatusText") == "setting up the container" })
			if err := devicePair(); err != nil {
				t.Fatal(err)
			}
			await(t, "it runs", func() bool { return late.show("ActiveState") == "active" })
			late.stop()
			await(t, "the pair ends with the network namespace", func() bool { return !onHost("lab-peer") })
		})
	})
}

// A network and the places on it are as their definitions say.
//
//lab:once
func TestNetworkAsWritten(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			place(t, "/etc/unitc/aswritten.network.yaml", `driver_opts: {bridge: aswritten0, mtu: 1400}
ipam:
  config:
    - {subnet: 198.51.100.0/24, gateway: 198.51.100.254, ip_range: 198.51.100.128/29, aux_addresses: {printer: 198.51.100.130}}
    - {subnet: "2001:db8:5::/64", gateway: "2001:db8:5::fe"}
`)
			place(t, "/etc/unitc/aswayout.network.yaml", "{}\n")
			c := scoped.define(t, "as-written", server+`ports: ["8074:80"]
networks:
  aswritten: {ipv4_address: 198.51.100.7, ipv6_address: "2001:db8:5::7", mac_address: "02:42:ac:11:65:43", interface_name: lan0, link_local_ips: [169.254.1.7]}
  aswayout: {gw_priority: 1}
`).start()
			for command, wants := range map[string][]string{
				"ip -o address show dev lan0":    {"198.51.100.7/24", "2001:db8:5::7/64", "169.254.1.7/16"},
				"ip -o link show dev lan0":       {"02:42:ac:11:65:43", "mtu 1400"},
				"ip route show default":          {"dev eth1"},
				"ip -6 route show default":       {"via 2001:db8:5::fe dev lan0"},
				"ip -o link show dev eth1":       {"mtu 1500"},
				"ip -o -4 address show dev eth1": {"10."},
			} {
				got := inside(t, c.name, strings.Fields(command)...)
				for _, want := range wants {
					if !strings.Contains(got, want) {
						t.Errorf("%s says %q, without %s", command, got, want)
					}
				}
			}
			if got := must(t, "ip", "-o", "address", "show", "dev", "aswritten0"); !strings.Contains(got, "198.51.100.254/24") || !strings.Contains(got, "2001:db8:5::fe/64") {
				t.Errorf("the bridge has %s", got)
			}
			// Six of the range's eight addresses can be had: .128 begins it and is one, .130 is
			// somebody's.
			for i := range 3 {
				d := scoped.define(t, fmt.Sprint("as-chosen-", i), endless+"\nstop_grace_period: 0s\nnetworks: [aswritten]").start()
				v4, _ := addressOf(t, "aswritten", d.name)
				if a := netip.MustParseAddr(v4); !netip.MustParsePrefix("198.51.100.128/29").Contains(a) || v4 == "198.51.100.130" {
					t.Errorf("%s has %s", d.name, v4)
				}
			}
			for address, want := range map[string]string{"198.51.100.7": "as-written", "198.51.100.254": "198.51.100.0/24", "203.0.113.7": "198.51.100.0/24"} {
				t.Run(address, func(t *testing.T) {
					d := scoped.define(t, "as-refused", endless+"\nnetworks: {aswritten: {ipv4_address: "+address+"}}")
					_, status := command(t, "systemctl", "start", d.unit())
					if text := d.show("StatusText"); status == 0 || !strings.Contains(text, "ipv4_address") || !strings.Contains(text, want) {
						t.Errorf("a second one at %s exits with %d and says %q", address, status, text)
					}
				})
			}
			var listed []struct {
				Name       string
				Subnets    []struct{ Subnet, Gateway string }
				Containers []struct{ Name, IPv4, MAC string }
				Sysctls    map[string]string
			}
			if err := json.Unmarshal([]byte(must(t, "unitc", "network", "inspect", "aswritten")), &listed); err != nil || len(listed) != 1 || len(listed[0].Containers) != 4 || len(listed[0].Subnets) != 2 {
				t.Errorf("unitc network inspect: %+v, %v", listed, err)
			}
			var ports []struct {
				Protocol, Host string
				Port, Target   int
			}
			if err := json.Unmarshal([]byte(must(t, "unitc", "port", "--json", c.name)), &ports); err != nil || len(ports) != 2 || ports[0].Port != 8074 || ports[0].Target != 80 {
				t.Errorf("unitc port --json: %+v, %v", ports, err)
			}
			if out, status := command(t, "unitc", "port", c.name, "81"); status == 0 || !strings.Contains(out, "nothing leads to port 81/tcp") {
				t.Errorf("unitc port of another port exits with %d: %s", status, out)
			}
			// What a container has left whose clean-up never ran.
			const left = "/run/unitc/.networks/aswritten/"
			place(t, left+"ghost.json", `{"name":"ghost","network":"aswritten","ipv4":"198.51.100.99","interface":"eth0","link":"uv-ghost"}`)
			place(t, left+".taken/198.51.100.99", "-> ghost")
			if got := must(t, "unitc", "network", "prune"); got != "198.51.100.99 of ghost\n" {
				t.Errorf("unitc network prune says %q", got)
			}
			for _, file := range []string{left + "ghost.json", left + ".taken/198.51.100.99"} {
				if _, err := os.Lstat(file); err == nil {
					t.Errorf("%s is left", file)
				}
			}
		})
	})
}

// Without a network there is the loopback alone; with the host's there is all.
//
//lab:once
func TestNoNetworkAndTheHosts(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			for mode, want := range map[string]bool{"none": false, "host": true} {
				c := scoped.define(t, "mode-"+mode, endless+"\nstop_grace_period: 0s\nnetwork_mode: "+mode).start()
				got := inside(t, c.name, "ip", "-o", "-br", "link")
				if strings.Contains(got, "wire") != want || !want && strings.Count(got, "\n") != 0 || !strings.Contains(got, "lo ") {
					t.Errorf("with network_mode: %s there are\n%s", mode, got)
				}
				if got := inside(t, c.name, "ping", "-c", "1", "-W", "20", "127.0.0.1"); !strings.Contains(got, " 0% packet loss") {
					t.Errorf("with network_mode: %s the loopback says %s", mode, got)
				}
				c.stop()
			}
		})
	})
}

// On a macvlan a container is a machine of the wire, with a machine on its
// other end.
//
//lab:once
func TestMacvlan(t *testing.T) {
	const driver = "macvlan"
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			place(t, "/etc/unitc/lanwire.network.yaml", "driver: "+driver+`
enable_ipv6: true
driver_opts: {parent: wire}
ipam: {config: [{subnet: 192.0.2.0/24, gateway: 192.0.2.2, ip_range: 192.0.2.128/25}, {subnet: "2001:db8::/64", gateway: "2001:db8::2"}]}
`)
			one := scoped.define(t, driver+"-one", server+"networks: {lanwire: {ipv4_address: 192.0.2.77, ipv6_address: '2001:db8::77'}}").start()
			two := scoped.define(t, driver+"-two", server+"networks: [lanwire]\nextra_hosts: {gate: host-gateway}").start()
			asks(t, one.name, "ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "192.0.2.77", "80")
			asks(t, one.name, "ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "2001:db8::77", "80")
			if got := inside(t, two.name, "busybox", "nc", "-w", "5", "192.0.2.77", "80"); got != one.name {
				t.Errorf("a neighbour says %q", got)
			}
			if got := inside(t, two.name, "ping", "-c", "1", "-W", "20", "192.0.2.2"); !strings.Contains(got, " 0% packet loss") {
				t.Errorf("the machine on the wire: %s", got)
			}
			if got := inside(t, two.name, "ip", "route"); !strings.Contains(got, "default via 192.0.2.2 dev eth0") {
				t.Errorf("the routes are %s", got)
			}
			// In private mode a container speaks with the wire, and with no other container.
			place(t, "/etc/unitc/lanalone.network.yaml", "driver: macvlan\ndriver_opts: {parent: wire, mode: private}\nipam: {config: [{subnet: 192.0.2.0/24, gateway: 192.0.2.2}]}\n")
			alone := scoped.define(t, "macvlan-alone", server+"networks: {lanalone: {ipv4_address: 192.0.2.99}}").start()
			asks(t, alone.name, "ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "192.0.2.99", "80")
			if got := inside(t, alone.name, "busybox", "nc", "-w", "2", "192.0.2.77", "80"); !strings.HasPrefix(got, "status") {
				t.Errorf("in private mode a neighbour says %q", got)
			}
			alone.stop()
			// Its gateway is another machine: the host is nobody that it could be told of.
			awaitLine(t, two.unit(), "extra_hosts: none of the container's networks leads to the host, so it does not know gate; join a bridge that is not internal")
			if got := inside(t, two.name, "cat", "/etc/hosts"); strings.Contains(got, "gate") {
				t.Errorf("/etc/hosts is %s", got)
			}
			for _, c := range []*container{one, two} {
				c.stop()
			}
		})
	})
}

// Where pasta is not installed a start says so.
//
//lab:once
func TestPastaIsMissing(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			c := scoped.define(t, "no-pasta", endless+"\nnetwork_mode: pasta")
			if _, status := command(t, "systemctl", "start", c.unit()); status == 0 {
				t.Error("it starts")
			}
			if text := c.show("StatusText"); !strings.Contains(text, "pasta is not installed") || !strings.Contains(text, "passt") {
				t.Errorf("the status is %q", text)
			}
		})
	})
}
