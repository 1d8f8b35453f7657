// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/seccomp/seccomptest"
)

// What a kernel or a file system may lack changes no outcome: the same tests pass
// without it.
func TestWithoutCalls(t *testing.T) {
	for _, row := range []struct {
		tests, call string
		errnos      []unix.Errno
	}{
		// Blocks are copied where they cannot be shared, or not by the kernel.
		{"TestVolumeSeed|TestSeededContents", "copy_file_range", []unix.Errno{unix.ENOSYS, unix.EXDEV, unix.ENOTSUP, unix.EPERM, unix.EINVAL}},
		// Linux before 5.14 has no quotas by a descriptor: as a file system without.
		{"TestSizeWithoutQuota|TestVolumeLife", "quotactl_fd", []unix.Errno{unix.ENOSYS, unix.EPERM}},
	} {
		for _, errno := range row.errnos {
			var out []byte
			err := seccomptest.Refusal{Calls: []string{row.call}, Errno: errno}.Thread(func() (err error) {
				out, err = exec.Command("/proc/self/exe", "-test.run", "^("+row.tests+")$", "-test.v").CombinedOutput()
				return err
			})
			if err != nil || strings.Count(string(out), "--- PASS") != 2 {
				t.Errorf("without %s (%v): %v\n%s", row.call, errno, err, out)
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
