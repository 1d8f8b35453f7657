// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"os/exec"
	"strings"
	"testing"
)

// On an ipvlan containers are machines of the wire, by the host's own MAC
// address: the lab's kernel has no such links, the suites' kernels do.
//
//lab:once
func TestIpvlan(t *testing.T) {
	wire(t)
	write(t, "/etc/unitc/ipwire.network.yaml", `driver: ipvlan
driver_opts: {parent: wire}
ipam: {config: [{subnet: 192.0.2.0/24, gateway: 192.0.2.2, ip_range: 192.0.2.128/25}]}
`)
	names := []string{"ipone", "iptwo"}
	for i, name := range names {
		write(t, "/etc/unitc/"+name+".yaml", `rootfs: host
command: [busybox, nc, -ll, -p, "80", -e, hostname]
init: true
stop_grace_period: 0s
networks: {ipwire: {ipv4_address: 192.0.2.7`+string('0'+rune(i))+`}}
`)
	}
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", append([]string{"start"}, names...)...)
	for _, way := range []struct{ from, to, want string }{
		{"ip netns exec client", "192.0.2.70", "ipone"},
		{"ip netns exec client", "192.0.2.71", "iptwo"},
		{"unitc exec ipone", "192.0.2.71", "iptwo"},
	} {
		got := ""
		await(t, way.from+" hears "+way.want+" at "+way.to, func() bool {
			args := append(strings.Fields(way.from), "busybox", "nc", "-w", "10", way.to, "80")
			out, _ := exec.Command(args[0], args[1:]...).Output()
			got = strings.TrimSpace(string(out))
			return got == way.want
		})
	}
	if text := run(t, "unitc", "exec", "ipone", "ip", "-d", "link", "show", "eth0"); !strings.Contains(text, "ipvlan") {
		t.Errorf("eth0 is %s", text)
	}
	forget(t, names...)
	run(t, "rm", "/etc/unitc/ipwire.network.yaml")
	run(t, "systemctl", "daemon-reload")
	if out, err := exec.Command("ip", "link", "show", "type", "ipvlan").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("there is still %s %v", out, err)
	}
}
