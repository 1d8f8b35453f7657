// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
)

func init() {
	// hold says that it runs and stays until its standard input ends.
	probes["hold"] = func(string) string {
		fmt.Println("holding")
		_, err := io.Copy(io.Discard, os.Stdin)
		return outcome(err)
	}
	probes["ns"] = func(name string) string { s, err := os.Readlink("/proc/self/ns/" + name); return s + outcomeIf(err) }
	probes["tty"] = func(string) string {
		name, _ := os.Readlink("/proc/self/fd/0")
		ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		if err != nil {
			return outcome(err)
		}
		group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
		f, terr := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		if terr == nil {
			f.Close()
		}
		return fmt.Sprintf("%s %dx%d foreground=%v %s /dev/tty=%s", name, ws.Col, ws.Row, group == unix.Getpgrp(), outcome(err), outcome(terr))
	}
	probes["sid"] = func(string) string { sid, err := unix.Getsid(0); return fmt.Sprint(sid == os.Getpid(), outcomeIf(err)) }
	probes["rlimit"] = func(string) string {
		var l unix.Rlimit
		err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
		return fmt.Sprint(l.Cur, " ", l.Max, outcomeIf(err))
	}
	// spy looks for processes that are not of this container's program and tries
	// to reach what they hold.
	probes["spy"] = spy
}

// heldContainer is a container that runs until it is released.
type heldContainer struct {
	*container
	pid  int
	plan *plan.Plan
}

func (c *container) hold(probes ...string) *heldContainer {
	c.t.Helper()
	mustSeal = false
	c.service.Command = append([]string{"/payload", "payload"}, append(probes, "hold")...)
	p, err := c.plan()
	must(c.t, err)
	in, release, err := os.Pipe()
	must(c.t, err)
	out, w, err := os.Pipe()
	must(c.t, err)
	l, err := Prepare(p, Options{Stdio: [3]*os.File{in, w, os.Stderr}, AttachPoint: c.t.TempDir(), ID: "test"})
	must(c.t, err)
	defer l.Close()
	child, err := l.Start()
	must(c.t, err)
	must(c.t, child.AwaitExec())
	child.Resume()
	child.Close()
	c.t.Cleanup(func() {
		release.Close()
		_, _ = waitFor(child.PID)
		out.Close()
	})
	in.Close()
	w.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "holding\n" {
		c.t.Fatalf("the payload said %q: %v", line, err)
	}
	return &heldContainer{c, child.PID, p}
}

// process is the container's own with other arguments.
func (h *heldContainer) process(args ...string) *specs.Process {
	p := *h.plan.Spec.Process
	p.Args = args
	return &p
}

// probe runs probes in the container and gives what they saw.
func (h *heldContainer) probe(cfg ExecConfig, probes ...string) (map[string]string, error) {
	h.t.Helper()
	cfg.PID, cfg.Spec = h.pid, h.plan.Spec
	if cfg.Process == nil {
		cfg.Process = h.process()
	}
	cfg.Process.Args = append([]string{"/payload", "payload"}, probes...)
	r, w, err := os.Pipe()
	must(h.t, err)
	defer r.Close()
	null, err := os.Open(os.DevNull)
	must(h.t, err)
	defer null.Close()
	cfg.Stdio = [3]*os.File{null, w, w}
	j, err := Exec(context.Background(), cfg)
	w.Close()
	if err != nil {
		return nil, err
	}
	var source io.Reader = r
	if j.Terminal != nil {
		defer j.Terminal.Close()
		source = j.Terminal
	}
	out, _ := io.ReadAll(source) // a terminal ends with EIO
	ws, err := j.Wait()
	if err != nil || ws != 0 {
		return nil, fmt.Errorf("status %#x (%v): %s", uint32(ws), err, out)
	}
	seen := map[string]string{}
	return seen, json.Unmarshal(out, &seen)
}

// A second process has everything as the first has it: namespaces, ids,
// capabilities, filter, limits, no descriptor but 0 to 2.
func TestExecIsConfinedAsTheFirstProcess(t *testing.T) {
	for _, mode := range []string{"", "host"} {
		for _, user := range []string{"", "1000:1000"} {
			c := newContainer(t)
			c.service.UsernsMode, c.service.User = mode, user
			c.service.Ulimits = []definition.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}}
			looks := []string{"ns=mnt", "ns=pid", "ns=net", "ns=ipc", "ns=uts", "ns=cgroup", "ns=user", "ids", "fds", "umask", "cwd", "hostname", "rlimit", "env", "mount=/tmp",
				"status=CapEff", "status=CapPrm", "status=CapInh", "status=CapBnd", "status=CapAmb", "status=NoNewPrivs", "status=Seccomp", "status=Seccomp_filters",
				"status=SigBlk", "status=SigIgn", "status=Uid", "status=Gid", "status=Groups", "sid"}
			want := c.run(looks...)
			h := c.hold()
			got, err := h.probe(ExecConfig{}, looks...)
			must(t, err)
			for _, look := range looks {
				if strings.HasPrefix(look, "ns=") {
					// The held container's own namespaces, not those of the first run.
					want[look], err = os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", h.pid, strings.TrimPrefix(look, "ns=")))
					must(t, err)
				}
				if got[look] != want[look] {
					t.Errorf("userns %q user %q: %s is %q, the first process has %q", mode, user, look, got[look], want[look])
				}
			}
		}
	}
}

func TestExecTerminal(t *testing.T) {
	for _, mode := range []string{"", "host"} {
		c := newContainer(t)
		c.service.UsernsMode, c.service.User = mode, "7:7"
		h := c.hold()
		p := h.process()
		p.Terminal, p.ConsoleSize = true, &specs.Box{Width: 101, Height: 31}
		got, err := h.probe(ExecConfig{Process: p}, "tty", "fds", "sid", "stat=/dev/pts/0")
		must(t, err)
		expect(t, got, map[string]string{"tty": "/dev/pts/0 101x31 foreground=true ok /dev/tty=ok", "fds": "0 1 2", "sid": "true", "stat=/dev/pts/0": "20620 7:5"})
	}
}

func TestTerminalOfTheFirstProcess(t *testing.T) {
	for _, init := range []bool{false, true} {
		c := newContainer(t)
		c.service.Init = init
		c.service.Command = []string{"/payload", "payload", "tty", "fds", "stat=/dev/console", "list=/dev/pts"}
		p, err := c.plan()
		must(t, err)
		p.Spec.Process.Terminal, p.Spec.Process.ConsoleSize = true, &specs.Box{Width: 90, Height: 20}
		l, err := Prepare(p, Options{AttachPoint: t.TempDir()})
		must(t, err)
		defer l.Close()
		child, err := l.Start()
		must(t, err)
		must(t, child.AwaitExec())
		child.Resume()
		child.Close()
		l.closeConsole()
		terminal, err := l.Terminal()
		must(t, err)
		out, _ := io.ReadAll(terminal)
		ws, err := waitFor(child.PID)
		if err != nil || ws != 0 {
			t.Fatalf("status %#x %v: %s", uint32(ws), err, out)
		}
		seen := map[string]string{}
		must(t, json.Unmarshal(out, &seen))
		tty := "/dev/pts/0 90x20 foreground=true ok /dev/tty=ok"
		expect(t, seen, map[string]string{"tty": tty, "fds": "0 1 2", "stat=/dev/console": "20620 0:5", "list=/dev/pts": "0 ptmx"})
	}
}

// A terminal is opened in a devpts only, and /dev/console is no way out.
func TestTerminalPlacesOfAHostileRoot(t *testing.T) {
	decoy := t.TempDir()
	for name, hostile := range map[string]func(*container, *plan.Plan){
		"no devpts": func(_ *container, p *plan.Plan) {
			p.Spec.Mounts = slices.DeleteFunc(p.Spec.Mounts, func(m specs.Mount) bool { return m.Type == "devpts" })
		},
		"dev is a link": func(c *container, p *plan.Plan) {
			p.Spec.Mounts = slices.DeleteFunc(p.Spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
			must(c.t, os.Symlink(decoy, filepath.Join(c.root, "dev")))
		},
		"console is a link": func(c *container, p *plan.Plan) {
			p.Spec.Mounts = slices.DeleteFunc(p.Spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/dev" })
			must(c.t, os.Mkdir(filepath.Join(c.root, "dev"), 0o755))
			must(c.t, os.Symlink(decoy+"/console", filepath.Join(c.root, "dev/console")))
		},
	} {
		c := newContainer(t)
		c.service.UsernsMode = "host"
		c.service.Command = []string{"/payload", "payload", "tty"}
		p, err := c.plan()
		must(t, err)
		hostile(c, p)
		p.Spec.Process.Terminal = true
		l, err := Prepare(p, Options{AttachPoint: t.TempDir()})
		must(t, err)
		child, err := l.Start()
		must(t, err)
		err = child.AwaitExec()
		child.Close()
		l.Close()
		_, _ = waitFor(child.PID)
		var op *program.OpError
		if !errors.As(err, &op) || op.Step != "open-terminal" {
			t.Errorf("%s: %v", name, err)
		}
		if entries, _ := os.ReadDir(decoy); len(entries) != 0 {
			t.Errorf("%s: made on the host: %v", name, entries)
		}
	}
}

func TestExecUserEnvironmentAndErrors(t *testing.T) {
	c := newContainer(t)
	c.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n")
	c.write("etc/group", "web:x:34:\nlog:x:40:web\n")
	h := c.hold()
	p := h.process()
	p.Env, p.Cwd = []string{"A=b"}, "/srv"
	got, err := h.probe(ExecConfig{Process: p, User: "web", Groups: []string{"50"}}, "ids", "env", "cwd", "status=CapEff")
	must(t, err)
	expect(t, got, map[string]string{"ids": "33 34 [40 50]", "env": "A=b\nHOME=/srv", "cwd": "/srv", "status=CapEff": "0000000000000000"})

	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	must(t, err)
	defer null.Close()
	for _, bad := range []struct {
		change func(*ExecConfig)
		want   error
		text   string
	}{
		{func(e *ExecConfig) { e.Process.Args = []string{"/nowhere"} }, unix.ENOENT, "exec-payload"},
		{func(e *ExecConfig) { e.Process.Args = []string{"/etc"} }, unix.EACCES, "exec-payload"},
		{func(e *ExecConfig) { e.Process.Cwd = "/nowhere" }, unix.ENOENT, "change-directory"},
		{func(e *ExecConfig) { e.Process.Cwd = "srv" }, nil, "not absolute"},
		{func(e *ExecConfig) { e.Process.Cwd = "/proc/self/fd/3" }, unix.ENOENT, "change-directory"},
		{func(e *ExecConfig) { e.User = "nobody-there" }, nil, "no such entry"},
		{func(e *ExecConfig) { e.User = "4294967296" }, nil, "not an id"},
		{func(e *ExecConfig) { e.Process.User.UID = 1<<32 - 1 }, nil, "not from 0"},
		{func(e *ExecConfig) { e.Process.Args = nil }, nil, "empty"},
		{func(e *ExecConfig) { e.StartTime = 1 }, ErrNotRunning, ""},
		{func(e *ExecConfig) { e.PID = os.Getpid() }, nil, "own mount namespace"},
		{func(e *ExecConfig) { mustSeal = true }, nil, ""},
	} {
		cfg := ExecConfig{PID: h.pid, Spec: h.plan.Spec, Process: h.process("/payload", "payload"), Stdio: [3]*os.File{null, null, null}}
		bad.change(&cfg)
		j, err := Exec(context.Background(), cfg)
		if bad.want == nil && bad.text == "" { // a user namespace needs no seal
			must(t, err)
			_, _ = j.Wait()
			mustSeal = false
			continue
		}
		if err == nil || (bad.want != nil && !errors.Is(err, bad.want)) || !strings.Contains(err.Error(), bad.text) {
			t.Errorf("want %v %q, got %v", bad.want, bad.text, err)
		}
		if err == nil {
			_, _ = j.Wait() // or the container would never end
		}
	}
}

// Exec into a container with the host's ids refuses when a payload could write
// to this program.
func TestExecWantsASeal(t *testing.T) {
	c := newContainer(t)
	c.service.UsernsMode = "host"
	h := c.hold()
	mustSeal = true
	defer func() { mustSeal = false }()
	if _, err := h.probe(ExecConfig{}, "ids"); err == nil || !strings.Contains(err.Error(), "not sealed") {
		t.Fatalf("got %v", err)
	}
}

// CVE-2016-9962: a payload that watches for new processes cannot trace them,
// nor open their descriptors, root, memory or program, while they join.
func TestJoiningProcessCannotBeLookedInto(t *testing.T) {
	for _, mode := range []string{"", "host"} {
		c := newContainer(t)
		c.service.UsernsMode = mode
		c.service.SecurityOpt = []string{"seccomp=unconfined"} // ptrace is allowed
		if mode == "" {
			c.service.CapAdd = []string{"CAP_SYS_PTRACE"}
		}
		h := c.hold()
		r, w, err := os.Pipe()
		must(t, err)
		null, err := os.Open(os.DevNull)
		must(t, err)
		j, err := Exec(context.Background(), ExecConfig{PID: h.pid, Spec: h.plan.Spec, Process: h.process("/payload", "payload", "spy"), Stdio: [3]*os.File{null, w, w}})
		must(t, err)
		w.Close()
		ready := make([]byte, 6)
		_, err = io.ReadFull(r, ready)
		must(t, err)
		for range 200 {
			_, err := h.probe(ExecConfig{}, "pid")
			must(t, err)
		}
		// The last one tells the spy to stop.
		_, err = h.probe(ExecConfig{}, "create=/tmp/stop")
		must(t, err)
		out, _ := io.ReadAll(r)
		_, _ = j.Wait()
		seen := map[string]string{}
		if err := json.Unmarshal(bytes.TrimSpace(out), &seen); err != nil {
			t.Fatalf("%v: %q", err, out)
		}
		var tried, reached int
		if _, err := fmt.Sscanf(seen["spy"], "looked at %d, reached %d", &tried, &reached); err != nil || tried == 0 || reached != 0 {
			t.Errorf("userns %q: the spy %s", mode, seen["spy"])
		}
	}
}

// spy looks at every process whose program is not the payload's own file, as
// one that joins is: its program is the test binary on the host.
func spy(string) string {
	fmt.Println("ready")
	tried, reached := 0, 0
	what := ""
	own, _ := os.Stat("/proc/self/exe")
	for {
		if _, err := os.Stat("/tmp/stop"); err == nil {
			return fmt.Sprintf("looked at %d, reached %d %s", tried, reached, what)
		}
		entries, _ := os.ReadDir("/proc")
		for _, e := range entries {
			if strings.Trim(e.Name(), "0123456789") != "" || e.Name() == "1" || e.Name() == fmt.Sprint(os.Getpid()) {
				continue
			}
			tried++
			exe, err := os.Stat("/proc/" + e.Name() + "/exe")
			if err != nil || os.SameFile(exe, own) {
				continue
			}
			reached++
			target, _ := os.Readlink("/proc/" + e.Name() + "/exe")
			what = target
		}
	}
}

// Without no_new_privs the filter is loaded last as well: a profile that allows
// next to nothing but the payload's own calls works, for the first process and
// for others, and CAP_SYS_ADMIN is gone.
func TestSeccompWithoutNoNewPrivs(t *testing.T) {
	for _, mode := range []string{"", "host"} {
		c := newContainer(t)
		c.service.UsernsMode = mode
		deny := uint(unix.EPERM)
		c.spec = func(p *plan.Plan) {
			p.Spec.Process.NoNewPrivileges = false
			p.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
				Names:  []string{"close_range", "setsid", "setresuid", "setresgid", "setgroups", "prctl", "chdir", "getcwd", "statfs", "dup3", "seccomp", "faccessat2"},
				Action: specs.ActErrno, ErrnoRet: &deny,
			}}}
		}
		want := map[string]string{"status=Seccomp": "2", "status=NoNewPrivs": "0"}
		looks := []string{"status=Seccomp", "status=NoNewPrivs", "status=CapEff", "status=CapPrm", "status=CapBnd"}
		first := c.run(looks...)
		for look, value := range want {
			if first[look] != value {
				t.Errorf("userns %q: %s is %q, want %q", mode, look, first[look], value)
			}
		}
		if first["status=CapEff"] != first["status=CapBnd"] || first["status=CapPrm"] != first["status=CapBnd"] {
			t.Errorf("userns %q: capabilities %v", mode, first)
		}
		second, err := c.hold().probe(ExecConfig{}, looks...)
		must(t, err)
		expect(t, second, first)
	}
}
