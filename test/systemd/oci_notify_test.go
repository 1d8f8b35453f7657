// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// withHostPrograms shows the host's programs in the container: busybox has no
// systemd-notify.
func (b *bundle) withHostPrograms() error {
	b.spec.Process.Env = []string{"PATH=/bin:/usr/bin"}
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/usr", Type: "bind", Source: "/usr", Options: []string{"rbind", "ro"}})
	var err error
	for _, name := range []string{"lib", "lib64"} {
		if _, there := os.Lstat("/usr/" + name); there == nil {
			err = errors.Join(err, os.Symlink("usr/"+name, b.dir+"/rootfs/"+name))
		}
	}
	return errors.Join(err, b.write())
}

// notifying is a payload that is ready when the file "go" is there, and speaks on.
const notifying = `trap 'exit 0' TERM
env | grep -e NOTIFY -e WATCHDOG | sort >/tmp/env
systemd-notify --no-block STATUS=waiting MAINPID=1 FDSTORE=1 FDNAME=x WATCHDOG_USEC=1 NOTIFYACCESS=none BUSERROR=x
until test -e /tmp/go; do sleep 0.02; done
systemd-notify --ready --status=well
systemd-notify --status=later; echo $? >/tmp/later
while :; do sleep 0.02; done`

// A unit with Type=notify is active when the payload says so, whichever verb it has
// called, and follows the process that the verb leaves it with. What would let the
// payload act for the service does not pass.
func TestOCINotify(t *testing.T) {
	for _, verb := range []string{"run", "detach", "start"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, ociRuntime)
			t.Cleanup(func() { os.RemoveAll(b.dir); os.RemoveAll(b.root) })
			b.spec.Process.Args = []string{"sh", "-c", notifying}
			if err := b.withHostPrograms(); err != nil {
				t.Fatal(err)
			}
			rt := b.runtime + " --root " + b.root
			words := map[string]string{
				"run":    rt + " run --bundle " + b.dir + " " + b.id,
				"detach": rt + " run --detach --bundle " + b.dir + " " + b.id,
				"start":  "/bin/sh -c '" + rt + " create --bundle " + b.dir + " " + b.id + " && exec " + rt + " start " + b.id + "'",
			}[verb]
			unit := "oci-notify-" + verb + ".service"
			place(t, "/run/systemd/system/"+unit, "[Service]\nType=notify\nNotifyAccess=main\nWatchdogSec=1h\nFileDescriptorStoreMax=5\nExecStart="+words+
				"\nExecStopPost="+rt+" delete --force "+b.id+"\n")
			must(t, "systemctl", "daemon-reload")
			must(t, "systemctl", "start", "--no-block", unit)
			await(t, "systemd shows what the payload says", func() bool { return property(t, unit, "StatusText") == "waiting" })
			runtimePID := property(t, unit, "MainPID")
			if got := property(t, unit, "ActiveState"); got != "activating" {
				t.Errorf("it is %s before its payload is ready", got)
			}
			env := file(t, b.dir+"/rootfs/tmp/env")
			want := "NOTIFY_SOCKET=/run/notify/notify.sock\n"
			if verb == "run" {
				want += "WATCHDOG_PID=1\nWATCHDOG_USEC=3600000000\n"
			}
			if env != want {
				t.Errorf("the payload has the variables %q, want %q", env, want)
			}
			if err := os.WriteFile(b.dir+"/rootfs/tmp/go", nil, 0o644); err != nil {
				t.Fatal(err)
			}
			await(t, "the unit is active", func() bool { return property(t, unit, "ActiveState") == "active" })
			status, heard, main := "well", "1\n", ""
			if verb == "run" {
				status, heard, main = "later", "0\n", runtimePID
			} else if s, err := b.state(); err != nil {
				t.Error(err)
			} else {
				main = fmt.Sprint(s["pid"])
			}
			await(t, "the payload has spoken on", func() bool { return exists(b.dir + "/rootfs/tmp/later") })
			if got := file(t, b.dir+"/rootfs/tmp/later"); got != heard {
				t.Errorf("systemd-notify exits with %q behind READY=1, want %q", got, heard)
			}
			for name, want := range map[string]string{"StatusText": status, "MainPID": main, "NFileDescriptorStore": "0", "NotifyAccess": "main", "WatchdogUSec": "1h"} {
				if got := property(t, unit, name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			must(t, "systemctl", "stop", unit)
			if got := property(t, unit, "Result"); got != "success" {
				out, _ := command(t, "journalctl", "-q", "-o", "short-precise", "-u", unit)
				t.Errorf("its end is %q: %s", got, out)
			}
			if left := b.left(); left != "" {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// A payload that is killed before it is ready ends the wait, and so does one that
// ends: what it has said last is told. A runtime that is killed while it waits leaves
// a container that can be deleted.
//
//lab:once
func TestOCINotifyEnds(t *testing.T) {
	for _, c := range []ociCase{
		{"killed before it is ready", func(b *bundle) error {
			b.spec.Process.Args = []string{"sleep", "1000"}
			host, err := hearAt(b.dir + "/host")
			if err = errors.Join(err, b.withHostPrograms()); err != nil {
				return err
			}
			defer host.Close()
			cmd := b.command("run", "--detach", "--bundle", b.dir, b.id)
			cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+b.dir+"/host")
			if err := errors.Join(cmd.Start(), b.awaitStatus("running"), b.ok("kill", b.id, "KILL"), cmd.Wait()); err != nil {
				return err
			}
			return errors.Join(host.heard(""), b.hasStatus("stopped"))
		}},
		{"ready and over at once", func(b *bundle) error {
			b.spec.Process.Args = []string{"systemd-notify", "--no-block", "--ready", "STATUS=over"}
			host, err := hearAt(b.dir + "/host")
			if err = errors.Join(err, b.withHostPrograms()); err != nil {
				return err
			}
			defer host.Close()
			cmd := b.command("run", "--bundle", b.dir, b.id)
			cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+b.dir+"/host")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return host.heard("READY=1\nSTATUS=over BARRIER=1 ")
		}},
		{"nobody listens", func(b *bundle) error {
			b.spec.Process.Args = []string{"systemd-notify", "--ready"}
			if err := b.withHostPrograms(); err != nil {
				return err
			}
			cmd := b.command("run", "--bundle", b.dir, b.id)
			cmd.Env = append(os.Environ(), "NOTIFY_SOCKET=/nonexistent/socket")
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}},
		{"the runtime is killed while it waits", func(b *bundle) error {
			b.spec.Process.Args = []string{"sleep", "1000"}
			if err := b.withHostPrograms(); err != nil {
				return err
			}
			cmd := b.command("run", "--detach", "--bundle", b.dir, b.id)
			cmd.Env = append(os.Environ(), "NOTIFY_SOCKET=/nonexistent/socket")
			if err := errors.Join(cmd.Start(), b.awaitStatus("running"), cmd.Process.Kill()); err != nil {
				return err
			}
			_ = cmd.Wait()
			return errors.Join(b.hasStatus("running"), b.ok("delete", "--force", b.id))
		}},
		{"the runtime is killed at any moment", func(b *bundle) error {
			b.spec.Process.Args = []string{"systemd-notify", "--ready"}
			err := b.withHostPrograms()
			for i := range 40 {
				cmd := b.command("run", "--detach", "--bundle", b.dir, b.id)
				cmd.Env = append(os.Environ(), "NOTIFY_SOCKET=/nonexistent/socket")
				err = errors.Join(err, cmd.Start())
				time.Sleep(time.Duration(i) * time.Millisecond)
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				if err = errors.Join(err, b.ok("delete", "--force", b.id)); err != nil {
					return fmt.Errorf("after %d ms: %w", i, err)
				}
				if left := b.left(); left != "" {
					return fmt.Errorf("after %d ms, left behind: %s", i, left)
				}
			}
			return err
		}},
		{"a payload that is root does away with its socket", func(b *bundle) error {
			caps := []string{"CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_CHOWN", "CAP_SYS_ADMIN"}
			b.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
			b.spec.Process.Args = []string{"sh", "-c", `cd /run/notify && for how in "rm notify.sock" "mv notify.sock other" "touch other" "ln -s / link" "chmod 0 notify.sock" "chown 5 notify.sock" "mount -o remount,rw,bind /run/notify"; do $how 2>/dev/null && echo "$how"; done
touch junk; mkdir -p deep/er; rm notify.sock; ln -s / notify.sock
umount -l /run/notify; cd /; mkdir -p /run/notify; ln -s /tmp/elsewhere /run/notify/notify.sock; ls -A /run/notify; sleep 1000`}
			host, err := hearAt(b.dir + "/host")
			if err = errors.Join(err, b.withHostPrograms()); err != nil {
				return err
			}
			defer host.Close()
			b.env = []string{"NOTIFY_SOCKET=" + b.dir + "/host"}
			out, err := os.Create(b.dir + "/out")
			if err != nil {
				return err
			}
			defer out.Close()
			cmd := b.command("run", "--bundle", b.dir, b.id)
			cmd.Stdout, cmd.Stderr, b.env = out, out, nil
			err = errors.Join(cmd.Start(), b.awaitStatus("running"), eventually(func() error {
				if text, _ := os.ReadFile(b.dir + "/out"); !strings.Contains(string(text), "notify.sock\n") {
					return fmt.Errorf("its output is %q", text)
				}
				return nil
			}))
			text, _ := os.ReadFile(b.dir + "/out")
			t.Logf("what a root with CAP_SYS_ADMIN does to its socket: %q", text)
			err = errors.Join(err, b.ok("kill", b.id, "KILL"))
			_ = cmd.Wait()
			return errors.Join(err, host.heard(""), b.refused("exist", "state", b.id))
		}},
		{"what does not fit", func(b *bundle) error {
			if err := b.create(); err != nil {
				return err
			}
			with := func(address, words string, args ...string) error {
				cmd := b.command(args...)
				cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+address)
				if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), words) {
					return fmt.Errorf("%q with NOTIFY_SOCKET=%s: %w: %s", args, address, err, out)
				}
				return nil
			}
			return errors.Join(with("/run/systemd/notify", "was not when the container was created", "start", b.id), b.hasStatus("created"), b.ok("start", b.id),
				with("relative", "neither an absolute path", "create", "--bundle", b.dir, b.id+"-2"))
		}},
	} {
		if err := runCase(t, c, ociRuntime); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// ears is a socket in systemd's place.
type ears struct {
	*net.UnixConn
	lock sync.Mutex
	all  string
}

func hearAt(path string) (*ears, error) {
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	e := &ears{UnixConn: c}
	go func() {
		for b := make([]byte, 8192); ; {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			e.lock.Lock()
			e.all += string(b[:n]) + " "
			e.lock.Unlock()
		}
	}()
	return e, nil
}

// heard compares all that was said.
func (e *ears) heard(want string) error {
	return eventually(func() error {
		e.lock.Lock()
		defer e.lock.Unlock()
		if e.all != want {
			return fmt.Errorf("the caller hears %q, want %q", e.all, want)
		}
		return nil
	})
}

// Sockets of systemd's: their number, their names and the number of the process are
// what sd_listen_fds(3) compares; those that are another process's are not passed.
//
//lab:once
func TestOCIListenFDs(t *testing.T) {
	const script = `echo "$LISTEN_FDS $LISTEN_FDNAMES" $((LISTEN_PID == $$)); ls /proc/self/fd | wc -l`
	pass := func(b *bundle, env []string, args ...string) (string, error) {
		cmd := b.command(args...)
		null, err := os.Open("/dev/null")
		if err != nil {
			return "", err
		}
		defer null.Close()
		cmd.ExtraFiles, cmd.Env = []*os.File{null, null}, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	says := func(b *bundle, want string, env []string, args ...string) error {
		if out, err := pass(b, env, args...); err != nil || out != want {
			return fmt.Errorf("%q with %q: %w: it says %q, want %q", args, env, err, out, want)
		}
		return nil
	}
	two := []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=one:two"}
	foreign := append([]string{"LISTEN_PID=1"}, two...)
	for _, c := range []ociCase{
		{"run", func(b *bundle) error {
			b.spec.Process.Args = []string{"sh", "-c", script}
			b.spec.Process.Env = append(b.spec.Process.Env, "LISTEN_PID=77", "LISTEN_FDNAMES=lies")
			return errors.Join(b.write(), says(b, "2 one:two 1\n6\n", two, "run", "--bundle", b.dir, b.id))
		}},
		{"run with descriptors behind them", func(b *bundle) error {
			b.spec.Process.Args = []string{"sh", "-c", script}
			return errors.Join(b.write(), says(b, "1  1\n6\n", []string{"LISTEN_FDS=1"}, "run", "--preserve-fds", "1", "--bundle", b.dir, b.id))
		}},
		{"run without a PID namespace", func(b *bundle) error {
			b.spec.Process.Args = []string{"sh", "-c", script}
			b.spec.Linux.Namespaces = b.spec.Linux.Namespaces[1:]
			return errors.Join(b.write(), says(b, "2 one:two 1\n6\n", two, "run", "--bundle", b.dir, b.id))
		}},
		{"those of another process", func(b *bundle) error {
			b.spec.Process.Args = []string{"sh", "-c", script}
			// As Podman calls it, which counts them itself.
			return errors.Join(b.write(), says(b, "  0\n4\n", foreign, "run", "--bundle", b.dir, b.id),
				says(b, "  0\n6\n", foreign, "run", "--preserve-fds", "2", "--bundle", b.dir, b.id))
		}},
		{"exec", func(b *bundle) error {
			return errors.Join(b.started(), says(b, "2 one:two 1\n6\n", two, "exec", b.id, "sh", "-c", script), says(b, "  0\n4\n", foreign, "exec", b.id, "sh", "-c", script),
				says(b, "  0\n4\n", nil, "exec", b.id, "sh", "-c", script))
		}},
		{"who joins later has none", func(b *bundle) error {
			if err := b.write(); err != nil {
				return err
			}
			null, err := os.Open("/dev/null")
			if err != nil {
				return err
			}
			defer null.Close()
			cmd := b.command("create", "--bundle", b.dir, b.id)
			cmd.ExtraFiles, cmd.Env = []*os.File{null, null}, append(os.Environ(), append(two, "NOTIFY_SOCKET=/nonexistent")...)
			return errors.Join(cmd.Run(), b.ok("start", b.id), says(b, "  0\n4\n", nil, "exec", b.id, "sh", "-c", script+"; test -z \"$NOTIFY_SOCKET\""))
		}},
	} {
		if err := runCase(t, c, ociRuntime); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A payload below `run` reloads when systemd asks it to, and is under systemd's
// watchdog, whose signs it gives itself. What it leaves the unit takes away.
//
//lab:once
func TestOCINotifyReloadAndWatchdog(t *testing.T) {
	t.Parallel()
	b := newBundle(t, ociRuntime)
	t.Cleanup(func() { os.RemoveAll(b.dir); os.RemoveAll(b.root) })
	b.spec.Process.Args = []string{"sh", "-c", `trap 'systemd-notify --reloading; systemd-notify --ready --status=reloaded' HUP
systemd-notify --ready
until test -e /tmp/quiet; do systemd-notify WATCHDOG=1; sleep 0.1; done
while :; do sleep 0.1; done`}
	if err := b.withHostPrograms(); err != nil {
		t.Fatal(err)
	}
	const unit = "oci-reload.service"
	rt := b.runtime + " --root " + b.root
	place(t, "/run/systemd/system/"+unit, "[Service]\nType=notify-reload\nWatchdogSec=3\nTimeoutStopSec=1\nExecStart="+rt+" run --bundle "+b.dir+" "+b.id+
		"\nExecStopPost="+rt+" delete --force "+b.id+"\n")
	must(t, "systemctl", "daemon-reload")
	must(t, "systemctl", "start", unit)
	must(t, "systemctl", "reload", unit)
	if got := property(t, unit, "StatusText"); got != "reloaded" {
		t.Errorf("its status is %q", got)
	}
	time.Sleep(4 * time.Second) // longer than its watchdog waits
	if got := property(t, unit, "ActiveState"); got != "active" {
		t.Errorf("it is %s while it gives signs", got)
	}
	if err := os.WriteFile(b.dir+"/rootfs/tmp/quiet", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	await(t, "it has failed without signs", func() bool { return property(t, unit, "ActiveState") == "failed" })
	if got := property(t, unit, "Result"); got != "watchdog" {
		t.Errorf("its end is %q", got)
	}
	if left := b.left(); left != "" {
		t.Errorf("left behind: %s", left)
	}
	_, _ = command(t, "systemctl", "reset-failed", unit)
}
