// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/atomicfile"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/searchpath"
)

// install puts the files in their places; the same ones there already are none
// of its business.
func (a *app) install(c *catalog.Candidate) error {
	if err := os.MkdirAll(searchpath.Dirs[0], 0o755); err != nil {
		return err
	}
	if c.Path == c.Target() {
		return nil // with all that stands beside it
	}
	files, err := stageFiles(c)
	if err != nil {
		return err
	}
	defer os.RemoveAll(files)
	if len(c.Env) > 0 {
		if err := a.installFile(c.EnvTarget(), c.EnvData(), 0o600); err != nil {
			return err
		}
	}
	if c.Directory != "" {
		fmt.Fprintf(a.stderr, "Relative paths of '%s' begin in '%s', as x-directory: says.\n", c.Target(), c.Directory)
	}
	if err := a.installOverrides(c); err != nil {
		return err
	}
	// The definition last, and first of what goes: a power cut leaves none without the
	// files that it names.
	if len(c.Named) > 0 {
		if err := a.placeFiles(c, files); err != nil {
			return err
		}
	}
	if err := a.installFile(c.Target(), c.Data, c.Mode); err != nil {
		return err
	}
	if len(c.Named) == 0 {
		if err := a.removeFile(c.FilesTarget(), true); err != nil {
			return err
		}
	}
	return atomicfile.SyncDir(filepath.Dir(c.Target()))
}

// stageFiles writes copies of the files that a definition names beside their place;
// "" = they are there already, or there are none.
func stageFiles(c *catalog.Candidate) (string, error) {
	if len(c.Named) == 0 || c.HasFiles(c.FilesTarget()) {
		return "", nil
	}
	dir, err := os.MkdirTemp(filepath.Dir(c.FilesTarget()), "."+filepath.Base(c.FilesTarget())+"-")
	if err != nil {
		return "", err
	}
	if err = os.Chmod(dir, 0o755); err == nil {
		err = c.WriteFiles(dir)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
	}
	return dir, err
}

// placeFiles has the copies take the place of those of an earlier time, which are
// kept as the definition of that time is.
func (a *app) placeFiles(c *catalog.Candidate, staged string) error {
	target := c.FilesTarget()
	if staged == "" {
		return nil
	}
	verb := "Installed"
	err := unix.Renameat2(unix.AT_FDCWD, staged, unix.AT_FDCWD, target, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = os.Rename(staged, target)
	case err == nil:
		verb = "Replaced"
		if err = os.RemoveAll(target + "~"); err == nil {
			err = os.Rename(staged, target+"~")
		}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%s '%s', copies of what it names.\n", verb, target)
	return nil
}

// installOverrides makes drop-ins of what Compose would merge, and takes those of
// an earlier time away.
func (a *app) installOverrides(c *catalog.Candidate) error {
	dir := filepath.Dir(c.OverrideTarget(0))
	if len(c.Overrides) > 0 {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for i, layer := range c.Overrides {
		if err := a.installFile(c.OverrideTarget(i), layer.Data, c.Mode); err != nil {
			return err
		}
	}
	items, _ := os.ReadDir(dir)
	for _, item := range items {
		if catalog.OverrideNumber(item.Name()) >= len(c.Overrides) {
			if err := a.removeFile(filepath.Join(dir, item.Name()), true); err != nil {
				return err
			}
		}
	}
	_ = os.Remove(dir) // unless there are others
	return nil
}

func (a *app) installFile(path string, data []byte, mode fs.FileMode) error {
	before, err := os.ReadFile(path)
	if err == nil && bytes.Equal(before, data) {
		return nil
	}
	verb := "Installed"
	if err == nil {
		verb = "Replaced"
		if err := keepBackup(path); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := atomicfile.Write(path, data, mode); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%s '%s'.\n", verb, path)
	return nil
}

// keepBackup makes a second name, so that the first is never missing.
func keepBackup(path string) error {
	err := os.Remove(path + "~")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Link(path, path+"~")
}
