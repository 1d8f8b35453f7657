// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A container joins another one that ends just then, and that somebody starts again:
// systemd knows the main process of that start before it has left the host's namespaces,
// and who joins waits until it has. Without that it is in those of the host.
func TestJoinsWhileTheOtherBegins(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			for _, off := range []string{"", "neighbour-is-there"} {
				name := "late-" + strconv.Itoa(len(off))
				one := scoped.defineTemplate(t, "joined-"+name, endless+"\nnetwork_mode: none\nipc: shareable\nstop_grace_period: 0s\n")
				other := "container:" + one.name
				two := scoped.defineTemplate(t, "joins-"+name, endless+"\nnetwork_mode: "+other+"\nipc: "+other+"\npid: "+other+"\nstop_grace_period: 0s\n")
				if off != "" {
					withoutProtection(t, two.name, off)
				}
				one.start()
				joining := two.pausedAt("build-plan")
				one.kill()
				one.await("ActiveState", "failed")
				beginning := one.pausedAt("prepare-runtime")
				goOn(t, joining)
				if off != "" {
					two.await("ActiveState", "active")
				} else {
					time.Sleep(200 * time.Millisecond) // to no harm where it is not needed
				}
				goOn(t, beginning)
				one.await("ActiveState", "active")
				two.await("ActiveState", "active")
				for _, kind := range []string{"net", "ipc", "user"} {
					its, errOne := os.Readlink("/proc/" + strconv.Itoa(one.mainPID()) + "/ns/" + kind)
					own, errTwo := os.Readlink("/proc/" + strconv.Itoa(two.mainPID()) + "/ns/" + kind)
					if (own == its) != (off == "") || errOne != nil || errTwo != nil {
						t.Errorf("without %q, %s: %s, and that of who joins is %s; %v, %v", off, kind, its, own, errOne, errTwo)
					}
				}
				two.end()
				one.end()
			}
		})
	})
}

// pausedAt starts c up to a step, at which its helper pauses.
func (c *container) pausedAt(step string) (helper int) {
	c.t.Helper()
	c.arm("UNITC_PAUSE_AT", step)
	defer c.disarm()
	must(c.t, "systemctl", "start", "--no-block", c.unit())
	return c.awaitPausedHelper()
}

func goOn(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}
