// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"os/exec"
	"strconv"
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
				for off, program := range map[string]string{"": "unitc", "own-root,own-namespaces": unsafePrograms + "/unitc"} {
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

// What joins a container that begins is in its namespaces, or does not run: before its
// process has entered them it would be root of the host. Without the protection it is.
//
//lab:once
func TestAttackOnExecWhileItBegins(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			for _, keys := range []string{"", "\nuserns_mode: host"} {
				c := scoped.defineTemplate(t, "execs-"+strconv.Itoa(len(keys)), endless+"\nnetwork_mode: none"+keys)
				kind := map[string]string{"": "user", "\nuserns_mode: host": "cgroup"}[keys]
				host, err := os.Readlink("/proc/1/ns/" + kind)
				if err != nil {
					t.Fatal(err)
				}
				for _, step := range []string{"join-scope", "release-payload"} {
					helper := c.pausedAt(step)
					for off, program := range map[string]string{"": "unitc", "own-namespaces": unsafePrograms + "/unitc"} {
						// It has mounted meanwhile, while its helper waits.
						await(t, "its root is its own", func() bool {
							cmd := exec.Command(program, "exec", c.name, "readlink", "/proc/self/ns/"+kind)
							cmd.Env = append(os.Environ(), "UNITC_UNSAFE="+off)
							out, _ := cmd.CombinedOutput()
							if off == "" {
								if !strings.Contains(string(out), "it is being set up; try again in a moment") {
									t.Errorf("at %s exec says %q", step, out)
								}
								return true
							}
							return strings.TrimSpace(string(out)) == host
						})
					}
					if out, status := command(t, "unitc", "cp", c.name+":/etc/passwd", "-"); status == 0 || !strings.Contains(out, "it is being set up") {
						t.Errorf("at %s a copy of its files is %d, %.200q", step, status, out)
					}
					goOn(t, helper)
					c.await("ActiveState", "active")
					if got := inside(t, c.name, "readlink", "/proc/self/ns/"+kind); got == host {
						t.Errorf("what joins it is in the host's %s namespace", kind)
					}
					c.end()
				}
			}
		})
	})
}
