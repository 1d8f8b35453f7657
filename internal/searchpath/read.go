// SPDX-License-Identifier: Apache-2.0

package searchpath

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/rawcall"
	"github.com/unitc/unitc/internal/realm"
)

// MaxSize bounds one file, in bytes. The largest definitions known are tens of
// KiB; the generator has the whole system waiting for it (G-11).
const MaxSize = 1 << 20

// Layer is one file's bytes and the path that diagnostics name.
type Layer struct {
	Path string
	Data []byte
}

// Source is all that was read for one definition.
type Source struct {
	Name   string
	Path   string  // the definition, also when it could not be read
	Dir    string  // where it stands: relative paths in it begin here
	Layers []Layer // the definition, then its drop-ins in the order of merging
	Env    []Layer // .env, then NAME.env, which wins
	// EnvName is the file that messages name for variables; "" = NAME.env.
	EnvName string
	Files   string // where copies of the files that it names are, "" = they are read where they stand
	// Problems are of files that could not be read; with an error among them
	// the layers are incomplete.
	Problems diag.List

	// Copies are such files before they are there; nil = they are read.
	Copies map[string][]byte
	// Named, if it is not nil, is told of each such file that was read.
	Named *[]Layer

	root string // what Open was given
}

// Read reads a definition that Entry found and that is not masked.
func (t *Tree) Read(e *Entry) Source {
	src := Source{Name: e.Name, Path: e.Path, Dir: e.base.dir.path, root: e.base.dir.root}
	if slices.Contains(e.copies, e.base.dir) {
		src.Files = e.base.dir.path + "/" + e.Name + EndCopies
	}
	if !strings.HasSuffix(e.base.name, endDefinition) {
		src.Problems = append(src.Problems, diag.Problem{File: e.Path, What: wrongEnding,
			Cure: "rename it to " + e.Name + endDefinition})
	}
	src.add(e.base)
	e.readDropIns(&src)
	e.readEnv(&src, t.envOf(e))
	return src
}

const wrongEnding = `the name of a definition ends in ".yaml"`

// Rename reads it as the definition that it would be under another name, whatever
// its own ends in.
func (src *Source) Rename(name string) {
	src.Name = name
	src.Problems = slices.DeleteFunc(src.Problems, func(p diag.Problem) bool { return p.File == src.Path && p.What == wrongEnding })
}

func (src *Source) add(f file) {
	layer, faults := f.read()
	src.Problems = append(src.Problems, faults...)
	if layer != nil {
		src.Layers = append(src.Layers, *layer)
	}
}

// envOf is the file of variables of a definition's own; that of a template is named
// without the @.
func (t *Tree) envOf(e *Entry) file {
	stem, template := strings.CutSuffix(e.Name, "@")
	if !template {
		return e.env
	}
	if plain := t.entries[stem]; plain != nil {
		return plain.env
	}
	return file{}
}

func (e *Entry) readEnv(src *Source, own file) {
	d := e.base.dir
	if d.hasEnv {
		if d.env == nil && d.envFaults == nil {
			d.env, d.envFaults = file{d, sharedEnv, fs.ModeIrregular}.read()
		}
		src.Problems = append(src.Problems, d.envFaults...)
		if d.env != nil {
			src.Env = append(src.Env, *d.env)
		}
	}
	if own.dir != nil && !own.isMask() {
		layer, faults := own.read()
		src.Problems = append(src.Problems, faults...)
		if layer != nil {
			src.Env = append(src.Env, *layer)
		}
	}
}

// isMask tells whether a name is a link to /dev/null, as a masked unit is.
func (f file) isMask() bool {
	if f.mode.IsRegular() {
		return false
	}
	var st unix.Stat_t
	if err := unix.Fstatat(f.dir.fd, f.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return false
	}
	err := unix.Fstatat(f.dir.fd, f.name, &st, 0)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

// read gives the bytes of a regular file, or why there are none. What is seen to be
// written while it is read is read again: neither what it was nor what it will be, it
// might be without what makes the container safe. Nothing shows a writer who rests
// between two steps. Read again is also what has gone since it was listed: some editors
// rename a file before they write the new one.
func (f file) read() (*Layer, diag.List) {
	for tries := 1; ; tries++ {
		layer, faults, changing := f.readOnce()
		if !changing || tries == mostTries {
			return layer, faults
		}
		time.Sleep(writePause)
	}
}

const (
	mostTries  = 10
	writePause = 2 * time.Millisecond
)

const wentMeanwhile = "it went while definitions were read"

func (f file) readOnce() (_ *Layer, _ diag.List, changing bool) {
	fault := func(what, cure string) (*Layer, diag.List, bool) {
		return nil, diag.List{{File: f.path(), What: what, Cure: cure}}, changing
	}
	fd, what, cure := f.open()
	changing = what == wentMeanwhile
	if what != "" {
		return fault(what, cure)
	}
	defer rawcall.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fault("reading its status: "+err.Error(), "")
	}
	if what, cure := wrongType(st.Mode, f.name); what != "" {
		return fault(what, cure)
	}
	if st.Size > MaxSize {
		return fault(strconv.FormatInt(st.Size, 10)+" bytes, more than the 1 MiB that is read of one file", "keep data in files of their own and mount them")
	}
	data, err := readAll(fd, int(st.Size))
	if err != nil {
		return fault("reading: "+err.Error(), "")
	}
	if changing = isOther(fd, &st, len(data)); changing {
		return fault("it is being written", "systemctl daemon-reload when that is done; better write another file and rename it to this one")
	}
	var warnings diag.List
	if st.Mode&unix.S_IWOTH != 0 {
		// Whoever may write a definition is root at the next reload.
		who := "root"
		if realm.Own() != nil {
			who = "this one"
		}
		warnings = diag.List{{File: f.path(), Severity: diag.Warning, What: "any user may write it, and so become " + who, Cure: "chmod o-w " + f.path()}}
	}
	if f.isOthers(&st) {
		warnings = append(warnings, diag.Problem{File: f.path(), Severity: diag.Warning,
			What: "it belongs to the user " + strconv.FormatUint(uint64(st.Uid), 10) + ", who may write it, and so become root", Cure: "chown root: " + f.path()})
	}
	return &Layer{f.path(), data}, warnings, false
}

// isOthers tells of a file that was moved here, or unpacked with its owner, that who made
// it may write it still. Elsewhere than in the search path files are somebody's.
func (f file) isOthers(st *unix.Stat_t) bool {
	return realm.Own() == nil && slices.Contains(Dirs, f.dir.path) && st.Uid != 0 && int(st.Uid) != unix.Geteuid()
}

// isOther tells of a file of which n bytes were read that it is not what it was before.
func isOther(fd int, before *unix.Stat_t, n int) bool {
	var now unix.Stat_t
	err := unix.Fstat(fd, &now)
	return err == nil && (now.Size != before.Size || now.Mtim != before.Mtim || int64(n) < now.Size)
}

// open returns a descriptor that reading from cannot block or have side
// effects. A name that is not plainly a regular file is first opened with
// O_PATH, which touches no device, and then again by its descriptor.
func (f file) open() (fd int, what, cure string) {
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	dirFD := f.dir.fd
	if f.mode.IsRegular() {
		fd, err := rawcall.Openat(dirFD, f.name, flags|unix.O_NOFOLLOW, 0)
		switch err {
		case nil:
			return fd, "", ""
		case unix.ENOENT:
			return -1, wentMeanwhile, "systemctl daemon-reload"
		case unix.ELOOP: // a link has taken its place
		default:
			return -1, "opening: " + err.Error(), ""
		}
	}
	pathFD, err := unix.Openat(dirFD, f.name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return f.whyUnopened(err)
	}
	defer unix.Close(pathFD)
	var st unix.Stat_t
	if err := unix.Fstat(pathFD, &st); err != nil {
		return -1, "reading its status: " + err.Error(), ""
	}
	if what, cure := wrongType(st.Mode, f.name); what != "" {
		return -1, what, cure
	}
	fd, err = unix.Open("/proc/self/fd/"+strconv.Itoa(pathFD), flags, 0)
	if err != nil {
		return -1, "opening: " + err.Error(), ""
	}
	return fd, "", ""
}

// whyUnopened tells a dangling link from other faults (G-5: /var and /home are
// not there when the generator runs at boot).
func (f file) whyUnopened(err error) (int, string, string) {
	target := make([]byte, 256)
	n, linkErr := unix.Readlinkat(f.dir.fd, f.name, target)
	if linkErr != nil {
		return -1, "opening: " + err.Error(), ""
	}
	return -1, fmt.Sprintf("a link to %s: %v", target[:n], err),
		"correct the link; a definition must lie on the root file system, as nothing else is mounted when units are made at boot"
}

func wrongType(mode uint32, name string) (what, cure string) {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "", ""
	case unix.S_IFDIR:
		return "a directory, not a file", "write the definition into a file of this name; drop-ins belong in " + name + ".d"
	case unix.S_IFIFO:
		what = "a FIFO"
	case unix.S_IFSOCK:
		what = "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		what = "a device"
	default:
		what = "no file"
	}
	return what + ", not a regular file", "write the definition into a regular file"
}

// readAll reads a file of the given size, or to its end if it has another by
// now, up to MaxSize.
func readAll(fd, size int) ([]byte, error) {
	data := make([]byte, size+1)
	n := 0
	for {
		m, err := rawcall.Read(fd, data[n:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case m == 0:
			return data[:n], nil
		}
		if n += m; n == size {
			// What fstat(2) has told; of one that is longer by now it tells that, too.
			return data[:n], nil
		}
		if n > MaxSize {
			return nil, fmt.Errorf("%w after %d bytes", io.ErrShortBuffer, n)
		}
		if n == len(data) {
			data = append(data, make([]byte, 4096)...)
		}
	}
}
