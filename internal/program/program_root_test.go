// SPDX-License-Identifier: Apache-2.0

package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func start(t *testing.T, p *Program, opt ForkOptions) *Child {
	t.Helper()
	opt.CgroupDir = -1
	if way == begun {
		stopAt := opt.StopAt
		opt.StopAt = ""
		c, err := Begin(opt)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(p, stopAt); err != nil {
			t.Fatal(err)
		}
		return c
	}
	opt.Shared = way == shared
	c, err := p.Fork(opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// way is how start makes a child.
var way = copied

const (
	copied = iota
	shared
	begun
)

// All of it holds for a child in its parent's memory as well, and for one that
// gets its program later.
func TestChildrenInTheParentsMemory(t *testing.T) {
	if !CanShare() {
		t.Skip("needs a processor for which there is cloneShared")
	}
	defer func() { way = copied }()
	for name, w := range map[string]int{"shared": shared, "begun": begun} {
		way = w
		for test, run := range map[string]func(*testing.T){
			"exec": TestChildExecsInItsOwnNamespaces, "failure": TestFailureNamesTheCallAndWaitsForTheParent,
			"read-back": TestReadBackOfAnotherValueFails, "stop": TestStopAtAndDeathOfTheParent, "bits": TestBits, "each": TestEach, "jumps": TestJumpsAndListing,
			"init": TestInitReapsAndPassesSignalsAndStatus, "spawn": TestSyncAndSpawn, "hold": TestHoldAtExec,
		} {
			t.Run(name+"-"+test, run)
		}
	}
}

// A descriptor opened behind the clone is the child's, and the child's own doings
// with its descriptors are not its parent's.
func TestDescriptorsOfAChildThatBegan(t *testing.T) {
	if !CanShare() {
		t.Skip("needs a processor for which there is cloneShared")
	}
	c, err := Begin(ForkOptions{CgroupDir: -1})
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	p := New()
	p.Step("write", 1)
	p.Call("write", "", unix.SYS_WRITE, int(w.Fd()), p.Bytes([]byte("x")), 1).Want(1)
	p.Call("close_range", "", unix.SYS_CLOSE_RANGE, int(r.Fd()), int(r.Fd()), 0)
	p.Call("close_range", "", unix.SYS_CLOSE_RANGE, int(w.Fd()), int(w.Fd()), 0)
	p.Call("exit", "", unix.SYS_EXIT_GROUP, 3)
	if err := c.Run(p, ""); err != nil {
		t.Fatal(err)
	}
	if ws := await(t, c.PID); ws.ExitStatus() != 3 {
		t.Fatalf("status %#x", uint32(ws))
	}
	c.Close()
	b := make([]byte, 2)
	if n, err := r.Read(b); err != nil || string(b[:n]) != "x" {
		t.Errorf("read %q, %v", b[:n], err)
	}
}

// A child without a program ends with the status that it is given.
func TestAbandonedChild(t *testing.T) {
	for _, w := range []int{begun, copied} {
		if w == begun && !CanShare() {
			continue
		}
		c, err := Begin(ForkOptions{CgroupDir: -1})
		if w == copied {
			p := New()
			p.Step("wait", 219)
			p.AwaitGate("gate")
			c, err = p.Fork(ForkOptions{CgroupDir: -1})
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Abandon(226)
		if ws := await(t, c.PID); ws.ExitStatus() != 226 {
			t.Errorf("status %#x", uint32(ws))
		}
	}
}

// One whose parent is killed does not stay.
func TestOrphan(t *testing.T) {
	if !CanShare() {
		t.Skip("needs a processor for which there is cloneShared")
	}
	if os.Getenv("UNITC_ORPHAN") != "" {
		c, err := Begin(ForkOptions{CgroupDir: -1})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("child %d\n", c.PID)
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestOrphan$")
	cmd.Env = append(os.Environ(), "UNITC_ORPHAN=1")
	out, _ := cmd.Output()
	var pid int
	if _, err := fmt.Sscanf(string(out), "child %d", &pid); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it is there a minute after its parent")
		}
	}
}

func await(t *testing.T, pid int) unix.WaitStatus {
	t.Helper()
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil {
		t.Fatal(err)
	}
	return ws
}

func TestChildExecsInItsOwnNamespaces(t *testing.T) {
	r, w, _ := os.Pipe()
	p := New()
	p.Step("redirect", 10)
	p.Call("dup3", "", unix.SYS_DUP3, int(w.Fd()), 1, 0)
	p.AwaitGate("gate")
	p.Step("exec", 203)
	p.Call("execve", "/nonexistent", unix.SYS_EXECVE, p.Str("/nonexistent"), p.Strv([]string{"x"}), p.Strv(nil)).Ignore(unix.ENOENT)
	p.Call("execve", "/bin/sh", unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strv([]string{"sh", "-c", "echo $$ $X"}), p.Strv([]string{"X=y"}))
	c := start(t, p, ForkOptions{Flags: unix.CLONE_NEWPID | unix.CLONE_NEWNS})
	defer c.Close()
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitExec(); err != nil {
		t.Fatal(err)
	}
	await(t, c.PID)
	w.Close()
	b := make([]byte, 100)
	n, _ := r.Read(b)
	if got := string(b[:n]); got != "1 y\n" {
		t.Fatalf("payload printed %q", got)
	}
	if len(c.Times()) != 2 {
		t.Fatalf("times of steps: %v", c.Times())
	}
}

func TestFailureNamesTheCallAndWaitsForTheParent(t *testing.T) {
	p := New()
	p.Step("open-nothing", 226)
	fd := p.Reg()
	p.Call("openat", "path=/", unix.SYS_OPENAT, unix.AT_FDCWD, p.Str("/"), unix.O_RDONLY, 0).Into(fd)
	p.Call("openat", "path=missing", unix.SYS_OPENAT, fd, p.Str("missing-file"), unix.O_RDONLY, 0)
	c := start(t, p, ForkOptions{})
	err := c.AwaitExec()
	var op *OpError
	if !errors.As(err, &op) || !errors.Is(err, unix.ENOENT) || op.Exit != 226 || op.Step != "open-nothing" {
		t.Fatalf("got %v", err)
	}
	if err.Error() != "open-nothing: openat path=missing: no such file or directory" {
		t.Fatalf("text: %v", err)
	}
	var ws unix.WaitStatus
	if pid, _ := unix.Wait4(c.PID, &ws, unix.WNOHANG, nil); pid != 0 {
		t.Fatal("the child exited before the parent let it")
	}
	c.Close()
	if ws := await(t, c.PID); ws.ExitStatus() != 226 {
		t.Fatalf("exit status %d", ws.ExitStatus())
	}
}

func TestReadBackOfAnotherValueFails(t *testing.T) {
	p := New()
	p.Step("verify", 1)
	p.Call("prctl", "PR_GET_NO_NEW_PRIVS", unix.SYS_PRCTL, unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0).Want(1)
	c := start(t, p, ForkOptions{})
	err := c.AwaitExec()
	c.Close()
	await(t, c.PID)
	if !errors.Is(err, unix.EBADE) {
		t.Fatalf("got %v", err)
	}
	p = New()
	p.Step("verify", 1)
	p.Compare("compare", "sets", []byte("abc"), []byte("abd"))
	c = start(t, p, ForkOptions{})
	err = c.AwaitExec()
	c.Close()
	await(t, c.PID)
	if !errors.Is(err, unix.EBADE) {
		t.Fatalf("compare: got %v", err)
	}
}

// A call for each bit of a set, whose result is that of another set.
func TestBits(t *testing.T) {
	for _, v := range []struct{ which, want, got uint64 }{{0, 1, 99}, {1<<4 | 1<<9, 1<<4 | 1<<9, 99}, {1<<4 | 1<<9, 1 << 9, 4}, {1<<4 | 1<<9, 1 << 4, 9}} {
		p := New()
		p.Step("verify", 7)
		p.Bits("prctl", "PR_CAPBSET_READ", []string{"a", "b"}, v.which, &v.want, unix.SYS_PRCTL, 1, unix.PR_CAPBSET_READ, 99, 0, 0, 0)
		if err := verdict(t, p, v.got, 99); err != nil {
			t.Errorf("%+v: %v", v, err)
		}
	}
}

// verdict runs p to the end, which it must reach if got is passed; else it must
// have failed for the number got.
func verdict(t *testing.T, p *Program, got, passed uint64) error {
	p.Fail("fail", "end", unix.EDOM)
	c := start(t, p, ForkOptions{})
	err := c.AwaitExec()
	c.Close()
	await(t, c.PID)
	want := unix.EBADE
	if got == passed {
		want = unix.EDOM
	}
	var op *OpError
	if errors.As(err, &op) && errors.Is(err, want) && (got == passed || op.Got == got) {
		return nil
	}
	return fmt.Errorf("it ended with %v", err)
}

// A call for each number of a range.
func TestEach(t *testing.T) {
	fds := make([]int, 2)
	if err := unix.Pipe2(fds, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	for _, v := range []struct {
		flags, want uintptr
		got         uint64
	}{{0, 0, 999}, {0, unix.FD_CLOEXEC, uint64(fds[0])}} {
		p := New()
		p.Step("verify", 7)
		p.Each("fcntl", "", fds[0], fds[0], v.want, unix.EBADF, unix.SYS_FCNTL, 0, 99, unix.F_GETFD, 0)
		p.Each("fcntl", "", 5000, 5010, v.want, unix.EBADF, unix.SYS_FCNTL, 0, 99, unix.F_GETFD, 0)
		if err := verdict(t, p, v.got, 999); err != nil {
			t.Errorf("%+v: %v", v, err)
		}
	}
}

func TestStopAtAndDeathOfTheParent(t *testing.T) {
	p := New()
	p.Step("one", 1)
	p.Step("two", 2)
	p.Fail("fail", "", unix.EPERM)
	c := start(t, p, ForkOptions{StopAt: "two"})
	if err := c.AwaitExec(); !errors.Is(err, ErrStopped) {
		t.Fatalf("got %v", err)
	}
	c.Close()
	if ws := await(t, c.PID); ws.ExitStatus() != 2 {
		t.Fatalf("exit status %d", ws.ExitStatus())
	}
}

func TestJumpsAndListing(t *testing.T) {
	p := New()
	var absent, done Label
	p.Step("mask", 226)
	p.Call("open", "path=/absent", unix.SYS_OPENAT, unix.AT_FDCWD, p.Str("/absent"), 0, 0).Skip(&absent, unix.ENOENT)
	p.Fail("fail", "the file is there", unix.EEXIST)
	p.Here(&absent)
	p.Jump(&done)
	p.Fail("fail", "not jumped over", unix.EINVAL)
	p.Here(&done)
	p.Fail("fail", "end", unix.EDOM)
	c := start(t, p, ForkOptions{})
	err := c.AwaitExec()
	c.Close()
	await(t, c.PID)
	if !errors.Is(err, unix.EDOM) {
		t.Fatalf("got %v", err)
	}
	want := "mask:\n\topen path=/absent [ENOENT is fine]\n\tfail the file is there\n\tfail not jumped over\n\tfail end"
	if got := strings.Join(p.Listing(), "\n"); got != want {
		t.Fatalf("listing:\n%s", got)
	}
}

func TestInitReapsAndPassesSignalsAndStatus(t *testing.T) {
	for script, want := range map[string]int{
		"exit 7":                   7,
		"kill -9 $$":               128 + 9,
		"(sleep 0.05 & ) ; exit 3": 3,
		"trap 'exit 42' TERM; kill -TERM 1; sleep 5 & wait; exit 1": 42,
	} {
		p := New()
		p.Step("init", 1)
		p.Init("init", 0)
		p.Step("exec", 203)
		p.Call("execve", "/bin/sh", unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strv([]string{"sh", "-c", script}), p.Strv([]string{"PATH=/usr/bin:/bin"}))
		c := start(t, p, ForkOptions{Flags: unix.CLONE_NEWPID})
		if err := c.AwaitExec(); err != nil {
			t.Fatal(err)
		}
		c.Resume()
		if ws := await(t, c.PID); ws.ExitStatus() != want {
			t.Errorf("%s: status %#x, want exit %d", script, uint32(ws), want)
		}
		c.Close()
	}
}

// An init whose parent ends without a word of it takes the payload along, and exits
// with the status that the parent has named, if it has.
func TestInitEndsWithItsParent(t *testing.T) {
	for verdict, want := range map[int]int{0: 128 + 9, 7: 7} {
		p := New()
		p.Step("init", 1)
		p.Init("init", 0)
		p.Step("exec", 203)
		p.Call("execve", "/bin/sleep", unix.SYS_EXECVE, p.Str("/bin/sleep"), p.Strv([]string{"sleep", "20"}), p.Strv(nil))
		c := start(t, p, ForkOptions{Flags: unix.CLONE_NEWPID})
		if err := c.AwaitExec(); err != nil {
			t.Fatal(err)
		}
		c.Abandon(verdict)
		if ws := await(t, c.PID); ws.ExitStatus() != want {
			t.Errorf("status %#x, want exit %d", uint32(ws), want)
		}
	}
}

// A stop signal of the payload's own arrives in the place of SIGTERM, and an end
// by it looks as an end by SIGTERM does.
func TestInitTranslatesTheStopSignal(t *testing.T) {
	for script, want := range map[string]int{
		"trap 'exit 42' QUIT; trap 'exit 1' TERM; kill -TERM 1; sleep 5 & wait; exit 1": 42,
		"kill -TERM 1; sleep 5 & wait; exit 1":                                          128 + 15,
		"exit 131":                                                                      128 + 15,
		"trap 'exit 7' HUP; kill -HUP 1; sleep 5 & wait; exit 1":                        7,
	} {
		p := New()
		p.Step("init", 1)
		p.Init("init", int(unix.SIGQUIT))
		p.Step("exec", 203)
		p.Call("execve", "/bin/sh", unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strv([]string{"sh", "-c", script}), p.Strv([]string{"PATH=/usr/bin:/bin"}))
		c := start(t, p, ForkOptions{Flags: unix.CLONE_NEWPID})
		if err := c.AwaitExec(); err != nil {
			t.Fatal(err)
		}
		c.Resume()
		if ws := await(t, c.PID); ws.ExitStatus() != want {
			t.Errorf("%s: status %#x, want exit %d", script, uint32(ws), want)
		}
		c.Close()
	}
}

func TestSyncAndSpawn(t *testing.T) {
	for script, want := range map[string]string{
		"read x; test \"$x\" = state && test $X = y": "",
		"exit 5":        "hook: spawn /bin/sh: exited with status 5",
		"kill -9 $$":    "hook: spawn /bin/sh: killed by SIGKILL",
		"exec sleep 20": "hook: spawn /bin/sh: " + unix.ETIME.Error(),
	} {
		r, w, _ := os.Pipe()
		p := New()
		p.Step("wait", 1)
		p.Sync("parent")
		p.Step("hook", 1)
		p.Spawn("spawn", "/bin/sh", []string{"sh", "-c", script}, []string{"X=y", "PATH=/usr/bin:/bin"}, int(r.Fd()), 300*time.Millisecond)
		p.Step("exec", 2)
		p.Call("execve", "/bin/true", unix.SYS_EXECVE, p.Str("/bin/true"), p.Strv([]string{"true"}), p.Strv(nil))
		c := start(t, p, ForkOptions{})
		if err := c.AwaitSync(); err != nil {
			t.Fatal(err)
		}
		w.WriteString("state\n")
		w.Close()
		if err := c.Open(); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := c.AwaitExec(); err != nil {
			got = err.Error()
		}
		c.Close()
		await(t, c.PID)
		r.Close()
		if got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

// A child that is held has loaded its program and not run it: it ends only
// after Resume, also when signals arrive and when it fails.
func TestHoldAtExec(t *testing.T) {
	r, w, _ := os.Pipe()
	defer r.Close()
	p := New()
	p.Step("exec", 203)
	p.AwaitGate("gate")
	p.Call("dup3", "", unix.SYS_DUP3, int(w.Fd()), 1, 0)
	p.Call("execve", "/bin/sh", unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strv([]string{"sh", "-c", "echo ran"}), p.Strv(nil))
	c := start(t, p, ForkOptions{})
	w.Close()
	if err := c.HoldAtExec(); err != nil {
		t.Fatal(err)
	}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitExec(); err != nil {
		t.Fatal(err)
	}
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", c.PID)); err != nil || string(stat) != "sh\n" {
		t.Fatalf("held as %q (%v)", stat, err)
	}
	if err := r.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, err := r.Read(b); err == nil {
		t.Fatalf("it ran while it was held: %q", b[:n])
	}
	_ = r.SetReadDeadline(time.Time{})
	c.Resume()
	if n, _ := r.Read(b); string(b[:n]) != "ran\n" {
		t.Fatalf("after Resume it printed %q", b[:n])
	}
	if ws := await(t, c.PID); ws.ExitStatus() != 0 {
		t.Fatalf("status %#x", uint32(ws))
	}
	c.Close()

	p = New()
	p.Step("fail", 7)
	p.AwaitGate("gate")
	p.Fail("fail", "", unix.EPERM)
	c = start(t, p, ForkOptions{})
	if err := c.HoldAtExec(); err != nil {
		t.Fatal(err)
	}
	_ = c.Open()
	if err := c.AwaitExec(); !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
	begun := time.Now()
	c.Close()
	if took := time.Since(begun); took > endPatience/2 {
		t.Errorf("its end was awaited for %v", took)
	}
	c.Resume()
}
