// SPDX-License-Identifier: Apache-2.0

package inroot

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot/racing"
)

// A path with ".." in its links is found while others rename, for which the kernel
// gives up.
func TestOpenWhileOthersRename(t *testing.T) {
	root, err := unix.Open(racing.Dir(t), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	gaveUp := 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if fd, err := unix.Openat2(root, "a/link", how); err == nil {
			unix.Close(fd)
		} else if err == unix.EAGAIN {
			gaveUp++
		}
		fd, err := Open(root, "a/link", how)
		if err != nil {
			t.Fatalf("%v, after the kernel had given up %d times", err, gaveUp)
		}
		unix.Close(fd)
	}
	t.Logf("once asked, the kernel gave up %d times", gaveUp)
	if _, err := Open(root, "a/none", how); err != unix.ENOENT {
		t.Errorf("what is not there gives %v", err)
	}
}
