// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"strings"
	"testing"
)

// Sysctls of an interface are written when it is there, whoever runs the
// container; so are those of Docker's driver option.
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
			}
			late := scoped.define(t, "device-late", endless+"\nstop_grace_period: 0s\nnetwork_mode: none\nx-net-devices: [lab-dev]")
			if _, status := command(t, "systemctl", "start", late.unit()); status == 0 {
				t.Error("it starts without the device")
			}
			if text := late.show("StatusText"); !strings.Contains(text, "network device lab-dev") {
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

// On a macvlan a container is a machine of the wire, with a machine on its
// other end.
func TestMacvlan(t *testing.T) { onTheWire(t, "macvlan") }

func onTheWire(t *testing.T, driver string) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			place(t, "/etc/unitc/lanwire.network.yaml", "driver: "+driver+`
enable_ipv6: true
driver_opts: {parent: wire}
ipam: {config: [{subnet: 192.0.2.0/24, gateway: 192.0.2.2, ip_range: 192.0.2.128/25}, {subnet: "2001:db8::/64", gateway: "2001:db8::2"}]}
`)
			one := scoped.define(t, driver+"-one", server+"networks: {lanwire: {ipv4_address: 192.0.2.77, ipv6_address: '2001:db8::77'}}").start()
			two := scoped.define(t, driver+"-two", server+"networks: [lanwire]").start()
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
			for _, c := range []*container{one, two} {
				c.stop()
			}
		})
	})
}

// Where pasta is not installed a start says so.
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
