// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const machinePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// masked units would reach through to the build machine, whose kernel this is,
// or wait for what a machine in namespaces does not have.
var masked = []struct{ unit, reason string }{
	{"systemd-udevd.service", "writes to /sys, which is shared"},
	{"systemd-udevd-kernel.socket", "as the service"},
	{"systemd-udevd-control.socket", "as the service"},
	{"systemd-udevd-varlink.socket", "as the service"},
	{"systemd-udev-trigger.service", "would make the build machine's devices speak"},
	{"systemd-udev-load-credentials.service", "as systemd-udevd"},
	{"systemd-sysctl.service", "most of /proc/sys is shared"},
	{"systemd-modules-load.service", "modules are the build machine's"},
	{"systemd-binfmt.service", "handlers are the build machine's"},
	{"proc-sys-fs-binfmt_misc.automount", "a mount over /proc: see machineMounts"},
	{"systemd-pstore.service", "the store is the build machine's"},
	{"systemd-random-seed.service", "the pool is the build machine's"},
	{"systemd-remount-fs.service", "the root is no file system of fstab's"},
	{"systemd-firstboot.service", "asks questions"},
	{"console-getty.service", "there is no console"},
	{"getty.target", "there are no terminals"},
	{"apt-daily.timer", "there is no network"},
	{"apt-daily-upgrade.timer", "there is no network"},
	{"dpkg-db-backup.timer", "the tree is thrown away"},
	{"fstrim.timer", "would trim the build machine's disks"},
	{"e2scrub_all.timer", "would scrub the build machine's disks"},
	{"e2scrub_reap.service", "as the timer"},
}

func maskUnits(root string) error {
	for _, m := range masked {
		if err := mask(root, "system", m.unit); err != nil {
			return fmt.Errorf("masking %s (%s): %w", m.unit, m.reason, err)
		}
	}
	return nil
}

// maskGenerators leaves away those of systemd that find nothing to do in any of
// these machines: all run at each reload, and are a third of its time, emulated
// most of it.
func maskGenerators(root string) error {
	found, err := filepath.Glob(filepath.Join(root, "usr/lib/systemd/system-generators/systemd-*"))
	if err != nil {
		return err
	}
	for _, path := range found {
		if name := filepath.Base(path); name != "systemd-fstab-generator" {
			err = errors.Join(err, mask(root, "system-generators", name))
		}
	}
	return err
}

// mask hides units or generators of the tree: what is in /etc comes before them.
func mask(root, kind string, names ...string) error {
	dir := filepath.Join(root, "etc/systemd", kind)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		os.Remove(filepath.Join(dir, name))
		if err := os.Symlink("/dev/null", filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// machineMounts is the file system that systemd expects to find in a container
// (systemd's CONTAINER_INTERFACE). /proc and /sys have nothing mounted over them
// and are writable, as on a real machine: with a part covered the kernel lets no
// user namespace inside mount its own (mount_too_revealing in fs/namespace.c),
// and systemd-nspawn covers /proc/kmsg whatever it is told.
var machineMounts = []struct {
	fs, target string
	flags      uintptr
	data       string
}{
	{"proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"sysfs", "sys", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"cgroup2", "sys/fs/cgroup", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"tmpfs", "dev", unix.MS_NOSUID, "mode=755"},
	{"devpts", "dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5"},
	{"tmpfs", "dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
}

var devices = []struct {
	name         string
	major, minor uint32
	mode         uint32
}{
	{"null", 1, 3, 0o666},
	{"zero", 1, 5, 0o666},
	{"full", 1, 7, 0o666},
	{"random", 1, 8, 0o666},
	{"urandom", 1, 9, 0o666},
	{"kmsg", 1, 11, 0o644}, // the generators' only channel (G-4)
	{"tty", 5, 0, 0o666},
	{"fuse", 10, 229, 0o666},
	{"net/tun", 10, 200, 0o666},
}

// cmdMachine is the last step before the machine's systemd: it has the
// namespaces and makes what systemd expects to find in them.
func cmdMachine(args []string) error {
	root := args[0]
	if err := mountVisible(root); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unsharing the cgroup namespace: %w", err)
	}
	if err := unix.Sethostname([]byte("lab")); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if err := mountMachine(root); err != nil {
		return err
	}
	if err := makeDevices(filepath.Join(root, "dev")); err != nil {
		return err
	}
	if err := pivot(root); err != nil {
		return err
	}
	// The lab's own streams must not be held, nor written to, by PID 1.
	null, err := unix.Open("/dev/null", unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	for fd := range 3 {
		if err := unix.Dup2(null, fd); err != nil {
			return err
		}
	}
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("closing descriptors: %w", err)
	}
	env := []string{"container=unitc-lab", "PATH=" + machinePath, "NOTIFY_SOCKET=" + notifySocket, "LANG=C.UTF-8"}
	return unix.Exec("/lib/systemd/systemd", []string{"/lib/systemd/systemd", "systemd.unified_cgroup_hierarchy=1"}, env)
}

// mountVisible mounts the whole cgroup2 hierarchy out of the way, before the
// cgroup namespace hides most of it: a user namespace may mount cgroup2 only
// where a mount from its very root is to be seen (mount_too_revealing), which
// on a real machine is /sys/fs/cgroup itself.
func mountVisible(root string) error {
	target := filepath.Join(root, "run/host/cgroup")
	if err := os.MkdirAll(target, 0o700); err != nil {
		return err
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("cgroup2", target, "cgroup2", flags, ""); err != nil {
		return fmt.Errorf("mounting the whole cgroup2 hierarchy: %w", err)
	}
	return nil
}

// mountMachine mounts on a tree nobody hostile has written to, so joined paths
// will do here.
func mountMachine(root string) error {
	for _, m := range machineMounts {
		target := filepath.Join(root, m.target)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.fs, target, m.fs, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.fs, m.target, err)
		}
	}
	return nil
}

func makeDevices(dev string) error {
	if err := os.Mkdir(filepath.Join(dev, "net"), 0o755); err != nil {
		return err
	}
	for _, d := range devices {
		path := filepath.Join(dev, d.name)
		if err := unix.Mknod(path, unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("making device %s: %w", d.name, err)
		}
		// mknod(2) heeds the umask.
		if err := os.Chmod(path, os.FileMode(d.mode)); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd",
		"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return nil
}

// pivot makes root the root of this mount namespace and drops the old one, by
// stacking one on the other (pivot_root(2), "pivot_root(".", ".")").
func pivot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivoting to %s: %w", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("dropping the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	// As on a real machine, where systemd makes it so itself; in a container it leaves that to us.
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}
