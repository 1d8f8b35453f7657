// SPDX-License-Identifier: Apache-2.0

package inroot

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A path with ".." in its links is found while others rename, for which the kernel
// gives up.
func TestOpenWhileOthersRename(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"/a", "/b"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/b/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	long := ""
	for range 30 {
		long += "../b/"
	}
	if err := os.Symlink(long+"../b/file", dir+"/a/link"); err != nil {
		t.Fatal(err)
	}
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	stop, stopped := make(chan bool), make(chan bool)
	defer func() { close(stop); <-stopped }()
	go func() {
		defer close(stopped)
		names := [2]string{dir + "/x", dir + "/y"}
		_ = os.WriteFile(names[0], nil, 0o644)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = os.Rename(names[i%2], names[(i+1)%2])
			}
		}
	}()
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
