// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/waiting"
)

// Lock is an flock(2) on a file of the store; the kernel drops it with the
// process, so a dead holder blocks nobody.
type Lock struct {
	f    *os.File
	path string
	Key  string
}

// Unlock lets go. The file stays for the next holder; the collector removes it.
func (l *Lock) Unlock() {
	if l != nil && l.f != nil {
		l.f.Close()
		l.f = nil
	}
}

// change runs f under the shared lock, which keeps the collector out.
func (s *Store) change(f func() error) error { return s.locked(unix.LOCK_SH, f) }

// decide runs f while nobody else changes anything.
func (s *Store) decide(f func() error) error { return s.locked(unix.LOCK_EX, f) }

func (s *Store) locked(how int, f func() error) error {
	file, err := os.OpenFile(s.path("lock"), os.O_RDWR, 0)
	if errors.Is(err, unix.EROFS) {
		// Who only looks can do so, and others are told what they could not write.
		file, err = os.OpenFile(s.path("lock"), os.O_RDONLY, 0)
	}
	if errors.Is(err, os.ErrNotExist) {
		// The directory itself may be there: a disk that is mounted on it.
		if err := s.Init(); err != nil {
			return err
		}
		file, err = os.OpenFile(s.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return fmt.Errorf("opening the store's lock: %w", err)
	}
	defer file.Close()
	if err := flock(file, how); err != nil {
		return err
	}
	return f()
}

func flock(f *os.File, how int) error {
	if err := waiting.Flock(int(f.Fd()), how); err != nil {
		return fmt.Errorf("flock %s: %w", f.Name(), err)
	}
	return nil
}

// Acquire takes the lock of one layer or blob. wait, when not nil, is called
// once if another process has it, so that a person sees why nothing moves.
func (s *Store) Acquire(ctx context.Context, key string, wait func()) (*Lock, error) {
	if err := s.Init(); err != nil {
		return nil, err
	}
	path := s.path("locks", key)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("opening a lock: %w", err)
		}
		err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			if wait != nil {
				wait()
				wait = nil
			}
			err = flockContext(ctx, f)
		}
		if err != nil {
			if ctx.Err() == nil { // otherwise flockContext closes it
				f.Close()
			}
			return nil, err
		}
		if sameFile(f, path) {
			return &Lock{f: f, path: path, Key: key}, nil
		}
		// The collector removed the file between open and flock: the lock we
		// hold is on a name that nobody else will find.
		f.Close()
	}
}

// flockContext waits in a goroutine, because flock(2) knows no time-out; after
// a cancelled wait that goroutine lets the lock go as soon as it gets it.
func flockContext(ctx context.Context, f *os.File) error {
	got := make(chan error, 1)
	go func() { got <- flock(f, unix.LOCK_EX) }()
	select {
	case err := <-got:
		return err
	case <-ctx.Done():
		go func() {
			<-got
			f.Close()
		}()
		return ctx.Err()
	}
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// tryLock takes an existing or new lock file without waiting.
func tryLock(path string) (*Lock, bool) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false
	}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, false
	}
	return &Lock{f: f, path: path}, true
}
