// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// trashedUppers begins the names in the trash of what containers wrote.
const trashedUppers = "upper"

// Sweep takes away what units have left whose invocation is over: what they wrote,
// the notes that they use images, and what of it a sweep that was killed has left.
// One of them that starts meanwhile keeps what is its own.
func (s *Store) Sweep() error {
	if _, err := os.Lstat(s.runDir); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Lstat(s.path("containers")); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	err := s.whileNoneStarts(s.forgetOver)
	return errors.Join(err, s.SweepTrash())
}

// forgetOver: a note goes after what it is for, so that a sweep which is killed
// leaves the image in use by somebody.
func (s *Store) forgetOver() error {
	var failed error
	for _, list := range []struct {
		dir    string
		remove func(unit string) error
	}{{s.path("containers"), func(unit string) error { _, err := s.trashUpper(unit); return err }}, {s.runDir, s.Unuse}} {
		units, err := readDir(list.dir)
		failed = errors.Join(failed, err)
		for _, unit := range units {
			if checkUnit(unit) == nil && s.over(unit) {
				failed = errors.Join(failed, list.remove(unit))
			}
		}
	}
	return failed
}

// whileNoneStarts runs f while no unit makes what it writes to, or a note that it
// uses an image: who looks whether a unit's invocation is over finds no other state
// of it before f has returned.
func (s *Store) whileNoneStarts(f func() error) error {
	if err := os.MkdirAll(s.runDir, 0o700); err != nil {
		return fmt.Errorf("creating %s: %w", s.runDir, err)
	}
	dir, err := os.Open(s.runDir)
	if err != nil {
		return fmt.Errorf("locking %s: %w", s.runDir, err)
	}
	defer dir.Close()
	if err := flock(dir, unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", s.runDir, err)
	}
	// A process that is forked meanwhile may have a copy of the descriptor.
	defer func() { _ = unix.Flock(int(dir.Fd()), unix.LOCK_UN) }()
	return f()
}

// trashUpper makes what a unit wrote gone at once, whatever its size and whenever
// we are killed, and says what is to be deleted.
func (s *Store) trashUpper(unit string) (trash string, err error) {
	trash = s.path("trash", tempName(trashedUppers))
	err = os.Rename(s.path("containers", unit), trash)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return trash, fmt.Errorf("removing the upper directory of %s: %w", unit, err)
	}
	return trash, nil
}

// SweepTrash removes what removals have left that were killed, or that had no power
// over it: of a user's files those of other ids. What is left of images goes with the
// next that is removed.
func (s *Store) SweepTrash() error { return s.emptyTrashOf(trashedUppers, trashedDepths, "volumes") }

// emptyTrashOf deletes what is of such kinds by its name. Several may do it at once.
func (s *Store) emptyTrashOf(kinds ...string) error {
	entries, err := readDir(s.path("trash"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if kind, _, _ := strings.Cut(e, "-"); slices.Contains(kinds, kind) {
			err = errors.Join(err, removeTree(s.path("trash", e)))
		}
	}
	return err
}
