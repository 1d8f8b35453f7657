// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
)

// What unitc keeps below /run is root's alone, and nothing there may be written
// by anybody else (CVE-2024-25621, CVE-2025-4953).
//
//lab:once
func TestRuntimeStateIsRootsAlone(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"state.yaml", "rootfs: host\ncommand: [/bin/sleep, infinity]\nenvironment: {SECRET: x}\nstop_signal: SIGKILL\n")
	reload(t)
	must(t, "systemctl", "start", "state")
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "state")
		command(t, "systemctl", "reset-failed", "state")
	})
	if got := must(t, "stat", "-c", "%a %u %g", "/run/unitc"); got != "700 0 0\n" {
		t.Errorf("/run/unitc is %s", got)
	}
	if out := must(t, "find", "/run/unitc", "!", "-type", "l", "-perm", "/022"); out != "" {
		t.Errorf("others may write\n%s", out)
	}
	if out, status := command(t, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", "/run/unitc/state/plan.json"); status == 0 {
		t.Errorf("anybody may read the plan:\n%.200s", out)
	}
	// No socket of ours that a container in the host's network could reach (CVE-2020-15257).
	sockets, err := os.ReadFile("/proc/net/unix")
	if err != nil || strings.Contains(string(sockets), "unitc") {
		t.Errorf("sockets (%v):\n%s", err, sockets)
	}
}

// A payload cannot make another process the service's main one: the socket is
// not there, and where a definition puts it there the message is not believed.
func TestMainPIDFromInside(t *testing.T) {
	script := `
test -e /run/systemd/notify && echo socket is there
test -z "$NOTIFY_SOCKET$LISTEN_FDS$CREDENTIALS_DIRECTORY$INVOCATION_ID" || echo environment is there
NOTIFY_SOCKET=/run/systemd/notify systemd-notify MAINPID=1
(NOTIFY_SOCKET=/run/systemd/notify systemd-notify STATUS=lies FDSTORE=1 MAINPID=1)
echo done
exec sleep infinity`
	for name, volumes := range map[string]string{
		"aside":  "",
		"inside": "volumes: [/run/systemd/notify:/run/systemd/notify]\n",
	} {
		t.Run(name, func(t *testing.T) {
			cleanReload(t)
			unit := "mainpid-" + name
			place(t, definitions+unit+".yaml", "rootfs: host\nstop_signal: SIGKILL\n"+volumes+"command: [/bin/sh, -c, '"+strings.TrimSpace(strings.ReplaceAll(script, "\n", "; "))[2:]+"']\n")
			reload(t)
			if _, status := command(t, "systemctl", "start", unit); status != 0 {
				out, _ := command(t, "systemctl", "status", "-l", unit)
				t.Fatalf("it does not start:\n%s", out)
			}
			pid := property(t, unit, "MainPID")
			awaitLine(t, unit, "done")
			// systemd-notify has waited until its message was read (BARRIER=1).
			if got := property(t, unit, "MainPID"); got != pid || property(t, unit, "ActiveState") != "active" {
				t.Errorf("the main process is %s, it was %s; the unit is %s", got, pid, property(t, unit, "ActiveState"))
			}
			out := must(t, "journalctl", "-q", "-o", "cat", "-u", unit)
			if strings.Contains(out, "environment is there") || strings.Contains(out, "socket is there") != (volumes != "") {
				t.Errorf("the payload says:\n%s", out)
			}
			if got := property(t, unit, "NFileDescriptorStore"); got != "0" {
				t.Errorf("systemd keeps %s descriptors for it", got)
			}
			must(t, "systemctl", "stop", unit)
			command(t, "systemctl", "reset-failed", unit)
		})
	}
}
