// SPDX-License-Identifier: Apache-2.0

package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// disk is an ext4 of its own whose power can be cut.
type disk struct {
	t          *testing.T
	image, dir string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	top := t.TempDir()
	// In memory: what is tested is what the file system has written by then.
	if err := unix.Mount("tmpfs", top, "tmpfs", 0, "mode=0700"); err != nil {
		t.Fatal(err)
	}
	d := &disk{t: t, image: filepath.Join(top, "disk"), dir: filepath.Join(top, "mnt")}
	t.Cleanup(func() {
		_ = unix.Unmount(d.dir, unix.MNT_DETACH) // it may not be mounted
		if err := unix.Unmount(top, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

// format makes a new file system and mounts it.
func (d *disk) format() {
	d.t.Helper()
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Truncate(d.image, 24<<20); err != nil {
		d.t.Fatal(err)
	}
	d.run("mke2fs", "-q", "-F", "-t", "ext4", d.image)
	d.mount()
}

func (d *disk) mount() {
	d.t.Helper()
	d.run("mount", "-t", "ext4", "-o", "loop", d.image, d.dir)
}

func (d *disk) unmount() {
	d.t.Helper()
	if err := unix.Unmount(d.dir, 0); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

// cut is what a power cut does to a file system: from now on nothing is written,
// neither data nor the journal's open transaction (EXT4_IOC_SHUTDOWN with
// EXT4_GOING_FLAGS_NOLOGFLUSH, by which xfstests tests the same).
func (d *disk) cut() {
	d.t.Helper()
	const (
		ioctlShutdown = 0x8004587d
		noLogFlush    = 2
	)
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	how := uint32(noLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ioctlShutdown, uintptr(unsafe.Pointer(&how))); errno != 0 {
		d.t.Fatalf("shutting the file system down: %v", errno)
	}
}

// A power cut at each change of a pull: what has a name afterwards is whole to
// the last byte, the collector cleans, and the next pull works.
func TestPowerCutAtEveryChange(t *testing.T) {
	w, d := newWorld(t), newDisk(t)
	b := killImage(t)
	ref := w.push("killed", "1", b)
	step, cuts := killStep, 0
	for n := 1; ; n += step {
		d.format()
		store := filepath.Join(d.dir, "store")
		finished := runUntil(t, n, d.cut, "UNITC_TEST_PULL="+ref, "UNITC_TEST_STORE="+store, "UNITC_TEST_WORLD="+w.dir, "UNITC_TEST_POLICY="+w.client.PolicyFile)
		if finished {
			d.cut() // also after the last: what it said is done has to be there
		}
		d.unmount()
		d.mount() // the journal is replayed
		c := killClient(t, store)
		c.AuthFile, c.RegistriesFile = w.client.AuthFile, w.client.RegistriesFile
		checkBlobs(t, c, b, n)
		if finished && !checkKilled(t, c, "localhost/other:1", n) {
			t.Error("the last name is gone, although the command that gave it had ended")
		}
		if faults, err := c.Verify(ctx, false); err != nil || len(faults) > 0 {
			t.Errorf("cut at change %d: %v, %v", n, faults, err)
		}
		if n%2 == 0 {
			checkAfterKill(t, c, n) // without that the parts of the download are there
		}
		if _, err := c.Pull(ctx, ref, PullOptions{}); err != nil {
			t.Fatalf("cut at change %d: the next pull: %v", n, err)
		}
		checkAfterKill(t, c, n)
		if faults, err := c.Verify(ctx, false); err != nil || len(faults) > 0 || !checkKilled(t, c, ref, n) {
			t.Errorf("cut at change %d: after the next pull: %v, %v", n, faults, err)
		}
		if err := c.Store.Close(); err != nil {
			t.Fatal(err)
		}
		d.unmount()
		if finished {
			break
		}
		cuts++
	}
	if cuts*step < 60 {
		t.Errorf("only %d cuts", cuts)
	}
}
