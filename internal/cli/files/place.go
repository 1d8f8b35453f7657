// SPDX-License-Identifier: Apache-2.0

// Package files copies files into and out of running containers. What a
// container holds is hostile: its processes may swap directories for links
// while a copy runs, and an image may contain any link, device or set-user-ID
// program. So paths are resolved by the kernel on directory handles, never
// joined as strings (openat2(2)), nothing is opened before it is known to be a
// file, and what comes out belongs to the caller and has no privilege.
package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot"
	"github.com/unitc/unitc/internal/protection"
)

// Side is a file system that paths are resolved in.
type Side struct {
	root *os.File
	name string // as messages have it: "web:" or ""
	ids  *idmap // of a container with its own user ids
}

// Host is the caller's own side.
func Host() (*Side, error) {
	root, err := openRoot("/")
	if err != nil {
		return nil, err
	}
	return &Side{root: root}, nil
}

// Container is the side of a running payload as its processes see it, mounts
// included.
func Container(name string, pid int) (*Side, error) {
	// The id must still be the payload's when its root has been opened.
	alive, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("pidfd_open of process %d: %w", pid, err)
	}
	defer unix.Close(alive)
	root, err := OwnRoot(pid)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ids, err := readIDs(pid)
	if err == nil {
		err = unix.PidfdSendSignal(alive, 0, nil, 0)
	}
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("looking at process %d of %s: %w", pid, name, err)
	}
	return &Side{root: root, name: name + ":", ids: ids}, nil
}

// ErrBeingSetUp is a container that is not there yet.
var ErrBeingSetUp = errors.New("it is being set up; try again in a moment")

// OwnRoot opens the root directory of a container's first process. Systemd knows that
// process before it has left the host's root.
func OwnRoot(pid int) (*os.File, error) {
	root, err := openRoot(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return nil, err
	}
	var its unix.Stat_t
	if err := unix.Fstat(int(root.Fd()), &its); err != nil {
		root.Close()
		return nil, fmt.Errorf("fstat %s: %w", root.Name(), err)
	}
	// The second is another one where this program has been given a root of its own.
	for _, host := range []string{"/", "/proc/1/root/"} {
		var st unix.Stat_t
		if unix.Stat(host, &st) == nil && st.Dev == its.Dev && st.Ino == its.Ino && !protection.Off("own-root") {
			root.Close()
			return nil, ErrBeingSetUp
		}
	}
	return root, nil
}

func openRoot(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Close lets go of the file system.
func (s *Side) Close() error { return s.root.Close() }

// open resolves unsafePath with the side's root as "/": no link and no ".."
// leads out of it, and none of proc(5)'s magic links is followed.
func (s *Side) open(unsafePath string, flags int) (*os.File, error) {
	return openBelow(s.root, unsafePath, s.name+unsafePath, flags, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

func openBelow(dir *os.File, unsafePath, shown string, flags int, resolve uint64) (*os.File, error) {
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	if protection.Off("copy-inside") {
		how.Resolve, unsafePath = 0, strings.TrimPrefix(unsafePath, "/")
	}
	if unsafePath == "" {
		unsafePath = "."
	}
	fd, err := inroot.Open(int(dir.Fd()), unsafePath, how)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: shown, Err: err}
	}
	return os.NewFile(uintptr(fd), shown), nil
}

// ReadFile reads a regular file that is not larger than most.
func (s *Side) ReadFile(unsafePath string, most int64) ([]byte, error) {
	file, err := s.open(unsafePath, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if st, err := file.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", file.Name()))
	}
	// The handle is of a regular file, so that opening it once more waits for nobody.
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s is larger than %d KiB", file.Name(), most>>10)
	}
	return data, err
}

// Source is what will be copied.
type Source struct {
	file     *os.File // O_PATH, also of a symbolic link
	stat     unix.Stat_t
	name     string
	contents bool // of a directory, as "dir/." asks
	ids      *idmap
}

// Source finds what unsafePath names. A symbolic link is copied as one unless
// follow is set.
func (s *Side) Source(unsafePath string, follow bool) (*Source, error) {
	flags := unix.O_PATH
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	file, err := s.open(unsafePath, flags)
	if err != nil {
		return nil, err
	}
	src := &Source{file: file, name: path.Base(unsafePath), ids: s.ids}
	if err := unix.Fstat(int(file.Fd()), &src.stat); err != nil {
		file.Close()
		return nil, &os.PathError{Op: "fstat", Path: file.Name(), Err: err}
	}
	last := path.Base(strings.TrimSuffix(unsafePath, "/."))
	src.contents = src.isDir() && (strings.HasSuffix(unsafePath, "/.") || unsafePath == "." || last == "/")
	return src, nil
}

func (s *Source) isDir() bool { return s.stat.Mode&unix.S_IFMT == unix.S_IFDIR }

// Close lets go of it.
func (s *Source) Close() error { return s.file.Close() }

// Destination is where something will be, below a directory that is there.
type Destination struct {
	dir  *os.File
	name string // "." = the directory itself
	ids  *idmap
}

// Destination decides as cp(1) does: into a directory that is there, else under
// the name that was given.
func (s *Side) Destination(unsafePath string, src *Source) (*Destination, error) {
	there, err := s.open(unsafePath, unix.O_PATH)
	if err == nil {
		var st unix.Stat_t
		if err := unix.Fstat(int(there.Fd()), &st); err != nil {
			there.Close()
			return nil, &os.PathError{Op: "fstat", Path: there.Name(), Err: err}
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			name := "."
			if src != nil && !src.contents {
				name = src.name
			}
			return &Destination{dir: there, name: name, ids: s.ids}, nil
		}
		there.Close()
		if src == nil || src.isDir() {
			return nil, &os.PathError{Op: "copy", Path: s.name + unsafePath, Err: unix.ENOTDIR}
		}
	} else if !errors.Is(err, unix.ENOENT) || src == nil || strings.HasSuffix(unsafePath, "/") && !src.isDir() {
		return nil, err
	}
	clean := strings.TrimRight(unsafePath, "/")
	dir, err := s.open(path.Dir(clean), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return &Destination{dir: dir, name: path.Base(clean), ids: s.ids}, nil
}

// Close lets go of it.
func (d *Destination) Close() error { return d.dir.Close() }
