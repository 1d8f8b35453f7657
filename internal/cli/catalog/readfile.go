// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/searchpath"
)

// readFile reads a file that somebody else may have put there and may change
// meanwhile: a FIFO keeps who opens it, a device or a file that grows has no end.
func readFile(path string) (data []byte, mode fs.FileMode, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !st.Mode().IsRegular() {
		return nil, 0, errors.New("not a file")
	}
	if data, err = io.ReadAll(io.LimitReader(f, searchpath.MaxSize+1)); err != nil {
		return nil, 0, err
	}
	if len(data) > searchpath.MaxSize {
		return nil, 0, fmt.Errorf("%d bytes, at most %d are read", max(st.Size(), int64(len(data))), searchpath.MaxSize)
	}
	return data, st.Mode().Perm(), nil
}

// named says of which file a fault is, where it does not say so itself.
func named(err error, path string) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
