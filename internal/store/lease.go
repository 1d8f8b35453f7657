// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Lease keeps what a running operation relies on from the collector until the
// image that needs it is recorded. It is a file locked by its owner: one whose
// lock is free belongs to a dead process and means nothing.
type Lease struct {
	s *Store
	f *os.File
}

// NewLease begins an operation. Release ends it.
func (s *Store) NewLease() (*Lease, error) {
	l := &Lease{s: s}
	err := s.change(func() error {
		f, err := os.OpenFile(s.path("leases", tempName("lease")), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		l.f = f
		return flock(f, unix.LOCK_EX|unix.LOCK_NB)
	})
	if err != nil {
		return nil, fmt.Errorf("creating a lease: %w", err)
	}
	return l, nil
}

// Hold protects entries ("layers/KEY", "blobs/HEX", "images/HEX") from now on.
// Only an existence check made after Hold may be relied on.
func (l *Lease) Hold(entries ...string) error {
	return l.s.change(func() error {
		if _, err := l.f.WriteString(strings.Join(entries, "\n") + "\n"); err != nil {
			return fmt.Errorf("writing a lease: %w", err)
		}
		return nil
	})
}

// Release ends the protection.
func (l *Lease) Release() {
	os.Remove(l.f.Name())
	l.f.Close()
}

// leased adds what living leases hold to keep and removes dead leases. The
// caller holds the exclusive lock.
func (s *Store) leased(keep map[string]bool) error {
	entries, err := readDir(s.path("leases"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := s.path("leases", e)
		if lock, free := tryLock(path); free {
			os.Remove(path)
			lock.Unlock()
			continue
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			keep[lines.Text()] = true
		}
	}
	return nil
}

// readDir gives the names in dir in order; a missing directory is empty.
func readDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}
