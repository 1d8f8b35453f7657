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
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A program in a container is confined as the payload is, and its streams and
// its status are the caller's.
func TestExec(t *testing.T) {
	defineFor(t, "verb-exec", sleeper+"environment: {ONE: '1'}\nuser: '1000:1000'\nworking_dir: /tmp\n")
	defineFor(t, "verb-exec-host", sleeper+"userns_mode: host\ngroup_add: ['4242']\n")
	must(t, "systemctl", "start", "verb-exec", "verb-exec-host")
	for _, name := range []string{"verb-exec", "verb-exec-host"} {
		for _, what := range []string{"CapEff", "CapBnd", "NoNewPrivs", "Seccomp:", "Uid", "Groups"} {
			want := must(t, "grep", what, "/proc/"+mainPID(t, name)+"/status")
			// As seen from outside, so that ids are the host's on both sides.
			got := fromOutside(t, name, what)
			if got != want {
				t.Errorf("%s: %q, the payload has %q", name, got, want)
			}
		}
		for _, ns := range []string{"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"} {
			got := must(t, "unitc", "exec", name, "readlink", "/proc/self/ns/"+ns)
			if want := must(t, "readlink", "/proc/"+mainPID(t, name)+"/ns/"+ns); got != want {
				t.Errorf("%s: namespace %q, the payload's is %q", name, got, want)
			}
		}
	}
	for _, c := range []struct {
		args   []string
		out    string
		status int
	}{
		{[]string{"verb-exec", "sh", "-c", "exit 42"}, "", 42},
		{[]string{"verb-exec", "sh", "-c", "kill -9 $$"}, "", 137},
		{[]string{"-e", "TWO=2 2", "verb-exec", "sh", "-c", "echo $ONE $TWO $PWD"}, "1 2 2 /tmp\n", 0},
		{[]string{"-u", "0:0", "-w", "/", "verb-exec", "sh", "-c", "echo $(id -u):$(id -g) $PWD"}, "0:0 /\n", 0},
		{[]string{"verb-exec", "cat"}, "", 0}, // no standard input is the end of it
		{[]string{"verb-exec", "sh", "-c", "echo out"}, "out\n", 0},
		{[]string{"verb-exec", "--", "sh", "-c", "echo $1", "sh", "--"}, "--\n", 0},
		{[]string{"--", "verb-exec", "--", "echo", "two"}, "two\n", 0},
		{[]string{"verb-exec", "sh", "-c", "echo err >&2"}, "err\n", 0},
	} {
		if out, status := command(t, "unitc", append([]string{"exec"}, c.args...)...); out != c.out || status != c.status {
			t.Errorf("%q: %d %q, want %d %q", c.args, status, out, c.status, c.out)
		}
	}
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"verb-exec", "no-such-shell"}, 127, "verb-exec has no program"},
		{[]string{"verb-exec", "/etc/hostname"}, 126, "permission denied"},
		{[]string{"verb-exce", "true"}, 125, "did you mean verb-exec"},
		{[]string{"verb-exec"}, 2, "want a container and a program"},
		{[]string{"-it", "verb-exec", "sh"}, 2, "no terminal"},
		{[]string{"-u", "nobody-like-that", "verb-exec", "true"}, 125, "nobody-like-that"},
	} {
		if out, status := command(t, "unitc", append([]string{"exec"}, c.args...)...); status != c.status || !strings.Contains(out, c.says) {
			t.Errorf("%q: %d, want %d and %q:\n%s", c.args, status, c.status, c.says, out)
		}
	}
	// A million bytes each way, and no byte lost at the end.
	cmd := exec.Command("unitc", "exec", "-i", "verb-exec", "cat")
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	cmd.Stdin = bytes.NewReader(sent)
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d came back: %v", len(got), len(sent), err)
	}
	// What goes on in the background keeps nobody waiting.
	if out, status := command(t, "timeout", "30", "unitc", "exec", "verb-exec", "sh", "-c", "sleep 1000 & echo done"); status != 0 || out != "done\n" {
		t.Errorf("with a process in the background: %d %q", status, out)
	}
	must(t, "unitc", "exec", "-d", "verb-exec", "sh", "-c", "echo left > /tmp/detached; exec sleep 1000")
	await(t, "the detached program", func() bool {
		_, status := command(t, "unitc", "exec", "verb-exec", "test", "-s", "/tmp/detached")
		return status == 0
	})
	must(t, "unitc", "pause", "verb-exec")
	if out, status := command(t, "timeout", "30", "unitc", "exec", "verb-exec", "true"); status != 125 || !strings.Contains(out, "is paused") {
		t.Errorf("in a paused container: %d\n%s", status, out)
	}
	must(t, "unitc", "unpause", "verb-exec")
	must(t, "systemctl", "stop", "verb-exec")
	if out, status := command(t, "unitc", "exec", "verb-exec", "true"); status != 125 || !strings.Contains(out, "is not running") {
		t.Errorf("in a stopped container: %d\n%s", status, out)
	}
	if out, status := command(t, "setpriv", asNobody("exec", "verb-exec-host", "true")...); status != 125 || !strings.Contains(out, "root") {
		t.Errorf("as another user: %d\n%s", status, out)
	}
}

// fromOutside is a line of the status of a program in a container, read by the
// host.
func fromOutside(t *testing.T, name, what string) string {
	t.Helper()
	cmd := exec.Command("unitc", "exec", "-i", name, "cat")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	line := ""
	await(t, "the program", func() bool {
		pids, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		for _, pid := range strings.Fields(string(pids) + otherChildren(cmd.Process.Pid)) {
			comm, _ := os.ReadFile("/proc/" + pid + "/comm")
			if string(comm) == "cat\n" {
				out, status := command(t, "grep", what, "/proc/"+pid+"/status")
				if status == 0 {
					line = out
					return true
				}
			}
		}
		return false
	})
	return line
}

// otherChildren are those of a process's further threads.
func otherChildren(pid int) string {
	var b strings.Builder
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		b.WriteString(" " + string(data))
	}
	return b.String()
}

// terminal is a pair of ends, of which a command gets the second.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 111}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// onTerminal starts a command with a terminal of its own and gives the end that
// an operator would have.
func onTerminal(t *testing.T, args ...string) (*exec.Cmd, *os.File) {
	t.Helper()
	master, slave := openTerminal(t)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	t.Cleanup(func() { cmd.Process.Kill(); master.Close() })
	return cmd, master
}

// readUntil reads what a terminal shows until the text is there.
func readUntil(t *testing.T, f io.Reader, text string) {
	t.Helper()
	seen := ""
	found := make(chan bool, 1)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := f.Read(buf)
			if seen += string(buf[:n]); strings.Contains(seen, text) {
				found <- true
				return
			}
			if err != nil {
				found <- false
				return
			}
		}
	}()
	select {
	case ok := <-found:
		if !ok {
			t.Fatalf("the terminal ends without %q:\n%s", text, seen)
		}
	case <-time.After(time.Minute):
		t.Fatalf("no %q on the terminal", text)
	}
}

// The program has a terminal of the operator's size, which follows it; keys
// reach it as they are typed, and it ends when the terminal goes away.
//
//lab:once
func TestExecOnATerminal(t *testing.T) {
	defineFor(t, "verb-tty", sleeper)
	must(t, "systemctl", "start", "verb-tty")
	processes := func() int {
		out := must(t, "cat", "/sys/fs/cgroup/unitc.slice/unitc-verb-tty.scope/payload/cgroup.procs")
		return strings.Count(out, "\n")
	}
	const before = 2 // the shell, and what it waits for
	await(t, "the payload's second process", func() bool { return processes() == before })
	cmd, terminal := onTerminal(t, "unitc", "exec", "-it", "verb-tty", "sh")
	fmt.Fprint(terminal, "stty size; tty\r")
	readUntil(t, terminal, "33 111\r\n/dev/pts/")
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 20, Col: 50}); err != nil {
		t.Fatal(err)
	}
	await(t, "the new size", func() bool {
		fmt.Fprint(terminal, "stty size\r")
		buf := make([]byte, 4096)
		n, _ := terminal.Read(buf)
		return strings.Contains(string(buf[:n]), "20 50")
	})
	terminal.Close()
	_ = cmd.Wait()

	// Ctrl-C is the program's own.
	cmd, terminal = onTerminal(t, "unitc", "exec", "-it", "verb-tty", "sh", "-c", "trap 'exit 9' INT; echo ready; while :; do sleep 0.01; done")
	readUntil(t, terminal, "ready")
	fmt.Fprint(terminal, "\x03")
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 9 {
		t.Errorf("exit status %d, want 9", got)
	}

	cmd, terminal = onTerminal(t, "unitc", "exec", "-it", "verb-tty", "sh", "-c", "echo ready; sleep 1000")
	readUntil(t, terminal, "ready")
	terminal.Close()
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 129 {
		t.Errorf("after the terminal has gone it exits with %d, want 129", got)
	}
	await(t, "the end of the program", func() bool { return processes() == before })

	// A signal to unitc is one to the program.
	run := exec.Command("unitc", "exec", "verb-tty", "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done")
	out, err := run.StdoutPipe()
	if err == nil {
		err = run.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 6)
	if _, err := out.Read(buf); err != nil {
		t.Fatal(err)
	}
	run.Process.Signal(unix.SIGTERM)
	_ = run.Wait()
	if got := run.ProcessState.ExitCode(); got != 5 {
		t.Errorf("after SIGTERM it exits with %d, want the program's 5", got)
	}
	await(t, "the end of the program", func() bool { return processes() == before })
}

// A hundred at once, and more, while the container restarts and is killed: each ends, with the program's
// status or with one that says that the container was not there.
func TestExecWhileRestarting(t *testing.T) {
	defineFor(t, "verb-storm", sleeper+"restart: always\nsystemd: {service: {RestartSec: 10ms}, unit: {StartLimitIntervalSec: 0}}\n")
	leavesNothing(t, func() {
		must(t, "systemctl", "start", "verb-storm")
		var wg sync.WaitGroup
		var mu sync.Mutex
		count, said := map[int]int{}, map[string]int{}
		once := func() {
			cmd := exec.Command("timeout", "-s", "KILL", "100", "unitc", "exec", "-i", "verb-storm", "sh", "-c", "read line; exit 3")
			cmd.Stdin = strings.NewReader("x\n")
			out, _ := cmd.CombinedOutput()
			status := cmd.ProcessState.ExitCode()
			mu.Lock()
			defer mu.Unlock()
			count[status]++
			if status == 125 {
				said[string(out)]++
			}
			if status != 3 && status != 125 && status != 137 && status != 143 { // a stop's signals end it, too
				t.Errorf("exit status %d:\n%s", status, out)
			}
		}
		for range 100 {
			wg.Go(once)
		}
		for range 10 {
			must(t, "systemctl", "restart", "verb-storm")
			must(t, "unitc", "kill", "--all", "verb-storm")
			for range 5 {
				wg.Go(once)
			}
		}
		wg.Wait()
		// Then all is as it was.
		must(t, "systemctl", "restart", "verb-storm")
		ran := count[3]
		if once(); count[3] != ran+1 {
			t.Errorf("after the storm no program runs: %v", count)
		}
		t.Logf("exit statuses: %v, and of 125 %v", count, said)
		must(t, "systemctl", "stop", "verb-storm")
		// It may have been between a kill and a restart.
		command(t, "systemctl", "reset-failed", "verb-storm")
	})
}
