// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A definition that is deleted while its container runs: the unit keeps its stop
// and its clean-up, says that the definition is gone, and is forgotten after the
// stop.
func TestDefinitionGoneWhileItRuns(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			for _, p := range []placement{scoped, {"service", "direct"}} {
				c := p.define(t, "gone", "rootfs: host\nstop_grace_period: 50s\nstop_signal: SIGINT\ncommand: [sh, -c, 'trap \"echo last words; exit 0\" INT; echo up; while :; do sleep 0.1; done']").start()
				c.awaitOutput("up")
				path := "/etc/unitc/" + c.name + ".yaml"
				definition := file(t, path)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				reload(t)
				c.expect(c.unit(), "LoadState=loaded", "ActiveState=active", "TimeoutStopUSec=50s", "KillSignal=2", "Description=Container "+c.name+" (definition gone: "+path+")")
				c.stop()
				c.awaitOutput("last words")
				if _, err := os.Stat("/run/unitc/" + c.name); !os.IsNotExist(err) {
					t.Errorf("/run/unitc/%s is left: %v", c.name, err)
				}
				if out, status := command(t, "systemctl", "start", c.unit()); status == 0 {
					t.Errorf("it was started without a definition: %s", out)
				}
				if out, _ := command(t, "journalctl", "--no-pager", "-q", "-o", "cat", "-u", c.unit()); !strings.Contains(out, path+": error: the definition of "+c.name+" is gone") {
					t.Errorf("the start does not say why it fails:\n%s", out)
				}
				command(t, "systemctl", "reset-failed", c.unit())
				reload(t)
				c.expect(c.unit(), "LoadState=not-found")
				place(t, path, definition) // for the end
				reload(t)
			}
		})
	})
}

// /run may be full at any moment of a start: it fails with the cure, leaves
// nothing, and the next start works.
func TestFullRun(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			c := scoped.define(t, "full", endless)
			const pages = 64
			if err := unix.Mount("tmpfs", "/run/unitc", "tmpfs", 0, fmt.Sprintf("mode=0755,size=%d", pages*os.Getpagesize())); err != nil {
				t.Fatal(err)
			}
			mounted := true
			unmount := func() {
				if mounted {
					// Lazily: what served the container may have a file open there still.
					must(t, "umount", "--lazy", "/run/unitc")
					mounted = false
				}
			}
			t.Cleanup(unmount)
			failed := 0
			for free := 0; ; free++ {
				if free == pages {
					t.Fatal("it does not even start with an empty /run")
				}
				if err := os.WriteFile("/run/unitc/filler", make([]byte, (pages-free)*os.Getpagesize()), 0o600); err != nil {
					t.Fatal(err)
				}
				_, status := command(t, "systemctl", "start", c.unit())
				if status == 0 {
					break
				}
				failed++
				c.expect(c.unit(), "ActiveState=failed")
				if out, _ := command(t, "systemctl", "status", "--no-pager", "--full", c.unit()); !strings.Contains(out, "no space left on device; /run is full: look with `df /run`") {
					t.Errorf("with %d pages free the status is\n%s", free, out)
				}
				if _, err := os.Stat("/run/unitc/" + c.name); !os.IsNotExist(err) {
					t.Errorf("with %d pages free /run/unitc/%s is left: %v", free, c.name, err)
				}
				command(t, "systemctl", "reset-failed", c.unit())
			}
			if failed == 0 {
				t.Error("a full /run kept nothing from starting")
			}
			c.expectSleep()
			must(t, "systemctl", "kill", "-s", "KILL", c.unit())
			c.end()
			unmount()
			c.start()
			c.expectSleep()
			c.end()
		})
	})
}
