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

// forget removes definitions, what runs of them and what failed.
func forget(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		run(t, "systemctl", "stop", name)
	}
	for _, name := range names {
		os.Remove("/etc/unitc/" + name + ".yaml")
		_ = exec.Command("systemctl", "reset-failed", name).Run() // nothing to reset is an error
	}
	run(t, "systemctl", "daemon-reload")
}

func show(t *testing.T, unit, property string) string {
	t.Helper()
	return run(t, "systemctl", "show", "--value", "-p", property, unit)
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
			write(t, "/etc/unitc/"+name+".yaml", text)
		}
	}, func(t *testing.T) {
		defer forget(t, names...)
		_ = exec.Command("systemctl", "is-system-running", "--wait").Run() // it is degraded
		for _, name := range names {
			want := "active"
			if name == broken {
				want = "failed"
			}
			if state := show(t, name, "ActiveState"); state != want {
				t.Errorf("%s is %s", name, state)
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
			t.Fatalf("it is %s:\n%s", state, run(t, "journalctl", "-b", "-u", "early", "--no-pager"))
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

// "Shutdown gives it its grace period."
func TestBootShutdownGivesTheGracePeriod(t *testing.T) {
	const dir = "/var/lib/lab-grace"
	placements := []string{"scope", "service"}
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
  - 'trap "echo asked > /out/`+p+`; sleep 15; echo ready >> /out/`+p+`; sync; exit" TERM; sleep infinity & wait'
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
