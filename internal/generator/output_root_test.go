// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/resolved"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/unitfile"
)

// smallFileSystem is the path of a file system with so many pages.
func smallFileSystem(t *testing.T, pages int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test needs root: run it as the test command of README.md does")
	}
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fs)
	if err := errors.Join(unix.FsconfigSetString(fs, "size", fmt.Sprint(pages*os.Getpagesize())), unix.FsconfigCreate(fs)); err != nil {
		t.Fatal(err)
	}
	root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(root) })
	return fmt.Sprintf("/proc/self/fd/%d", root)
}

// Where /run has room for a part, a part starts: every unit that is there has its
// definition, the file system is used for as many as go in, and the error tells
// which are lost.
func TestFullFileSystem(t *testing.T) {
	placed := map[string]string{}
	for i := range 400 {
		placed[fmt.Sprintf("etc/unitc/c%03d.yaml", i)] = ""
	}
	for _, pages := range []int{1, 2, 3, 16, 17, 100, 402} {
		t.Run(fmt.Sprint(pages), func(t *testing.T) {
			h := newHost(t, placed)
			h.out = smallFileSystem(t, pages)
			err := Run(Config{Root: h.root, OutDir: h.out, Helper: "/x", Parse: simple, Report: func(diag.Problem) {}})
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("the error is %v", err)
			}
			all, _ := os.ReadFile(h.out + "/" + resolved.FileName)
			members := resolved.Members(all)
			units := 0
			entries, err := os.ReadDir(h.out)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				stem, isUnit := strings.CutSuffix(e.Name(), ".service")
				if strings.HasPrefix(e.Name(), ".unitc-") {
					t.Errorf("%s was left", e.Name())
				}
				if !isUnit {
					continue
				}
				if units++; units <= len(members) && len(members[stem]) == 0 {
					t.Errorf("%s has no definition", e.Name())
				}
			}
			// A unit takes a page, its definition less.
			if half := pages / 2; units < half || len(members) < half || len(members) < units-1 {
				t.Errorf("%d units and %d definitions in %d pages", units, len(members), pages)
			}
		})
	}
}

// Room that is there again does not bring back what could not be written before:
// the error still tells what is lost.
func TestFileSystemThatWasFull(t *testing.T) {
	placed := map[string]string{}
	for i := range 400 {
		placed[fmt.Sprintf("etc/unitc/c%03d.yaml", i)] = ""
	}
	h := newHost(t, placed)
	h.out = smallFileSystem(t, 700)
	filler := h.out + "/filler"
	if err := os.WriteFile(filler, make([]byte, 698*os.Getpagesize()), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(Config{Root: h.root, OutDir: h.out, Helper: "/x", Report: func(diag.Problem) {}, Parse: func(src searchpath.Source) definition.File {
		if src.Name == "c399" {
			if err := os.Remove(filler); err != nil {
				t.Error(err)
			}
		}
		return simple(src)
	}})
	all, _ := os.ReadFile(h.out + "/" + resolved.FileName)
	members := resolved.Members(all)
	if want := fmt.Sprintf("the resolved definitions from c%03d.service on", len(members)); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), want) || len(members) == 0 {
		t.Errorf("with %d definitions the error is %v", len(members), err)
	}
	if len(h.names()) < 400*len("c000.service") {
		t.Errorf("there are %s", h.names())
	}
}

// Whoever finds a part while a run goes on, or after one that was killed, finds
// all that it needs: definitions come before units, and a unit before its links.
func TestOrderOfWhatIsWritten(t *testing.T) {
	h := newHost(t, map[string]string{"etc/unitc/a.yaml": "", "etc/unitc/b.yaml": "", "etc/unitc/broken.yaml": "-> /nowhere"})
	wants := h.out + "/multi-user.target.wants"
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if err := os.Mkdir(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{h.out, wants} {
		if _, err := unix.InotifyAddWatch(watch, dir, unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
			t.Fatal(err)
		}
	}
	h.run(simple)
	var names []string
	buf := make([]byte, 64<<10)
	n, err := unix.Read(watch, buf)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < n; {
		length := int(buf[at+12]) | int(buf[at+13])<<8
		name := strings.TrimRight(string(buf[at+unix.SizeofInotifyEvent:at+unix.SizeofInotifyEvent+length]), "\x00")
		if name == resolved.FileName || unitfile.NameKind(name) != unitfile.Invalid {
			names = append(names, name)
		}
		at += unix.SizeofInotifyEvent + length
	}
	if got, want := strings.Join(names, " "), ".unitc a.service b.service broken.service broken.service"; got != want {
		t.Errorf("written in the order %s, want %s", got, want)
	}
}
