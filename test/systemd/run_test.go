// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A container in the foreground: its streams and its status are the caller's,
// systemd knows it as long as it runs, and then nothing is left of it.
func TestRun(t *testing.T) {
	leavesNothing(t, func() {
		for _, c := range []struct {
			args   []string
			out    string
			status int
		}{
			{[]string{"--rootfs", "host", "sh", "-c", "echo out; exit 42"}, "out\n", 42},
			{[]string{"--rootfs", "host", "sh", "-c", "echo err >&2"}, "err\n", 0},
			{[]string{"--rootfs", "host", "sh", "-c", "kill -9 $$; sleep 0.1; exit 3"}, "", 3}, // an init hears no signal of its own
			{[]string{"--rm", "--rootfs", "host", "-e", "A=$B c", "-w", "/tmp", "-u", "7:8", "--hostname", "box", "sh", "-c", "echo $A $PWD $(id -u):$(id -g) $(hostname)"}, "$B c /tmp 7:8 box\n", 0},
			{[]string{"--rootfs", "host", "cat"}, "", 0},
			{[]string{"--rootfs", "host", "--entrypoint", "echo", "one", "two"}, "one two\n", 0},
			{[]string{"--rootfs", "host", "-v", "/etc/os-release:/mnt/file:ro", "--tmpfs", "/data", "--read-only", "sh", "-c", "test -s /mnt/file && touch /data/x && ! touch /x 2>/dev/null && echo ok"}, "ok\n", 0},
		} {
			if out, status := command(t, "unitc", append([]string{"run"}, c.args...)...); out != c.out || status != c.status {
				t.Errorf("%q: %d %q, want %d %q", c.args, status, out, c.status, c.out)
			}
		}
		for _, c := range []struct {
			args   []string
			status int
			says   string
		}{
			{[]string{"--rootfs", "host", "no-such-program"}, 125, "no-such-program"},
			{[]string{"--rootfs", "/no/such/dir", "sh"}, 125, "unitc: open-rootfs: open_tree /no/such/dir: no such file or directory; create the directory or correct `--rootfs`"},
			{[]string{"--rootfs", "host", "-m", "much", "sh"}, 125, "--memory: "},
			{[]string{"--rootfs", "host", "--device", "/dev/nowhere", "sh"}, 125, "unitc: --device: /dev/nowhere is not a device"},
			{[]string{"--pull", "never", "no.example/image", "sh"}, 125, "no.example/image"},
			{[]string{}, 2, "want an image"},
			{[]string{"-it", "--rootfs", "host", "sh"}, 2, "no terminal"},
		} {
			if out, status := command(t, "timeout", append([]string{"100", "unitc", "run"}, c.args...)...); status != c.status || !strings.Contains(out, c.says) {
				t.Errorf("%q: %d, want %d and %q:\n%s", c.args, status, c.status, c.says, out)
			}
		}
		cmd := exec.Command("unitc", "run", "-i", "--rootfs", "host", "cat")
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		cmd.Stdin = bytes.NewReader(sent)
		if got, err := cmd.Output(); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes of %d came back: %v", len(got), len(sent), err)
		}
	})
}

// Left running, it is a unit like any other.
func TestRunDetached(t *testing.T) {
	leavesNothing(t, func() {
		out := must(t, "unitc", "run", "-d", "--name", "verb-adhoc", "-m", "64m", "--rootfs", "host", "sh", "-c", "echo it runs; trap exit TERM; sleep infinity & wait")
		if out != "verb-adhoc\n" {
			t.Errorf("run -d says %q", out)
		}
		if got := property(t, "unitc-verb-adhoc.scope", "MemoryMax"); got != "67108864" {
			t.Errorf("MemoryMax is %s", got)
		}
		if got := list(t, "unitc", "ps", "--json")["verb-adhoc"]; got.State != "running" || got.Image != "rootfs:host" {
			t.Errorf("it is listed as %+v", got)
		}
		must(t, "unitc", "exec", "verb-adhoc", "true")
		if out := must(t, "unitc", "diff"); strings.Contains(out, "verb-adhoc") {
			t.Errorf("it has no file to differ from:\n%s", out)
		}
		must(t, "systemctl", "daemon-reload")
		if got := property(t, "verb-adhoc.service", "ActiveState"); got != "active" {
			t.Errorf("after a reload it is %s", got)
		}
		if out, status := command(t, "unitc", "run", "--name", "verb-adhoc", "--rootfs", "host", "true"); status != 2 || !strings.Contains(out, "already") {
			t.Errorf("the name once more: %d\n%s", status, out)
		}
		awaitLine(t, "verb-adhoc.service", "it runs")
		must(t, "systemctl", "stop", "verb-adhoc")
	})
}

// A definition runs without being installed: as its file says, with options over
// it, once, and nothing of it stays.
func TestRunFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("beside", "from beside\n")
	write("verb-file.env", "GREETING=hello\n")
	path := write("verb-file.yaml", `# a comment
rootfs: host
command: [sh, -c, 'echo $$A $$B; cat /mnt/beside; exit 3']
environment: {A: "${GREETING}", B: file}
volumes: ["./beside:/mnt/beside:ro"]
mem_limit: 64m
restart: always
tty: true
x-wait-for: path:/no/such
systemd:
  timer: {OnCalendar: daily}
`)
	leavesNothing(t, func() {
		if out, status := command(t, "unitc", "run", "--file", path); status != 3 || out != "hello file\nfrom beside\n" {
			t.Errorf("%d %q", status, out)
		}
		if out, status := command(t, "unitc", "run", "-f", path, "-e", "B=option", "--read-only", "sh", "-c", "echo $A $B; touch /x 2>&1 || exit 4"); status != 4 || !strings.HasPrefix(out, "hello option\n") {
			t.Errorf("with options over it: %d %q", status, out)
		}
		if out, status := command(t, "sh", "-c", "echo typed | unitc run -i -f "+path+" cat"); status != 0 || out != "typed\n" {
			t.Errorf("with input: %d %q", status, out)
		}
		must(t, "unitc", "run", "-d", "--name", "verb-adhoc", "--init", "-f", path, "sleep", "infinity")
		if got := property(t, "unitc-verb-adhoc.scope", "MemoryMax"); got != "67108864" {
			t.Errorf("MemoryMax is %s", got)
		}
		must(t, "systemctl", "stop", "verb-adhoc")
	})
	if _, err := os.Stat("/etc/unitc/verb-file.yaml"); err == nil {
		t.Error("it was installed")
	}
	for name, c := range map[string]struct {
		text   string
		args   []string
		status int
		says   string
	}{
		"fault":     {"rootfs: host\ncomand: x\n", nil, 125, "fault.yaml:2:1: error: comand: "},
		"option":    {"rootfs: host\ncommand: x\n", []string{"-m", "much"}, 125, "--memory: "},
		"project":   {"services: {a: {rootfs: host, command: x}}\n", nil, 2, "unitc up"},
		"template@": {"rootfs: host\ncommand: x\n", nil, 2, "a template"},
		"socket":    {"rootfs: host\ncommand: x\nsystemd: {socket: {ListenStream: 1}}\n", nil, 2, "by its socket"},
		"both":      {"rootfs: host\ncommand: x\n", []string{"--rootfs", "/srv"}, 2, "neither"},
	} {
		args := append([]string{"run", "-f", write(name+".yaml", c.text)}, c.args...)
		if out, status := command(t, "unitc", args...); status != c.status || !strings.Contains(out, c.says) {
			t.Errorf("%s: %d, want %d and %q:\n%s", name, status, c.status, c.says, out)
		}
	}
	// What Compose merges with it, and what it extends, comes along.
	leavesNothing(t, func() {
		write("base.yaml", "services: {base: {environment: {A: base, B: base}, volumes: ['./beside:/mnt/beside:ro']}}\n")
		write(".env", "GREETING=dot\n")
		path := write("compose.yaml", "rootfs: host\ncommand: [sh, -c, 'echo $$A $$B $$C; cat /mnt/beside; exit 3']\nextends: {file: base.yaml, service: base}\n")
		write("compose.override.yaml", "environment: {B: override, C: \"${GREETING}\"}\n")
		if out, status := command(t, "unitc", "run", "--name", "verb-once", "--file", path); status != 3 || out != "base override dot\nfrom beside\n" {
			t.Errorf("with an override: %d %q", status, out)
		}
	})
	if out, status := command(t, "unitc", "run", path); status != 2 || !strings.Contains(out, "--file "+path) {
		t.Errorf("a file in the place of an image: %d\n%s", status, out)
	}
}

// On a terminal it has one of its own, and an interrupt ends it at any moment.
//
//lab:once
func TestRunOnATerminal(t *testing.T) {
	leavesNothing(t, func() {
		cmd, terminal := onTerminal(t, "unitc", "run", "-it", "--rootfs", "host", "sh")
		fmt.Fprint(terminal, "stty size; tty\r")
		readUntil(t, terminal, "33 111\r\n/dev/")
		fmt.Fprint(terminal, "exit 9\r")
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 9 {
			t.Errorf("exit status %d, want 9", got)
		}
		terminal.Close()

		cmd, terminal = onTerminal(t, "unitc", "run", "-it", "--rootfs", "host", "sh", "-c", "echo ready; sleep 1000")
		readUntil(t, terminal, "ready")
		terminal.Close()
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 129 {
			t.Errorf("after the terminal has gone it exits with %d, want 129", got)
		}
	})
	// Whenever the interrupts come, nothing stays.
	leavesNothing(t, func() {
		for _, delay := range []string{"0.01", "0.03", "0.06", "0.1", "0.2"} {
			out, status := command(t, "timeout", "-k", "60", "-s", "INT", delay, "unitc", "run", "--init", "--rootfs", "host", "sh", "-c", "trap 'exit 0' INT; sleep 1000 & wait")
			if status != 124 {
				t.Errorf("interrupted after %s s: %d\n%s", delay, status, out)
			}
		}
	})
	// Killed itself, it leaves a unit that can be stopped and then is gone.
	leavesNothing(t, func() {
		cmd := exec.Command("unitc", "run", "--name", "verb-orphan", "--rootfs", "host", "sh", "-c", "echo ready; trap exit TERM; while :; do sleep 0.01; done")
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
		cmd.Process.Signal(unix.SIGKILL)
		_ = cmd.Wait()
		must(t, "systemctl", "stop", "verb-orphan")
	})
	// Killed before that, it leaves files, which the next one takes away; a unit
	// of the administrator's own is none of them.
	leavesNothing(t, func() {
		for _, name := range []string{"verb-early", "verb-own"} {
			dir := "/run/unitc/.run-" + name
			place(t, dir+"/"+name+".yaml", "rootfs: host\n")
			long := time.Now().Add(-time.Hour)
			if err := os.Chtimes(dir, long, long); err != nil {
				t.Fatal(err)
			}
		}
		place(t, "/run/systemd/system/verb-early.service", "# Made by unitc run.\n[Service]\nExecStart=true\n")
		place(t, "/run/systemd/system/verb-own.service", "[Service]\nExecStart=true\n")
		must(t, "unitc", "run", "--rootfs", "host", "true")
		left, _ := filepath.Glob("/run/unitc/.run-*")
		if units, _ := filepath.Glob("/run/systemd/system/verb-*.service"); len(left) != 0 || len(units) != 1 {
			t.Errorf("%q and %q are left", left, units)
		}
	})
}

// The everyday run: the image is fetched if it is missing, volumes are filled
// and kept, ports are published, -it gives a terminal; nothing else stays.
//
//lab:once
func TestRunImage(t *testing.T) {
	r := startRegistry(t)
	name := r.offer(t, "app:1", `{"Cmd": ["/bin/sh", "-c", "echo the image; exit 4"], "Env": ["FROM=image"], "WorkingDir": "/seed"}`)
	if out, status := command(t, "unitc", "run", "--pull", "never", name); status != 125 || !strings.Contains(out, name) {
		t.Errorf("what may not be fetched: %d\n%s", status, out)
	}
	if out, status := command(t, "unitc", "run", name); status != 4 || !strings.HasSuffix(out, "the image\n") {
		t.Errorf("the image's own command: %d\n%s", status, out)
	}
	if r.count("blobs") == 0 {
		t.Error("the image was not fetched")
	}
	definition := t.TempDir() + "/image.yaml"
	place(t, definition, "image: "+name+"\npull_policy: always\nenvironment: {FROM: file}\ncommand: [sh, -c, 'echo $$FROM $$PWD']\n")
	r.count("questions")
	if out, status := command(t, "unitc", "run", "--file", definition); status != 0 || !strings.HasSuffix(out, "file /seed\n") {
		t.Errorf("a definition's image: %d\n%s", status, out)
	}
	if r.count("questions") == 0 {
		t.Error("the registry was not asked, as pull_policy says")
	}
	leavesNothing(t, func() {
		t.Setenv("HERE", "host")
		out, status := command(t, "unitc", "run", "--rm", "-e", "HERE", "--entrypoint", "/bin/sh", name, "-c", "echo $FROM $HERE $PWD; touch /x && echo writable")
		if status != 0 || out != "image host /seed\nwritable\n" {
			t.Errorf("%d %q", status, out)
		}
		dir := t.TempDir()
		if out, status := command(t, "unitc", "run", "--userns", "host", "-v", dir+":/data", name, "sh", "-c", "echo kept >/data/file"); status != 0 {
			t.Errorf("a volume: %d\n%s", status, out)
		}
		if got := file(t, dir+"/file"); got != "kept\n" {
			t.Errorf("the volume has %q", got)
		}
		cmd, screen := onTerminal(t, "unitc", "run", "-it", name, "sh")
		fmt.Fprint(screen, "stty size; echo $((6*7)); exit 9\r")
		readUntil(t, screen, "33 111\r\n42\r\n")
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 9 {
			t.Errorf("on a terminal: %v", cmd.ProcessState)
		}
		screen.Close()
	})
	must(t, "unitc", "run", "-d", "--name", "verb-port", "--init", "-p", "127.0.0.1:4780:80", name, "sh", "-c", "while :; do echo hello | nc -l -p 80; done")
	t.Cleanup(func() { command(t, "systemctl", "stop", "verb-port") })
	await(t, "the published port answers", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:4780")
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		answer, _ := io.ReadAll(conn)
		return string(answer) == "hello\n"
	})
	if out := must(t, "unitc", "port", "verb-port"); !strings.Contains(out, "4780") {
		t.Errorf("unitc port says %q", out)
	}
	must(t, "systemctl", "stop", "verb-port")
	await(t, "its unit is gone", func() bool { return property(t, "verb-port.service", "LoadState") == "not-found" })

	// On a network that another definition makes.
	place(t, definitions+"verb-net.network.yaml", "internal: true\n")
	reload(t)
	place(t, definition, "image: "+name+"\nnetworks: [verb-net]\ncommand: [ls, /sys/class/net]\n")
	for _, args := range [][]string{{"--file", definition}, {"--network", "verb-net", name, "ls", "/sys/class/net"}} {
		if out, status := command(t, "unitc", append([]string{"run"}, args...)...); status != 0 || !strings.HasSuffix(out, "eth0\nlo\n") {
			t.Errorf("%q: %d %q", args, status, out)
		}
	}
}
