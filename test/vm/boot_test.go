// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// forget removes definitions, what runs of them and what failed; systemd knows
// them until the next reload, as with place.
func forget(t *testing.T, names ...string) {
	t.Helper()
	run(t, "systemctl", append([]string{"stop"}, names...)...)
	for _, name := range names {
		os.Remove("/etc/unitc/" + name + ".yaml")
	}
	_ = exec.Command("systemctl", append([]string{"reset-failed"}, names...)...).Run() // nothing to reset is an error
}

// "Boot with 50 definitions, one of them broken, brings 49 up." A definition
// with `restart: always` runs after boot.
func TestBootFiftyDefinitions(t *testing.T) {
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("fifty-%02d", i))
	}
	const broken = "fifty-25"
	phases(t, func(t *testing.T) {
		for i, name := range names {
			text := sleeper + "restart: always\nsystemd: {cgroup: " + []string{"scope", "service"}[i%2] + "}\n"
			if name == broken {
				text += "comand: x\n"
			}
			beforeReboot = append(beforeReboot, func() error { return os.WriteFile("/etc/unitc/"+name+".yaml", []byte(text), 0o644) })
		}
	}, func(t *testing.T) {
		defer forget(t, names...)
		_ = exec.Command("systemctl", "is-system-running", "--wait").Run() // it is degraded
		states := strings.Fields(run(t, "systemctl", append([]string{"show", "--value", "-p", "ActiveState"}, names...)...))
		if len(states) != len(names) {
			t.Fatalf("%d units have the states %q", len(names), states)
		}
		for i, name := range names {
			want := "active"
			if name == broken {
				want = "failed"
			}
			if states[i] != want {
				t.Errorf("%s is %s", name, states[i])
			}
		}
	})
}

// "A definition with `restart: always` runs … before dbus if it orders itself
// so."
func TestBootBeforeDbus(t *testing.T) {
	const definition = sleeper + `restart: always
systemd:
  unit:
    DefaultDependencies: "no"
    After: local-fs.target
    Before: [dbus.socket, dbus.service, shutdown.target]
    Conflicts: shutdown.target
`
	phases(t, func(t *testing.T) {
		write(t, "/etc/unitc/early.yaml", definition)
	}, func(t *testing.T) {
		defer forget(t, "early")
		if state := show(t, "early", "ActiveState"); state != "active" {
			t.Fatalf("it is %s:\n%s\n%s", state, run(t, "systemctl", "status", "early", "--no-pager"), run(t, "journalctl", "-b", "-o", "short-monotonic", "--no-pager"))
		}
		// One is broken by dropping any start of the boot.
		if cycles, _ := exec.Command("journalctl", "-b", "--no-pager", "-g", "ordering cycle", "_PID=1").Output(); strings.Contains(string(cycles), "cycle") {
			t.Errorf("the boot had to be put in order: %s", cycles)
		}
		started := func(unit string) int64 {
			n, err := strconv.ParseInt(show(t, unit, "ActiveEnterTimestampMonotonic"), 10, 64)
			if err != nil || n == 0 {
				t.Fatalf("%s was never started (%v)", unit, err)
			}
			return n
		}
		early, dbus := started("early.service"), started("dbus.socket")
		if early >= dbus {
			t.Errorf("it was up at %d µs, dbus.socket at %d µs", early, dbus)
		}
		if scope := show(t, "unitc-early.scope", "ActiveState"); scope != "active" {
			t.Errorf("its scope is %s", scope)
		}
	})
}

// "`depends_on` with `service_healthy` holds at boot … and for host units that
// order after a container."
func TestBootAwaitsHealth(t *testing.T) {
	const definition = `services:
  db:
    rootfs: host
    network_mode: none
    command: [sh, -c, 'sleep 5; touch /tmp/ready; exec sleep infinity']
    healthcheck: {test: [CMD, test, -e, /tmp/ready], interval: 2s, timeout: 60s, start_period: 5m}
    restart: always
  web:
    rootfs: host
    network_mode: none
    command: [sleep, infinity]
    depends_on: {db: {condition: service_healthy}}
    restart: always
`
	const hostUnit = "/etc/systemd/system/after-health.service"
	const wants = "/etc/systemd/system/multi-user.target.wants/after-health.service"
	phases(t, func(t *testing.T) {
		write(t, "/etc/unitc/health.yaml", definition)
		write(t, hostUnit, "[Unit]\nWants=health-db.service\nAfter=health-db.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n")
		if err := os.Symlink(hostUnit, wants); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T) {
		defer forget(t, "health.target", "after-health", "health-web", "health-db")
		defer os.Remove("/etc/unitc/health.yaml")
		defer os.Remove(hostUnit)
		defer os.Remove(wants)
		at := func(unit, property string) int64 {
			await(t, unit+" is active", func() bool { return show(t, unit, "ActiveState") == "active" })
			n, err := strconv.ParseInt(show(t, unit, property+"TimestampMonotonic"), 10, 64)
			if err != nil || n == 0 {
				t.Fatalf("%s of %s is not known (%v)", property, unit, err)
			}
			return n
		}
		launched, healthy := at("health-db.service", "InactiveExit"), at("health-db.service", "ActiveEnter")
		if healthy-launched < 5e6 {
			t.Errorf("the database was called ready after %d µs, and was after five seconds", healthy-launched)
		}
		for _, unit := range []string{"health-web.service", "after-health.service"} {
			if began := at(unit, "InactiveExit"); began < healthy {
				t.Errorf("%s was begun at %d µs, and the database was ready at %d", unit, began, healthy)
			}
		}
	})
}

// "Shutdown gives it its grace period": longer than what they have who say nothing of it.
func TestBootShutdownGivesTheGracePeriod(t *testing.T) {
	const dir = "/var/lib/lab-grace"
	phases(t, func(t *testing.T) {
		for _, p := range placements {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			// The host's ids, so that the payload may write into a directory of root's.
			write(t, "/etc/unitc/grace-"+p+".yaml", `rootfs: host
userns_mode: host
stop_grace_period: 60s
volumes: ["`+dir+`:/out"]
command:
  - sh
  - -c
  - 'trap "echo asked > /out/`+p+`; sleep 11; echo ready >> /out/`+p+`; sync; exit" TERM; sleep infinity & wait'
systemd: {cgroup: `+p+`}
`)
		}
		run(t, "systemctl", "daemon-reload")
		for _, p := range placements {
			run(t, "systemctl", "start", "grace-"+p)
		}
	}, func(t *testing.T) {
		defer forget(t, "grace-scope", "grace-service")
		for _, p := range placements {
			data, err := os.ReadFile(dir + "/" + p)
			if got := strings.Join(strings.Fields(string(data)), " "); err != nil || got != "asked ready" {
				t.Errorf("%s: it says %q (%v)", p, got, err)
			}
		}
	})
}
