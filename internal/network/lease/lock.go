// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/waiting"
)

// Locked is a Store that nobody else changes meanwhile. One lock for all
// networks is enough: the kernel has one for its own (rtnl), and the time
// between is a few files.
type Locked struct {
	Store
	dir *os.File
}

// Lock takes the lock, which is the directory itself: with the last network it
// goes, and who has waited for its lock makes a new one.
func (s Store) Lock() (*Locked, error) {
	root := s.dir()
	for {
		if err := os.MkdirAll(root, 0o755); err != nil {
			return nil, err
		}
		dir, err := os.Open(root)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := waiting.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
			dir.Close()
			return nil, fmt.Errorf("locking %s: %w", root, err)
		}
		var mine, there unix.Stat_t
		if unix.Fstat(int(dir.Fd()), &mine) == nil && unix.Stat(root, &there) == nil && mine.Ino == there.Ino && mine.Dev == there.Dev {
			return &Locked{s, dir}, nil
		}
		unlock(dir)
	}
}

// unlock does not leave it to closing: a payload's first process that is made
// meanwhile may have a copy of the descriptor until it runs.
func unlock(dir *os.File) {
	_ = unix.Flock(int(dir.Fd()), unix.LOCK_UN)
	dir.Close()
}

func (l *Locked) path(parts ...string) string { return l.Store.dir(parts...) }

// Unlock gives the lock back, and takes away directories that are empty.
func (l *Locked) Unlock() {
	_ = os.Remove(l.path(portsDir))
	_ = os.Remove(l.path()) // not empty while there is a network
	unlock(l.dir)
}

// PutNetwork writes a network.
func (l *Locked) PutNetwork(n *Network) error {
	if err := os.MkdirAll(l.path(n.Name, takenDir), 0o755); err != nil {
		return err
	}
	return writeJSON(l.path(n.Name, networkFile), n)
}

// DropNetwork forgets a network that nobody is in.
func (l *Locked) DropNetwork(name string) error {
	return os.RemoveAll(l.path(name))
}

// Put writes a record and claims its addresses and ports.
func (l *Locked) Put(r *Record) error {
	if err := writeJSON(l.path(r.Network, r.Container+recordEnd), r); err != nil {
		return err
	}
	for _, a := range r.Addresses() {
		if err := claim(r.Container, l.path(r.Network, takenDir, a.String())); err != nil {
			return err
		}
	}
	if len(r.Ports) == 0 {
		return nil
	}
	if err := os.MkdirAll(l.path(portsDir), 0o755); err != nil {
		return err
	}
	for _, p := range r.Ports {
		if err := claim(r.Container, l.path(portsDir, portName(p))); err != nil {
			return err
		}
	}
	return nil
}

// claim makes a link to its holder: link and holder come in one step.
func claim(holder, path string) error {
	err := os.Symlink(holder, path)
	if errors.Is(err, fs.ErrExist) {
		if other, _ := os.Readlink(path); other == holder {
			return nil
		}
	}
	return err
}

// Drop forgets a container's record, its claims first: what is dropped in part
// is dropped again.
func (l *Locked) Drop(r *Record) error {
	for _, a := range r.Addresses() {
		unclaim(r.Container, l.path(r.Network, takenDir, a.String()))
	}
	for _, p := range r.Ports {
		unclaim(r.Container, l.path(portsDir, portName(p)))
	}
	return remove(l.path(r.Network, r.Container+recordEnd))
}

// DropUnfinished removes what a process that was killed had of a container's records
// when it wrote them.
func (l *Locked) DropUnfinished(container string) error {
	entries, err := os.ReadDir(l.path())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name()[0] == '.' {
			continue
		}
		if err := remove(unfinished(l.path(e.Name(), container+recordEnd))); err != nil {
			return err
		}
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return err
	}
	return nil
}

func unclaim(holder, path string) {
	if other, err := os.Readlink(path); err == nil && other == holder {
		_ = os.Remove(path)
	}
}

// IsEmpty tells whether nobody is in a network but the given ones.
func (l *Locked) IsEmpty(network string, but ...string) bool {
	entries, err := os.ReadDir(l.path(network))
	if err != nil {
		return true
	}
	for _, e := range entries {
		if e.Name()[0] != '.' && !slices.Contains(but, strings.TrimSuffix(e.Name(), recordEnd)) {
			return false
		}
	}
	return true
}

// ErrFull is a range without a free address.
var ErrFull = errors.New("no free address")

// Pick chooses an address of a subnet for a container: the same as before
// where it is free, as it follows from the name, and none that is reserved for others.
func (l *Locked) Pick(n *Network, s *Subnet, container string, reserved ...netip.Addr) (netip.Addr, error) {
	taken, err := l.Taken(n.Name)
	if err != nil {
		return netip.Addr{}, err
	}
	return s.pick(container, taken, reserved...)
}
