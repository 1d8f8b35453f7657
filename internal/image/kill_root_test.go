// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

const killName = "localhost/killed:1"

// pullForKill is the victim: it brings an image in, gives it another name and
// removes an older image.
func pullForKill(layout string) int {
	err := error(nil)
	if os.Getenv("UNITC_TEST_TRACED") != "" {
		err = stopAtChanges()
	}
	if err == nil {
		err = killable(layout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if os.Getenv("UNITC_TEST_PEAK") != "" {
		if err := printPeak(); err != nil {
			return 1
		}
	}
	return 0
}

// printPeak prints the most that this process had in memory, in KiB.
func printPeak() error {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	fmt.Println(strings.Fields(rest)[0])
	return nil
}

func killable(layout string) error {
	dir := os.Getenv("UNITC_TEST_STORE")
	s, err := store.Open(dir)
	if err != nil {
		return err
	}
	c := NewClient(s)
	c.Limits.Reserve = 0
	c.PolicyFile = os.Getenv("UNITC_TEST_POLICY")
	if world := os.Getenv("UNITC_TEST_WORLD"); world != "" {
		// layout is a registry's.
		certDirs = []string{world + "/certs.d"}
		c.AuthFile, c.RegistriesFile = world+"/auth.json", world+"/registries.conf"
		if _, err := c.Pull(context.Background(), layout, PullOptions{Policy: PullAlways}); err != nil {
			return err
		}
		if err := s.Tag(layout, mustReference(killName), c.Now()); err != nil {
			return err
		}
	} else if _, err := c.Load(context.Background(), layout, LoadOptions{Name: killName}); err != nil {
		return err
	}
	if _, err := s.RemoveImage("localhost/old:1", false); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return s.Tag(killName, mustReference("localhost/other:1"), c.Now())
}

func mustReference(name string) reference.Reference {
	r, err := reference.Parse(name)
	if err != nil {
		panic(err)
	}
	return r
}

// changes are the system calls that leave something behind.
var changes = []uint32{
	unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_MKDIRAT,
	unix.SYS_UNLINKAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_MKNODAT, unix.SYS_FTRUNCATE,
	unix.SYS_FSYNC, unix.SYS_SYNCFS, unix.SYS_FSETXATTR, unix.SYS_FLOCK,
}

// stopAtChanges has this process stop for its tracer before each of them, and
// before no other system call: to stop at all takes ten times as long.
func stopAtChanges() error {
	const loadNumber, isEqual, answer = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{{Code: loadNumber}} // at 0 in struct seccomp_data
	for i, nr := range changes {
		filter = append(filter, unix.SockFilter{Code: isEqual, Jt: uint8(len(changes) - i), K: nr})
	}
	filter = append(filter, unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW}, unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_TRACE})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// runUntil runs the victim and kills it before its nth change, right after
// strike if there is one. finished: it made fewer.
func runUntil(t *testing.T, n int, strike func(), env ...string) (finished bool) {
	t.Helper()
	runtime.LockOSThread() // ptrace(2) is for one thread
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), env...), "UNITC_TEST_TRACED=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	defer cmd.Process.Release()
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		t.Fatal(err)
	}
	const options = unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(pid, options); err != nil {
		t.Fatal(err)
	}
	resume(t, pid, 0)
	for seen := 0; ; {
		tid, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatalf("waiting for the victim: %v", err)
		}
		if status.Exited() || status.Signaled() {
			if tid != pid {
				continue
			}
			if status.Exited() && status.ExitStatus() != 0 {
				t.Fatalf("the victim failed by itself: %d", status.ExitStatus())
			}
			return status.Exited()
		}
		signal := 0
		switch sig := status.StopSignal(); {
		case status.TrapCause() == unix.PTRACE_EVENT_SECCOMP:
			if seen++; seen == n {
				if strike != nil {
					strike()
				}
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		case sig == unix.SIGTRAP, sig == unix.SIGSTOP:
		default:
			signal = int(sig) // the Go runtime's own preemption
		}
		resume(t, tid, signal)
	}
}

func resume(t *testing.T, tid, signal int) {
	t.Helper()
	if err := unix.PtraceCont(tid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
}

// A kill at each change: what is named is whole, the collector leaves nothing,
// and the next load works.
func TestKilledAtEveryChange(t *testing.T) {
	b := build(t, gz,
		tarOf(t, file{name: "a/"}, file{name: "a/1", content: "one"}, file{name: "l", link: "a/1"}),
		tarOf(t, file{name: "a/2", content: "two"}, file{name: ".wh.l"}))
	layout := writeDir(t, layoutOf(t, b, nil))
	old := writeDir(t, layoutOf(t, simple(t), nil))
	step, kills := killStep, 0
	for n := 1; ; n += step {
		dir := fmt.Sprintf("%s/store", t.TempDir())
		c := killClient(t, dir)
		if _, err := c.Load(ctx, old, LoadOptions{Name: "localhost/old:1"}); err != nil {
			t.Fatal(err)
		}
		finished := runUntil(t, n, nil, "UNITC_TEST_PULL="+layout, "UNITC_TEST_STORE="+dir, "UNITC_TEST_POLICY="+c.PolicyFile)
		checkAfterKill(t, c, n)
		if _, err := c.Load(ctx, layout, LoadOptions{Name: killName}); err != nil {
			t.Fatalf("killed at change %d: the next load: %v", n, err)
		}
		if !checkKilled(t, c, killName, n) {
			t.Fatalf("killed at change %d: the image is missing after a load", n)
		}
		if finished {
			break
		}
		kills++
	}
	if t.Logf("%d kills", kills); kills*step < 60 {
		t.Errorf("only %d kills", kills)
	}
}

// The same for a pull from a registry, which keeps the parts of broken
// downloads: the next one goes on there.
func TestPullKilledAtEveryChange(t *testing.T) {
	w := newWorld(t)
	b := killImage(t)
	ref := w.push("killed", "1", b)
	step, kills := killStep, 0
	for n := 1; ; n += step {
		dir := fmt.Sprintf("%s/store", t.TempDir())
		c := killClient(t, dir)
		c.AuthFile, c.RegistriesFile = w.client.AuthFile, w.client.RegistriesFile
		finished := runUntil(t, n, nil, "UNITC_TEST_PULL="+ref, "UNITC_TEST_STORE="+dir, "UNITC_TEST_WORLD="+w.dir, "UNITC_TEST_POLICY="+c.PolicyFile)
		checkBlobs(t, c, b, n)
		if n%2 == 0 {
			checkAfterKill(t, c, n) // it collects; without that the parts are there
		}
		img, err := c.Pull(ctx, ref, PullOptions{})
		if err != nil {
			t.Fatalf("killed at change %d: the next pull: %v", n, err)
		}
		if !checkKilled(t, c, ref, n) {
			t.Fatalf("killed at change %d: the image is missing after a pull", n)
		}
		if faults, err := c.Verify(ctx, false); err != nil || len(faults) > 0 {
			t.Errorf("killed at change %d: %s is not whole: %v, %v", n, img.Digest, faults, err)
		}
		checkAfterKill(t, c, n)
		if finished {
			break
		}
		kills++
	}
	if t.Logf("%d kills", kills); kills*step < 60 {
		t.Errorf("only %d kills", kills)
	}
}

// killImage has a third layer: while one is written to the disk, two can come to
// wait for the next sync together.
func killImage(t *testing.T) *built {
	return build(t, gz,
		tarOf(t, file{name: "a/"}, file{name: "a/1", content: "one"}, file{name: "l", link: "a/1"}),
		tarOf(t, file{name: "b", content: "b"}),
		tarOf(t, file{name: "a/2", content: "two"}, file{name: ".wh.l"}))
}

// checkBlobs: a layer is shown after its blob, also where several are shown at once.
func checkBlobs(t *testing.T, c *Client, b *built, n int) {
	t.Helper()
	for i, diffID := range b.diffIDs {
		if c.Store.HasLayer(hexOf(diffID)) && !c.Store.HasBlob(hexOf(digestOf(b.layers[i]))) {
			t.Errorf("killed at change %d: layer %d is there without its blob", n, i+1)
		}
	}
}

func killClient(t *testing.T, dir string) *Client {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(s)
	c.Limits.Reserve = 0
	c.PolicyFile = dir + ".policy"
	if err := os.WriteFile(c.PolicyFile, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func checkAfterKill(t *testing.T, c *Client, n int) {
	t.Helper()
	for _, name := range []string{killName, "localhost/other:1"} {
		checkKilled(t, c, name, n)
	}
	if img, err := c.Store.Resolve("localhost/old:1"); err == nil && read(t, img, "etc/conf") != "new" {
		t.Errorf("killed at change %d: the old image is not whole", n)
	}
	if _, err := c.Store.Collect(store.Prune{Partial: true, Dangling: true}); err != nil {
		t.Fatalf("killed at change %d: collecting: %v", n, err)
	}
	if left := leftovers(t, c.Store, "staging", "trash", "leases", "locks"); len(left) > 0 {
		t.Errorf("killed at change %d: left over: %s", n, strings.Join(left, " "))
	}
	images, err := c.Store.Images()
	if err != nil {
		t.Fatal(err)
	}
	need := map[string]bool{}
	for _, img := range images {
		for _, l := range img.Layers {
			need["layers/"+l.Key] = true
		}
	}
	for _, l := range leftovers(t, c.Store, "layers") {
		if !need[l] {
			t.Errorf("killed at change %d: %s belongs to no image", n, l)
		}
	}
}

// checkKilled tells whether a name is there; if it is, it must be whole.
func checkKilled(t *testing.T, c *Client, name string, n int) bool {
	t.Helper()
	img, err := c.Store.Resolve(name)
	if errors.Is(err, store.ErrNotFound) {
		return false
	}
	if err != nil || read(t, img, "a/1") != "one" || read(t, img, "a/2") != "two" || len(img.Lowers) != len(img.Layers) {
		t.Errorf("killed at change %d: %s is not whole: %v", n, name, err)
	}
	return true
}
