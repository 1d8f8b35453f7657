// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// tempName is random and not made of a process id: several PID namespaces may
// share one store.
func tempName(prefix string) string {
	return prefix + "-" + strconv.FormatUint(rand.Uint64(), 36)
}

// writeFile puts data in place by rename, after it is on the disk. The caller
// holds the store's lock, so the collector never meets a living temporary.
func (s *Store) writeFile(path string, data []byte) error {
	temp := s.path("staging", tempName("tmp"))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in dir last: a power cut may undo it until then.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// mkdirSync creates the missing directories of path below the store and makes
// each of them last.
func (s *Store) mkdirSync(path string) error {
	if err := os.Mkdir(path, 0o700); err == nil {
		return syncDir(filepath.Dir(path))
	} else if errors.Is(err, os.ErrExist) {
		return nil
	} else if !errors.Is(err, os.ErrNotExist) || path == s.dir {
		return err
	}
	if err := s.mkdirSync(filepath.Dir(path)); err != nil {
		return err
	}
	return s.mkdirSync(path)
}

func statfs(path string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", path, err)
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}
