// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
)

// The payload of these tests is the test binary itself, copied into the root
// file system: it looks around and prints what it sees.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "payload" {
		os.Exit(payload(os.Args[2:]))
	}
	if slices.Contains(trojans, filepath.Base(os.Args[0])) {
		os.Exit(len(outcome(os.WriteFile("/trojan-ran", nil, 0o644))) - len("ok"))
	}
	os.Exit(m.Run())
}

// payload runs the named probes and prints their results as one JSON object. It
// stays on the process's first thread, which /proc/self is: the kernel asks of
// another thread what it does not ask of the one that reads (timerslack_ns).
func payload(names []string) int {
	runtime.LockOSThread()
	out := map[string]string{}
	for _, n := range names {
		name, arg, _ := strings.Cut(n, "=")
		probe, ok := probes[name]
		if !ok {
			fmt.Fprintf(os.Stderr, "no probe %q\n", name)
			return 99
		}
		out[n] = probe(arg)
	}
	json.NewEncoder(os.Stdout).Encode(out)
	return 0
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	if e, ok := err.(unix.Errno); ok {
		return unix.ErrnoName(e)
	}
	if e, ok := err.(*os.PathError); ok {
		return outcome(e.Err)
	}
	if e, ok := err.(*os.SyscallError); ok {
		return outcome(e.Err)
	}
	return err.Error()
}

// probes look from inside.
var probes = map[string]func(string) string{
	"read": func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			return outcome(err)
		}
		return string(b)
	},
	"write": func(path string) string {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return outcome(err)
		}
		_, err = f.WriteString("x")
		f.Close()
		return outcome(err)
	},
	"create": func(path string) string { return outcome(os.WriteFile(path, []byte("made inside"), 0o644)) },
	"stat": func(path string) string {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return outcome(err)
		}
		return fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	},
	"list": func(path string) string {
		var names []string
		entries, err := os.ReadDir(path)
		if err != nil {
			return outcome(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	},
	"link":     func(path string) string { s, err := os.Readlink(path); return s + outcomeIf(err) },
	"status":   statusField,
	"ids":      func(string) string { g, _ := unix.Getgroups(); return fmt.Sprint(os.Getuid(), os.Getgid(), g) },
	"cwd":      func(string) string { s, err := os.Getwd(); return s + outcomeIf(err) },
	"env":      func(string) string { return strings.Join(os.Environ(), "\n") },
	"hostname": func(string) string { s, err := os.Hostname(); return s + outcomeIf(err) },
	"fds":      openDescriptors,
	"pid":      func(string) string { return fmt.Sprint(os.Getpid()) },
	"umask":    func(string) string { return fmt.Sprintf("%#o", unix.Umask(0)) },
	"mounts": func(string) string {
		b, _ := os.ReadFile("/proc/self/mounts")
		return string(b)
	},
	"mount": func(path string) string { return outcome(unix.Mount("tmpfs", path, "tmpfs", 0, "")) },
	"remount": func(path string) string {
		return outcome(unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	},
	"mknod":   func(path string) string { return outcome(unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0)))) },
	"unshare": func(string) string { return outcome(unix.Unshare(unix.CLONE_NEWUSER)) },
	"scheduler": func(string) string {
		a, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			return outcome(err)
		}
		return fmt.Sprint(a.Policy, a.Nice)
	},
	"machine": func(string) string {
		var u unix.Utsname
		unix.Uname(&u)
		return unix.ByteSliceToString(u.Machine[:])
	},
	"processes": func(string) string {
		entries, err := os.ReadDir("/proc")
		var pids []string
		for _, e := range entries {
			if strings.Trim(e.Name(), "0123456789") == "" {
				pids = append(pids, e.Name())
			}
		}
		return strings.Join(pids, " ") + outcomeIf(err)
	},
}

func outcomeIf(err error) string {
	if err == nil {
		return ""
	}
	return outcome(err)
}

func statusField(name string) string {
	b, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return "absent"
}

// openDescriptors lists the descriptors that the kernel passed to us; those
// that Go's runtime opened for itself (epoll, eventfd) are left out.
func openDescriptors(string) string {
	var out []string
	for fd := range 256 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			continue
		}
		target, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if strings.HasPrefix(target, "anon_inode:") {
			continue
		}
		out = append(out, fmt.Sprint(fd))
	}
	return strings.Join(out, " ")
}

// container is a launch under test.
type container struct {
	t       *testing.T
	root    string
	service definition.Service
	facts   planner.Facts
	spec    func(*plan.Plan)
	stdin   *os.File
	attach  string // "" = a directory for each start
	early   bool   // namespaces are begun before all else
}

// newContainer has a root file system with the test binary as /payload.
func newContainer(t *testing.T) *container {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test needs root: run it as the test command of README.md does")
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	c := &container{t: t, root: root, facts: planner.Facts{IDStart: 1 << 30}}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copyFile(t, self, filepath.Join(root, "payload"))
	for _, d := range []string{"etc", "tmp", "srv"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.service = definition.Service{Name: "test", RootFS: root, NetworkMode: "none"}
	return c
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func (c *container) write(path, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.root, path), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// run starts the container with probes and gives what they saw.
func (c *container) run(probes ...string) map[string]string {
	c.t.Helper()
	c.service.Command = append([]string{"/payload", "payload"}, probes...)
	out, err := c.exec()
	if err != nil {
		c.t.Fatal(err)
	}
	seen := map[string]string{}
	if err := json.Unmarshal(out, &seen); err != nil {
		c.t.Fatalf("the payload printed %q", out)
	}
	return seen
}

// plan is the container's plan.
func (c *container) plan() (*plan.Plan, error) {
	p, err := planner.Build(&c.service, c.facts)
	if err != nil {
		return nil, err
	}
	for i := range p.Spec.Process.Rlimits { // the machine of the tests may not raise any
		var l unix.Rlimit
		if err := unix.Getrlimit(rlimits[p.Spec.Process.Rlimits[i].Type], &l); err != nil {
			return nil, err
		}
		p.Spec.Process.Rlimits[i].Hard = min(p.Spec.Process.Rlimits[i].Hard, l.Max)
		p.Spec.Process.Rlimits[i].Soft = min(p.Spec.Process.Rlimits[i].Soft, l.Max)
	}
	if c.spec != nil {
		c.spec(p)
	}
	return p, nil
}

// exec runs the container's command and gives its output.
func (c *container) exec() ([]byte, error) {
	c.t.Helper()
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	defer w.Close()
	if c.stdin == nil {
		if c.stdin, err = os.Open("/dev/null"); err != nil {
			return nil, err
		}
		defer func() { c.stdin.Close(); c.stdin = nil }()
	}
	attach := c.attach
	if attach == "" {
		attach = c.t.TempDir()
	}
	opt := Options{Stdio: [3]*os.File{c.stdin, w, w}, AttachPoint: attach, ID: "test", Bundle: "/bundle", Gated: true}
	// As the helper does it; those of hold() are forked when all is there.
	if c.early {
		if err := opt.Begun.BeginNamespaces(p); err != nil {
			return nil, err
		}
	}
	if err := opt.Begun.BeginPayload(p, opt); err != nil {
		return nil, err
	}
	child := opt.Begun.Child
	defer func() {
		if child != nil {
			child.Abandon(1)
			_, _ = waitFor(child.PID)
		}
	}()
	l, err := Prepare(p, opt)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if child, err = l.Start(); err != nil {
		child = opt.Begun.Child
		return nil, err
	}
	if err = l.RunHooks(child); err == nil {
		if err = child.Open(); err == nil {
			err = child.AwaitExec()
		}
	}
	if err == nil {
		child.Resume()
		err = l.PostStart(child.PID)
	}
	child.Close()
	w.Close()
	var out bytes.Buffer
	if err == nil {
		_, _ = io.Copy(&out, r)
	}
	ws, _ := waitFor(child.PID)
	child = nil
	if err == nil && ws.ExitStatus() != 0 {
		err = fmt.Errorf("payload ended with status %#x: %s", uint32(ws), out.Bytes())
	}
	return out.Bytes(), err
}
