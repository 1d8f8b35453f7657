// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/rawcall"
	"github.com/unitc/unitc/internal/resolved"
)

// output writes below one directory, through descriptors, so that no name can
// lead out of it (G-6). Every file appears whole: two reloads can overlap, and
// the first must not read what the second is half through with (G-16).
type output struct {
	path       string
	dirFD      int
	madeDirs   map[string]bool
	tempPrefix string
	temps      int
	err        error // the first

	definitions definitions
}

// runs parts the temporary files of two runs in one process.
var runs atomic.Int32

func openOutput(path string) (*output, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening output directory %s: %w", path, err)
	}
	// systemd passes over hidden names, so a temporary file is never a unit.
	prefix := fmt.Sprintf(".unitc-%d-%d-", unix.Getpid(), runs.Add(1))
	return &output{path: path, dirFD: fd, definitions: definitions{fd: -1}, madeDirs: map[string]bool{}, tempPrefix: prefix}, nil
}

func (o *output) close() { unix.Close(o.dirFD) }

// write puts one unit in place, the links last: whoever finds a part finds all
// that it needs, but for the resolved definition. That comes with finish, and a
// helper which looks for it before waits. A fault is kept and the next unit is
// tried.
func (o *output) write(u unit) {
	var err error
	if u.resolved != nil {
		err = o.addResolved(u.stem(), u.resolved)
	}
	if err == nil {
		err = o.writeFile(u.name, u.text, 0o644)
	}
	for _, l := range u.links {
		if err == nil {
			err = o.writeLink(l)
		}
	}
	o.keep(u.name, err)
}

func (o *output) keep(what string, err error) {
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("writing %s to %s: %w", what, o.path, err)
	}
}

// definitions is the file of resolved definitions on its way. It has another name
// until it is whole.
type definitions struct {
	fd   int // -1: none was needed so far
	temp string
	data []byte // still to be written
	err  error  // the first: what is in the file is not known then
}

// writeSize is how much is written at once.
const writeSize = 64 << 10

// addResolved writes on at the file of resolved definitions: for root alone, as
// environment values often hold passwords (V-9).
func (o *output) addResolved(stem string, data []byte) error {
	d := &o.definitions
	if d.fd < 0 && d.err == nil {
		d.temp, d.fd, d.err = o.createTemp(0o600)
		d.data = resolved.AppendHead(make([]byte, 0, writeSize))
	}
	if len(d.data)+len(data)+2*len(stem) > writeSize {
		d.flush()
	}
	if d.err == nil {
		d.data = resolved.AppendMember(d.data, stem, data)
	}
	return d.err
}

func (d *definitions) flush() {
	if d.err == nil {
		d.err = writeAll(d.fd, d.data)
	}
	d.data = d.data[:0]
}

// finish puts the resolved definitions in place, all at once.
func (o *output) finish() {
	d := &o.definitions
	if d.fd < 0 {
		return
	}
	d.data = resolved.AppendTail(d.data)
	d.flush()
	if err := unix.Close(d.fd); d.err == nil {
		d.err = err
	}
	if d.err == nil {
		d.err = unix.Renameat(o.dirFD, d.temp, o.dirFD, resolved.FileName)
	}
	if d.err != nil {
		_ = unix.Unlinkat(o.dirFD, d.temp, 0)
	}
	o.keep("the resolved definitions", d.err)
}

// placeWhole makes a file that has no name until it is whole, which takes less
// than a temporary name and a rename. false: that does not work here, or the name
// is taken.
func placeWhole(dirFD int, name string, data []byte, mode uint32) bool {
	fd, err := rawcall.Openat(dirFD, ".", unix.O_WRONLY|unix.O_TMPFILE|unix.O_CLOEXEC, mode)
	if err != nil {
		return false
	}
	// AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH, which who runs this by hand may
	// not have.
	placed := writeAll(fd, data) == nil && rawcall.Link(fd, dirFD, name) == nil
	return rawcall.Close(fd) == nil && placed
}

func (o *output) temp() string {
	o.temps++
	return o.tempPrefix + strconv.Itoa(o.temps)
}

func (o *output) createTemp(mode uint32) (name string, fd int, err error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	name = o.temp()
	fd, err = unix.Openat(o.dirFD, name, flags, mode)
	if errors.Is(err, unix.EEXIST) {
		// Left by a run that was killed and had our process id.
		_ = unix.Unlinkat(o.dirFD, name, 0)
		fd, err = unix.Openat(o.dirFD, name, flags, mode)
	}
	if err != nil {
		return "", -1, fmt.Errorf("creating %s: %w", name, err)
	}
	return name, fd, nil
}

func (o *output) writeFile(name string, data []byte, mode uint32) error {
	if placeWhole(o.dirFD, name, data, mode) {
		return nil
	}
	temp, fd, err := o.createTemp(mode)
	if err != nil {
		return err
	}
	err = writeAll(fd, data)
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	if err == nil {
		err = unix.Renameat(o.dirFD, temp, o.dirFD, name)
	}
	if err != nil {
		_ = unix.Unlinkat(o.dirFD, temp, 0)
	}
	return err
}

func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := rawcall.Write(fd, data)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		data = data[max(n, 0):]
	}
	return nil
}

func (o *output) writeLink(l link) error {
	if dir, _, found := strings.Cut(l.path, "/"); found && !o.madeDirs[dir] {
		if err := unix.Mkdirat(o.dirFD, dir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("mkdir %s: %w", dir, err)
		}
		o.madeDirs[dir] = true
	}
	err := rawcall.Symlinkat(l.target, o.dirFD, l.path)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	temp := o.temp()
	_ = unix.Unlinkat(o.dirFD, temp, 0)
	if err := unix.Symlinkat(l.target, o.dirFD, temp); err != nil {
		return fmt.Errorf("linking %s: %w", l.path, err)
	}
	if err := unix.Renameat(o.dirFD, temp, o.dirFD, l.path); err != nil {
		_ = unix.Unlinkat(o.dirFD, temp, 0)
		return fmt.Errorf("linking %s: %w", l.path, err)
	}
	return nil
}
