// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// output writes below one directory, through descriptors, so that no name can
// lead out of it (G-6). Every file appears whole: two reloads can overlap, and
// the first must not read what the second is half through with (G-16).
type output struct {
	path       string
	dirFD      int
	resolvedFD int
	madeDirs   map[string]bool
	tempPrefix string
	temps      int
	err        error // the first
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
	return &output{path: path, dirFD: fd, resolvedFD: -1, madeDirs: map[string]bool{}, tempPrefix: prefix}, nil
}

func (o *output) close() {
	unix.Close(o.dirFD)
	if o.resolvedFD >= 0 {
		unix.Close(o.resolvedFD)
	}
}

// write puts one unit in place. The resolved definition comes first and the
// links last: whoever finds a part finds all that it needs. A fault is kept and
// the next unit is tried.
func (o *output) write(u unit) {
	var err error
	if u.resolved != nil {
		err = o.writeResolved(u.stem()+".json", u.resolved)
	}
	if err == nil {
		err = o.writeFile(o.dirFD, u.name, u.text, 0o644)
	}
	for _, l := range u.links {
		if err == nil {
			err = o.writeLink(l)
		}
	}
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("writing %s to %s: %w", u.name, o.path, err)
	}
}

// writeResolved: environment values often hold passwords, so the file and its
// directory are root's alone (V-9).
func (o *output) writeResolved(name string, data []byte) error {
	if o.resolvedFD < 0 {
		fd, err := openPrivateDir(o.dirFD, resolvedDir)
		if err != nil {
			return err
		}
		o.resolvedFD = fd
	}
	return o.writeFile(o.resolvedFD, name, data, 0o600)
}

func openPrivateDir(dirFD int, name string) (int, error) {
	if err := unix.Mkdirat(dirFD, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, fmt.Errorf("mkdir %s: %w", name, err)
	}
	fd, err := unix.Openat(dirFD, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening %s: %w", name, err)
	}
	// Whoever made it before us may have made it wider.
	if err := unix.Fchmod(fd, 0o700); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("chmod %s: %w", name, err)
	}
	return fd, nil
}

// placeWhole makes a file that has no name until it is whole, which takes less
// than a temporary name and a rename. false: that does not work here, or the name
// is taken.
func placeWhole(dirFD int, name string, data []byte, mode uint32) bool {
	fd, err := unix.Openat(dirFD, ".", unix.O_WRONLY|unix.O_TMPFILE|unix.O_CLOEXEC, mode)
	if err != nil {
		return false
	}
	// AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH, which who runs this by hand may
	// not have.
	placed := writeAll(fd, data) == nil && unix.Linkat(fd, "", dirFD, name, unix.AT_EMPTY_PATH) == nil
	return unix.Close(fd) == nil && placed
}

func (o *output) temp() string {
	o.temps++
	return o.tempPrefix + strconv.Itoa(o.temps)
}

func (o *output) writeFile(dirFD int, name string, data []byte, mode uint32) error {
	if placeWhole(dirFD, name, data, mode) {
		return nil
	}
	temp := o.temp()
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(dirFD, temp, flags, mode)
	if errors.Is(err, unix.EEXIST) {
		// Left by a run that was killed and had our process id.
		_ = unix.Unlinkat(dirFD, temp, 0)
		fd, err = unix.Openat(dirFD, temp, flags, mode)
	}
	if err != nil {
		return fmt.Errorf("creating %s: %w", temp, err)
	}
	err = writeAll(fd, data)
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	if err == nil {
		err = unix.Renameat(dirFD, temp, dirFD, name)
	}
	if err != nil {
		_ = unix.Unlinkat(dirFD, temp, 0)
	}
	return err
}

func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
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
	err := unix.Symlinkat(l.target, o.dirFD, l.path)
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
