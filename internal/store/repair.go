// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Replace puts a staged layer in the place of a damaged one, in one step. A
// container that runs on the old one keeps it until it stops.
func (s *Store) Replace(l *StagedLayer) error {
	if err := l.prepare(); err != nil {
		return fmt.Errorf("replacing layer %s: %w", l.key, err)
	}
	if err := s.syncFS(); err != nil {
		return err
	}
	err := s.change(func() error {
		err := unix.Renameat2(unix.AT_FDCWD, l.from(), unix.AT_FDCWD, l.to(), unix.RENAME_EXCHANGE)
		if errors.Is(err, unix.ENOENT) {
			err = os.Rename(l.from(), l.to())
		}
		if err != nil {
			return err
		}
		return syncDir(filepath.Dir(l.to()))
	})
	if err != nil {
		return fmt.Errorf("replacing layer %s: %w", l.key, err)
	}
	return nil
}

// RemoveBlob takes a damaged blob away.
func (s *Store) RemoveBlob(hex string) error { return s.discard("blobs", hex) }

// RemoveLayer takes a damaged layer away. Images that need it do not start
// until it is fetched again.
func (s *Store) RemoveLayer(key string) error { return s.discard("layers", key) }

func (s *Store) discard(kind, name string) error {
	trash := s.path("trash", tempName(kind))
	err := s.change(func() error {
		err := os.Rename(s.path(kind, name), trash)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return syncDir(s.path(kind))
	})
	if err == nil {
		err = removeTree(trash)
	}
	if err != nil {
		return fmt.Errorf("removing %s/%s: %w", kind, name, err)
	}
	return nil
}
