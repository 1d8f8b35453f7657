// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Use resolves an image and notes that unit runs it, so that neither a prune
// nor an update takes it away. It is for the start of a container: no file is
// synced, because the note is worth nothing after a reboot.
func (s *Store) Use(ref, unit string) (Image, error) {
	var img Image
	path, err := s.usePath(unit)
	if err != nil {
		return img, err
	}
	if _, err := os.Lstat(s.path("lock")); errors.Is(err, os.ErrNotExist) {
		return s.Resolve(ref) // an empty store: its error is the one to show
	}
	err = s.change(func() error {
		img, err = s.Resolve(ref)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(s.runDir, 0o700); err != nil {
			return fmt.Errorf("noting that %s uses an image: %w", unit, err)
		}
		if err := os.WriteFile(path, []byte(hexOf(img.Digest)), 0o600); err != nil {
			return fmt.Errorf("noting that %s uses an image: %w", unit, err)
		}
		return nil
	})
	return img, err
}

// Unuse ends Use. It may be called again, and for a unit that never started.
func (s *Store) Unuse(unit string) error {
	path, err := s.usePath(unit)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("noting that %s uses no image: %w", unit, err)
	}
	return nil
}

// Users gives the units that run each image, by digest.
func (s *Store) Users() (map[string][]string, error) {
	units, err := readDir(s.runDir)
	if err != nil {
		return nil, fmt.Errorf("listing running images: %w", err)
	}
	users := map[string][]string{}
	for _, unit := range units {
		hex, err := os.ReadFile(filepath.Join(s.runDir, unit))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing running images: %w", err)
		}
		users["sha256:"+string(hex)] = append(users["sha256:"+string(hex)], unit)
	}
	return users, nil
}

func (s *Store) usePath(unit string) (string, error) {
	if err := checkUnit(unit); err != nil {
		return "", err
	}
	return filepath.Join(s.runDir, unit), nil
}

// checkUnit accepts what systemd accepts in a unit's name and nothing that is
// special in a path.
func checkUnit(unit string) error {
	const special = `:_.@\-`
	ok := unit != "" && len(unit) <= 255 && unit[0] != '.'
	for i := 0; ok && i < len(unit); i++ {
		c := unit[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(special, c) >= 0
	}
	if !ok {
		return fmt.Errorf("unit name %q: letters, digits and %s, not beginning with a dot", unit, special)
	}
	return nil
}
