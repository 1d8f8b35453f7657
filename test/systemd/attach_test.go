// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// joinable placements: the relay has the terminal in both cgroups.
var joinable = []placement{scoped, {"service", "journald"}}

// onTerminal of its own: keys of one who joins arrive, output goes to all who
// have joined and to the journal, the keys let go, and the payload goes on.
//
//lab:once
func TestAttachTerminal(t *testing.T) {
	for _, p := range joinable {
		t.Run(p.String(), func(t *testing.T) {
			u := p.define(t, "tty", "rootfs: host\ntty: true\nstdin_open: true\ncommand: [sh, -c, 'echo up; tty; stty size; exec sh -i']").start()
			u.awaitOutput("up\n/dev/pts/0\n0 0\n")
			group := "/unitc.slice/" + u.unit()
			if p.cgroup == "service" {
				group += "/relay"
			}
			checkRelaySize(t, group)
			first, screen := onTerminal(t, "unitc", "attach", u.name)
			fmt.Fprint(screen, "stty size; echo $((6*7)) $TERM $$; ps -o tty= -p $$; test -c /dev/console && echo console\r")
			readUntil(t, screen, "33 111\r\n42 xterm 1\r\npts/0\r\nconsole\r\n")
			// A second one sees the same, and types too.
			second := exec.Command("unitc", "attach", u.name)
			typed, err := second.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			seen, err := second.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := second.Start(); err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(typed, "echo from-$((40+2))-both\r")
			readUntil(t, screen, "from-42-both\r\n")
			readUntil(t, seen, "from-42-both\r\n")
			fmt.Fprint(screen, "\x10\x11")
			if err := first.Wait(); err != nil {
				t.Errorf("after the keys: %v", err)
			}
			u.expect(u.unit(), "ActiveState=active")
			// One that is interrupted passes the interrupt on; one that goes away only goes.
			must(t, "sh", "-c", fmt.Sprintf("kill -HUP %d", second.Process.Pid))
			if _ = second.Wait(); second.ProcessState.ExitCode() != 129 {
				t.Errorf("after SIGHUP: %v", second.ProcessState)
			}
			u.expect(u.unit(), "ActiveState=active")
			third, screen := onTerminal(t, "unitc", "attach", u.name)
			fmt.Fprint(screen, "echo last; printf words; exit 5\r")
			if out := readAll(screen); !strings.Contains(out, "last\r\nwords") {
				t.Errorf("the last words are missing: %q", out)
			}
			if _ = third.Wait(); third.ProcessState.ExitCode() != 5 {
				t.Errorf("the payload has ended with 5, and attach with %d", third.ProcessState.ExitCode())
			}
			u.await("ActiveState", "failed")
			u.expect(u.unit(), "ExecMainStatus=5")
			for _, line := range []string{"42 xterm 1\n", "from-42-both\n", "last\n", "words\n"} {
				u.awaitOutput(line)
			}
		})
	}
}

// A container with neither a terminal nor an input shows its output, from now on
// and to its last words; signals and the end are as with the others.
//
//lab:once
func TestAttachFollowsOutput(t *testing.T) {
	for _, p := range []placement{scoped, {"service", "journald"}, {"scope", "direct"}} {
		t.Run(p.String(), func(t *testing.T) {
			u := p.define(t, "mute", `rootfs: host
command: [sh, -c, 'trap "echo tick" USR1; trap "seq 1 500; printf words; exit 4" USR2; echo up; while :; do sleep 0.1; done']`).start()
			u.awaitOutput("up\n")
			cmd := exec.Command("unitc", "attach", u.name)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			word, err := cmd.StderrPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Process.Kill() })
			readUntil(t, word, "neither tty: nor stdin_open:")
			u.signal("USR1")
			readUntil(t, out, "tick\n")
			if err := cmd.Process.Signal(syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(out)
			if _ = cmd.Wait(); err != nil || cmd.ProcessState.ExitCode() != 4 {
				t.Errorf("attach ends with %v (%v)", cmd.ProcessState, err)
			}
			if lines := strings.Split(string(rest), "\n"); len(lines) != 502 || lines[0] != "1" || lines[500] != "words" {
				t.Errorf("the last words are %q", rest)
			}
		})
	}
	u := placement{"scope", "none"}.define(t, "silent", sleeper).start()
	if out, status := command(t, "unitc", "attach", u.name); status != 1 || !strings.Contains(out, "nobody has its output") {
		t.Errorf("without a log it is %d: %s", status, out)
	}
}

// Another runtime hands its terminal over, and it is as with unitc's own.
func TestAttachOtherRuntimes(t *testing.T) {
	for _, runtime := range []string{"crun", "runc"} {
		t.Run(runtime, func(t *testing.T) {
			u := scoped.define(t, "tty-"+runtime, "rootfs: host\nruntime: "+runtime+"\ntty: true\ncommand: [sh, -c, 'echo up; exec sh -i']").start()
			u.awaitOutput("up\n")
			cmd, screen := onTerminal(t, "unitc", "attach", u.name)
			fmt.Fprint(screen, "tty; stty size; echo $((6*7)); exit 3\r")
			readUntil(t, screen, "/dev/pts/0\r\n33 111\r\n42\r\n")
			if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 3 {
				t.Errorf("attach ends with %v", cmd.ProcessState)
			}
		})
	}
}

// readAll reads a terminal until its other end is closed.
func readAll(f io.Reader) string {
	var b bytes.Buffer
	_, _ = io.Copy(&b, f) // EIO is the end of a terminal
	return b.String()
}

// A terminal that nobody has joined keeps nobody waiting, and no line of it is
// lost; sixty thousand lines pass while one who reads nothing has joined.
//
//lab:once
func TestTerminalLosesNothing(t *testing.T) {
	for _, p := range joinable {
		t.Run(p.String(), func(t *testing.T) {
			u := p.define(t, "tty-lines", "rootfs: host\ntty: true\ncommand: [sh, -c, 'trap \"go=1\" USR1; echo up; while [ -z \"$$go\" ]; do sleep 0.05; done; seq 1 60000; echo last words; exit 3']").start()
			u.awaitOutput("up\n")
			lazy := exec.Command("unitc", "attach", "--no-stdin", u.name)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			lazy.Stdout = w
			if err := lazy.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			u.signal("USR1")
			u.await("ActiveState", "failed")
			u.expect(u.unit(), "ExecMainStatus=3")
			u.awaitOutput("last words\n")
			if got := strings.Count(u.output(), "\n"); got != 60002 {
				t.Errorf("%d lines arrived, not 60002", got)
			}
			if strings.Contains(u.output(), "\r") {
				t.Error("lines in the journal end with a carriage return")
			}
			r.Close()
			_ = lazy.Wait()
		})
	}
}

// Without a terminal input and output are joined as they are.
//
//lab:once
func TestAttachPipes(t *testing.T) {
	for _, p := range joinable {
		t.Run(p.String(), func(t *testing.T) {
			u := p.define(t, "pipes", "rootfs: host\ninit: true\nstdin_open: true\ncommand: [sh, -c, 'trap \"echo interrupted\" INT; echo up; while :; do read l || continue; case $$l in end) echo bye; exit 6;; esac; echo \"got $$l\"; printf \"prompt> \"; done']").start()
			u.awaitOutput("up\n")
			cmd := exec.Command("unitc", "attach", u.name)
			in, _ := cmd.StdinPipe()
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(in, "one")
			readUntil(t, out, "got one\nprompt> ")
			must(t, "sh", "-c", "echo two >/run/unitc/"+u.name+"/stdin")
			readUntil(t, out, "got two\nprompt> ")
			in.Close() // which ends neither
			must(t, "sh", "-c", fmt.Sprintf("kill -INT %d", cmd.Process.Pid))
			readUntil(t, out, "interrupted\n")
			if out := must(t, "sh", "-c", "echo end | unitc attach "+u.name+"; echo status $?"); !strings.Contains(out, "bye\n") || !strings.HasSuffix(out, "status 6\n") {
				t.Errorf("%q", out)
			}
			if rest := readAll(out); !strings.Contains(rest, "bye\n") {
				t.Errorf("%q", rest)
			}
			if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 6 {
				t.Errorf("attach ends with %v", cmd.ProcessState)
			}
			u.awaitOutput("bye\n")
		})
	}
}

// What cannot be joined says why; a detached run can, and lets no one else in.
//
//lab:once
func TestAttachFaults(t *testing.T) {
	defineFor(t, "deaf-one", sleeper)
	must(t, "systemctl", "start", "deaf-one")
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"deaf-on"}, 3, "did you mean deaf-one"},
		{[]string{}, 2, "want the name"},
		{[]string{"--detach-keys", "ctrl-pp", "deaf-one"}, 2, "no key"},
	} {
		if out, status := command(t, "unitc", append([]string{"attach"}, c.args...)...); status != c.status || !strings.Contains(out, c.says) {
			t.Errorf("%q: %d, want %d and %q:\n%s", c.args, status, c.status, c.says, out)
		}
	}
	must(t, "systemctl", "stop", "deaf-one")
	if out, status := command(t, "unitc", "attach", "deaf-one"); status != 1 || !strings.Contains(out, "not running") {
		t.Errorf("one that is stopped: %d\n%s", status, out)
	}
	leavesNothing(t, func() {
		must(t, "unitc", "run", "-dit", "--name", "verb-left", "--rootfs", "host", "sh")
		for _, path := range []string{"/run/unitc/verb-left", "/run/unitc/verb-left/attach"} {
			if st, err := os.Stat(path); err != nil {
				t.Error(err)
			} else if st.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: %v", path, st.Mode())
			}
		}
		cmd, screen := onTerminal(t, "unitc", "attach", "verb-left")
		fmt.Fprint(screen, "echo $((3*4)); exit 7\r")
		readUntil(t, screen, "12\r\n")
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
			t.Errorf("%v", cmd.ProcessState)
		}
		await(t, "its unit is gone", func() bool { return property(t, "verb-left.service", "LoadState") == "not-found" })
	})
}
