// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// templateOfDefinitions has a place for a word wherever a string of the
// operator's reaches a unit.
const templateOfDefinitions = `services:
  one:
    rootfs: %[1]q
    command: [%[2]q, %[3]q]
    environment: {A: %[4]q}
    env_file: [{path: %[5]q, required: false}]
    volumes:
      - {type: bind, source: %[6]q, target: /data}
      - {type: volume, source: data, target: /volume}
      - {type: image, source: "localhost/assets:1", target: /image}
    labels: {org.opencontainers.image.title: %[7]q}
    logging: {options: {tag: %[8]q}}
    devices: [%[9]q]
    healthcheck: {test: [CMD, %[2]q]}
    post_start: [{command: [%[3]q]}]
    pre_stop: [{command: [%[4]q]}]
    secrets: [token]
    restart: on-failure:3
    stop_signal: SIGINT
    cpuset: 0-1
    device_cgroup_rules: ["c 10:* rw"]
    systemd: {timer: {OnCalendar: daily}, cgroup: service}
  two:
    image: nginx
    depends_on: {one: {condition: service_completed_successfully, restart: true}}
    x-update: registry
    deploy: {replicas: 2}
volumes:
  data: {driver_opts: {type: none, o: bind, device: %[6]q}}
  memory: {driver_opts: {type: tmpfs, o: "size=1m", device: tmpfs}}
secrets:
  token: {file: %[5]q}
`

// oddWords are what unit files read in a way of their own.
var oddWords = []string{
	"plain", "two words", "100%", "%i", "%%n", "$HOME", "${A:-b}", "a;b", "; b", "#c", "\"quoted\"", "it's", `back\slash`, `end\`, "tab\there", "two\nlines", "ünïcode ☃",
	"-dash", "+plus", "!bang", "@at", ":colon", "|pipe", "[Section]", "A=b", "\x01", "\u2028", "x\u202ey", "'", `\x41`, `\n`, " ", "{a,b}", "*", "~", "\r", strings.Repeat("long", 600),
}

// Whatever words a definition has, systemd has nothing to say about its units:
// the right ones, and those that tell of a broken definition.
func TestVerifyUnitsOfOddDefinitions(t *testing.T) {
	const count = 120
	const seed = 1 // another one makes other definitions
	random := rand.New(rand.NewPCG(seed, 2))
	out := "/run/verify-test"
	t.Cleanup(func() { os.RemoveAll(out) })
	word := func() string { return strings.ReplaceAll(oddWords[random.IntN(len(oddWords))], "$", "$$") }
	path := func(parent string) string {
		if w := word(); random.IntN(3) > 0 {
			return parent + w
		}
		return parent + "plain"
	}
	must(t, "mkdir", "-p", out)
	for i := range count {
		text := fmt.Sprintf(templateOfDefinitions, path("/srv/"), path("/bin/"), word(), word(), path("/etc/"), path("/srv/"), word(), "tag", path("/dev/"))
		if i%4 == 0 { // a word in any other place
			// Not in the operator's own directives, which pass as they are.
			at := random.IntN(strings.Index(text, "    systemd:"))
			text = text[:at] + word() + text[at:]
		}
		name := fmt.Sprintf("odd%d.yaml", i)
		if i%10 == 9 {
			name = fmt.Sprintf("odd %d%s.yaml", i, strings.ReplaceAll(strings.ReplaceAll(word(), "/", "_"), "\x00", ""))
			name = name[:min(len(name), 100)]
			name = strings.TrimSuffix(name, ".yaml") + ".yaml"
		}
		place(t, definitions+name, text)
	}
	must(t, generator, out)
	var units []string
	broken := 0
	for _, suffix := range []string{"service", "target", "timer", "mount"} {
		found, err := filepath.Glob(out + "/*." + suffix)
		if err != nil {
			t.Fatal(err)
		}
		for _, unit := range found {
			if strings.Contains(file(t, unit), "(broken: ") {
				broken++
			}
		}
		for _, unit := range found {
			if !strings.Contains(unit, ":") { // systemd-analyze(1), verify: FILE:ALIAS
				units = append(units, unit)
			}
		}
	}
	if len(units) < 3*count || broken < 5 || broken > len(units)/2 {
		t.Fatalf("%d units, %d of them broken: the words do not reach the units", len(units), broken)
	}
	said, status := command(t, "systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...)
	if status != 0 {
		t.Errorf("systemd-analyze verify exits with %d", status)
	}
	for line := range strings.Lines(said) {
		// The directory of the definitions is no host's, so nothing else is there.
		if strings.Contains(line, out) || strings.Contains(line, "odd") || strings.Contains(line, "unitc") {
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
}

// A container that precedes dbus.socket, and so basic.target, leaves the boot
// without a cycle whatever it needs: systemd breaks one by dropping any start
// that is part of it, which may be another unit's.
func TestVerifyEarlyContainersMakeNoCycle(t *testing.T) {
	const early = "systemd: {unit: {DefaultDependencies: 'no', After: local-fs.target, Before: [dbus.socket, dbus.service, shutdown.target], Conflicts: shutdown.target}}"
	out := "/run/cycle-test"
	t.Cleanup(func() { os.RemoveAll(out) })
	must(t, "mkdir", "-p", out)
	place(t, definitions+"early.yaml", "rootfs: host\ncommand: [sleep, inf]\nrestart: always\nx-wait-for: path:/mnt/x\n"+early+"\n")
	place(t, definitions+"earlier.yaml", `services:
  one:
    image: nginx
    restart: always
    networks: [n]
    volumes: ["data:/data", "memory:/memory"]
    ports: ["80:80"]
    `+early+`
networks: {n: {}}
volumes: {data: {}, memory: {driver_opts: {type: tmpfs, o: "size=1m", device: tmpfs}}}
`)
	must(t, generator, out)
	// The network's own unit, too.
	if err := os.Symlink("../unitc-network@earlier_n.service", out+"/multi-user.target.wants/unitc-network@earlier_n.service"); err != nil {
		t.Fatal(err)
	}
	verify := func() string {
		said, _ := command(t, "env", "SYSTEMD_UNIT_PATH="+out+":", "systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", "/usr/lib/systemd/system/multi-user.target")
		return said
	}
	if said := verify(); strings.Contains(said, "cycle") {
		t.Errorf("a boot with early containers: %s", said)
	}
	// That it would be told:
	place(t, out+"/early.service.d/late.conf", "[Unit]\nAfter=basic.target\n")
	if said := verify(); !strings.Contains(said, "cycle") {
		t.Errorf("a cycle is not told: %s", said)
	}
}
