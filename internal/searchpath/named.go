// SPDX-License-Identifier: Apache-2.0

package searchpath

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// ReadNamed reads a file that a definition names by an absolute path and whose
// content is part of its meaning (`extends:`, `include:`, `label_file:`). It is as careful
// as for definitions: regular files only, and no more than MaxSize.
func (src *Source) ReadNamed(path string) ([]byte, error) {
	data, err := src.readNamed(path)
	if err == nil && src.Named != nil && !slices.ContainsFunc(*src.Named, func(l Layer) bool { return l.Path == path }) {
		*src.Named = append(*src.Named, Layer{path, data})
	}
	return data, err
}

func (src *Source) readNamed(path string) ([]byte, error) {
	if src.Copies != nil {
		if data, ok := src.Copies[path]; ok {
			return data, nil
		}
		return nil, fs.ErrNotExist
	}
	fd, err := unix.Open(src.root+filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	// file works on a directory's descriptor; the name may be a link.
	d := &dir{path: filepath.Dir(path), fd: fd}
	defer unix.Close(fd)
	layer, problems := file{d, filepath.Base(path), fs.ModeIrregular}.read()
	if layer == nil {
		return nil, errors.New(problems[0].What)
	}
	return layer.Data, nil
}
