// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A container that begins, as one does again and again that ends at once, has the host's
// root for a moment, and systemd knows its process already. What is copied then is copied
// to no file of the host, and none of the host's comes out. Without the protection it does.
//
//lab:once
func TestAttackOnCopyWhileItBegins(t *testing.T) {
	const dir = "/run/attack-begins"
	place(t, dir+"/secret", "of the host")
	t.Cleanup(func() { os.RemoveAll(dir) })
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			c := scoped.defineTemplate(t, "begins", endless+"\nnetwork_mode: none\n")
			for _, step := range []string{"build-plan", "prepare-runtime"} {
				helper := c.pausedAt(step)
				for off, program := range map[string]string{"": "unitc", "own-root": unsafePrograms + "/unitc"} {
					call := func(args ...string) string {
						cmd := exec.Command(program, args...)
						cmd.Env = append(os.Environ(), "UNITC_UNSAFE="+off)
						out, _ := cmd.CombinedOutput()
						return string(out)
					}
					said := call("cp", dir+"/secret", c.name+":"+dir+"/made")
					_, err := os.Lstat(dir + "/made")
					os.Remove(dir + "/made")
					if (err == nil) != (off != "") || off == "" && !strings.Contains(said, "it is being set up; try again in a moment") {
						t.Errorf("at %s, without %q, it says %q, and the file is made: %v", step, off, said, err)
					}
					if out := call("cp", c.name+":"+dir+"/secret", "-"); strings.Contains(out, "of the host") != (off != "") {
						t.Errorf("at %s, without %q, what comes out is %.200q", step, off, out)
					}
				}
				if out, status := command(t, "unitc", "export", c.name); status == 0 || !strings.Contains(out, "it is being set up") {
					t.Errorf("at %s its export is %d, %.200q", step, status, out)
				}
				goOn(t, helper)
				c.await("ActiveState", "active")
				c.end()
			}
		})
	})
}
