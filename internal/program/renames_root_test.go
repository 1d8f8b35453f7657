// SPDX-License-Identifier: Apache-2.0

package program

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A child finds a path with ".." in its links while others rename, for which the kernel
// gives up.
func TestLookUpWhileOthersRename(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"/a", "/b"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/b/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(strings.Repeat("../b/", 30)+"file", dir+"/a/link"); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
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
	p := New()
	p.Step("look-up", 1)
	how := Keep(p, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	fd := p.Reg()
	for range 3000 {
		p.Call("openat2", "a/link", unix.SYS_OPENAT2, int(root.Fd()), p.Str("a/link"), how, unix.SizeofOpenHow).Into(fd)
		p.Call("close", "", unix.SYS_CLOSE, fd)
	}
	p.Call("execve", "true", unix.SYS_EXECVE, p.Str("/bin/true"), p.Strv([]string{"true"}), p.Strv(nil))
	c := start(t, p, ForkOptions{})
	defer c.Close()
	if err := c.AwaitExec(); err != nil {
		t.Fatal(err)
	}
	_, _ = unix.Wait4(c.PID, nil, 0, nil)
}
