// SPDX-License-Identifier: Apache-2.0

// Package searchpath finds definitions and reads their bytes: which file wins,
// which drop-ins and variables belong to it, which names are masked. Whatever
// stands under a definition's name becomes an entry, readable or not, so that
// the unit exists and can say what is wrong. It parses nothing.
//
// The generator runs it as root before most of the system is up, so it opens
// only regular files, and never waits: no FIFO, no device, no directory read
// as a file, no file of unbounded size.
package searchpath

import (
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/diag"
)

// Dirs are searched in this order; the first file of a name wins.
var Dirs = []string{"/etc/unitc", "/run/unitc/definitions", "/usr/lib/unitc/definitions"}

// EndCopies ends the name of the directory with copies of the files that a definition
// names: web.yaml.files/srv/web/base.yaml stands for /srv/web/base.yaml.
const EndCopies = ".yaml.files"

// Endings of the files of a definition named web: web.yaml, web.yaml.d/*.yaml, web.env.
const (
	endDefinition = ".yaml"
	endWrong      = ".yml"
	endDropInDir  = ".yaml.d"
	endEnv        = ".env"
	sharedEnv     = ".env"
)

// Tree is one look at the search path. Close it when all is read.
type Tree struct {
	// Problems are faults of the directories themselves, and files that no
	// definition takes.
	Problems diag.List

	dirs    []*dir
	entries map[string]*Entry
	names   []string
}

// Entry is one definition's name and the files that give it.
type Entry struct {
	Name   string // "web", "worker@"
	Path   string // the file that wins
	Masked bool   // a link to /dev/null: the name is not to exist
	// Overridden are the files of that name in later directories.
	Overridden []string

	base    file
	dropIns []file // directories NAME.yaml.d, first search directory first
	copies  []*dir // with a directory NAME.yaml.files in them
	env     file
}

// dir is a search directory held open; path is without the root prefix.
type dir struct {
	root      string
	path      string
	fd        int
	hasEnv    bool
	env       *Layer // once read
	envFaults diag.List
}

// file is a name in a directory that was open when it was listed.
type file struct {
	dir  *dir
	name string
	mode fs.FileMode // type bits as the directory gives them
}

func (f file) path() string { return f.dir.path + "/" + f.name }

// Open lists the search path below root ("" is the host).
func Open(root string) *Tree { return OpenDirs(root, Dirs) }

// OpenDirs lists other directories, absolute paths below root, as if they were
// the search path: definitions are checked before they are installed.
func OpenDirs(root string, dirs []string) *Tree {
	t := &Tree{entries: map[string]*Entry{}}
	var odd []file
	for _, path := range dirs {
		odd = append(odd, t.addDir(root, path)...)
	}
	for _, f := range odd {
		t.addOdd(f)
	}
	for name, e := range t.entries {
		if e.base.dir == nil {
			t.orphan(e)
			continue
		}
		e.Masked = e.base.isMask()
		t.names = append(t.names, name)
	}
	slices.Sort(t.names)
	t.Problems.Sort()
	return t
}

// Close gives the directories back.
func (t *Tree) Close() {
	for _, d := range t.dirs {
		unix.Close(d.fd)
	}
}

// Names are the definitions in byte order, the masked ones among them.
func (t *Tree) Names() []string { return t.names }

// Entry finds a name.
func (t *Tree) Entry(name string) (*Entry, bool) {
	e, ok := t.entries[name]
	return e, ok && e.base.dir != nil
}

// addDir lists one directory and returns the names in it that are almost right.
func (t *Tree) addDir(root, path string) []file {
	fd, err := openDir(unix.AT_FDCWD, root+path)
	if err == unix.ENOENT {
		return nil
	}
	var list []item
	if err == nil {
		list, err = listDir(fd)
	}
	if err != nil {
		t.Problems = append(t.Problems, diag.Problem{File: path, What: "reading the search directory: " + err.Error(),
			Cure: "definitions in it are not seen until this is mended"})
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil
	}
	d := &dir{root: root, path: path, fd: fd}
	t.dirs = append(t.dirs, d)
	var odd []file
	for _, i := range list {
		if f := (file{d, i.name, i.mode}); !t.add(f) && isOdd(f.name) {
			odd = append(odd, f)
		}
	}
	return odd
}

// add files one name under its definition; false if it belongs to none. Hidden names
// are left alone, as systemd leaves them.
func (t *Tree) add(f file) bool {
	switch {
	case f.name == sharedEnv:
		f.dir.hasEnv = true
	case f.name[0] == '.':
	case strings.HasSuffix(f.name, endDropInDir):
		e := t.entry(strings.TrimSuffix(f.name, endDropInDir))
		e.dropIns = append(e.dropIns, f)
	case strings.HasSuffix(f.name, endDefinition):
		e := t.entry(strings.TrimSuffix(f.name, endDefinition))
		if e.base.dir != nil {
			e.Overridden = append(e.Overridden, f.path())
			return true
		}
		e.base, e.Path = f, f.path()
	case strings.HasSuffix(f.name, EndCopies):
		e := t.entry(strings.TrimSuffix(f.name, EndCopies))
		e.copies = append(e.copies, f.dir)
	case strings.HasSuffix(f.name, endEnv):
		if e := t.entry(strings.TrimSuffix(f.name, endEnv)); e.env.dir == nil {
			e.env = f
		}
	default:
		return false
	}
	return true
}

func (t *Tree) entry(name string) *Entry {
	e := t.entries[name]
	if e == nil {
		e = &Entry{Name: name}
		t.entries[name] = e
	}
	return e
}

// orphan warns of drop-ins without a definition. Variables without one are
// common (env_file:) and no fault.
func (t *Tree) orphan(e *Entry) {
	for _, f := range e.dropIns {
		t.Problems = append(t.Problems, diag.Problem{File: f.path(), Severity: diag.Warning,
			What: "drop-ins of a definition that is not there", Cure: "write " + e.Name + endDefinition + " or remove the directory"})
	}
}
