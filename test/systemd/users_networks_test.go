// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const keeper = "unitc-network.service"

// inside runs a command in a container of the user's, by their own command.
func (s *session) inside(unit string, args ...string) string {
	s.t.Helper()
	out, status := s.run(append([]string{"unitc", "--user", "exec", unit, "--"}, args...)...)
	if status != 0 {
		return fmt.Sprintf("status %d: %s", status, out)
	}
	return strings.TrimSpace(out)
}

// hears waits until a port answers a container with a name.
func (s *session) hears(want, unit, host string, port int) {
	s.t.Helper()
	if err := eventually(func() error {
		if got := s.inside(unit, "busybox", "nc", "-w", "5", host, fmt.Sprint(port)); got != want {
			return fmt.Errorf("%s answers %s with %q, not %q", host, unit, got, want)
		}
		return nil
	}); err != nil {
		s.t.Error(err)
	}
}

// noNetworks: with the last container all of the user's networks have gone.
func (s *session) noNetworks() {
	s.t.Helper()
	if err := eventually(func() error {
		if state := s.property(keeper, "ActiveState"); state != "inactive" {
			return fmt.Errorf("%s is %s", keeper, state)
		}
		if left, _ := filepath.Glob(sessionRun + "/unitc/.n*"); len(left) > 0 {
			return fmt.Errorf("%q are left", left)
		}
		if out, _ := command(s.t, "pgrep", "-a", "-U", somebody, "-f", "unitc|pasta|busybox"); out != "" {
			return fmt.Errorf("processes are left: %s", out)
		}
		return nil
	}); err != nil {
		s.t.Error(err)
	}
}

// Services of a user's project find each other by their names and aliases on the
// networks that they share, and nobody on others; nothing leads out, and nothing is left.
func TestUserNetworks(t *testing.T) {
	s := newSession(t)
	service := "    " + ofProject(server)
	s.define("shop.yaml", `services:
  web:
`+service+`
    hostname: web
    networks: {front: {aliases: [www]}, back: {}}
  db:
`+service+`
    hostname: db
    networks: {back: {aliases: [base], ipv4_address: 10.99.0.77}}
    links: ["web:shopfront"]
  side:
`+service+`
    hostname: side
    systemd: {cgroup: service}
    networks: [front]
networks:
  front: {internal: true, enable_ipv6: true, driver_opts: {mtu: 1400}}
  back: {internal: true, ipam: {config: [{subnet: 10.99.0.0/24}]}}
`)
	before := networks(t)
	s.must("systemctl", "--user", "start", "shop.target")
	for _, name := range []string{"db", "base", "shop-db", "10.99.0.77"} {
		s.hears("db", "shop-web", name, 80)
	}
	for _, name := range []string{"web", "shopfront"} {
		s.hears("web", "shop-db", name, 80)
	}
	s.hears("side", "shop-web", "side", 80)
	s.hears("web", "shop-side", "www", 80)
	for unit, name := range map[string]string{"shop-db": "side", "shop-side": "db", "shop-web": "shopfront"} {
		if got := s.inside(unit, "getent", "hosts", name); !strings.HasPrefix(got, "status ") {
			t.Errorf("%s finds %s: %s", unit, name, got)
		}
	}
	if got := s.inside("shop-side", "busybox", "nc", "-w", "1", "10.99.0.77", "80"); !strings.HasPrefix(got, "status ") {
		t.Errorf("side reaches db: %q", got)
	}
	// Not by a route of its own either: the networks forward nothing.
	if out, status := command(t, "nsenter", "-t", s.property("shop-side", "MainPID"), "-n", "ip", "route", "add", "10.99.0.0/24", "dev", "eth0"); status != 0 {
		t.Error(out)
	}
	if got := s.inside("shop-side", "busybox", "nc", "-w", "1", "10.99.0.77", "80"); !strings.HasPrefix(got, "status ") {
		t.Errorf("side reaches db by a route of its own: %q", got)
	}
	for _, unit := range []string{"shop-web", "shop-db", "shop-side"} {
		if got := s.inside(unit, "ip", "route", "show", "default"); got != "" {
			t.Errorf("%s has a way out: %s", unit, got)
		}
		if got := s.inside(unit, "cat", "/etc/resolv.conf"); !strings.HasPrefix(got, "nameserver 169.254.53.53\n") {
			t.Errorf("%s asks %q", unit, got)
		}
	}
	if got := s.inside("shop-side", "cat", "/sys/class/net/eth0/mtu"); got != "1400" {
		t.Errorf("the mtu is %s", got)
	}
	if got := s.inside("shop-web", "getent", "ahostsv6", "side"); !strings.HasPrefix(got, "fd") {
		t.Errorf("side has no IPv6: %s", got)
	}
	// Each container is in a namespace of its own, below that of the networks.
	seen := map[string]string{}
	for _, unit := range []string{"shop-web", "shop-db", "shop-side", keeper} {
		for _, kind := range []string{"user", "net"} {
			ns, err := os.Readlink("/proc/" + s.property(unit, "MainPID") + "/ns/" + kind)
			if err != nil || seen[ns] != "" {
				t.Errorf("%s shares %s with %s: %v", unit, ns, seen[ns], err)
			}
			seen[ns] = unit
		}
	}
	if status, _ := os.ReadFile("/proc/" + s.property(keeper, "MainPID") + "/status"); !strings.Contains(string(status), "\nCapEff:\t0000000000000000\n") || !strings.Contains(string(status), "\nNoNewPrivs:\t1\n") {
		t.Errorf("who answers names has\n%s", status)
	}
	if out := s.must("unitc", "--user", "check"); strings.Contains(out, "forward") {
		t.Errorf("unitc check says\n%s", out)
	}
	if out := s.must("unitc", "--user", "network", "ls"); !strings.Contains(out, "shop_back") || !strings.Contains(out, "10.99.0.0/24") {
		t.Errorf("unitc network ls says\n%s", out)
	}
	if out := s.must("unitc", "--user", "network", "inspect", "shop_back"); !strings.Contains(out, "10.99.0.77") {
		t.Errorf("unitc network inspect says\n%s", out)
	}
	if out, status := s.run("unitc", "--user", "network", "rm", "shop_back"); status != 2 || !strings.Contains(out, "unitc --user network inspect") {
		t.Errorf("unitc network rm exits with %d: %s", status, out)
	}
	if out, _ := s.run("unitc", "--user", "doctor"); !strings.Contains(out, "/user/"+keeper) {
		t.Errorf("unitc doctor says\n%s", out)
	}
	if out := s.must("unitc", "--user", "stats", "--no-stream", "--json", "shop-web"); !strings.Contains(out, `"net_received_bytes"`) {
		t.Errorf("unitc stats says\n%s", out)
	}
	s.must("systemctl", "--user", "restart", "shop-db")
	s.hears("db", "shop-web", "db", 80)
	s.must("systemctl", "--user", "stop", "shop-db")
	if got := s.inside("shop-web", "getent", "hosts", "db"); !strings.HasPrefix(got, "status ") {
		t.Errorf("db is found when it has stopped: %s", got)
	}
	s.must("systemctl", "--user", "stop", "shop.target", "shop-web", "shop-side")
	for _, name := range []string{"shop-web", "shop-db", "shop-side"} {
		s.isGone(name)
	}
	s.noNetworks()
	if after := networks(t); after != before {
		t.Errorf("the host's networks are not as before, but\n%s\nbefore:\n%s", after, before)
	}
}

// Who keeps the networks may be killed: connections and names stay, and who starts then
// joins those that run. What was killed with all that ran is made anew.
func TestUserNetworksKilled(t *testing.T) {
	s := newSession(t)
	text := "services:\n"
	for _, name := range []string{"a", "b", "c"} {
		text += "  " + name + ":\n    " + ofProject(server) + "\n    hostname: " + name + "\n    networks: [one]\n"
	}
	s.define("trio.yaml", text+"networks: {one: {internal: true}}\n")
	s.must("systemctl", "--user", "start", "trio-a", "trio-b")
	s.hears("b", "trio-a", "b", 80)
	kept := s.property(keeper, "NFileDescriptorStore")
	for _, signal := range []string{"KILL", "TERM", "KILL"} {
		pid := s.property(keeper, "MainPID")
		s.must("systemctl", "--user", "kill", "-s", signal, keeper)
		if err := eventually(func() error {
			if now := s.property(keeper, "MainPID"); now == pid || s.property(keeper, "ActiveState") != "active" {
				return fmt.Errorf("it is not there again: %s", now)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		s.hears("b", "trio-a", "b", 80)
		s.must("systemctl", "--user", "start", "trio-c")
		s.hears("c", "trio-a", "c", 80)
		s.hears("a", "trio-c", "a", 80)
		s.must("systemctl", "--user", "stop", "trio-c")
		if now := s.property(keeper, "NFileDescriptorStore"); now != kept {
			t.Errorf("systemd keeps %s descriptors after the end by %s, and kept %s", now, signal, kept)
		}
	}
	// Killed with all that ran: nothing of it is in the way.
	for _, pid := range strings.Fields(must(t, "pgrep", "-U", somebody, "-f", "unitc-|nc -ll")) {
		command(t, "kill", "-KILL", pid)
	}
	if err := eventually(func() error {
		if a, b := s.property("trio-a", "ActiveState"), s.property("trio-b", "ActiveState"); a != "failed" || b != "failed" {
			return fmt.Errorf("they are %s and %s", a, b)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	s.must("systemctl", "--user", "start", "trio.target")
	s.hears("c", "trio-a", "c", 80)
	s.hears("a", "trio-b", "a", 80)
	// A helper that is killed at any step of a network's leaves nothing in the way.
	s.must("systemctl", "--user", "stop", "trio-c")
	for _, step := range []string{"claim-network", "write-lease", "make-link", "configure-link", "connect-network", "release-payload"} {
		s.must("systemctl", "--user", "set-environment", "UNITC_STOP_AT="+step)
		if out, status := s.run("systemctl", "--user", "start", "trio-c"); status == 0 {
			t.Errorf("killed at %s it starts: %s", step, out)
		}
		s.must("systemctl", "--user", "unset-environment", "UNITC_STOP_AT")
		s.must("systemctl", "--user", "reset-failed", "trio-c")
		s.must("systemctl", "--user", "start", "trio-c")
		s.hears("c", "trio-a", "c", 80)
		s.must("systemctl", "--user", "stop", "trio-c")
	}
	s.must("systemctl", "--user", "stop", "trio.target", "trio-a", "trio-b")
	for _, name := range []string{"trio-a", "trio-b", "trio-c"} {
		s.isGone(name)
	}
	s.noNetworks()
}

// Starts at the same instant get different addresses, and the last of stops that come
// at once takes the network away.
func TestUserNetworksAtOnce(t *testing.T) {
	s := newSession(t)
	const count = 8
	text := "services:\n"
	for i := range count {
		text += fmt.Sprintf("  c%d:\n    %s\n    hostname: c%d\n    networks: [all]\n", i, ofProject(server), i)
	}
	s.define("many.yaml", text+"networks: {all: {internal: true}}\n")
	for range 2 {
		s.must("systemctl", "--user", "start", "many.target")
		holders := map[string]int{}
		for i := range count {
			f := strings.Fields(s.inside(fmt.Sprintf("many-c%d", i), "ip", "-4", "-o", "addr", "show", "eth0"))
			if len(f) < 4 {
				t.Fatalf("c%d has %q", i, f)
			}
			if other, taken := holders[f[3]]; taken {
				t.Errorf("c%d has the address of c%d: %s", i, other, f[3])
			}
			holders[f[3]] = i
		}
		s.hears(fmt.Sprintf("c%d", count-1), "many-c0", fmt.Sprintf("c%d", count-1), 80)
		s.must("systemctl", "--user", "stop", "many.target")
		s.noNetworks()
	}
}

// What a definition says by now does not take the network from under what runs, and a
// changed network is made anew when nobody is in it.
func TestUserNetworksChange(t *testing.T) {
	s := newSession(t)
	pair := func(more string) string {
		text := "services:\n"
		for _, name := range []string{"a", "b"} {
			text += "  " + name + ":\n    " + ofProject(server) + "\n    hostname: " + name + "\n    " + more + "\n"
		}
		return text
	}
	network := "networks: {one: {internal: true, ipam: {config: [{subnet: %s}]}}}\n"
	s.define("pair.yaml", pair("networks: [one]")+fmt.Sprintf(network, "10.98.0.0/24"))
	s.must("systemctl", "--user", "start", "pair.target")
	s.define("pair.yaml", pair("network_mode: none"))
	time.Sleep(time.Second) // systemd stops what nobody needs by now
	s.hears("b", "pair-a", "b", 80)
	s.define("pair.yaml", pair("privileged: true"))
	time.Sleep(time.Second)
	s.hears("b", "pair-a", "b", 80)
	s.must("systemctl", "--user", "stop", "pair.target", "pair-a", "pair-b")
	s.noNetworks()
	s.define("pair.yaml", pair("networks: [one]")+fmt.Sprintf(network, "10.98.0.0/24"))
	s.must("systemctl", "--user", "start", "pair.target")
	s.hears("b", "pair-a", "10.98.0."+strings.TrimPrefix(strings.Split(strings.Fields(s.inside("pair-b", "ip", "-4", "-o", "addr", "show", "eth0"))[3], "/")[0], "10.98.0."), 80)
	s.define("pair.yaml", pair("networks: [one]")+fmt.Sprintf(network, "10.97.0.0/24"))
	s.must("unitc", "--user", "apply", "pair")
	if got := s.inside("pair-a", "ip", "-4", "-o", "addr", "show", "eth0"); !strings.Contains(got, " 10.97.0.") {
		t.Errorf("a has %s", got)
	}
	s.hears("b", "pair-a", "b", 80)
	s.must("systemctl", "--user", "stop", "pair.target", "pair-a", "pair-b")
	s.noNetworks()
}

// Without what a network needs a start says so.
func TestUserNetworksErrors(t *testing.T) {
	s := newSession(t)
	s.define("lost.yaml", "rootfs: host\ncommand: [/bin/true]\nnetworks: [nowhere]\n")
	s.define("out.yaml", "services:\n  a: {rootfs: host, command: [/bin/true]}\n  b: {rootfs: host, command: [/bin/true]}\n")
	for name, want := range map[string]string{"lost": "lost.yaml:3:1: error: networks: no definition makes the network nowhere", "out-a": "pasta is not installed; install it"} {
		if out, status := s.run("systemctl", "--user", "start", name); status == 0 {
			t.Errorf("%s starts:\n%s", name, out)
		}
		if text := s.property(name, "StatusText"); !strings.Contains(text, want) {
			t.Errorf("the status of %s is %q", name, text)
		}
		s.isGone(name)
	}
	if out, status := s.run("systemctl", "--user", "stop", keeper); status == 0 {
		t.Errorf("%s stops by hand: %s", keeper, out)
	}
	place(t, "/etc/subuid", "another:100000:65536\n")
	s.define("poor.yaml", "services:\n  a: {rootfs: host, command: [/bin/true], networks: [x]}\nnetworks: {x: {internal: true}}\n")
	if out, status := s.run("systemctl", "--user", "start", "poor-a"); status == 0 {
		t.Errorf("it starts without ids:\n%s", out)
	}
	if text := s.property("poor-a", "StatusText"); !strings.Contains(text, "usermod --add-subuids") || !strings.Contains(s.logs("poor-a"), keeper) {
		t.Errorf("without ids the status is %q", text)
	}
	s.isGone("poor-a")
	if state := s.property(keeper, "ActiveState"); state != "failed" {
		t.Errorf("%s is %s", keeper, state)
	}
}

// ofProject is a definition as a service of a project.
func ofProject(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

// A user's container in another's network is in its user namespace, and on no network
// otherwise: with an image and other ids, beside one on a network and one that has none.
func TestUserJoinedNetwork(t *testing.T) {
	s := newSession(t)
	archive := savedImage(t, "localhost/box:1", `{"Cmd": ["sh"]}`)
	must(t, "install", "-o", somebody, archive, s.home+"/box.tar")
	s.must("unitc", "--user", "load", s.home+"/box.tar")
	s.define("pair.yaml", "services:\n  front: {rootfs: host, stop_signal: SIGKILL, command: [sleep, infinity]}\n"+
		"  side: {image: 'localhost/box:1', pull_policy: never, stop_signal: SIGKILL, network_mode: 'service:front', user: '33', command: [/bin/busybox, sh, -c, 'echo net $$(ls /sys/class/net); id; exec sleep 1000']}\n"+
		"networks: {default: {internal: true}}\n")
	s.define("alone.yaml", "rootfs: host\nnetwork_mode: none\nstop_signal: SIGKILL\ncommand: [sleep, infinity]\n")
	s.define("beside.yaml", "rootfs: host\nnetwork_mode: container:alone\nstop_signal: SIGKILL\ncommand: [sh, -c, 'echo net $$(ls /sys/class/net); exec sleep 1000']\n")
	s.must("systemctl", "--user", "start", "pair-side", "beside")
	s.says("pair-side", "net eth0 lo\n", "uid=33")
	s.says("beside", "net lo\n")
	for _, pair := range [][2]string{{"pair-front", "pair-side"}, {"alone", "beside"}} {
		for kind, same := range map[string]bool{"user": true, "net": true, "mnt": false, "pid": false, "ipc": false} {
			var links [2]string
			for i, unit := range pair {
				links[i], _ = os.Readlink("/proc/" + s.property(unit, "MainPID") + "/ns/" + kind)
			}
			if (links[0] == links[1]) != same || links[0] == "" {
				t.Errorf("the namespaces %s of %q are %q", kind, pair, links)
			}
		}
	}
	if got := s.inside("pair-side", "/bin/busybox", "id", "-u"); got != "33" {
		t.Errorf("exec says %q", got)
	}
	// It goes along with the other one.
	before := s.property("beside", "InvocationID")
	s.must("systemctl", "--user", "restart", "alone")
	if err := eventually(func() error {
		if id := s.property("beside", "InvocationID"); id == before || s.property("beside", "ActiveState") != "active" {
			return fmt.Errorf("beside is %s, as %s", s.property("beside", "ActiveState"), id)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	s.must("systemctl", "--user", "stop", "alone", "pair-front", "beside", "pair-side")
	for _, name := range []string{"alone", "beside", "pair-front", "pair-side"} {
		s.isGone(name)
	}
	s.noNetworks()

	// The host's network is none that a user's container could join; who does not run has none.
	s.define("alone.yaml", "rootfs: host\nnetwork_mode: host\nstop_signal: SIGKILL\ncommand: [sleep, infinity]\n")
	if out, status := s.run("systemctl", "--user", "start", "beside"); status == 0 {
		t.Errorf("it joins the host's network:\n%s", out)
	}
	if text := s.property("beside", "StatusText"); !strings.Contains(text, "network_mode: host") {
		t.Errorf("its status is %q", text)
	}
	s.define("beside.yaml", "rootfs: host\nnetwork_mode: container:nobody\ncommand: [sleep, infinity]\n")
	if out, status := s.run("systemctl", "--user", "start", "beside"); status == 0 {
		t.Errorf("it starts beside nobody:\n%s", out)
	}
	if text := s.property("beside", "StatusText"); !strings.Contains(text, "beside.yaml:2:1: error: network_mode: nobody.service does not run") {
		t.Errorf("its status is %q", text)
	}
	s.must("systemctl", "--user", "stop", "alone")
}
