// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// ociRuntime is what the cases are for; with UNITC_OCI_PEERS=1 they are run on
// the others too, and a table of all is printed.
const ociRuntime = "/usr/local/bin/unitc-runtime"

// ociCase is one thing that the specification's text or runc's command line
// says. It gives what is wrong.
type ociCase struct {
	name string
	run  func(*bundle) error
}

// bundle is a bundle with busybox, and a state directory of its own.
type bundle struct {
	runtime, dir, root, id string
	spec                   *specs.Spec
	env                    []string // more of it for calls
	said                   string   // see hears
}

//lab:once
func TestOCICases(t *testing.T) {
	runtimes := []string{ociRuntime}
	if os.Getenv("UNITC_OCI_PEERS") != "" {
		runtimes = append(runtimes, "/usr/sbin/runc", "/usr/bin/crun")
	}
	table := map[string][]string{}
	cases := slices.Concat(ociCases, ociSocketCases)
	for _, c := range cases {
		for _, rt := range runtimes {
			err := runCase(t, c, rt)
			result := "pass"
			if err != nil {
				result = "FAIL"
				if rt == ociRuntime {
					t.Errorf("%s: %v", c.name, err)
				} else {
					t.Logf("%s: %s: %v", filepath.Base(rt), c.name, err)
				}
			}
			table[c.name] = append(table[c.name], result)
		}
	}
	if len(runtimes) > 1 {
		for _, c := range cases {
			fmt.Printf("| %s | %s |\n", c.name, strings.Join(table[c.name], " | "))
		}
	}
}

func runCase(t *testing.T, c ociCase, runtime string) (err error) {
	t.Helper()
	b := newBundle(t, runtime)
	defer func() {
		_, _ = b.call("delete", "--force", b.id)
		if left := b.left(); left != "" {
			err = errors.Join(err, fmt.Errorf("left behind: %s", left))
		}
		os.RemoveAll(b.dir)
		os.RemoveAll(b.root)
	}()
	return c.run(b)
}

func newBundle(t *testing.T, runtime string) *bundle {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "bundle")
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{runtime: runtime, dir: dir, root: dir + "-state", id: filepath.Base(dir), spec: baseSpec()}
	for _, d := range []string{"bin", "proc", "sys", "dev", "tmp", "etc", "root"} {
		if err := os.MkdirAll(dir+"/rootfs/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "cp", "/bin/busybox", dir+"/rootfs/bin/busybox")
	must(t, "chroot", dir+"/rootfs", "/bin/busybox", "--install", "-s", "/bin")
	return b
}

// baseSpec is a usual configuration, that all three runtimes of the suites read.
func baseSpec() *specs.Spec {
	caps := []string{"CAP_KILL", "CAP_MKNOD", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"}
	return &specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{
			Args: []string{"sleep", "1000"}, Cwd: "/", NoNewPrivileges: true, Env: []string{"PATH=/bin", "FROM=config"},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: "box",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.MountNamespace}, {Type: specs.CgroupNamespace},
			},
			MaskedPaths: []string{"/proc/kcore", "/sys/firmware"}, ReadonlyPaths: []string{"/proc/sys"},
		},
		Annotations: map[string]string{"org.example.key": "value"},
	}
}

// command makes a call of the runtime.
func (b *bundle) command(args ...string) *exec.Cmd {
	cmd := exec.Command(b.runtime, append([]string{"--root", b.root}, args...)...)
	cmd.Dir = b.dir
	if b.env != nil {
		cmd.Env = append(os.Environ(), b.env...)
	}
	return cmd
}

// call runs it. What create and `run --detach` leave running has this call's
// output, so that goes to a file and not to a pipe that never ends.
func (b *bundle) call(args ...string) (string, int) {
	out, err := os.CreateTemp("", "out")
	if err != nil {
		return err.Error(), -1
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err.Error(), -1
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	if !late.Stop() {
		return fmt.Sprintf("%q did not come back in %v", args, patience), -1
	}
	text, _ := os.ReadFile(out.Name())
	return string(text), cmd.ProcessState.ExitCode()
}

func (b *bundle) write() error {
	data, err := json.Marshal(b.spec)
	if err != nil {
		return err
	}
	return os.WriteFile(b.dir+"/config.json", data, 0o644)
}

// ok is call for what must succeed.
func (b *bundle) ok(args ...string) error {
	if out, status := b.call(args...); status != 0 {
		return fmt.Errorf("%q exits with %d: %s", args, status, out)
	}
	return nil
}

// refused is call for what must fail, with words that callers look for.
func (b *bundle) refused(words string, args ...string) error {
	out, status := b.call(args...)
	if status <= 0 || !strings.Contains(strings.ToLower(out), strings.ToLower(words)) {
		return fmt.Errorf("%q exits with %d and not with an error that says %q: %s", args, status, words, out)
	}
	return nil
}

func (b *bundle) create() error {
	return errors.Join(b.write(), b.ok("create", "--bundle", b.dir, b.id))
}

// started is a container that runs.
func (b *bundle) started() error {
	if err := b.create(); err != nil {
		return err
	}
	return b.ok("start", b.id)
}

// output runs the container with a shell script and gives what it prints.
func (b *bundle) output(script string) (string, error) {
	b.spec.Process.Args = []string{"sh", "-c", script}
	if err := b.write(); err != nil {
		return "", err
	}
	out, status := b.call("run", "--bundle", b.dir, b.id)
	if status != 0 {
		return out, fmt.Errorf("run exits with %d: %s", status, out)
	}
	return strings.TrimSpace(out), nil
}

// prints compares it.
func (b *bundle) prints(script, want string) error {
	out, err := b.output(script)
	if err == nil && out != want {
		err = fmt.Errorf("%s prints %q, want %q", script, out, want)
	}
	return err
}

func (b *bundle) state() (map[string]any, error) {
	out, status := b.call("state", b.id)
	if status != 0 {
		return nil, fmt.Errorf("state exits with %d: %s", status, out)
	}
	s := map[string]any{}
	return s, json.Unmarshal([]byte(out), &s)
}

func (b *bundle) hasStatus(want string) error {
	s, err := b.state()
	if err == nil && s["status"] != want {
		err = fmt.Errorf("status is %v, want %s", s["status"], want)
	}
	return err
}

// awaitStatus waits for what happens on its own.
func (b *bundle) awaitStatus(want string) error {
	return eventually(func() error { return b.hasStatus(want) })
}

func eventually(check func() error) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// left is what a container could leave.
func (b *bundle) left() string {
	var found []string
	entries, _ := os.ReadDir(b.root)
	for _, e := range entries {
		found = append(found, b.root+"/"+e.Name())
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, b.id) {
			found = append(found, path)
		}
		return nil
	})
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range bytes.Lines(mounts) {
		if bytes.Contains(line, []byte(b.id)) {
			found = append(found, string(line))
		}
	}
	return strings.Join(slices.Compact(found), " ")
}
