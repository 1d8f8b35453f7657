// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
)

// `pid:` and `ipc:` of another service: its processes are there to be seen and
// ended, its memory to be shared, with the same ids; and a restart of the one
// is a restart of the other.
func TestProcessesAndMemoryOfAnotherContainer(t *testing.T) {
	leavesNothing(t, func() { t.Run("restart", restartsWithTheOther) })
}

func restartsWithTheOther(t *testing.T) {
	const indented = "    rootfs: host\n    command: [/bin/sh, -c, 'trap exit TERM; sleep infinity & wait']\n    network_mode: none\n"
	defineFor(t, "share", "services:\n  app:\n"+indented+"    ipc: shareable\n  tool:\n"+indented+"    pid: service:app\n    ipc: service:app\n",
		"share.target", "share-tool.service", "share-app.service")
	must(t, "systemctl", "start", "share-tool.service") // needs the other one
	sharesWith(t, "tool", "app")
	must(t, "unitc", "exec", "share-app", "sh", "-c", "echo hello > /dev/shm/word")
	for what, want := range map[string]string{
		"cat /dev/shm/word":             "hello",
		"tr '\\0' ' ' </proc/1/cmdline": "trap exit TERM",
		"kill -0 1 && echo may":         "may",
	} {
		if out := must(t, "unitc", "exec", "share-tool", "sh", "-c", what); !strings.Contains(out, want) {
			t.Errorf("%s: %q, want %q", what, out, want)
		}
	}
	before := mainPID(t, "share-tool")
	must(t, "systemctl", "restart", "share-app.service")
	await(t, "the other one to be restarted too", func() bool {
		return property(t, "share-tool.service", "ActiveState") == "active" && mainPID(t, "share-tool") != before
	})
	sharesWith(t, "tool", "app")
}

// What a payload without a PID namespace of its own leaves ends with it: it
// holds the pipe of the logs, for whose end the service waits.
func TestStopEndsWhatIsLeft(t *testing.T) {
	everywhere(t, func(t *testing.T, p placement) {
		c := p.define(t, "left", `rootfs: host
pid: host
stop_grace_period: 100s
command: [sh, -c, 'trap "exit 0" TERM; (trap "" TERM; sleep infinity) & echo up; wait']`).start()
		c.awaitOutput("up\n")
		c.stop()
		c.expect(c.unit(), "Result=success")
	})
}

// sharesWith compares namespaces of two services of the project.
func sharesWith(t *testing.T, one, other string) {
	t.Helper()
	for name, shared := range map[string]bool{"pid": true, "ipc": true, "user": true, "mnt": false, "uts": false, "net": false} {
		a, errA := os.Readlink("/proc/" + mainPID(t, "share-"+one) + "/ns/" + name)
		b, errB := os.Readlink("/proc/" + mainPID(t, "share-"+other) + "/ns/" + name)
		if errA != nil || errB != nil || (a == b) != shared {
			t.Errorf("%s: %s and %s, want the same: %t; %v, %v", name, a, b, shared, errA, errB)
		}
	}
}
