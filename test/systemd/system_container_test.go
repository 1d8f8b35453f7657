// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// systemRoot is a root file system that systemd boots in: this machine's own programs
// and settings, and nothing of what its units are.
func systemRoot(t *testing.T) string {
	t.Helper()
	const root = "/srv/system-container"
	t.Cleanup(func() { os.RemoveAll(root) })
	must(t, "sh", "-c", `set -e; R=$1; for d in usr etc var/lib var/log/journal var/cache var/tmp run tmp proc sys dev root srv home mnt; do mkdir -p $R/$d; done
for l in bin sbin lib lib64; do if test -L /$l; then ln -s usr/$l $R/$l; fi; done
cp -a /etc/. $R/etc/; rm -rf $R/etc/unitc $R/etc/systemd/system $R/etc/systemd/system.conf.d; mkdir $R/etc/systemd/system; : >$R/etc/machine-id; echo inner >$R/etc/hostname`, "sh", root)
	return root
}

// systemd as the payload: it boots to its default target, which makes the unit active,
// limits its own services, runs what is asked for, logs, and stops in order. The
// container's root may not make more cgroups, nor deeper ones, than systemd outside can take away.
func TestSystemContainer(t *testing.T) {
	const name = "system-container"
	root := systemRoot(t)
	const definition = `volumes: [/usr:/usr:ro]
command: [/sbin/init]
tty: true
tmpfs: [/run, /run/lock, /tmp]
cap_add: [SETPCAP]
security_opt: [writable-cgroups=true]
stop_signal: SIGRTMIN+3
`
	for _, placement := range []string{"scope", "service"} {
		name := name + "-" + placement
		defineFor(t, name, "rootfs: "+root+"\n"+definition+"systemd: {notify: container, cgroup: "+placement+"}\n")
		leavesNothing(t, func() {
			must(t, "systemctl", "start", name)
			if got := strings.TrimSpace(must(t, "unitc", "exec", name, "systemctl", "is-system-running")); got != "running" {
				t.Errorf("inside it is %s:\n%s", got, must(t, "unitc", "exec", name, "systemctl", "--failed", "--no-pager"))
			}
			if got := must(t, "unitc", "exec", name, "systemd-run", "--wait", "--pipe", "--quiet", "--slice=deep-er", "cat", "/proc/self/cgroup"); !strings.Contains(got, "0::/deep.slice/deep-er.slice/run-") {
				t.Errorf("a service inside is in %q", got)
			}
			if out, status := command(t, "unitc", "exec", name, "sh", "-c", "echo max >/sys/fs/cgroup/cgroup.max.depth"); status == 0 {
				t.Errorf("its root lifts the limit: %s", out)
			}
			makeCgroups(t, name)
			begun := time.Now()
			if placement == "service" {
				// The stop signal of the unit is for all processes in its cgroup: it may end one
				// by which systemd inside carries out its shutdown.
				must(t, "systemctl", "kill", "--kill-whom=main", "--signal=SIGRTMIN+3", name)
			} else {
				must(t, "systemctl", "stop", name)
			}
			await(t, "it has ended", func() bool { return property(t, name+".service", "ActiveState") != "active" })
			if took := time.Since(begun); took > 8*time.Second {
				t.Errorf("the stop takes %v", took)
			}
			if got := property(t, name, "Result"); got != "success" {
				t.Errorf("its end is %s", got)
			}
		})
		out := must(t, "journalctl", "-q", "--no-pager", "-u", name)
		for _, want := range []string{"Reached target", "Exiting container"} {
			if !strings.Contains(out, want) {
				t.Errorf("the journal has no %q:\n%s", want, out)
			}
		}
	}
}

// makeCgroups makes as many below a payload's as there can be, and as deep ones.
func makeCgroups(t *testing.T, name string) {
	t.Helper()
	group := ""
	for line := range strings.Lines(file(t, "/proc/"+mainPID(t, name)+"/cgroup")) {
		group = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "0::"), "/init.scope")
	}
	if !strings.HasSuffix(group, "/payload") {
		t.Fatalf("the payload's cgroup is %q", group)
	}
	dir, err := unix.Open("/sys/fs/cgroup"+group, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	made, in, long := 0, dir, strings.Repeat("x", 250)
	for ; err == nil && made < 30; made++ {
		if err = unix.Mkdirat(in, long, 0o755); err != nil {
			break
		}
		next := 0
		if next, err = unix.Openat(in, long, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			defer unix.Close(next)
			in = next
		}
	}
	if !errors.Is(err, unix.EAGAIN) || made != 12 {
		t.Errorf("%d cgroups in each other, %v", made, err)
	}
	wide := 0
	for err = nil; err == nil && wide < 5000; wide++ {
		err = unix.Mkdirat(dir, "wide-"+time.Now().Format("150405.000000000"), 0o755)
	}
	if !errors.Is(err, unix.EAGAIN) || wide > 2048 {
		t.Errorf("%d cgroups beside each other, %v", wide, err)
	}
	unix.Close(dir)
}
