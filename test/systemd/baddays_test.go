// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"strings"
	"testing"
)

// Where somebody removes what says what was launched, the container goes on, is
// stopped and started, and what needs the record says who has it anew.
//
//lab:once
func TestRecordRemovedByHand(t *testing.T) {
	defineFor(t, "verb-lost", sleeper)
	leavesNothing(t, func() {
		must(t, "systemctl", "start", "verb-lost")
		must(t, "rm", "-rf", "/run/unitc/verb-lost")
		for _, verb := range [][]string{{"exec", "verb-lost", "true"}, {"diff", "verb-lost"}, {"apply", "verb-lost"}, {"cp", "verb-lost:/etc/passwd", "-"}} {
			out, status := command(t, "unitc", verb...)
			if verb[0] == "cp" { // it needs no record
				if status != 0 {
					t.Errorf("unitc %s: %d, %s", verb, status, out)
				}
				continue
			}
			if status == 0 || !strings.Contains(out, "/run/unitc/verb-lost, which says what was launched, has been removed; systemctl restart verb-lost makes it anew") {
				t.Errorf("unitc %s: %d, %s", verb, status, out)
			}
		}
		must(t, "systemctl", "restart", "verb-lost")
		must(t, "unitc", "exec", "verb-lost", "true")
		must(t, "rm", "-rf", "/run/unitc/verb-lost")
		must(t, "systemctl", "stop", "verb-lost")
	})
}

// An interface of the host that goes, or gets another name, under those who have
// theirs on it: doctor tells, a start names the key, and all is well when it is back.
//
//lab:once
func TestInterfaceThatGoes(t *testing.T) {
	wire := func() { must(t, "ip", "link", "add", "badwire", "type", "veth", "peer", "name", "badpeer") }
	wire()
	t.Cleanup(func() { command(t, "ip", "link", "del", "badpeer") })
	place(t, "/etc/unitc/verb-wire.network.yaml", "driver: macvlan\ndriver_opts: {parent: badwire}\nipam: {config: [{subnet: 192.0.2.0/24}]}\n")
	defineFor(t, "verb-wired", sleeper+"networks: [verb-wire]\n")
	leavesNothing(t, func() {
		must(t, "systemctl", "start", "verb-wired")
		if f := examine(t, 0, "unitc", "doctor", "--json")["network/interfaces"]; f.State != "ok" {
			t.Errorf("before it goes: %+v", f)
		}
		must(t, "ip", "link", "set", "badwire", "name", "otherwire")
		if f := examine(t, 0, "unitc", "doctor", "--json")["network/interfaces"]; f.State != "warning" || !strings.Contains(f.What, "badwire") || !strings.Contains(f.What, "restart of verb-wired would fail") {
			t.Errorf("with another name: %+v", f)
		}
		must(t, "ip", "link", "del", "otherwire")
		if out, status := command(t, "systemctl", "restart", "verb-wired"); status == 0 {
			t.Errorf("it starts: %s", out)
		}
		if got := property(t, "verb-wired", "StatusText"); !strings.Contains(got, "driver_opts.parent: badwire: Link not found; name an interface of this host") {
			t.Errorf("the start says %s", got)
		}
		wire()
		must(t, "systemctl", "start", "verb-wired")
		must(t, "systemctl", "stop", "verb-wired")
		must(t, "ip", "link", "del", "badwire")
	})
}

// With all records removed under running containers they are stopped and started as
// if nothing had been, with their published ports.
//
//lab:once
func TestAllRecordsRemovedByHand(t *testing.T) {
	service := "    " + strings.ReplaceAll(strings.TrimSuffix(sleeper, "\n"), "\n", "\n    ") + "\n"
	defineFor(t, "verb-all", "services:\n  a:\n"+service+"    ports: ['127.0.0.1:18099:80']\n  b:\n"+service, "verb-all.target", "verb-all-a.service", "verb-all-b.service")
	must(t, "systemctl", "start", "verb-all.target")
	must(t, "rm", "-rf", "/run/unitc")
	must(t, "systemctl", "stop", "verb-all.target")
	for range 2 {
		must(t, "systemctl", "start", "verb-all-a", "verb-all-b")
		must(t, "unitc", "exec", "verb-all-a", "getent", "hosts", "b")
		must(t, "systemctl", "stop", "verb-all.target")
	}
	// The network's own unit ends after those who needed it.
	await(t, "nothing is left of the network", func() bool {
		out, _ := command(t, "sh", "-c", "ip -o link show type bridge; nft list tables")
		return !strings.Contains(out, "ub-") && !strings.Contains(out, "unitc")
	})
	// What it was is not known any more.
	must(t, "sysctl", "-qw", "net.ipv4.ip_forward=0")
}
