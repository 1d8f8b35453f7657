// SPDX-License-Identifier: Apache-2.0

package program

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot/racing"
)

// A child finds a path with ".." in its links while others rename, for which the kernel
// gives up.
func TestLookUpWhileOthersRename(t *testing.T) {
	root, err := os.OpenFile(racing.Dir(t), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
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
