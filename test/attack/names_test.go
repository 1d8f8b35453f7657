// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nameAttacks are about the image's passwd, which the runtime reads for HOME.
// Those about ids are in test/systemd: the OCI command line takes numbers alone.
var nameAttacks = []attack{
	{"names-that-are-no-file", "2026-47262, 2024-9341", "the image's /etc/passwd is a device, a FIFO or a directory", "name-file-limit", nil, "",
		func(t *testing.T, c *target) bool {
			taken := false
			for _, mode := range []uint32{unix.S_IFCHR, unix.S_IFIFO, unix.S_IFDIR, unix.S_IFSOCK} {
				must(t, os.RemoveAll(c.root+"/etc/passwd"))
				if mode == unix.S_IFDIR {
					must(t, os.Mkdir(c.root+"/etc/passwd", 0o755))
				} else {
					must(t, unix.Mknod(c.root+"/etc/passwd", mode|0o644, int(unix.Mkdev(1, 5)))) // /dev/zero: it has no end
				}
				begun := time.Now()
				_, err := c.start("cwd")
				if time.Since(begun) > time.Minute {
					t.Errorf("%o: the start took %v", mode, time.Since(begun))
				}
				// A socket cannot be opened at all: that is as good as none.
				if mode != unix.S_IFSOCK && (err == nil || !strings.Contains(err.Error(), "not a regular file")) {
					taken = true
				}
			}
			return taken
		}},
	{"racing-names", "2024-9341, 2024-1753", "threads exchange the image's /etc/passwd with a link to the host's while it is read", "in-root", nil, "",
		func(t *testing.T, c *target) bool {
			d := decoy(t)
			must(t, os.WriteFile(d+"/passwd", []byte("root:x:0:0::/home/of-the-host:/bin/sh\n"), 0o644))
			c.hostIDs().write("etc/passwd", "root:x:0:0::/home/inside:/bin/sh\n")
			must(t, os.Symlink(d+"/passwd", c.root+"/etc/evil"))
			defer exchange(c.root+"/etc/passwd", c.root+"/etc/evil")()
			for end := c.until(); time.Now().Before(end); {
				seen, err := c.start("env")
				if err == nil && strings.Contains(seen["env"], "of-the-host") {
					return true
				}
			}
			return false
		}},
}
