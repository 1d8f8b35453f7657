// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Upper is where a container writes: Dir and Work are for overlayfs and lie on
// one file system, as it asks.
type Upper struct {
	Dir  string
	Work string
}

// Upper gives fresh writable directories to a unit: what an earlier start left,
// also one that was killed, is removed. A fresh directory looks like the image's
// root directory, because the upper one's owner and mode are what the container
// sees.
func (s *Store) Upper(unit string, root Attr) (Upper, error) {
	if err := checkUnit(unit); err != nil {
		return Upper{}, err
	}
	dir := s.path("containers", unit)
	u := Upper{Dir: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	trash := ""
	err := s.whileNoneStarts(func() (err error) {
		if trash, err = s.trashUpper(unit); err != nil {
			return err
		}
		if err := s.Init(); err != nil {
			return err
		}
		if err := makeUpper(u, root); err != nil {
			return fmt.Errorf("creating the upper directory of %s: %w", unit, err)
		}
		return nil
	})
	if err != nil {
		return Upper{}, err
	}
	return u, removeTrash(trash)
}

// KeptUpper gives the writable directories that a unit finds again at each
// start. They are a volume, so that nothing but RemoveVolume deletes them.
func (s *Store) KeptUpper(ctx context.Context, unit string, root Attr) (Upper, error) {
	if err := checkUnit(unit); err != nil {
		return Upper{}, err
	}
	v := Volume{Name: keptName(unit), Anonymous: true, Unit: unit, Used: true}
	_, err := s.EnsureVolume(ctx, v, &Seed{Fill: func(dir string) error {
		return makeUpper(Upper{Dir: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}, root)
	}})
	dir := s.VolumeData(v.Name)
	return Upper{Dir: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}, err
}

// keptName is AnonymousName of what is no path in the container.
func keptName(unit string) string {
	return "root" + strings.TrimPrefix(AnonymousName(unit, ""), "anon")
}

// makeUpper creates Dir last: it is what says that all is there.
func makeUpper(u Upper, root Attr) error {
	if err := os.MkdirAll(u.Work, 0o700); err != nil {
		return err
	}
	temp := u.Dir + ".new"
	if err := os.Mkdir(temp, 0o700); err != nil {
		return err
	}
	if err := os.Chown(temp, int(root.UID), int(root.GID)); err != nil {
		return err
	}
	if err := unix.Chmod(temp, root.Mode&0o7777); err != nil {
		return err
	}
	if err := os.Chtimes(temp, root.MTime, root.MTime); err != nil {
		return err
	}
	return os.Rename(temp, u.Dir)
}

// RemoveUpper removes what a unit wrote. It may be called again.
func (s *Store) RemoveUpper(unit string) error {
	if err := checkUnit(unit); err != nil {
		return err
	}
	trash, err := s.trashUpper(unit)
	if err != nil {
		return err
	}
	return removeTrash(trash)
}

func removeTrash(trash string) error {
	if err := removeTree(trash); err != nil {
		return fmt.Errorf("removing an upper directory: %w", err)
	}
	return nil
}
