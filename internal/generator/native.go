// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"bytes"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/resolved"
	"github.com/unitc/unitc/internal/searchpath"
)

// nativeDirs hold the administrator's and the distribution's units. Ours, in
// the late directory, would lose against all of them (G-12), silently.
func nativeDirs() []string { return realm.NativeUnits() }

// native looks for units that others provide. Output of other generators is
// not looked at: they run at the same time (G-2).
type native struct {
	dirs   []nativeDir
	outDir string
}

type nativeDir struct {
	path string
	fd   int
	// names are all there are, nil if each is asked for.
	names *nameSet
}

// listFrom is the number of definitions from which a directory is listed once:
// asking for each name takes 1.5 µs, listing 300 names 40.
const listFrom = 25

// nameSet is a set of names that takes two in a hundred for ones that it holds, as
// it knows no more of them than a bit at the place of their hash: whether one
// that it has is there has to be asked. 2 KiB are enough for some 300.
type nameSet [256]uint64

func (s *nameSet) add(name []byte) {
	at := hashOf(name)
	s[at/64%uint64(len(s))] |= 1 << (at % 64)
}

func (s *nameSet) has(name string) bool {
	at := hashOf(name)
	return s[at/64%uint64(len(s))]&(1<<(at%64)) != 0
}

// hashOf is FNV-1a, mixed once more, as its low bits are taken.
func hashOf[T string | []byte](name T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h ^ h>>32
}

func openNative(root, outDir string, definitions int) *native {
	n := &native{outDir: outDir}
	for _, path := range nativeDirs() {
		fd, err := unix.Open(root+path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		d := nativeDir{path: path, fd: fd}
		if definitions >= listFrom {
			d.names = &nameSet{}
			if searchpath.EachName(fd, d.names.add) != nil {
				d.names = nil
			}
		}
		n.dirs = append(n.dirs, d)
	}
	return n
}

func (n *native) close() {
	for _, d := range n.dirs {
		unix.Close(d.fd)
	}
}

// path is the file of a native unit of this name, "" if there is none. Two
// kinds of file are the administrator's word about our unit and no unit of
// another kind: a mask, and a copy made by `systemctl edit --full`.
func (n *native) path(name string) string {
	for _, d := range n.dirs {
		if d.names != nil && !d.names.has(name) {
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			continue
		}
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFLNK && d.isMaskOrOurs(name, n.outDir):
			return ""
		case st.Mode&unix.S_IFMT == unix.S_IFREG && d.isCopy(name):
			return ""
		}
		return d.path + "/" + name
	}
	return ""
}

// isMaskOrOurs holds for a link to /dev/null or into the output directory.
func (d nativeDir) isMaskOrOurs(name, outDir string) bool {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(d.fd, name, target)
	if err == nil && strings.HasPrefix(string(target[:n]), outDir+"/") {
		return true
	}
	var st unix.Stat_t
	err = unix.Fstatat(d.fd, name, &st, 0)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

// isCopy holds for an edited copy of a unit that we generated: a service starts
// the helper with a resolved definition, which must go on being written; others
// have our first line still (G-9).
func (d nativeDir) isCopy(name string) bool {
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	text := make([]byte, 64<<10)
	size, _ := file.Read(text)
	if stem, ok := strings.CutSuffix(name, serviceSuffix); ok {
		return bytes.Contains(text[:size], []byte(resolved.Path("", stem)))
	}
	return bytes.Contains(text[:size], []byte(generatedFrom))
}
