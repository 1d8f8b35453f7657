// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// others are tables as other programs make them. Their own chains accept: what
// another program forbids stays forbidden.
var others = map[string]string{
	"firewalld": `table inet firewalld {
		chain raw_PREROUTING { type filter hook prerouting priority raw + 10; policy accept; icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept; meta nfproto ipv6 fib saddr . mark . iif oif missing drop; }
		chain nat_PREROUTING { type nat hook prerouting priority dstnat + 10; policy accept; tcp dport 9999 dnat ip to 192.0.2.2:9; }
		chain nat_POSTROUTING { type nat hook postrouting priority srcnat + 10; policy accept; oifname != "lo" ip saddr 203.0.113.0/24 masquerade; }
		chain filter_INPUT { type filter hook input priority filter + 10; policy accept; ct state { established, related } accept; ct state invalid drop; iifname "lo" accept; }
		chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept; ct state { established, related } accept; ct status dnat accept; ct state invalid drop; }
	}`,
	"ufw": `table ip filter {
		chain ufw-user-input { }
		chain ufw-before-input { iifname "lo" counter accept; ct state related,established counter accept; ct state invalid counter drop; jump ufw-user-input; }
		chain INPUT { type filter hook input priority filter; policy accept; jump ufw-before-input; }
		chain ufw-before-forward { ct state related,established counter accept; }
		chain FORWARD { type filter hook forward priority filter; policy accept; jump ufw-before-forward; }
	}`,
	"docker": `table ip nat {
		chain DOCKER { iifname "docker0" counter return; iifname != "docker0" tcp dport 8888 counter dnat to 172.17.0.2:80; }
		chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local counter jump DOCKER; }
		chain OUTPUT { type nat hook output priority -100; policy accept; ip daddr != 127.0.0.0/8 fib daddr type local counter jump DOCKER; }
		chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; ip saddr 172.17.0.0/16 oifname != "docker0" counter masquerade; }
	}`,
	"podman": `table inet netavark {
		chain INPUT { type filter hook input priority filter; policy accept; ip saddr 10.88.0.0/16 meta l4proto { tcp, udp } th dport 53 accept; }
		chain FORWARD { type filter hook forward priority filter; policy accept; ct state invalid drop; ip daddr 10.88.0.0/16 ct state { established, related } accept; ip saddr 10.88.0.0/16 accept; }
		chain NETAVARK-HOSTPORT-SETMARK { meta mark set meta mark or 0x2000; }
		chain NETAVARK-HOSTPORT-DNAT { tcp dport 7777 dnat ip to 10.88.0.2:80; }
		chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local jump NETAVARK-HOSTPORT-DNAT; }
		chain OUTPUT { type nat hook output priority -100; policy accept; fib daddr type local jump NETAVARK-HOSTPORT-DNAT; }
		chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; meta mark & 0x2000 == 0x2000 masquerade; }
	}`,
}

// tableOf is the name of the table that a script makes.
func tableOf(script string) []string {
	name, _, _ := strings.Cut(script, "{")
	return strings.Fields(name)[1:]
}

// withoutCounts is a table without what packets change.
func withoutCounts(t *testing.T, table []string) string {
	t.Helper()
	return must(t, "nft", append([]string{"-s", "list", "table"}, table...)...)
}

// Beside the tables of other programs: ours changes none of theirs, none of
// theirs stands in the way of ours, and to flush theirs costs ours nothing.
//
//lab:once
func TestBesideOtherFirewalls(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			was := map[string]string{}
			for name, script := range others {
				nft := exec.Command("nft", "-f", "-")
				nft.Stdin = strings.NewReader(script)
				if out, err := nft.CombinedOutput(); err != nil {
					t.Fatalf("making the table of %s: %v\n%s", name, err, out)
				}
				table := tableOf(script)
				t.Cleanup(func() { command(t, "nft", append([]string{"delete", "table"}, table...)...) })
				was[name] = withoutCounts(t, table)
			}
			web := scoped.define(t, "beside-web", server+"ports: ['8070:80']").start()
			ways := func(when string) {
				t.Helper()
				for _, way := range [][]string{
					{"busybox", "nc", "-w", "5", "127.0.0.1", "8070"},
					{"ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "192.0.2.1", "8070"},
				} {
					asks(t, web.name, way...)
				}
				// The way out, with the host's address.
				if got := inside(t, web.unit(), "ping", "-c", "1", "-W", "20", "192.0.2.2"); !strings.Contains(got, " 0% packet loss") {
					t.Errorf("%s: no way out: %s", when, got)
				}
			}
			ways("beside them")
			for name, script := range others {
				if now := withoutCounts(t, tableOf(script)); now != was[name] {
					t.Errorf("the table of %s was\n%s\nand is\n%s", name, was[name], now)
				}
			}
			ours := withoutCounts(t, []string{"inet", "unitc"})
			for _, script := range others {
				must(t, "nft", append([]string{"flush", "table"}, tableOf(script)...)...)
			}
			ways("after a flush of theirs")
			for _, script := range others {
				must(t, "nft", append([]string{"delete", "table"}, tableOf(script)...)...)
			}
			if now := withoutCounts(t, []string{"inet", "unitc"}); now != ours {
				t.Errorf("our table was\n%s\nand is\n%s", ours, now)
			}
			// Who flushes everything takes ours too, until it is told, or the next start on
			// a network.
			must(t, "nft", "flush", "ruleset")
			if f := examine(t, 0, "unitc", "doctor", "--json")["network/rules"]; f.State != "warning" || f.Cure != "unitc network reload" {
				t.Errorf("without our table: %+v", f)
			}
			if got := must(t, "unitc", "network", "reload"); got != "unitc0\n" {
				t.Errorf("unitc network reload says %q", got)
			}
			found := examine(t, 0, "unitc", "doctor", "--json")
			if f := found["network/rules"]; f.State != "ok" {
				t.Errorf("after a reload: %+v", f)
			}
			if f := found["network/forwarding"]; !strings.Contains(f.What, "net.ipv4.ip_forward was 0") {
				t.Errorf("the host forwards: %+v", f)
			}
			ways("after a reload")
			must(t, "nft", "flush", "ruleset")
			next := scoped.define(t, "beside-next", server+"ports: ['8071:80']").start()
			ways("after the next start")
			asks(t, next.name, "busybox", "nc", "-w", "5", "127.0.0.1", "8071")
		})
	})
}

// A firewall that drops what others have not allowed stands in the way: a start
// says which chain it is and what to do, and what it says helps.
//
//lab:once
func TestStartNamesTheFirewallInItsWay(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			// As Docker and ufw leave them, with iptables-nft's names.
			script := `table ip filter {
				chain DOCKER-USER { }
				chain ufw-user-input { }
				chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; }
				chain INPUT { type filter hook input priority filter; policy drop; iifname "wire" accept; iifname "lo" accept; ct state established,related accept; jump ufw-user-input; }
			}`
			nft := exec.Command("nft", "-f", "-")
			nft.Stdin = strings.NewReader(script)
			if out, err := nft.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Cleanup(func() { must(t, "nft", "delete", "table", "ip", "filter") })
			web := scoped.define(t, "barred-web", server+"ports: ['8075:80']").start()
			for _, want := range []string{
				"ip filter FORWARD (Docker's) drops what is forwarded", "iptables -I DOCKER-USER -i unitc0 -j ACCEPT",
				"ip filter INPUT (ufw's) drops what containers ask the host", "ufw allow in on unitc0 to any port 53",
			} {
				await(t, "the journal says "+want, func() bool {
					return strings.Contains(must(t, "journalctl", "-o", "cat", "-u", web.unit()), want)
				})
			}
			outside := []string{"ip", "netns", "exec", "client", "busybox", "nc", "-w", "2", "192.0.2.1", "8075"}
			if out, _ := command(t, outside[0], outside[1:]...); strings.TrimSpace(out) == web.name {
				t.Error("the port answers behind a chain that drops")
			}
			// What iptables and ufw make of those commands.
			must(t, "nft", "insert rule ip filter DOCKER-USER iifname unitc0 counter accept; insert rule ip filter DOCKER-USER oifname unitc0 counter accept")
			must(t, "nft", "add rule ip filter ufw-user-input iifname unitc0 udp dport 53 counter accept; add rule ip filter ufw-user-input iifname unitc0 tcp dport 53 counter accept")
			asks(t, web.name, outside...)
			await(t, "names are found", func() bool {
				return !strings.HasPrefix(inside(t, web.name, "getent", "-s", "dns", "ahostsv4", web.name), "status")
			})
			web.stop()
			web.start()
			if f := examine(t, 0, "unitc", "doctor", "--json")["network/other firewalls"]; f.State != "ok" {
				t.Errorf("after the cure: %+v", f)
			}
		})
	})
}

// nftables.service loads a file that begins with a flush of everything, and
// flushes everything when it stops: what is unitc's is back when its job is done.
func TestNftablesService(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			was := file(t, "/etc/nftables.conf")
			t.Cleanup(func() {
				if err := os.WriteFile("/etc/nftables.conf", []byte(was), 0o755); err != nil {
					t.Error(err)
				}
			})
			place(t, "/etc/nftables.conf", "flush ruleset\ntable inet filter {\nchain input {\ntype filter hook input priority filter\n}\n}\n")
			t.Cleanup(func() { must(t, "systemctl", "stop", "nftables.service", "network-pre.target") })
			if got := must(t, "systemctl", "show", "nftables.service", "-p", "DropInPaths"); !strings.Contains(got, "nftables.service.d/unitc.conf") {
				t.Errorf("nftables.service has not our drop-in: %s", got)
			}
			web := scoped.define(t, "flushed-web", server+"ports: ['8076:80']").start()
			ours := withoutCounts(t, []string{"inet", "unitc"})
			follows := func(verb string, theirs bool) {
				t.Helper()
				// At once, not in a while.
				if now, _ := command(t, "nft", "-s", "list", "table", "inet", "unitc"); now != ours {
					t.Errorf("after a %s our table was\n%s\nand is\n%s", verb, ours, now)
				}
				asks(t, web.name, "ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "192.0.2.1", "8076")
				if out := must(t, "nft", "list", "tables"); strings.Contains(out, "table inet filter") != theirs {
					t.Errorf("after a %s the tables are %s", verb, out)
				}
			}
			for _, verb := range []string{"start", "reload", "restart", "stop"} {
				must(t, "systemctl", verb, "nftables.service")
				follows(verb, verb != "stop")
			}
			// A file with a fault changes nothing.
			place(t, "/etc/nftables.conf", "flush ruleset\nno words of nft\n")
			if _, status := command(t, "systemctl", "start", "nftables.service"); status == 0 {
				t.Error("a file with a fault is loaded")
			}
			must(t, "systemctl", "reset-failed", "nftables.service")
			follows("start that fails", false)
			web.stop()
		})
	})
}
