// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Kinds of Change, as docker diff spells them.
const (
	Added   = "A"
	Changed = "C"
	Deleted = "D"
)

// Change is something that a container has written to its root file system.
type Change struct {
	Kind string `json:"kind"`
	Path string `json:"path"` // absolute, of an unknown hand
}

// Changes compares what a container writes to with the layers below it, topmost first.
// The container may run: what changes meanwhile is told as it was or as it is.
func Changes(ctx context.Context, upper string, lowers []string) ([]Change, error) {
	below, err := openUnion(lowers)
	if err != nil {
		return nil, err
	}
	defer below.close()
	above, err := openUnion([]string{upper})
	if err != nil {
		return nil, err
	}
	defer above.close()
	c := changes{ctx: ctx, list: []Change{}}
	err = c.dir("", above[0], below, 0)
	return c.list, err
}

type changes struct {
	ctx  context.Context
	list []Change
}

func (c *changes) add(kind, path string) { c.list = append(c.list, Change{kind, path}) }

// maxDepth bounds the directories in each other, in which a container may be without end.
const maxDepth = 1000

// dir compares the names of one directory that the container has written to. below is the
// same one of the layers, nil for none.
func (c *changes) dir(path string, upper int, below unionDir, depth int) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d directories deep", path, maxDepth)
	}
	names, err := unionDir{upper}.names()
	if err != nil {
		return err
	}
	all := names
	if hides := opaque(upper); hides && below != nil {
		// Of what was there before, nothing is seen through it.
		hidden, err := below.names()
		if err != nil {
			return err
		}
		all = append(slices.Clone(names), hidden...)
		slices.Sort(all)
		all = slices.Compact(all)
	}
	for _, name := range all {
		if err := c.entry(path+"/"+name, name, upper, below, depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *changes) entry(path, name string, upper int, below unionDir, depth int) error {
	before, err := below.lookup(name)
	if err != nil {
		return err
	}
	if before != nil {
		defer before.dir.close()
	}
	var st unix.Stat_t
	err = unix.Fstatat(upper, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	gone := errors.Is(err, unix.ENOENT)
	switch {
	case err != nil && !gone:
		return fmt.Errorf("stat %s: %w", path, err)
	case gone || whiteout(&st):
		if before != nil {
			c.add(Deleted, path)
		}
		return nil
	case before != nil:
		c.add(Changed, path)
	default:
		c.add(Added, path)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	fd, err := unix.Openat(upper, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // it went meanwhile
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	defer unix.Close(fd)
	var inside unionDir
	if before != nil {
		inside = before.dir
	}
	return c.dir(path, fd, inside, depth+1)
}
