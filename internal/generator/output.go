// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"bytes"
	"errors"
	"fmt"
	"math"
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
//
// The resolved definitions come first, then the units, each before its links:
// whoever finds a part finds all that it needs, also where a run is killed. So
// the units wait in memory until the last definition has been read.
type output struct {
	path       string
	dirFD      int
	madeDirs   map[string]bool
	linkDir    string // "" = none is open
	linkDirFD  int
	tempPrefix string
	temps      int
	err        error // the first

	definitions definitions
	units       []waiting
	texts       arena
}

// waiting is a unit that is still to be written.
type waiting struct {
	name  string
	text  []byte
	links []link
	// end is where its definition ends in the file of definitions; 0 = it needs
	// none, lostDefinition = it could not be written.
	end int64
}

const lostDefinition = math.MaxInt64

// runs parts the temporary files of two runs in one process.
var runs atomic.Int32

func openOutput(path string) (*output, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening output directory %s: %w", path, err)
	}
	// systemd passes over hidden names, so a temporary file is never a unit.
	prefix := ".unitc-" + strconv.Itoa(unix.Getpid()) + "-" + strconv.Itoa(int(runs.Add(1))) + "-"
	return &output{path: path, dirFD: fd, definitions: definitions{fd: -1}, madeDirs: map[string]bool{}, tempPrefix: prefix}, nil
}

func (o *output) close() { unix.Close(o.dirFD) }

// write takes a unit, whose bytes may be used again then; finish writes it.
func (o *output) write(u unit) {
	w := waiting{name: u.name, text: o.texts.keep(u.text), links: u.links}
	if u.resolved != nil {
		w.end = o.addResolved(u.stem(), u.resolved)
	}
	o.units = append(o.units, w)
}

// abandon takes back what is there before finish.
func (o *output) abandon() {
	if d := &o.definitions; d.fd >= 0 {
		_ = unix.Close(d.fd)
		_ = unix.Unlinkat(o.dirFD, d.temp, 0)
	}
}

// finish puts everything in place. A fault is kept and the next unit is tried.
func (o *output) finish() {
	o.placeDefinitions()
	for _, u := range o.units {
		if len(u.text) == 0 {
			continue // a definition is all that there is
		}
		var err error
		if dir, _, below := strings.Cut(u.name, "/"); below {
			err = o.makeDir(dir)
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
	o.leave()
}

func (o *output) keep(what string, err error) {
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("writing %s to %s: %w", what, o.path, err)
	}
}

// arena has room for many small texts at the price of few allocations.
type arena struct{ free []byte }

const arenaSize = 64 << 10

func (a *arena) keep(text []byte) []byte {
	if len(text) > cap(a.free)-len(a.free) {
		if len(text) > arenaSize/4 {
			return bytes.Clone(text)
		}
		a.free = make([]byte, 0, arenaSize)
	}
	from := len(a.free)
	a.free = append(a.free, text...)
	return a.free[from:len(a.free):len(a.free)]
}

// definitions is the file of resolved definitions on its way. It has another name
// until it is whole.
type definitions struct {
	fd      int // -1: none was needed so far
	temp    string
	data    []byte // still to be written
	written int64
	err     error // the first: no more is added then
}

// writeSize is how much is written at once.
const writeSize = 64 << 10

// addResolved writes on at the file of resolved definitions, for root alone, as
// environment values often hold passwords (V-9), and gives the length that it has
// with this one.
func (o *output) addResolved(stem string, data []byte) int64 {
	d := &o.definitions
	if d.fd < 0 && d.err == nil {
		d.temp, d.fd, d.err = o.createTemp(0o600)
		d.data = resolved.AppendHead(make([]byte, 0, writeSize))
	}
	if len(d.data)+len(data)+2*len(stem) > writeSize {
		d.flush()
	}
	if d.err != nil {
		return lostDefinition
	}
	d.data = resolved.AppendMember(d.data, stem, data)
	return d.written + int64(len(d.data))
}

func (d *definitions) flush() {
	if d.err == nil {
		d.err = writeAll(d.fd, d.data)
		d.written += int64(len(d.data))
	}
	d.data = d.data[:0]
}

// placeDefinitions gives the file of definitions its name. Where not all have
// room, the first ones stay, and as much is left free as their units take.
func (o *output) placeDefinitions() {
	d := &o.definitions
	if d.fd < 0 {
		o.keep("the resolved definitions", d.err)
		return
	}
	d.data = resolved.AppendTail(d.data)
	d.flush()
	if errors.Is(d.err, unix.ENOSPC) {
		var lost string
		if lost, d.err = o.shorten(); lost != "" {
			o.keep("the resolved definitions from "+lost+" on", unix.ENOSPC)
		}
	}
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

// shorten cuts the file of definitions, with which the file system is full, down
// to those of the first units, such that it holds them and these units. lost is
// the first one that has none, "" where there is room by now.
func (o *output) shorten() (lost string, err error) {
	fd := o.definitions.fd
	var st unix.Stat_t
	var fs unix.Statfs_t
	if err := errors.Join(unix.Fstat(fd, &st), unix.Fstatfs(fd, &fs)); err != nil {
		return o.units[0].name, err
	}
	blocks := func(size int64) int64 { return (size + int64(fs.Bsize) - 1) / int64(fs.Bsize) }
	tail := resolved.AppendTail(nil)
	room := blocks(st.Size) + int64(fs.Bavail)
	end := int64(0)
	for _, u := range o.units {
		room -= blocks(int64(len(u.text)))
		if u.end > st.Size || blocks(max(u.end, end)+int64(len(tail))) > room {
			lost = u.name
			break
		}
		end = max(u.end, end)
	}
	if end == 0 {
		return lost, unix.ENOSPC
	}
	if err := unix.Ftruncate(fd, end); err != nil {
		return lost, err
	}
	_, err = unix.Pwrite(fd, tail, end)
	return lost, err
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

// makeDir makes the directory of a drop-in or of links.
func (o *output) makeDir(name string) error {
	if o.madeDirs[name] {
		return nil
	}
	if err := unix.Mkdirat(o.dirFD, name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("mkdir %s: %w", name, err)
	}
	o.madeDirs[name] = true
	return nil
}

// enter is the directory of the next link, made at its first use; it stays open
// for the links behind, nearly all of which are in the same.
func (o *output) enter(name string) (fd int, err error) {
	if name == "" {
		return o.dirFD, nil
	}
	if name == o.linkDir {
		return o.linkDirFD, nil
	}
	o.leave()
	if err := o.makeDir(name); err != nil {
		return -1, err
	}
	fd, err = unix.Openat(o.dirFD, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening %s: %w", name, err)
	}
	o.linkDir, o.linkDirFD = name, fd
	return fd, nil
}

func (o *output) leave() {
	if o.linkDir != "" {
		_ = unix.Close(o.linkDirFD)
		o.linkDir = ""
	}
}

func (o *output) writeLink(l link) error {
	dirFD, err := o.enter(l.dir)
	if err != nil {
		return err
	}
	target := l.unit
	if !l.isAlias() {
		target = "../" + target
	}
	err = rawcall.Symlinkat(target, dirFD, l.name)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	temp := o.temp()
	_ = unix.Unlinkat(o.dirFD, temp, 0)
	if err := unix.Symlinkat(target, o.dirFD, temp); err != nil {
		return fmt.Errorf("linking %s: %w", l.name, err)
	}
	if err := unix.Renameat(o.dirFD, temp, dirFD, l.name); err != nil {
		_ = unix.Unlinkat(o.dirFD, temp, 0)
		return fmt.Errorf("linking %s: %w", l.name, err)
	}
	return nil
}
