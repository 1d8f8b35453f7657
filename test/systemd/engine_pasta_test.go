// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"strings"
	"testing"
)

// With pasta a container has the host's addresses, its published ports answer,
// and the process ends with it, wherever the cgroup is.
func TestEnginePasta(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			for _, line := range []string{"ip route add default via 192.0.2.2", "ip -6 route add default via 2001:db8::2"} {
				f := strings.Fields(line)
				must(t, f[0], f[1:]...)
			}
			must(t, "systemd-run", "--unit=lab-outside", "ip", "netns", "exec", "client", "busybox", "nc", "-ll", "-p", "70", "-e", "echo", "outside")
			t.Cleanup(func() { command(t, "systemctl", "stop", "lab-outside") })
			for _, p := range []placement{scoped, {"service", "journald"}} {
				t.Run(p.String(), func(t *testing.T) {
					c := p.define(t, "pasta", server+`network_mode: pasta
hostname: tub
ports: ["18500:80", "127.0.0.1:18501:80"]
sysctls: {net.ipv4.conf.eth0.arp_ignore: 2}
`).start()
					for _, to := range []string{"127.0.0.1 18500", "127.0.0.1 18501", "::1 18500", "192.0.2.1 18500"} {
						f := strings.Fields(to)
						asks(t, "tub", "busybox", "nc", "-w", "5", f[0], f[1])
					}
					asks(t, "tub", "ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "192.0.2.1", "18500")
					asks(t, "tub", "ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "2001:db8::1", "18500")
					if out, status := command(t, "ip", "netns", "exec", "client", "busybox", "nc", "-w", "1", "192.0.2.1", "18501"); status == 0 {
						t.Errorf("the loopback's port answers %q outside", out)
					}
					if got := inside(t, c.name, "busybox", "nc", "-w", "5", "192.0.2.2", "70"); got != "outside" {
						t.Errorf("from inside the machine outside says %q", got)
					}
					if got := inside(t, c.name, "sysctl", "-n", "net.ipv4.conf.eth0.arp_ignore"); got != "2" {
						t.Errorf("the sysctl is %s", got)
					}
					if got := inside(t, c.name, "cat", "/etc/resolv.conf"); !strings.Contains(got, "169.254.53.53") {
						t.Errorf("resolv.conf is %q", got)
					}
					if got := must(t, "unitc", "port", c.name, "80"); got != "0.0.0.0:18500\n[::]:18500\n127.0.0.1:18501\n" {
						t.Errorf("unitc port says %q", got)
					}
					at := strings.TrimSuffix(c.leaf(), "payload") + "network"
					if got := processes(t, at); len(got) != 1 || !strings.HasPrefix(got[0], "/usr/bin/pasta") {
						t.Errorf("in %s is %q", at, got)
					}
					d := p.define(t, "pasta-second", server+"network_mode: pasta\nports: ['18500:80']")
					if _, status := command(t, "systemctl", "start", d.unit()); status == 0 || !strings.Contains(d.show("StatusText"), c.unit()) {
						t.Errorf("a taken port: %d, %q", status, d.show("StatusText"))
					}
					c.stop()
					if out, status := command(t, "pgrep", "-x", "pasta.avx2|pasta"); status == 0 {
						t.Errorf("after the stop there is still %s", out)
					}
					// The payload's own end is pasta's too.
					c.start()
					must(t, "systemctl", "kill", "--kill-whom=main", "-s", "KILL", c.unit())
					c.await("ActiveState", "failed")
					if out, status := command(t, "pgrep", "-x", "pasta.avx2|pasta"); status == 0 {
						t.Errorf("after the payload's end there is still %s", out)
					}
				})
			}
		})
	})
}
