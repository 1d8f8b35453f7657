// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"fmt"
	"strings"
	"testing"
)

// Beside a user's networks pasta is the way out, unless all of them are internal, and
// publishes ports, which see who asks.
func TestEngineUserNetworks(t *testing.T) {
	s := newSession(t)
	client(t)
	for _, line := range []string{"ip route add default via 192.0.2.2", "ip -6 route add default via 2001:db8::2"} {
		f := strings.Fields(line)
		must(t, f[0], f[1:]...)
	}
	must(t, "systemd-run", "--unit=lab-outside", "ip", "netns", "exec", "client", "busybox", "nc", "-ll", "-p", "70", "-e", "echo", "outside")
	t.Cleanup(func() { command(t, "systemctl", "stop", "lab-outside") })
	service := "    " + ofProject(server)
	s.define("site.yaml", `services:
  web:
`+service+`
    hostname: web
    ports: ["18600:80", "127.0.0.1:18601:80"]
    sysctls: {net.ipv4.conf.eth0.arp_ignore: 2, net.ipv4.conf.pasta0.arp_ignore: 1}
    networks: [default, back]
  db:
`+service+`
    hostname: db
    networks: [back]
  seen:
    rootfs: host
    command: [busybox, nc, -ll, -p, "80", -e, sleep, "60"]
    init: true
    stop_grace_period: 0s
    ports: ["18602:80"]
  job:
`+service+`
    hostname: job
    systemd: {cgroup: service}
networks:
  back: {internal: true}
`)
	archive := savedImage(t, "localhost/box:1", `{"Cmd": ["sh"]}`)
	must(t, "install", "-o", somebody, archive, s.home+"/box.tar")
	s.must("unitc", "--user", "load", s.home+"/box.tar")
	s.define("boxes.yaml", `services:
  store: {image: localhost/box:1, pull_policy: never, command: [/bin/busybox, sh, -c, "busybox chown 33:33 /kept && echo kept >/tmp/index.html && exec busybox httpd -f -p 80 -h /tmp"], volumes: ["kept:/kept"], tmpfs: [/tmp],
    networks: [back], stop_grace_period: 1s, healthcheck: {test: [CMD, /bin/busybox, wget, -qO-, "http://store/"], interval: 1s}, post_start: [{command: [/bin/busybox, wget, -qO-, "http://127.0.0.1/"]}], pre_stop: [{command: [/bin/busybox, echo, before]}]}
  shop: {image: localhost/box:1, pull_policy: never, command: [/bin/busybox, wget, -qO-, "http://store/"], networks: [back], depends_on: {store: {condition: service_healthy}}}
networks: {back: {internal: true}}
volumes: {kept: {name: kept}}
`)
	before := networks(t)
	s.must("systemctl", "--user", "start", "boxes-store")
	s.must("systemctl", "--user", "start", "boxes-shop")
	s.says("boxes-shop", "kept")
	s.says("boxes-store", "kept")
	if out, status := command(t, "stat", "-c", "%u:%g", s.home+"/.local/share/unitc/volumes/kept/data"); status != 0 || strings.TrimSpace(out) != "100032:100032" {
		t.Errorf("the volume is of %s", out)
	}
	s.must("unitc", "--user", "cp", "boxes-store:/tmp/index.html", s.home+"/copy")
	s.must("systemctl", "--user", "stop", "boxes-store", "boxes-shop")
	s.says("boxes-store", "before")
	s.isGone("boxes-store")
	s.isGone("boxes-shop")
	s.noNetworks()
	s.must("systemctl", "--user", "start", "site.target")
	for _, to := range []string{"127.0.0.1 18600", "127.0.0.1 18601", "::1 18600", "192.0.2.1 18600"} {
		f := strings.Fields(to)
		asks(t, "web", "busybox", "nc", "-w", "5", f[0], f[1])
	}
	for _, to := range []string{"192.0.2.1", "2001:db8::1"} {
		asks(t, "web", "ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", to, "18600")
	}
	// As /proc/net/tcp6 has 192.0.2.2 and 2001:db8::2.
	for to, from := range map[string]string{"192.0.2.1": "FFFF0000020200C0:", "2001:db8::1": "B80D0120000000000000000002000000:"} {
		must(t, "systemd-run", "--unit=lab-asker", "ip", "netns", "exec", "client", "busybox", "nc", to, "18602")
		if err := eventually(func() error {
			if got := s.inside("site-seen", "cat", "/proc/net/tcp6"); !strings.Contains(got, from) {
				return fmt.Errorf("who asks at %s is not seen:\n%s", to, got)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		must(t, "systemctl", "stop", "lab-asker")
	}
	if out, status := command(t, "ip", "netns", "exec", "client", "busybox", "nc", "-w", "1", "192.0.2.1", "18601"); status == 0 {
		t.Errorf("the loopback's port answers %q outside", out)
	}
	s.hears("db", "site-web", "db", 80)
	s.hears("web", "site-job", "web", 80)
	for _, unit := range []string{"site-web", "site-job"} {
		s.hears("outside", unit, "192.0.2.2", 70)
		s.hears("outside", unit, "2001:db8::2", 70)
	}
	if got := s.inside("site-db", "busybox", "nc", "-w", "1", "192.0.2.2", "70"); !strings.HasPrefix(got, "status ") {
		t.Errorf("the internal network has a way out: %q", got)
	}
	for key, want := range map[string]string{"eth0": "2", "pasta0": "1"} {
		if got := s.inside("site-web", "cat", "/proc/sys/net/ipv4/conf/"+key+"/arp_ignore"); got != want {
			t.Errorf("arp_ignore of %s is %s", key, got)
		}
	}
	if got := s.must("unitc", "--user", "port", "site-web", "80"); got != "0.0.0.0:18600\n[::]:18600\n127.0.0.1:18601\n" {
		t.Errorf("unitc port says %q", got)
	}
	s.define("taken.yaml", server+"ports: ['18600:80']\n")
	if _, status := s.run("systemctl", "--user", "start", "taken"); status == 0 || !strings.Contains(s.property("taken", "StatusText"), "site-web.service") {
		t.Errorf("a taken port: %d, %q", status, s.property("taken", "StatusText"))
	}
	// Its own way out ends with each, whatever it dies of.
	s.must("systemctl", "--user", "kill", "--kill-whom=main", "-s", "KILL", "site-web")
	if err := eventually(func() error {
		if state := s.property("site-web", "ActiveState"); state != "failed" {
			return fmt.Errorf("site-web is %s", state)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	s.must("systemctl", "--user", "start", "site-web")
	asks(t, "web", "busybox", "nc", "-w", "5", "127.0.0.1", "18600")
	s.hears("db", "site-web", "db", 80)
	s.must("systemctl", "--user", "stop", "site.target", "site-web", "site-db", "site-job", "site-seen")
	for _, name := range []string{"site-web", "site-db", "site-job", "site-seen"} {
		s.isGone(name)
	}
	s.noNetworks()
	if after := networks(t); after != before {
		t.Errorf("the host's networks are not as before, but\n%s\nbefore:\n%s", after, before)
	}
}
