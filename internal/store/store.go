// SPDX-License-Identifier: Apache-2.0

// Package store keeps images: content by digest, layers unpacked once and
// shared, names as small files. It must work for the helper that starts a
// container, so it imports neither net/http nor a registry client nor any
// hash: whoever hands it bytes has verified them (the image package does).
//
// The layout below one directory, and what makes it safe:
//
//	names/HOST/PATH:TAG       JSON, which image a name means; exists only for a complete image
//	images/HEX.json           one image: configuration and layers, prepared for a start
//	layers/KEY/fs, layer.json an unpacked layer in overlay form
//	blobs/HEX                 manifests, configurations, compressed layers
//	volumes/NAME/             named volumes (volume.go)
//	containers/UNIT/          upper directories (upper.go)
//	staging/ leases/ locks/ trash/
//
// Every entry becomes visible by one rename after its content is on the disk,
// in the order blobs, layers, image, name, and disappears in the reverse
// order, so that at any instant each name is complete. Whatever a dead process
// left behind lies in staging or trash, where the collector finds it.
//
// Locks are flock(2), which the kernel drops with their process: `lock` is held
// shared for every change and exclusively by the collector while it decides
// (never while it deletes); a file in locks/ is held while one layer or blob
// is made; a lease names what a running pull relies on.
package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/unitc/unitc/internal/invocation"
	"github.com/unitc/unitc/internal/realm"
)

// DefaultDir is the store of the system, or of the user.
func DefaultDir() string { return realm.Store }

// DefaultRunDir holds one file per running unit: the image it uses. It is
// gone after a reboot, as the containers are. No unit's name begins with a
// dot, so the name is free beside the units' own directories.
func DefaultRunDir() string { return realm.Run + "/.images" }

// ErrNotFound is the base of the error for a name or digest that is not here.
var ErrNotFound = errors.New("not in the store")

// ErrInUse is the base of the error for what a container still needs.
var ErrInUse = errors.New("in use")

// Store is a handle: any number of processes may have one. What it keeps is of the
// writes of this process alone.
type Store struct {
	dir     string
	runDir  string
	over    func(unit string) bool // its last invocation
	commits commitGroup
	disk    disk
}

// Open gives the store in dir, an absolute path, or DefaultDir for "". Nothing
// is read or created: a missing store is an empty one.
func Open(dir string) (*Store, error) {
	if dir == "" {
		dir = DefaultDir()
	}
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return nil, fmt.Errorf("store directory %q: not an absolute, clean path", dir)
	}
	s := &Store{dir: dir, runDir: DefaultRunDir(), over: invocation.Over}
	if dir != DefaultDir() {
		// Whoever has it there, no unit of systemd's does.
		s.runDir, s.over = filepath.Join(dir, "run"), func(string) bool { return false }
	}
	return s, nil
}

// Dir is the directory of the store.
func (s *Store) Dir() string { return s.dir }

// The directories of a store. A table, because the order is that of creation.
var subdirs = []string{"names", "images", "layers", "blobs", "volumes", "containers", "staging", "leases", "locks", "trash"}

// Init creates the directories. The top may be traversed, so that a user
// namespace's root can reach its own upper directory by descriptor; everything
// below is root's alone, or a setuid file of an image could be run by any user
// of the host (CVE-2021-41091, CVE-2024-25621). A user's is the user's alone: root of
// their namespace is the user.
func (s *Store) Init() error {
	mode := os.FileMode(0o711)
	if realm.Own() != nil {
		mode = 0o700 // as the XDG Base Directory Specification has it
	}
	if err := os.MkdirAll(s.dir, mode); err != nil {
		return fmt.Errorf("creating the store: %w", err)
	}
	for _, name := range subdirs {
		if err := os.Mkdir(s.path(name), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("creating the store: %w", err)
		}
	}
	return nil
}

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// LayersDir holds every layer: one idmapped clone of it serves all lowers of a
// container, whatever their number.
func (s *Store) LayersDir() string { return s.path("layers") }

// FreeBytes is what an unprivileged writer may still use of the file system,
// and its whole size.
func (s *Store) FreeBytes() (free, total int64, err error) {
	return statfs(s.dir)
}

// hexOf strips the algorithm of a digest that has been checked.
func hexOf(digest string) string { return strings.TrimPrefix(digest, "sha256:") }
