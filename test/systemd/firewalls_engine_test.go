// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// forgetEngines takes away what both leave on the host's network.
const forgetEngines = `docker rm -f peer; podman rm -fa; podman system reset -f; ip link del podman0
nft list tables | grep -v 'inet unitc$' | while read table; do nft delete $table; done`

// Docker and Podman themselves, each with a bridge and a published port of its own, beside a
// container of unitc's: all are reached, whoever comes, is made anew, or goes.
func TestEngineFirewalls(t *testing.T) {
	// Docker sets its chain to drop only where it makes a router of the host itself, which
	// an engine of a test before may have done.
	must(t, "sysctl", "-q", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
	// Neither may its containers, which end behind their test.
	command(t, "sh", "-c", forgetEngines)
	await(t, "systemd has seen the end of their mounts", func() bool {
		return must(t, "systemctl", "list-units", "--plain", "--no-legend", "var-lib-containers-*.mount") == ""
	})
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			root := engineRoot(t)
			web := scoped.define(t, "beside-engines", server+"ports: ['18800:80']")
			// Docker's chain drops what it does not know where Docker has made a router of the host.
			daemon := background(t, "/usr/sbin/dockerd", "--log-level", "warn")
			t.Cleanup(func() {
				command(t, "sh", "-c", forgetEngines)
				daemon()
				command(t, "sh", "-c", "ip link del docker0; rm -rf /var/lib/docker /run/docker /etc/docker; sysctl -q net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0")
				command(t, "sh", "-c", forgetEngines)
			})
			await(t, "docker answers", func() bool { return exec.Command("docker", "info").Run() == nil })
			must(t, "sh", "-c", "tar -C "+root+" -c . | docker import - localhost/box:1")
			must(t, "docker", "run", "-d", "--name", "peer", "-p", "18801:80", "localhost/box:1", "busybox", "nc", "-ll", "-p", "80", "-e", "echo", "docker")
			must(t, "podman", "run", "-d", "--name", "peer", "--cgroups", "disabled", "-p", "18802:80", "--rootfs", root, "busybox", "nc", "-ll", "-p", "80", "-e", "echo", "podman")
			answer := func(wants map[int]string) {
				t.Helper()
				for port, want := range wants {
					for _, from := range [][]string{{"ip", "netns", "exec", "client"}, nil} {
						asks(t, want, append(from, "busybox", "nc", "-w", "5", "192.0.2.1", fmt.Sprint(port))...)
					}
				}
			}
			theirs := map[int]string{18801: "docker", 18802: "podman"}
			all := map[int]string{18800: web.name, 18801: "docker", 18802: "podman"}
			web.start()
			found := examine(t, 0, "unitc", "doctor", "--json")["network/other firewalls"]
			if found.State != "warning" || !strings.Contains(found.What, "(Docker's)") {
				t.Fatalf("doctor says %+v", found)
			}
			must(t, "sh", "-ec", found.Cure)
			// Podman's needs the same of Docker, with or without unitc.
			must(t, "sh", "-ec", strings.ReplaceAll(found.Cure, "unitc0", "podman0"))
			answer(all)
			if found = examine(t, 0, "unitc", "doctor", "--json")["network/other firewalls"]; found.State != "ok" {
				t.Errorf("after the cure doctor says %+v", found)
			}
			for port, want := range map[int]string{18801: "docker-proxy", 18802: "conmon"} {
				t.Run(want, func(t *testing.T) {
					c := scoped.define(t, "taken-by-engines", server+fmt.Sprintf("ports: ['%d:80']", port))
					if _, status := command(t, "systemctl", "start", c.unit()); status == 0 || !strings.Contains(c.show("StatusText"), want) {
						t.Errorf("a port of theirs: %d, %q, want %s", status, c.show("StatusText"), want)
					}
				})
			}
			must(t, "podman", "network", "reload", "--all")
			answer(all)
			web.stop()
			answer(theirs)
			web.start()
			answer(all)
			must(t, "docker", "rm", "-f", "peer")
			must(t, "podman", "rm", "-f", "peer")
			answer(map[int]string{18800: web.name})
			web.stop()
		})
	})
}

// What unitc has made a router of stays one for engines that came meanwhile.
func TestEngineForwarding(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			root := engineRoot(t)
			web := scoped.define(t, "before-engines", server+"ports: ['18800:80']").start()
			t.Cleanup(func() {
				command(t, "sh", "-c", forgetEngines+"\nsysctl -q net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0")
			})
			must(t, "podman", "run", "-d", "--name", "peer", "--cgroups", "disabled", "-p", "18802:80", "--rootfs", root, "busybox", "nc", "-ll", "-p", "80", "-e", "echo", "podman")
			outside := []string{"ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "192.0.2.1"}
			asks(t, "podman", append(outside, "18802")...)
			asks(t, web.name, append(outside, "18800")...)
			web.stop()
			await(t, "unitc's networks have gone", isSettled)
			asks(t, "podman", append(outside, "18802")...)
		})
	})
}
