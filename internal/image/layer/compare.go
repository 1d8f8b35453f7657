// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxDifferences is as many as help anyone.
const maxDifferences = 20

// Compare tells in what the tree have differs from the tree want, both of them
// made by Apply: entries, kinds, owners, modes, times, sizes, contents, links
// and attributes.
func Compare(want, have *os.File) ([]string, error) {
	c := &comparison{a: make([]byte, 128<<10), b: make([]byte, 128<<10)}
	err := c.dir("", int(want.Fd()), int(have.Fd()))
	if errors.Is(err, errEnough) {
		err = nil
	}
	return c.found, err
}

var errEnough = errors.New("enough differences")

type comparison struct {
	found []string
	a, b  []byte
}

func (c *comparison) differs(path, what string) error {
	c.found = append(c.found, fmt.Sprintf("%q: %s", short(path), what))
	if len(c.found) >= maxDifferences {
		return errEnough
	}
	return nil
}

// dir compares two directories that are open.
func (c *comparison) dir(path string, want, have int) error {
	a, err := names(want)
	if err != nil {
		return err
	}
	b, err := names(have)
	if err != nil {
		return err
	}
	for _, n := range b {
		if _, ok := slices.BinarySearch(a, n); !ok {
			if err := c.differs(path+"/"+n, "does not belong here"); err != nil {
				return err
			}
		}
	}
	for _, n := range a {
		if _, ok := slices.BinarySearch(b, n); !ok {
			err = c.differs(path+"/"+n, "is missing")
		} else {
			err = c.entry(path+"/"+n, n, want, have)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func names(fd int) ([]string, error) {
	n, err := openDir(fd, ".")
	if err != nil {
		return nil, err
	}
	d := os.NewFile(uintptr(n), "")
	defer d.Close()
	list, err := d.Readdirnames(-1)
	slices.Sort(list)
	return list, err
}

func (c *comparison) entry(path, name string, want, have int) error {
	a, err := lstat(want, name)
	if err != nil {
		return err
	}
	b, err := lstat(have, name)
	if err != nil {
		return err
	}
	switch {
	case a.Mode != b.Mode:
		return c.differs(path, fmt.Sprintf("mode %o instead of %o", b.Mode, a.Mode))
	case a.Uid != b.Uid || a.Gid != b.Gid:
		return c.differs(path, fmt.Sprintf("owner %d:%d instead of %d:%d", b.Uid, b.Gid, a.Uid, a.Gid))
	case a.Rdev != b.Rdev:
		return c.differs(path, "another device")
	case a.Mtim != b.Mtim && !isWhiteout(&a):
		return c.differs(path, "another modification time")
	}
	switch a.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return c.link(path, name, want, have)
	case unix.S_IFREG:
		if a.Nlink != b.Nlink || a.Size != b.Size {
			return c.differs(path, fmt.Sprintf("%d bytes and %d links instead of %d and %d", b.Size, b.Nlink, a.Size, a.Nlink))
		}
		return c.open(path, name, want, have, c.content)
	case unix.S_IFDIR:
		return c.open(path, name, want, have, c.dir)
	}
	return nil
}

func (c *comparison) link(path, name string, want, have int) error {
	a, err := readlink(want, name)
	if err != nil {
		return err
	}
	b, err := readlink(have, name)
	if err != nil || a == b {
		return err
	}
	return c.differs(path, "another link")
}

// open opens a file or directory of both trees, compares attributes and goes on.
func (c *comparison) open(path, name string, want, have int, then func(string, int, int) error) error {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	a, err := unix.Openat(want, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(a)
	b, err := unix.Openat(have, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(b)
	x, err := attributes(a)
	if err != nil {
		return err
	}
	y, err := attributes(b)
	if err != nil {
		return err
	}
	if x != y {
		if err := c.differs(path, "other attributes"); err != nil {
			return err
		}
	}
	return then(path, a, b)
}

func attributes(fd int) (string, error) {
	list := make([]byte, 64<<10)
	n, err := unix.Flistxattr(fd, list)
	if err != nil {
		return "", err
	}
	all := strings.Split(string(list[:n]), "\x00")
	slices.Sort(all)
	var b strings.Builder
	for _, name := range all {
		// Labels come from the host's policy, at creation.
		if name == "" || name == "security.selinux" {
			continue
		}
		value, err := getxattr(fd, name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%q=%q\n", name, value)
	}
	return b.String(), nil
}

func (c *comparison) content(path string, want, have int) error {
	for {
		n, err := readFull(want, c.a)
		if err != nil {
			return err
		}
		m, err := readFull(have, c.b)
		// An unreadable sector is a difference, not the end of the search.
		if err != nil || !bytes.Equal(c.a[:n], c.b[:m]) {
			return c.differs(path, "other content")
		}
		if n < len(c.a) {
			return nil
		}
	}
}

func readFull(fd int, p []byte) (int, error) {
	total := 0
	for total < len(p) {
		n, err := unix.Read(fd, p[total:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil && err != io.EOF {
			return total, err
		}
		if n == 0 {
			break
		}
		total += n
	}
	return total, nil
}
