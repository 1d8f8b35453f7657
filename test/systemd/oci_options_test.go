// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Options of the command line that no case of TestOCICases has.
func TestOCIOptions(t *testing.T) {
	for _, c := range []ociCase{
		{"--log and --log-format", logOptions},
		{"--systemd-cgroup", func(b *bundle) error { return scopeOption(t, b) }},
		{"--pidfd-socket", pidfdOption},
		{"--no-pivot", func(b *bundle) error {
			b.spec.Process.Args = []string{"sh", "-c", "ls /bin/busybox; ls /proc/1/root/bin/busybox"}
			if err := b.write(); err != nil {
				return err
			}
			text, status := b.call("run", "--no-pivot", "--bundle", b.dir, b.id)
			if status != 0 || text != "/bin/busybox\n/proc/1/root/bin/busybox\n" {
				return fmt.Errorf("status %d: %s", status, text)
			}
			return nil
		}},
		{"--no-new-keyring", keyringOption},
		{"update --resources", func(b *bundle) error {
			none := os.WriteFile(b.dir+"/none.json", []byte(`{"pids":{"limit":-1}}`), 0o644)
			bad := os.WriteFile(b.dir+"/bad.json", []byte(`{"pids":{"limit":"x"}}`), 0o644)
			err := errors.Join(none, bad, b.started(), b.ok("update", "--resources", "none.json", b.id), b.ok("update", "--resources=none.json", b.id),
				b.refused("", "update", "--resources", "bad.json", b.id), b.refused("no such file", "update", "--resources", "nowhere.json", b.id))
			cmd := b.command("update", "--resources", "-", b.id)
			cmd.Stdin = strings.NewReader(`{"pids":{"limit":-1}}`)
			if out, cerr := cmd.CombinedOutput(); cerr != nil {
				err = errors.Join(err, fmt.Errorf("--resources -: %w: %s", cerr, out))
			}
			if !hasPids() {
				err = errors.Join(err, b.refused("controller", "update", "--pids-limit", "5", b.id))
			}
			return err
		}},
		{"kill --all", func(b *bundle) error {
			b.spec.Process.Args = []string{"sh", "-c", `for i in 1 2; do sh -c 'trap "echo x >>/tmp/got" USR1; echo x >>/tmp/ready; while :; do sleep 0.05; done' & done; trap : USR1; while :; do wait; done`}
			lines := func(file, want string) func() error {
				return func() error {
					if got, _ := os.ReadFile(b.dir + "/rootfs/tmp/" + file); string(got) != want {
						return fmt.Errorf("%s has %q, want %q", file, got, want)
					}
					return nil
				}
			}
			return errors.Join(b.started(), eventually(lines("ready", "x\nx\n")), b.ok("kill", "--all", b.id, "USR1"), eventually(lines("got", "x\nx\n")),
				b.ok("kill", "--all", b.id, "KILL"), b.awaitStatus("stopped"), b.ok("delete", b.id))
		}},
		{"a container that is killed between create and start", func(b *bundle) error {
			return errors.Join(b.create(), b.ok("kill", b.id, "KILL"), b.awaitStatus("stopped"), b.refused("stopped", "start", b.id), b.ok("delete", b.id))
		}},
		{"run starts Go once", func(b *bundle) error {
			b.spec.Process.Args = []string{"true"}
			if err := b.write(); err != nil {
				return err
			}
			cmd := b.command("run", "--bundle", b.dir, b.id)
			cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
			out, err := cmd.CombinedOutput()
			if starts := strings.Count(string(out), "init runtime @"); err != nil || starts != 1 && runtime.GOARCH == "amd64" {
				return fmt.Errorf("%d starts: %w: %s", starts, err, out)
			}
			return nil
		}},
		{"--version", func(b *bundle) error {
			out, status := b.call("--version")
			if status != 0 || !strings.HasPrefix(out, "unitc-runtime version ") || !strings.Contains(out, "\nspec: 1.3.") {
				return fmt.Errorf("status %d: %s", status, out)
			}
			return nil
		}},
	} {
		if err := runCase(t, c, ociRuntime); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// logOptions: engines show the last error of the log to their users.
func logOptions(b *bundle) error {
	b.spec.Process.Args = []string{"nonsense"}
	if err := b.write(); err != nil {
		return err
	}
	log := b.dir + "/log"
	create := []string{"create", "--bundle", b.dir, b.id}
	err := b.refused("not found in $PATH", append([]string{"--log", log, "--log-format", "json"}, create...)...)
	text, _ := os.ReadFile(log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var last struct{ Level, Msg, Time string }
	if jerr := json.Unmarshal([]byte(lines[len(lines)-1]), &last); jerr != nil || last.Level != "error" || last.Time == "" || !strings.Contains(last.Msg, "executable file not found in $PATH") {
		err = errors.Join(err, fmt.Errorf("the log has %q", text))
	}
	err = errors.Join(err, os.Remove(log), b.refused("not found in $PATH", append([]string{"--log", log}, create...)...))
	if text, _ := os.ReadFile(log); !strings.Contains(string(text), "level=error msg=") {
		err = errors.Join(err, fmt.Errorf("the log has %q", text))
	}
	return errors.Join(err, b.refused("log-format", append([]string{"--log-format", "xml"}, create...)...))
}

// scopeOption: the scope is where the name says, and gone with the container,
// however short it lived.
func scopeOption(t *testing.T, b *bundle) error {
	defer func() { _, _ = command(t, "systemctl", "stop", "labtest.slice") }()
	b.spec.Linux.CgroupsPath = "labtest.slice:box:" + b.id
	unit := "box-" + b.id + ".scope"
	err := errors.Join(b.write(), b.ok("--systemd-cgroup", "create", "--bundle", b.dir, b.id))
	s, serr := b.state()
	if serr != nil {
		return errors.Join(err, serr)
	}
	group, gerr := os.ReadFile(fmt.Sprintf("/proc/%v/cgroup", s["pid"]))
	if gerr != nil || !strings.HasSuffix(string(group), "0::/labtest.slice/"+unit+"\n") {
		err = errors.Join(err, gerr, fmt.Errorf("its cgroup is %q", group))
	}
	gone := func() error {
		if state := property(t, unit, "LoadState"); state != "not-found" {
			return fmt.Errorf("%s is %s and %s", unit, state, property(t, unit, "ActiveState"))
		}
		return nil
	}
	if state := property(t, unit, "ActiveState"); state != "active" {
		err = errors.Join(err, fmt.Errorf("%s is %s", unit, state))
	}
	err = errors.Join(err, b.ok("start", b.id), b.ok("delete", "--force", b.id), eventually(gone))
	b.spec.Process.Args = []string{"true"}
	err = errors.Join(err, b.write())
	for range 20 {
		if err != nil {
			return err
		}
		err = errors.Join(b.ok("--systemd-cgroup", "run", "--bundle", b.dir, b.id), eventually(gone))
	}
	return err
}

// pidfdOption: who listens is sent a pidfd of the container's first process.
func pidfdOption(b *bundle) error {
	r, err := receive(b.dir + "/pidfd")
	if err != nil {
		return err
	}
	defer r.Close()
	if err := errors.Join(b.write(), b.ok("create", "--bundle", b.dir, "--pidfd-socket", b.dir+"/pidfd", b.id)); err != nil {
		return err
	}
	s, err := b.state()
	if err != nil {
		return err
	}
	if text := <-r.got; !strings.Contains(text+"\n", fmt.Sprintf("\nPid:\t%v\n", s["pid"])) {
		return fmt.Errorf("what was sent is %q, the process is %v", text, s["pid"])
	}
	return b.refused("", "create", "--bundle", b.dir, "--pidfd-socket", "/nonexistent", b.id+"-2")
}

// keyringOption: the caller's session keyring is kept, where the container else
// has one of its own. Its user can see no key but those that it possesses.
func keyringOption(b *bundle) error {
	b.spec.Process.Args, b.spec.Process.User.UID = []string{"cat", "/proc/keys"}, 1000
	if err := b.write(); err != nil {
		return err
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the keyring is this thread's
		name, err := unix.BytePtrFromString(b.id)
		if err != nil {
			done <- err
			return
		}
		if _, _, e := unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, uintptr(unsafe.Pointer(name)), 0); e != 0 {
			done <- fmt.Errorf("joining a session keyring: %w", e)
			return
		}
		own, _ := b.call("run", "--bundle", b.dir, b.id)
		kept, _ := b.call("run", "--no-new-keyring", "--bundle", b.dir, b.id)
		if strings.Contains(own, b.id) || !strings.Contains(kept, b.id) {
			err = fmt.Errorf("it sees the keys\n%s, with the option\n%s", own, kept)
		}
		done <- err
	}()
	return <-done
}

func hasPids() bool {
	text, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	return strings.Contains(string(text), "pids")
}
