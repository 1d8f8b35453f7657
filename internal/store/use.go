// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Use resolves an image and notes that unit runs it, so that neither a prune
// nor an update takes it away. It is for the start of a container: no file is
// synced, because the note is worth nothing after a reboot.
func (s *Store) Use(ref, platform, unit string) (Image, error) {
	return s.use(ref, platform, unit, func(_, hex string) string { return hex })
}

// AlsoUse is Use for an image that the unit mounts beside its own, which comes
// before: the first line is the image that runs, empty where there is none.
func (s *Store) AlsoUse(ref, unit string) (Image, error) {
	return s.use(ref, "", unit, func(note, hex string) string { return note + "\n" + hex })
}

func (s *Store) use(ref, platform, unit string, add func(note, hex string) string) (Image, error) {
	var img Image
	path, err := s.usePath(unit)
	if err != nil {
		return img, err
	}
	if _, err := os.Lstat(s.path("lock")); errors.Is(err, os.ErrNotExist) {
		return s.ResolveFor(ref, platform) // an empty store: its error is the one to show
	}
	if err := s.sameIDs(); err != nil {
		return img, err
	}
	err = s.change(func() error {
		img, err = s.ResolveFor(ref, platform)
		if err != nil {
			return err
		}
		err = s.whileNoneStarts(func() error {
			note, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return os.WriteFile(path, []byte(add(string(note), hexOf(img.Digest))), 0o600)
		})
		if err != nil {
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

// Users gives the units that run or mount each image, by digest.
func (s *Store) Users() (map[string][]string, error) {
	users := map[string][]string{}
	err := s.notes(func(unit string, digests []string) {
		for _, digest := range digests {
			if digest != "" && !slices.Contains(users[digest], unit) {
				users[digest] = append(users[digest], unit)
			}
		}
	})
	return users, err
}

// Running gives the image that each unit runs, by unit.
func (s *Store) Running() (map[string]string, error) {
	running := map[string]string{}
	err := s.notes(func(unit string, digests []string) {
		if digests[0] != "" {
			running[unit] = digests[0]
		}
	})
	return running, err
}

// RunningOf gives the image that one unit runs, "" for none.
func (s *Store) RunningOf(unit string) (string, error) {
	path, err := s.usePath(unit)
	if err != nil {
		return "", err
	}
	note, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading which image %s runs: %w", unit, err)
	}
	return noted(note)[0], nil
}

// noted are the images of a note: the one that the unit runs, then those that
// it mounts.
func noted(note []byte) []string {
	digests := strings.Split(string(note), "\n")
	for i, hex := range digests {
		if hex != "" {
			digests[i] = "sha256:" + hex
		}
	}
	return digests
}

func (s *Store) notes(each func(unit string, digests []string)) error {
	units, err := readDir(s.runDir)
	if err != nil {
		return fmt.Errorf("listing running images: %w", err)
	}
	for _, unit := range units {
		if s.over(unit) {
			continue // nobody has swept it up yet
		}
		note, err := os.ReadFile(filepath.Join(s.runDir, unit))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("listing running images: %w", err)
		}
		each(unit, noted(note))
	}
	return nil
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
