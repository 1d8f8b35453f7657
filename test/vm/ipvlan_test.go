// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"maps"
	"os/exec"
	"slices"
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
	// The host routes for those in mode l3, whose range is none of the wire's.
	write(t, "/etc/unitc/iprouted.network.yaml", `driver: ipvlan
driver_opts: {parent: wire2, mode: l3}
ipam: {config: [{subnet: 198.51.100.0/24}]}
`)
	for _, line := range []string{
		"ip link add wire2 type veth peer name wire2 netns client", "ip addr add 203.0.113.1/24 dev wire2", "ip link set wire2 up",
		"ip -n client addr add 203.0.113.2/24 dev wire2", "ip -n client link set wire2 up", "ip -n client route add 198.51.100.0/24 via 203.0.113.1",
	} {
		f := strings.Fields(line)
		run(t, f[0], f[1:]...)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "wire2").Run() })
	places := map[string]string{"ipone": "ipwire: {ipv4_address: 192.0.2.70}", "iptwo": "ipwire: {ipv4_address: 192.0.2.71}", "ipthree": "iprouted: {ipv4_address: 198.51.100.7}"}
	names := slices.Sorted(maps.Keys(places))
	for _, name := range names {
		write(t, "/etc/unitc/"+name+".yaml", `rootfs: host
command: [busybox, nc, -ll, -p, "80", -e, hostname]
init: true
stop_grace_period: 0s
networks: {`+places[name]+`}
`)
	}
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", append([]string{"start"}, names...)...)
	for _, way := range []struct{ from, to, want string }{
		{"ip netns exec client", "192.0.2.70", "ipone"},
		{"ip netns exec client", "192.0.2.71", "iptwo"},
		{"unitc exec ipone", "192.0.2.71", "iptwo"},
		{"ip netns exec client", "198.51.100.7", "ipthree"},
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
	if text := run(t, "unitc", "exec", "ipthree", "ping", "-c", "1", "-W", "20", "203.0.113.2"); !strings.Contains(text, " 0% packet loss") {
		t.Errorf("in mode l3 the machine on the wire: %s", text)
	}
	forget(t, names...)
	run(t, "rm", "/etc/unitc/ipwire.network.yaml", "/etc/unitc/iprouted.network.yaml")
	run(t, "systemctl", "daemon-reload")
	if out, err := exec.Command("ip", "link", "show", "type", "ipvlan").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("there is still %s %v", out, err)
	}
}
