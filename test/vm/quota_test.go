// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// quotaStore puts /var/lib/unitc on a file system with project quotas. The
// machine has no mkfs: testdata holds new file systems, as made by
//
//	mke2fs -t ext4 -O quota,project,^has_journal -m 0 FILE   (16 MiB)
//	mkfs.xfs FILE                                            (300 MiB)
func quotaStore(t *testing.T, kind string) {
	t.Helper()
	packed, err := os.Open("testdata/" + kind + ".zst")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	plain, err := zstd.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	file := filepath.Join(t.TempDir(), kind)
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := copySparse(out, plain); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if err := os.MkdirAll("/var/lib/unitc", 0o711); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-t", kind, "-o", "loop,prjquota", file, "/var/lib/unitc")
	t.Cleanup(func() { run(t, "umount", "/var/lib/unitc") })
}

// copySparse leaves out what is zero, which of a new file system is nearly all: to write
// it takes an emulated machine longer than all else here.
func copySparse(out *os.File, in io.Reader) error {
	b, zeros, size := make([]byte, 64<<10), make([]byte, 64<<10), int64(0)
	for {
		n, err := io.ReadFull(in, b)
		if !bytes.Equal(b[:n], zeros[:n]) {
			if _, err := out.WriteAt(b[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return out.Truncate(size)
		}
		if err != nil {
			return err
		}
	}
}

const quotaProject = `services:
  web:
    image: localhost/quota:1
    init: true
    command: [/bin/sh, -c, 'head -c 3000000 /dev/zero >/data/big; echo $$?; head -c 500000 /dev/zero >/free/small; exec sleep 1000']
    volumes: [data:/data, free:/free]
volumes:
  data: {driver_opts: {size: 1m}}
  free: {}
`

type volumeFacts struct {
	Project uint32
	Usage   *struct{ Used, Limit int64 }
}

func inspectVolume(t *testing.T, name string) volumeFacts {
	t.Helper()
	var facts []volumeFacts
	if err := json.Unmarshal([]byte(run(t, "unitc", "volume", "inspect", name)), &facts); err != nil {
		t.Fatal(err)
	}
	return facts[0]
}

// "quotas where the file system has them": the kernel keeps the size, another
// one holds at the next start, also for what had none, and the payload cannot
// step out of it.
//
//lab:once
func TestVolumeQuota(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			quotaStore(t, kind)
			loadQuotaImage(t)
			write(t, "/etc/unitc/quota.yaml", quotaProject)
			t.Cleanup(func() {
				forget(t, "quota-web")
				os.Remove("/etc/unitc/quota.yaml")
			})
			start := func(from, to string) {
				t.Helper()
				text, err := os.ReadFile("/etc/unitc/quota.yaml")
				if err != nil {
					t.Fatal(err)
				}
				write(t, "/etc/unitc/quota.yaml", strings.Replace(string(text), from, to, 1))
				run(t, "systemctl", "daemon-reload")
				run(t, "systemctl", "restart", "quota-web")
			}
			size := func(path string) int64 {
				st, err := os.Stat("/var/lib/unitc/volumes/" + path)
				if err != nil {
					return -1
				}
				return st.Size()
			}

			start("", "")
			await(t, "the second file is whole", func() bool { return size("quota_free/data/small") == 500000 })
			if n := size("quota_data/data/big"); n < 500_000 || n > 1<<20 {
				t.Errorf("%d bytes went into a volume of 1 MiB", n)
			}
			if f := inspectVolume(t, "quota_data"); f.Project == 0 || f.Usage == nil || f.Usage.Limit != 1<<20 || f.Usage.Used < 500_000 || f.Usage.Used > f.Usage.Limit {
				t.Errorf("volume data is %+v, %+v", f, f.Usage)
			}
			if f := inspectVolume(t, "quota_free"); f.Project != 0 || f.Usage != nil {
				t.Errorf("volume free is %+v", f)
			}
			if got := changeProject(t, "/var/lib/unitc/volumes/quota_data/data/big"); !strings.HasPrefix(got, "kept: ") {
				t.Errorf("changing the project of a file in a user namespace: %s", got)
			}

			// A larger size, and one for what had none: both at the next start.
			start("size: 1m}}\n  free: {}", "size: 4m}}\n  free: {driver_opts: {size: 1g}}")
			await(t, "the larger volume takes it all", func() bool { return size("quota_data/data/big") == 3000000 })
			data, free := inspectVolume(t, "quota_data"), inspectVolume(t, "quota_free")
			if free.Project == 0 || free.Project == data.Project || free.Usage == nil || free.Usage.Limit != 1<<30 || free.Usage.Used < 500_000 {
				t.Errorf("volume free is %+v, %+v; data has project %d", free, free.Usage, data.Project)
			}
			if list := run(t, "unitc", "volume", "ls"); !strings.Contains(list, "of 1.1 GB") {
				t.Errorf("unitc volume ls prints\n%s", list)
			}
			if kind == "xfs" {
				return // the rest is no file system's; an emulated machine is slow
			}
			start("size: 1g", "size: 0")
			if free := inspectVolume(t, "quota_free"); free.Usage != nil {
				t.Errorf("without a size volume free is %+v", free.Usage)
			}

			// What the image has there does not fit.
			run(t, "systemctl", "stop", "quota-web")
			run(t, "unitc", "volume", "rm", "quota_data", "quota_free")
			text, err := os.ReadFile("/etc/unitc/quota.yaml")
			if err != nil {
				t.Fatal(err)
			}
			write(t, "/etc/unitc/quota.yaml", strings.NewReplacer("data:/data", "data:/seed", "size: 4m", "size: 100k").Replace(string(text)))
			run(t, "systemctl", "daemon-reload")
			if err := exec.Command("systemctl", "start", "quota-web").Run(); err == nil {
				t.Error("a volume of 100 KiB took 2 MB from the image")
			}
			said, _ := exec.Command("systemctl", "status", "--full", "quota-web").Output()
			if !strings.Contains(string(said), "write a larger size:") {
				t.Errorf("`systemctl status` says:\n%s", said)
			}
			if left := run(t, "unitc", "volume", "ls", "--quiet"); strings.Contains(left, "quota_data") {
				t.Errorf("volumes are left: %s", left)
			}
		})
	}
}

// changeProject tries what a payload may: with a user namespace of its own, and
// as the owner of the file.
func changeProject(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("perl", "-e", `open F, "<&=3" or die "open: $!"; $a = "\0" x 28; ioctl(F, 0x801c581f, $a) or die "get: $!";
		substr($a, 12, 4) = pack("L", 7); print ioctl(F, 0x401c5820, $a) ? "changed" : "kept: $!"`)
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{Size: 1}}, GidMappings: []syscall.SysProcIDMap{{Size: 1}},
	}
	out, _ := cmd.CombinedOutput() // it says what went wrong
	return string(out)
}

func loadQuotaImage(t *testing.T) {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"bin", "seed"} {
		if err := os.Mkdir(root+"/"+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "chmod", "755", root)
	run(t, "cp", "/usr/bin/busybox", root+"/bin/sh")
	for _, name := range []string{"head", "sleep"} {
		if err := os.Symlink("sh", root+"/bin/"+name); err != nil {
			t.Fatal(err)
		}
	}
	write(t, root+"/seed/big", strings.Repeat("x", 2_000_000))
	archive := filepath.Join(t.TempDir(), "root.tar")
	run(t, "tar", "-C", root, "-cf", archive, ".")
	run(t, "unitc", "load", "--quiet", "--rootfs", "--name", "localhost/quota:1", archive)
}

// Where there are no quotas the start fails and says what there is to choose.
//
//lab:once
func TestVolumeQuotaThatCannotBe(t *testing.T) {
	var st unix.Statfs_t
	if err := unix.Statfs("/var/lib", &st); err != nil || st.Type != unix.EXT4_SUPER_MAGIC {
		t.Fatalf("the machine's disk is of type %#x, %v", st.Type, err)
	}
	write(t, "/etc/unitc/noquota.yaml", "services:\n  web:\n    rootfs: host\n    command: [sleep, infinity]\n    volumes: [data:/srv]\nvolumes:\n  data: {driver_opts: {size: 1m}}\n")
	t.Cleanup(func() {
		forget(t, "noquota-web")
		os.Remove("/etc/unitc/noquota.yaml")
	})
	run(t, "systemctl", "daemon-reload")
	if err := exec.Command("systemctl", "start", "noquota-web").Run(); err == nil {
		t.Fatal("it started")
	}
	said, _ := exec.Command("systemctl", "status", "--full", "noquota-web").Output()
	for _, want := range []string{"noquota.yaml:5", "no project quotas", "prjquota", "remove size:"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("`systemctl status` does not say %q:\n%s", want, said)
		}
	}
	if left := run(t, "unitc", "volume", "ls", "--quiet"); left != "" {
		t.Errorf("volumes are left: %s", left)
	}
}
