// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// writer changes its own names when it begins, as images of VPNs and directories do, by
// what `unitc exec` has: its root.
const writer = `rootfs: host
command:
  - sh
  - -ec
  - |
    stat -c '# %n %U %a' /etc/hosts /etc/hostname /etc/resolv.conf >> /etc/hosts
    echo 192.0.2.9 added >> /etc/hosts
    printf 'nameserver 127.0.0.1\n' > /etc/resolv.conf
    sleep infinity & wait
init: true
stop_grace_period: 0s
`

// A container's root may write to its names. Who joins its network finds what it has
// written; nobody else does, and nothing of it is left.
func TestNamesAreWritten(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			everywhere(t, func(t *testing.T, p placement) {
				c := p.define(t, "writes-names", writer).start()
				awaitWritten(t, c)
				for _, file := range []string{"hosts", "hostname", "resolv.conf"} {
					if got := inside(t, c.unit(), "cat", "/etc/hosts"); !strings.Contains(got, "# /etc/"+file+" root 644\n") {
						t.Errorf("it finds %s", got)
					}
				}
				run := "/run/unitc/" + c.name + "/"
				if got := file(t, run+"hosts"); strings.Contains(got, "added") {
					t.Errorf("the host's copy is %s", got)
				}
				// It cannot fill anything: not the host's /run either.
				if out := inside(t, c.unit(), "sh", "-c", "head -c 10000000 /dev/zero >> /etc/hosts"); !strings.Contains(out, "No space left") {
					t.Errorf("ten megabytes: %s", out)
				}
				if st, err := os.Stat(run + "hosts"); err != nil || st.Size() > 10_000 {
					t.Errorf("the host's copy: %v, %v", st, err)
				}
				c.stop()
				c.start()
				awaitWritten(t, c)
				if got := inside(t, c.unit(), "grep", "-c", "added", "/etc/hosts"); got != "1" {
					t.Errorf("after another start it is there %s times", got)
				}
			})
			c := scoped.define(t, "lends-names", writer).start()
			awaitWritten(t, c)
			joined := scoped.define(t, "joins-names", fmt.Sprintf("%snetwork_mode: container:%s\n", named, c.name)).start()
			if got := inside(t, joined.unit(), "cat", "/etc/resolv.conf"); got != "nameserver 127.0.0.1" {
				t.Errorf("who joins has %s", got)
			}
			if got := inside(t, joined.unit(), "cat", "/etc/hosts"); !strings.Contains(got, "192.0.2.9 added") {
				t.Errorf("who joins has %s", got)
			}
			only := scoped.define(t, "reads-names", named+"read_only: true\n").start()
			if out := inside(t, only.unit(), "sh", "-c", "echo >> /etc/hosts"); !strings.Contains(out, "Read-only file system") {
				t.Errorf("with read_only: %s", out)
			}
		})
	})
}

func awaitWritten(t *testing.T, c *container) {
	t.Helper()
	await(t, c.name+" has written its names", func() bool { return inside(t, c.unit(), "cat", "/etc/resolv.conf") == "nameserver 127.0.0.1" })
}
