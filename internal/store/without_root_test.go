// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/seccomp"
)

const refusedVariable = "UNITC_TEST_REFUSED"

// A process of these tests that is told so runs on a kernel without a call.
func init() {
	call, name, ok := strings.Cut(os.Getenv(refusedVariable), " ")
	if !ok {
		return
	}
	for errno := unix.Errno(1); errno < 200; errno++ {
		if unix.ErrnoName(errno) == name {
			if err := refuse(call, errno); err != nil {
				panic(err)
			}
			return
		}
	}
	panic("no errno " + name)
}

// refuse has the kernel give an errno for a call, on all threads and for good.
func refuse(call string, errno unix.Errno) error {
	ret := uint(errno)
	p, err := seccomp.Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_TSYNC"},
		Syscalls: []specs.LinuxSyscall{{Names: []string{call}, Action: specs.ActErrno, ErrnoRet: &ret}}}, seccomp.Native)
	if err != nil {
		return err
	}
	f := p.Fprog()
	const setModeFilter = 1
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, uintptr(p.Flags), uintptr(unsafe.Pointer(&f))); e != 0 {
		return e
	}
	return nil
}

// What a kernel or a file system may lack changes no outcome: the same tests pass
// without it.
func TestWithoutCalls(t *testing.T) {
	if os.Getenv(refusedVariable) != "" {
		return // it would start itself
	}
	for tests, calls := range map[string][]string{
		// Blocks are copied where they cannot be shared, or not by the kernel.
		"TestVolumeSeed|TestSeededContents": {"copy_file_range ENOSYS", "copy_file_range EXDEV", "copy_file_range ENOTSUP", "copy_file_range EPERM", "copy_file_range EINVAL"},
		// Linux before 5.14 has no quotas by a descriptor: as a file system without.
		"TestSizeWithoutQuota|TestVolumeLife": {"quotactl_fd ENOSYS", "quotactl_fd EPERM"},
	} {
		for _, call := range calls {
			cmd := exec.Command("/proc/self/exe", "-test.run", "^("+tests+")$", "-test.v")
			cmd.Env = append(os.Environ(), refusedVariable+"="+call)
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Count(string(out), "--- PASS") != 2 {
				t.Errorf("without %s: %v\n%s", call, err, out)
			}
		}
	}
}

// Files of an image are the same in a volume that begins with them, holes included.
func TestSeededContents(t *testing.T) {
	s := open(t)
	low := tree(t, "data/", "data/a")
	want := strings.Repeat(fmt.Sprintf("%01024d", 7), 512)
	if err := os.WriteFile(low+"/data/a", []byte(want), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(low+"/data/a", 1<<20); err != nil {
		t.Fatal(err)
	}
	want += strings.Repeat("\x00", 1<<20-len(want))
	seeded(t, s, "/data", low)
	got, err := os.ReadFile(s.VolumeData("v_data") + "/a")
	if err != nil || string(got) != want {
		t.Errorf("%d bytes that are %t what they were, %v", len(got), string(got) == want, err)
	}
}
