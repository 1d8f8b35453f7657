// SPDX-License-Identifier: Apache-2.0

package cgroupfs

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Beside v1 the hierarchy is one directory down; each way in a mount namespace of
// the test's own.
func TestMount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test needs root: run it as the test command of README.md does")
	}
	for kind, want := range map[string]string{"cgroup2": "/sys/fs/cgroup", "tmpfs": "/sys/fs/cgroup/unified"} {
		got := make(chan string)
		go func() {
			runtime.LockOSThread() // for good
			for _, err := range []error{unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount(kind, "/sys/fs/cgroup", kind, 0, "")} {
				if err != nil {
					got <- err.Error()
					return
				}
			}
			got <- Mount()
		}()
		if m := <-got; m != want {
			t.Errorf("%s on /sys/fs/cgroup: the hierarchy is at %s, want %s", kind, m, want)
		}
	}
}
