// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"errors"
	"fmt"
	"os"
	"slices"
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
	expect("the file system of images and volumes is full, in bytes or inodes: look with `df /var/lib/unitc`")
	must(t, "sh", "-c", "rm "+store+"/filler*")
	works()
}

// smallStore is one on a file system of 64 MiB of its own.
func smallStore(t *testing.T) string {
	t.Helper()
	const store = "/var/lib/unitc"
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", store, "tmpfs", 0, "mode=0700,size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, "umount", "--lazy", store); os.Remove(store) })
	return store
}

// A disk that fills in the midst of a pull: an update leaves what runs as it is, an
// image's unit says why there is none, nothing half-fetched stays, and with room
// again both go on.
//
//lab:once
func TestDiskFillsDuringAPull(t *testing.T) {
	cleanReload(t)
	store := smallStore(t)
	r := startRegistry(t)
	name := r.offer(t, "filling:1", saying("version one"))
	defineFor(t, "filling", "image: "+name+"\ninit: true\nx-update: registry\n")
	must(t, "systemctl", "start", "filling")
	awaitLine(t, "filling", "version one")
	offerLarge(t, r.host+"/filling:1", "version two")
	offerLarge(t, r.host+"/fills:1", "another")
	place(t, definitions+"fills.yaml", "image: "+r.host+"/fills:1\ninit: true\n")
	reload(t)
	unit := strings.Fields(must(t, "systemctl", "show", "--value", "-p", "Wants", "fills"))
	unit = slices.DeleteFunc(unit, func(name string) bool { return !strings.HasPrefix(name, "unitc-image") })
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "fills")
		command(t, "systemctl", "reset-failed", "fills", unit[0])
		command(t, "unitc", "rmi", "--force", r.host+"/fills:1")
	})

	files := func() string {
		must(t, "unitc", "prune")
		return must(t, "sh", "-c", "cd "+store+" && find . -path './layers/*/fs' -prune -o -path ./locks -prune -o -type f -print | sort")
	}
	before, ran := files(), property(t, "filling", "InvocationID")
	r.count("blobs")
	release := r.holdBlobs()
	defer release()
	type end struct {
		out    string
		status int
	}
	updated := make(chan end)
	go func() {
		out, status := command(t, "unitc", "update", "--settle", "200ms", "filling")
		updated <- end{out, status}
	}()
	must(t, "systemctl", "start", "--no-block", "fills")
	asked := 0
	await(t, "both pulls are under way", func() bool { asked += r.count("blobs"); return asked >= 2 })
	fill(t, store+"/filler")
	release()
	if u := <-updated; u.status != 1 || !strings.Contains(u.out, "no space left on device") && !strings.Contains(u.out, "not enough space") {
		t.Errorf("the update ends with %d and says:\n%s", u.status, u.out)
	}
	await(t, "the pull has failed", func() bool { return property(t, unit[0], "ActiveState") == "failed" })
	if text := property(t, unit[0], "StatusText"); !strings.Contains(text, "no space left on device") && !strings.Contains(text, "not enough space") {
		t.Errorf("the status of %s is %q", unit[0], text)
	}
	await(t, "the start has failed", func() bool { return property(t, "fills", "ActiveState") == "failed" })
	if property(t, "filling", "InvocationID") != ran || property(t, "filling", "ActiveState") != "active" {
		t.Error("what ran does not run as before")
	}
	must(t, "rm", store+"/filler")
	if after := files(); after != before {
		t.Errorf("the store was\n%s\nand is\n%s", before, after)
	}
	must(t, "systemctl", "reset-failed", "fills", unit[0])
	must(t, "unitc", "update", "--settle", "200ms", "filling")
	awaitLine(t, "filling", "version two")
	must(t, "systemctl", "start", "fills")
	awaitLine(t, "fills", "another")
}

// fill writes a file until the file system has no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := 1; n > 0; {
		if n, err = f.Write(make([]byte, 1<<16)); err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// offerLarge puts an image of some incompressible MiB into a registry, and not into
// the store.
func offerLarge(t *testing.T, name, words string) {
	t.Helper()
	root := t.TempDir()
	must(t, "sh", "-c", "mkdir "+root+"/bin && cp /usr/bin/busybox "+root+"/bin/ && ln -s busybox "+root+"/bin/sh && ln -s busybox "+root+"/bin/sleep && head -c 4000000 /dev/urandom >"+root+"/large && chmod 755 "+root+" && tar -C "+root+" -cf "+root+".tar .")
	defer os.Remove(root + ".tar")
	must(t, "unitc", "load", "--quiet", "--rootfs", "--name", "localhost/large:1", "--cmd", "/bin/sh", "--cmd", "-c", "--cmd", "echo "+words+"; exec sleep 1000", root+".tar")
	must(t, "unitc", "push", "--quiet", "localhost/large:1", name)
	must(t, "unitc", "rmi", "--force", "localhost/large:1")
	must(t, "unitc", "prune")
}

// A store that is mounted read-only, as after a fault of the disk: what only reads it
// works, all else says what to look at, and goes on when it may be written again.
//
//lab:once
func TestReadOnlyStore(t *testing.T) {
	cleanReload(t)
	store := smallStore(t)
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", store, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	loadBusybox(t, "localhost/only:1")
	for name, text := range map[string]string{
		"only-writes": "image: localhost/only:1\ninit: true\n", "only-reads": "image: localhost/only:1\ninit: true\nread_only: true\n",
		"only-volume": sleeper + "volumes: [only-new:/data]\n",
	} {
		place(t, definitions+name+".yaml", text)
		t.Cleanup(func() {
			command(t, "systemctl", "stop", name)
			command(t, "systemctl", "reset-failed", name)
		})
	}
	reload(t)
	must(t, "systemctl", "start", "only-writes")
	remount(unix.MS_RDONLY)
	for verb, want := range map[string]string{
		"tag localhost/only:1 localhost/only:2": "findmnt -T " + store, "rmi --force localhost/only:1": "findmnt -T " + store,
		"volume create only": "findmnt -T " + store, "pull 127.0.0.1:1/only:1": "findmnt -T " + store,
		"df": "", "images": "", "volume ls": "",
	} {
		out, status := command(t, "unitc", strings.Fields(verb)...)
		if want == "" && status != 0 || want != "" && (status != 1 || !strings.Contains(out, "read-only file system; ") || !strings.Contains(out, want)) {
			t.Errorf("unitc %s: %d, %s", verb, status, out)
		}
	}
	must(t, "systemctl", "stop", "only-writes")
	must(t, "systemctl", "start", "only-reads")
	for _, name := range []string{"only-writes", "only-volume"} {
		if out, status := command(t, "systemctl", "start", name); status == 0 {
			t.Errorf("%s starts: %s", name, out)
		}
		if got := property(t, name, "StatusText"); !strings.Contains(got, "read-only file system; /var/lib/unitc must be writable") {
			t.Errorf("%s says %s", name, got)
		}
		command(t, "systemctl", "reset-failed", name)
	}
	remount(0)
	command(t, "systemctl", "reset-failed", sweepUnit)
	for _, name := range []string{"only-writes", "only-volume"} {
		must(t, "systemctl", "start", name)
		must(t, "systemctl", "stop", name)
	}
	must(t, "systemctl", "stop", "only-reads")
	await(t, "all is swept up", func() bool { return written() == "" && property(t, sweepUnit, "ActiveState") == "inactive" })
	if out := must(t, "sh", "-c", "ls -A "+store+"/staging "+store+"/trash "+store+"/leases | grep -v : | grep . || true"); out != "" {
		t.Errorf("there is left: %s", out)
	}
}
