// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
)

// Networks whose definitions say more than most.
//
//lab:once
func TestNetworkEdges(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			cleanReload(t)
			none := must(t, "sysctl", "-n", "net.ipv6.conf.default.disable_ipv6")
			must(t, "sysctl", "-q", "net.ipv6.conf.default.disable_ipv6=1") // as on a host without IPv6 of its own
			t.Cleanup(func() { must(t, "sysctl", "-q", "net.ipv6.conf.default.disable_ipv6="+strings.TrimSpace(none)) })
			text := "services:\n"
			for _, s := range []struct{ name, more string }{
				{"first", "networks: {ranges: {link_local_ips: ['fe80::7', 169.254.1.7]}}\nhostname: first"},
				{"second", "networks: {ranges: {ipv4_address: 203.0.113.9}}\nhostname: second\ncap_add: [NET_RAW]"},
				{"third", "networks: {ranges: {}}\nhostname: third"},
				{"fixed", "networks: {few: {ipv4_address: 192.0.2.130}}\nhostname: fixed"},
				{"before", "networks: [few]\nhostname: before"},
				{"both", "networks: {inner: {interface_name: eth1}, six: {}}\nextra_hosts: {gate: host-gateway}\nhostname: both"},
			} {
				text += "  " + s.name + ":\n" + indent(server+s.more)
			}
			place(t, "/etc/unitc/edges.yaml", text+`networks:
  ranges:
    driver_opts: {com.docker.network.driver.mtu: 9000, com.docker.network.bridge.enable_icc: "true"}
    ipam: {config: [{subnet: 198.51.100.0/29, ip_range: 198.51.100.4/32}, {subnet: 203.0.113.0/24}]}
  few: {ipam: {config: [{subnet: 192.0.2.128/29, ip_range: 192.0.2.130/31}]}}
  inner: {internal: true}
  six: {enable_ipv6: true}
`)
			reload(t)
			t.Cleanup(func() { stop(t, "edges.target", "edges-*.service") })
			for _, name := range []string{"first", "second", "third", "before", "fixed", "both"} {
				must(t, "systemctl", "start", "edges-"+name)
			}
			// Of several ranges the first that has room; each with its own gateway.
			for unit, wants := range map[string][2]string{"first": {"198.51.100.4/29", "198.51.100.1"}, "second": {"203.0.113.9/24", "203.0.113.1"}, "third": {"203.0.113.", "203.0.113.1"}} {
				if got := inside(t, "edges-"+unit, "ip", "-4", "-o", "address", "show", "dev", "eth0"); !strings.Contains(got, " "+wants[0]) {
					t.Errorf("%s has %s, want %s", unit, got, wants[0])
				}
				if got := inside(t, "edges-"+unit, "ip", "route", "show", "default"); !strings.Contains(got, "via "+wants[1]+" ") {
					t.Errorf("%s leaves by %q, want %s", unit, got, wants[1])
				}
			}
			// Who comes first is not given what another one has for himself.
			if got, _ := addressOf(t, "edges_few", "edges-before"); got != "192.0.2.131" {
				t.Errorf("before has %s", got)
			}
			asks(t, "first", "nsenter", "-t", property(t, "edges-second", "MainPID"), "-m", "-n", "busybox", "nc", "-w", "5", "first", "80")
			if got := inside(t, "edges-first", "ip", "-o", "address", "show", "dev", "eth0"); !strings.Contains(got, "fe80::7/64") || !strings.Contains(got, "169.254.1.7/16") {
				t.Errorf("the link-local addresses are %s", got)
			}
			// What fills a jumbo frame passes whole.
			if got := inside(t, "edges-second", "ping", "-M", "do", "-s", "8972", "-c", "1", "-W", "20", "203.0.113.1"); !strings.Contains(got, " 0% packet loss") {
				t.Errorf("a jumbo frame: %s", got)
			}
			// A name that was written is not given twice; the host answers at the one that leads out.
			if got := inside(t, "edges-both", "ls", "/sys/class/net"); got != "eth0\neth1\nlo" && got != "eth1\neth0\nlo" {
				t.Errorf("the interfaces are %q", got)
			}
			if got, want := inside(t, "edges-both", "getent", "hosts", "gate"), inside(t, "edges-both", "sh", "-c", "ip route show default | cut -d' ' -f3"); !strings.HasPrefix(got, want+" ") {
				t.Errorf("the host is %q, the gateway %s", got, want)
			}
			if got := inside(t, "edges-both", "ip", "-6", "-o", "address", "show", "scope", "global"); !strings.Contains(got, " fd") {
				t.Errorf("without IPv6 by default it has %q", got)
			}
		})
	})
}

// What no network can be made of is said by a check, and not by a start alone.
//
//lab:once
func TestNetworkThatCannotBe(t *testing.T) {
	cleanReload(t)
	const path = "/etc/unitc/cannot.network.yaml"
	for text, want := range map[string]string{
		"driver: overlay\n":             ":1:9: error: driver: unitc has no driver overlay; write bridge, macvlan or ipvlan",
		"driver_opts: {parent: eth0}\n": ":1:23: error: driver_opts.parent: the driver bridge has no option parent",
		"driver_opts: {com.docker.network.bridge.enable_icc: 'false'}\n":                                           "give each of them a network of its own",
		"driver_opts: {com.docker.network.bridge.host_binding_ipv4: 127.0.0.1}\n":                                  "write the address at each port",
		"driver: macvlan\ninternal: true\ndriver_opts: {parent: eth0}\nipam: {config: [{subnet: 192.0.2.0/24}]}\n": ":2:11: error: internal: the way out of a macvlan is the wire of its parent",
		"enable_ipv4: false\n": ":1:14: error: enable_ipv4: a network without IPv4 and IPv6",
		"enable_ipv4: false\nipam: {config: [{subnet: 192.0.2.0/24}]}\n":       "192.0.2.0/24 is a range of IPv4, and enable_ipv4: is false",
		"ipam: {config: [{subnet: 192.0.2.0/24, gateway: 192.0.3.1}]}\n":       "ipam.config[0].gateway: the gateway 192.0.3.1 is not in 192.0.2.0/24",
		"ipam: {config: [{subnet: 192.0.2.0/24}, {subnet: 192.0.2.128/25}]}\n": "192.0.2.128/25 overlaps 192.0.2.0/24",
	} {
		place(t, path, text)
		out, status := command(t, "unitc", "check", path)
		if status == 0 || !strings.Contains(out, want) {
			t.Errorf("%q: the check ends with %d and says\n%s", text, status, out)
		}
	}
	os.Remove(path)
}
