// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// endlessly are verbs that would go on for ever; %s is a container.
var endlessly = map[string]string{
	"exec":   "exec NAME sleep 1000",
	"attach": "attach --sig-proxy=false NAME",
	"logs":   "logs -f NAME",
	"stats":  "stats NAME",
	"events": "events",
	"wait":   "wait NAME",
	"await":  "wait-for path:/nowhere tcp:127.0.0.1:1",
	"run":    "run --init --rootfs host sleep 1000",
	"pull":   "pull REGISTRY/never/answers",
	"cp":     "cp NAME:/usr DIR",
	"cp in":  "cp /usr NAME:/tmp/copy",
	"up":     "up DIR/verb-later.yaml",
	"edit":   "edit NAME",
}

// "Ctrl-C at any moment": each verb ends soon, whenever it comes, and leaves
// nothing but what it was to leave.
func TestInterruptedAtAnyMoment(t *testing.T) {
	const payload = "rootfs: host\ninit: true\nstdin_open: true\ntmpfs: [/tmp]\ncommand: [sleep, infinity]\n"
	defineFor(t, "verb-interrupted", payload)
	must(t, "systemctl", "start", "verb-interrupted")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	place(t, "/run/verb-editor", "#!/bin/sh\nexec sleep 1000\n")
	if err := os.Chmod("/run/verb-editor", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EDITOR", "/run/verb-editor")
	for verb, line := range endlessly {
		t.Run(verb, func(t *testing.T) {
			dir := t.TempDir()
			place(t, dir+"/verb-later.yaml", "rootfs: host\ncommand: [sleep, infinity]\nsystemd: {notify: container}\n")
			args := strings.Fields(strings.NewReplacer("NAME", "verb-interrupted", "DIR", dir, "REGISTRY", silent.Addr().String()).Replace(line))
			leavesNothing(t, func() {
				for _, delay := range []string{"0.01", "0.05", "0.3"} {
					out, status := command(t, "timeout", append([]string{"-k", "60", "-s", "INT", delay, "unitc"}, args...)...)
					if status != 124 && status != 0 { // it may have been quicker
						t.Errorf("interrupted after %s s: %d\n%s", delay, status, out)
					}
				}
				if verb == "up" {
					command(t, "unitc", "down", "verb-later")
				}
				if verb == "cp in" {
					must(t, "systemctl", "restart", "verb-interrupted") // what was copied is in its memory
				}
			})
			if got := property(t, "verb-interrupted", "ActiveState"); got != "active" {
				t.Errorf("the container is %s", got)
			}
		})
	}
}

// An interrupt that comes while a process is being started ends the start or
// reaches the process: none is lost, after which both would go on for ever.
func TestInterruptedInMidStart(t *testing.T) {
	defineFor(t, "verb-start", "rootfs: host\ninit: true\ncommand: [sleep, infinity]\n")
	must(t, "systemctl", "start", "verb-start")
	// As long as a quick exec takes; a slow one is interrupted at its beginning.
	began := time.Now()
	must(t, "unitc", "exec", "verb-start", "true")
	took := time.Since(began)
	for _, sig := range []string{"INT", "HUP"} {
		for i := range 40 {
			delay := fmt.Sprintf("%.4f", took.Seconds()*float64(i+1)/40)
			out, status := command(t, "timeout", "-k", "20", "-s", sig, delay, "unitc", "exec", "verb-start", "sleep", "1000")
			if status != 124 {
				t.Errorf("SIG%s after %s s: %d\n%s", sig, delay, status, out)
			}
		}
	}
	if left, _ := command(t, "unitc", "exec", "verb-start", "ps", "-C", "sleep", "-o", "args="); strings.Contains(left, "1000") {
		t.Errorf("left over:\n%s", left)
	}
}

// "A tty that goes away": who has it ends.
//
//lab:once
func TestTerminalGone(t *testing.T) {
	defineFor(t, "verb-hangup", "rootfs: host\ninit: true\nstdin_open: true\ncommand: [sh, -c, 'while :; do echo line; sleep 0.05; done']\n")
	must(t, "systemctl", "start", "verb-hangup")
	for _, line := range []string{"logs -f verb-hangup", "stats verb-hangup", "attach verb-hangup", "events", "wait verb-hangup", "exec -it verb-hangup sh"} {
		cmd, terminal := onTerminal(t, append([]string{"unitc"}, strings.Fields(line)...)...)
		if !strings.HasPrefix(line, "events") && !strings.HasPrefix(line, "wait") {
			if _, err := terminal.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		terminal.Close()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		await(t, fmt.Sprintf("unitc %s has ended", line), func() bool { return len(ended) == 1 })
	}
	if got := property(t, "verb-hangup", "ActiveState"); got != "active" {
		t.Errorf("the container is %s", got)
	}
}

// "No permission (says what is needed)": every verb that needs root says so.
//
//lab:once
func TestVerbsNeedRoot(t *testing.T) {
	defineFor(t, "verb-root", sleeper)
	must(t, "systemctl", "start", "verb-root")
	const file = "/run/verb-new.yaml" // which everyone can read
	place(t, file, sleeper)
	for _, line := range []string{
		"exec verb-root true", "attach verb-root", "cp verb-root:/etc/hostname /tmp/x", "kill verb-root", "pause verb-root", "run --rootfs host true",
		"up " + file, "down verb-root", "enable verb-root", "update-limits verb-root mem_limit=1g",
		"secret set x", "volume create x",
	} {
		out, status := command(t, "setpriv", asNobody(strings.Fields(line)...)...)
		if status != 4 && status != 125 || !strings.Contains(out, "as root") {
			t.Errorf("unitc %s: %d, and does not say that it needs root:\n%s", line, status, out)
		}
	}
}
