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

// A start with an image writes to /run and to the store: it names which of them is
// full, and works when there is room.
//
//lab:once
func TestFullForAnImage(t *testing.T) {
	const store, notes = "/var/lib/unitc", "/run/unitc/.images"
	mount := func(dir, options string) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,"+options); err != nil {
			t.Fatal(err)
		}
	}
	// Lazily: a sweep may be looking there.
	unmount := func(dir string) { must(t, "umount", "--lazy", dir) }
	cleanReload(t)
	mount(store, "size=64m,nr_inodes=500")
	t.Cleanup(func() { unmount(store); os.Remove(store) })
	loadBusybox(t, "localhost/full:1")
	place(t, definitions+"full-image.yaml", "image: localhost/full:1\ninit: true"+traceless+"\n")
	reload(t)
	t.Cleanup(func() { must(t, "systemctl", "stop", "full-image") })
	expect := func(want string) {
		if out, status := command(t, "systemctl", "start", "full-image"); status == 0 {
			t.Errorf("it starts: %s", out)
		}
		if got := property(t, "full-image", "StatusText"); !strings.Contains(got, "no space left on device; "+want) {
			t.Errorf("it says %s", got)
		}
		command(t, "systemctl", "reset-failed", "full-image")
	}
	works := func() {
		must(t, "systemctl", "start", "full-image")
		must(t, "systemctl", "stop", "full-image")
		await(t, "all is swept up", func() bool { return written() == "" && property(t, sweepUnit, "ActiveState") == "inactive" })
	}
	mount(notes, "size=4k")
	writeFile(t, notes+"/.filler", strings.Repeat("x", 4096))
	expect("/run is full: look with `df /run`")
	unmount(notes)
	works()
	var err error
	for i := 0; err == nil; i++ {
		err = os.WriteFile(fmt.Sprint(store, "/filler", i), nil, 0o600)
	}
	expect("the file system of images is full, in bytes or inodes: look with `df /var/lib/unitc`")
	must(t, "sh", "-c", "rm "+store+"/filler*")
	works()
}
