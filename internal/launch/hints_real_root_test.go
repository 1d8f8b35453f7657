// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/journal"
)

// privately gives what f returns on a thread with a mount namespace of its own,
// from which its children are born.
func privately(t *testing.T, f func() string) string {
	t.Helper()
	got := make(chan string)
	go func() {
		goruntime.LockOSThread() // for good
		if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
			t.Error(err)
		}
		got <- f()
	}()
	return <-got
}

func wants(t *testing.T, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// A user namespace has limits of its own: this program is run once more in one,
// where none, or no mount namespace, may be made.
func TestLimitsOfNamespaces(t *testing.T) {
	if limit := os.Getenv("UNITC_TEST_LIMIT"); limit != "" {
		if err := os.WriteFile("/proc/sys/user/"+limit, []byte("0"), 0); err != nil {
			t.Fatal(err)
		}
		mode := ""
		if limit == "max_mnt_namespaces" {
			mode = "host"
		}
		fmt.Println("says: " + attempt(t, definition.Service{RootFS: newRoot(t), Command: []string{"/x"}, UsernsMode: mode}))
		return
	}
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1 << 31}}
	for limit, want := range map[string]string{
		"max_user_namespaces": "test.yaml:4:1: error: create-user-namespace: clone3: no space left on device; a limit of namespaces is 0 or reached: raise it",
		"max_mnt_namespaces":  "test.yaml:1:1: error: open-rootfs: open_tree ",
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLimitsOfNamespaces$", "-test.v")
		cmd.Env = append(os.Environ(), "UNITC_TEST_LIMIT="+limit)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		wants(t, string(out), want)
		wants(t, string(out), map[bool]string{true: "a limit of namespaces is 0 or reached: raise it", false: "(user.max_mnt_namespaces)"}[limit == "max_user_namespaces"])
	}
}

// A root file system without an inode to spare, which lacks a mount point.
func TestFullRootFS(t *testing.T) {
	wants(t, privately(t, func() string {
		root := t.TempDir()
		if err := unix.Mount("tmpfs", root, "tmpfs", 0, "nr_inodes=1,mode=0755"); err != nil {
			return err.Error()
		}
		return attempt(t, definition.Service{RootFS: root, Command: []string{"/x"}})
	}), "test.yaml:1:1: error: mount: mkdirat mounts[0] dst=/proc creating proc: no space left on device; its file system is full (bytes or inodes), so that a mount point cannot be made")
}

// A root file system that is mounted nosuid: no call fails, so a sentence says
// what a set-user-id program in it will not say. A program with file capabilities
// that the container lacks does not start at all.
func TestNosuidAndFileCapabilities(t *testing.T) {
	for flags, want := range map[uintptr]string{0: "", unix.MS_NOSUID: "<4>rootfs: its file system is mounted nosuid: set-user-id programs and file capabilities in it give nothing"} {
		got := privately(t, func() string {
			root := t.TempDir()
			if err := errors.Join(unix.Mount("tmpfs", root, "tmpfs", flags, "mode=0755"), os.WriteFile(root+"/x", []byte("#!/x"), 0o755)); err != nil {
				return err.Error()
			}
			return standardError(t, func() {
				attempt(t, definition.Service{RootFS: root, Command: []string{"/x"}, SecurityOpt: []string{"no-new-privileges=false"}})
			})
		})
		if (want == "") != (got == "") {
			t.Errorf("mounted with %#x: %q", flags, got)
		}
		wants(t, got, want)
	}
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00" + strings.Repeat("\x00", 12) // revision 2, effective: CAP_NET_RAW
	program := []byte(elf(elfOf(t), ""))
	program[64] = 0 // PT_NULL: it has neither a linker nor anything to load
	for _, mode := range []string{"", "host"} {
		root := newRoot(t, file{"ping", string(program), 0o755})
		if err := unix.Setxattr(root+"/ping", "security.capability", []byte(capability), 0); err != nil {
			t.Fatal(err)
		}
		got := attempt(t, definition.Service{RootFS: root, Command: []string{"/ping"}, UsernsMode: mode})
		wants(t, got, "test.yaml:2:1: error: exec-payload: execve /ping: operation not permitted; /ping has file capabilities that the container may not have (NET_RAW); write `cap_add: [NET_RAW]`, or take them off the file with `setcap -r`")
	}
}

// A volume that cannot be id-mapped: views of the kernel's hold no data and keep the host's
// owners, and so does what has such a view in it and is read-only, with a warning.
func TestVolumesThatCannotBeMapped(t *testing.T) {
	const refused = "open-mount-sources"
	for _, c := range []struct {
		name, source string
		readOnly     bool
		said, warned string
	}{
		{name: "data", source: "/data", said: "; its file system cannot be id-mapped by this kernel: move it to ext4, xfs or btrfs, write `idmap: false` for the volume, or `userns_mode: host`"},
		{name: "data that is read-only", source: "/data", readOnly: true, said: refused},
		{name: "a view of the kernel's", source: "/proc/sys"},
		{name: "a view of the kernel's, read-only", source: "/proc", readOnly: true},
		{name: "a host that can be written to", source: "/host", said: refused},
		{name: "a host", source: "/host", readOnly: true, warned: "/host has mounts in it that cannot be id-mapped, as /proc"},
	} {
		said := ""
		got := privately(t, func() string {
			dir := t.TempDir()
			for place, kind := range map[string]string{"/data": "ramfs", "/host": "tmpfs"} {
				if err := errors.Join(os.Mkdir(dir+place, 0o755), unix.Mount(kind, dir+place, kind, 0, "mode=0755")); err != nil {
					return err.Error()
				}
			}
			if err := errors.Join(os.Mkdir(dir+"/host/proc", 0o755), unix.Mount("proc", dir+"/host/proc", "proc", 0, "")); err != nil {
				return err.Error()
			}
			source := c.source
			if !strings.HasPrefix(source, "/proc") {
				source = dir + source
			}
			return standardError(t, func() {
				said = attempt(t, definition.Service{RootFS: newRoot(t, file{"x", "#!/nothing", 0o755}), Command: []string{"/x"},
					Volumes: []definition.Volume{{Type: definition.VolumeBind, Source: source, Target: "/vol", ReadOnly: c.readOnly}}})
			})
		})
		if c.said == "" && strings.Contains(said, refused) || !strings.Contains(said, c.said) || !strings.Contains(got, c.warned) || (got == "") != (c.warned == "") {
			t.Errorf("%s: %q, with the warning %q", c.name, said, got)
		}
	}
}

// standardError is what f writes there.
func standardError(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	before := journal.Stderr
	journal.Stderr = w
	f()
	journal.Stderr = before
	w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A security module that refuses, for real: under Landlock nobody mounts, and
// what may not be executed is refused to its root as well.
func TestDenialOfASecurityModule(t *testing.T) {
	got := make(chan string)
	go func() {
		goruntime.LockOSThread() // for good
		if err := landlock(); err != nil {
			t.Error(err)
		}
		got <- attempt(t, definition.Service{RootFS: newRoot(t), Command: []string{"/x"}})
	}()
	wants(t, <-got, "operation not permitted; refused: an LSM (`journalctl -k`)")
}

// landlock forbids this thread to execute anything (landlock(7)).
func landlock() error {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_EXECUTE}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr.Handled_access_fs), 0)
	if errno != 0 {
		return fmt.Errorf("landlock_create_ruleset: %w", errno)
	}
	defer unix.Close(int(fd))
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("landlock_restrict_self: %w", errno)
	}
	return nil
}

// A profile that kills whoever calls execve.
func TestKilledByTheFilter(t *testing.T) {
	for _, action := range []string{"SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"} {
		got := attempt(t, definition.Service{RootFS: newRoot(t, file{"x", "#!/x", 0o755}), Command: []string{"/x"}, SecurityOpt: []string{"seccomp=" + profile(t, action)}})
		wants(t, got, "test.yaml:6:1: error: exec-payload: exec-payload: the process was killed during this step; by the seccomp profile, which must allow execve, or for want of memory (`mem_limit:`)")
	}
}
