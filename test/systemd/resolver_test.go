// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// openSockets has systemd run a command before it opens the sockets of names,
// which no container has open.
func openSockets(t *testing.T, command string) {
	t.Helper()
	await(t, "the resolver's socket has gone with the containers before", func() bool {
		return property(t, "unitc-resolver.socket", "ActiveState") != "active"
	})
	cleanReload(t)
	dir := "/run/systemd/system/unitc-resolver.socket.d"
	t.Cleanup(func() { os.Remove(dir) })
	place(t, dir+"/test.conf", "[Socket]\nExecStartPre="+command+"\n")
}

// The unit of a container does not wait for the sockets of names, its payload
// does: the first thing that it does may be to ask.
func TestNamesAtTheFirstInstruction(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			hostServers(t, "nameserver 127.0.0.99\n")
			nameserver(t, "/proc/1/ns/net", "127.0.0.99:53", zone{"up.example.test": {"203.0.113.7"}})
			for _, p := range []placement{scoped, {"service", "direct"}} {
				t.Run(p.String(), func(t *testing.T) {
					openSockets(t, "/bin/sleep 1")
					c := p.define(t, "names-first", strings.Replace(named, "sleep, inf", "/mnt/resolve-glibc, up.example.test", 1)).start()
					awaitLine(t, c.unit(), "up.example.test: 203.0.113.7")
				})
			}
		})
	})
}

// Where they cannot be opened, for another program has the port, say, the
// container runs without names, and the journal has why.
func TestStartWithoutTheResolver(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			t.Cleanup(func() { must(t, "systemctl", "reset-failed", "unitc-resolver.socket") })
			openSockets(t, "/bin/false")
			c := scoped.define(t, "names-none", named).start()
			c.expect(c.unit(), "ActiveState=active")
			awaitLine(t, c.unit(), "nobody answers the container's questions for names: unitc-resolver.socket is failed; `systemctl status unitc-resolver.socket` says why")
		})
	})
}

// systemd opens the sockets of names behind the first container, whose start does
// not wait for that, and tells nobody of the unit by which it does.
func TestSocketsOfNamesComeBehind(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			const turn = "unitc-resolver-turn.service"
			openSockets(t, "-/bin/true")
			place(t, "/run/systemd/system/unitc-resolver.socket.d/test.conf", "")
			must(t, "systemctl", "daemon-reload")
			c := scoped.define(t, "names-behind", named).start()
			when := map[string]int{}
			for _, unit := range []string{c.unit(), "unitc-resolver.socket"} {
				when[unit], _ = strconv.Atoi(property(t, unit, "InactiveExitTimestampMonotonic"))
			}
			if own, sockets := when[c.unit()], when["unitc-resolver.socket"]; own == 0 || sockets <= own {
				t.Errorf("the container began at %d, the sockets were open at %d", own, sockets)
			}
			if out := must(t, "journalctl", "--quiet", "-u", turn); out != "" || property(t, turn, "ActiveState") != "inactive" {
				t.Errorf("%s is %s, and the journal has %q", turn, property(t, turn, "ActiveState"), out)
			}
		})
	})
}

// At shutdown containers have their names until the last of them has stopped: what
// the shutdown stops, or stops with that, are neither the resolver nor its socket.
func TestShutdownLeavesTheResolver(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			c := scoped.define(t, "names-last", named).start()
			must(t, "systemctl", "start", "unitc-resolver.service")
			with := map[string][]string{} // what a unit stops with
			for block := range strings.SplitSeq(must(t, "systemctl", "show", "*", "-p", "Id,Conflicts,Requires,Requisite,BindsTo,PartOf,StopPropagatedFrom"), "\n\n") {
				name, others := "", []string(nil)
				for line := range strings.Lines(block) {
					if key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key == "Id" {
						name = value
					} else {
						others = append(others, strings.Fields(value)...)
					}
				}
				with[name] = others
			}
			stops := map[string]bool{"shutdown.target": true, "umount.target": true}
			for more := true; more; {
				more = false
				for name, others := range with {
					if !stops[name] && slices.ContainsFunc(others, func(other string) bool { return stops[other] }) {
						stops[name], more = true, true
					}
				}
			}
			if !stops[c.unit()] {
				t.Errorf("a shutdown does not stop %s; it stops %v", c.unit(), slices.Sorted(maps.Keys(stops)))
			}
			for _, name := range []string{"unitc-resolver.socket", "unitc-resolver.service"} {
				if stops[name] || with[name] == nil {
					t.Errorf("a shutdown stops %s, which stops with %v", name, with[name])
				}
			}
			c.stop()
			for _, name := range []string{"unitc-resolver.socket", "unitc-resolver.service"} {
				await(t, name+" has gone with the last container", func() bool { return property(t, name, "ActiveState") == "inactive" })
			}
		})
	})
}
