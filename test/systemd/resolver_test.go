// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"maps"
	"os"
	"slices"
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

// The unit that takes a network away may end before its last container, as with
// unitc.slice: then the container does.
func TestNetworkWhoseUnitHasEnded(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			first, last := scoped.define(t, "orphan-first", named), scoped.define(t, "orphan-last", named)
			first.start()
			last.start()
			must(t, "systemctl", "stop", "unitc-network-use@unitc0.service")
			first.stop()
			must(t, "ip", "link", "show", "unitc0")
			last.stop()
			await(t, "the network is gone with its last container", func() bool {
				_, status := command(t, "ip", "link", "show", "unitc0")
				return status != 0
			})
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
