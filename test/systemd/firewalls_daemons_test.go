// SPDX-License-Identifier: Apache-2.0

//go:build lab && daemons

package systemd

import (
	"os/exec"
	"strings"
	"testing"
)

// firewall is a program of Debian's that drops what containers send until its
// administrator has said otherwise.
type firewall struct {
	name   string
	on     []string
	off    []string
	before bool     // published ports answer before anything was said
	warns  []string // what the first start says
	again  []string // commands that make its rules anew
}

func TestDaemonFirewalld(t *testing.T) {
	besideFirewall(t, firewall{
		name: "firewalld", before: true,
		on: []string{"systemctl start firewalld"},
		off: []string{
			"systemctl stop firewalld polkit network-pre.target", "rm -f /etc/firewalld/zones/trusted.xml /etc/firewalld/zones/trusted.xml.old",
		},
		warns: []string{
			"inet firewalld filter_INPUT (firewalld's) drops what containers ask the host: they find no names",
			"inet firewalld filter_FORWARD (firewalld's) drops what is forwarded: the way out of networks does not work",
		},
		again: []string{"firewall-cmd --reload", "systemctl restart firewalld"},
	})
}

func TestDaemonUfw(t *testing.T) {
	besideFirewall(t, firewall{
		name: "ufw",
		on:   []string{"ufw --force enable"},
		// It leaves its chains empty, and iptables its tables.
		off: []string{"ufw --force reset", "nft delete table ip filter", "nft delete table ip6 filter"},
		warns: []string{
			"ip filter INPUT (ufw's) drops what containers ask the host: they find no names",
			"ip filter FORWARD (ufw's) drops what is forwarded: published ports and the way out of networks do not work",
		},
		again: []string{"ufw reload"},
	})
}

// besideFirewall: the first start says what is in its way, what it says helps,
// and nothing that the firewall does then takes it away.
func besideFirewall(t *testing.T, f firewall) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			far := exec.Command("ip", "netns", "exec", "client", "busybox", "nc", "-ll", "-p", "82", "-e", "echo", "far")
			if err := far.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = far.Process.Kill(); _ = far.Wait() })
			t.Cleanup(func() { must(t, "sh", "-ec", strings.Join(f.off, "\n")) })
			must(t, "sh", "-ec", strings.Join(f.on, "\n"))
			web := scoped.define(t, "beside-"+f.name, server+"ports: ['8077:80']").start()
			for _, want := range f.warns {
				await(t, "the journal says "+want, func() bool {
					return strings.Contains(must(t, "journalctl", "-o", "cat", "-u", web.unit()), want)
				})
			}
			asks(t, web.name, "busybox", "nc", "-w", "5", "127.0.0.1", "8077") // it listens
			outside := []string{"ip", "netns", "exec", "client", "busybox", "nc", "-w", "2", "192.0.2.1", "8077"}
			if out, _ := command(t, outside[0], outside[1:]...); (strings.TrimSpace(out) == web.name) != f.before {
				t.Errorf("before a word was said to %s the port says %q", f.name, out)
			}
			if got := inside(t, web.unit(), "busybox", "nc", "-w", "2", "192.0.2.2", "82"); got == "far" {
				t.Error("there is a way out before a word was said")
			}
			found := examine(t, 0, "unitc", "doctor", "--json")["network/other firewalls"]
			if found.State != "warning" || found.Cure == "" {
				t.Fatalf("doctor says %+v", found)
			}
			must(t, "sh", "-ec", found.Cure)
			ways := func(after string) {
				t.Helper()
				asks(t, web.name, outside...)
				asks(t, web.name, "busybox", "nc", "-w", "5", "127.0.0.1", "8077")
				for what, c := range map[string]struct {
					want string
					ask  []string
				}{
					"the way out": {"far", []string{"busybox", "nc", "-w", "5", "192.0.2.2", "82"}},
					"its name":    {web.name, []string{"sh", "-c", "getent -s dns ahostsv4 " + web.name + " | sed -n '1s/.* //p'"}},
				} {
					await(t, after+": "+what+" works", func() bool { return inside(t, web.unit(), c.ask...) == c.want })
				}
			}
			ways(found.Cure)
			for _, again := range f.again {
				must(t, "sh", "-ec", again)
				ways(again)
			}
			web.stop()
			web.start()
			ways("a start")
			if found := examine(t, 0, "unitc", "doctor", "--json")["network/other firewalls"]; found.State != "ok" {
				t.Errorf("after the cure: %+v", found)
			}
		})
	})
}
