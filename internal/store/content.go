// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// LayerInfo is what is known of an unpacked layer.
type LayerInfo struct {
	DiffID  string `json:"diffID"`
	Entries int64  `json:"entries"` // of the tar; 0 = an empty layer
	Bytes   int64  `json:"bytes"`   // of the files' content
	// RootOpaque: nothing below this layer shows.
	RootOpaque bool `json:"rootOpaque,omitempty"`
	// Dependent: unpacked in another place among layers it would look
	// different, so it is used in no other.
	Dependent bool `json:"dependent,omitempty"`
	// Root is set when the layer says what the root directory looks like.
	Root *Attr `json:"root,omitempty"`
	// LeftOut are the entries that were not unpacked, with the reason.
	LeftOut []string `json:"leftOut,omitempty"`
}

// Staged is something complete that is not visible yet: Commit shows it.
type Staged interface {
	prepare() error
	from() string
	to() string
}

// StagedLayer is a layer that is being unpacked, under the lock of its key.
type StagedLayer struct {
	s    *Store
	key  string
	Info LayerInfo
}

// StageLayer makes an empty directory for the layer that lock is for; what a
// dead process left there goes.
func (s *Store) StageLayer(lock *Lock) (*StagedLayer, error) {
	if err := s.sameIDs(); err != nil {
		return nil, err
	}
	l := &StagedLayer{s: s, key: lock.Key}
	if err := s.disk.open(s.dir); err != nil {
		return nil, err
	}
	return l, l.Clear()
}

// Clear empties the directory for another attempt.
func (l *StagedLayer) Clear() error {
	if err := removeTree(l.from()); err != nil {
		return fmt.Errorf("clearing a staged layer: %w", err)
	}
	if err := os.MkdirAll(l.FS(), 0o700); err != nil {
		return fmt.Errorf("staging a layer: %w", err)
	}
	return nil
}

// FS is the directory to unpack into.
func (l *StagedLayer) FS() string { return filepath.Join(l.from(), "fs") }

// Discard removes what was unpacked.
func (l *StagedLayer) Discard() error { return removeTree(l.from()) }

func (l *StagedLayer) from() string { return l.s.path("staging", "layer-"+l.key) }
func (l *StagedLayer) to() string   { return l.s.path("layers", l.key) }

func (l *StagedLayer) prepare() error {
	data, err := json.Marshal(l.Info)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.from(), "layer.json"), data, 0o600)
}

// LayerInfo reads what is known of a layer; ErrNotFound if it is not here.
func (s *Store) LayerInfo(key string) (LayerInfo, error) {
	var info LayerInfo
	data, err := os.ReadFile(s.path("layers", key, "layer.json"))
	if errors.Is(err, os.ErrNotExist) {
		return info, fmt.Errorf("layer %s: %w", key, ErrNotFound)
	}
	if err == nil {
		err = json.Unmarshal(data, &info)
	}
	if err != nil {
		return info, fmt.Errorf("reading layer %s: %w", key, err)
	}
	return info, nil
}

// HasLayer tells whether the layer is here.
func (s *Store) HasLayer(key string) bool {
	_, err := os.Lstat(s.path("layers", key))
	return err == nil
}

// OpenLayer opens the directory of a layer's files.
func (s *Store) OpenLayer(key string) (*os.File, error) {
	return os.OpenFile(s.path("layers", key, "fs"), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

// StagedBlob is a blob that is being fetched, under the lock "blob-HEX". What
// an earlier process fetched of it is kept, so that a download goes on where
// it was broken off.
type StagedBlob struct {
	s   *Store
	hex string
	*os.File
}

// StageBlob opens the part that is here; its length says how much.
func (s *Store) StageBlob(hex string) (*StagedBlob, error) {
	b := &StagedBlob{s: s, hex: hex}
	if err := s.disk.open(s.dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(b.from(), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("staging a blob: %w", err)
	}
	b.File = f
	return b, nil
}

// Discard closes and removes the part: it turned out to be wrong.
func (b *StagedBlob) Discard() error {
	b.File.Close()
	return os.Remove(b.from())
}

func (b *StagedBlob) prepare() error { return nil }
func (b *StagedBlob) from() string   { return b.s.path("staging", "blob-"+b.hex) }
func (b *StagedBlob) to() string     { return b.s.path("blobs", b.hex) }

// PutBlob stores a small blob whose digest the caller has verified.
func (s *Store) PutBlob(hex string, data []byte) error {
	return s.change(func() error {
		if _, err := os.Lstat(s.path("blobs", hex)); err == nil {
			return nil
		}
		if err := s.writeFile(s.path("blobs", hex), data); err != nil {
			return fmt.Errorf("storing blob %s: %w", hex, err)
		}
		return nil
	})
}

// OpenBlob opens a blob for reading; ErrNotFound if it is not here.
func (s *Store) OpenBlob(hex string) (*os.File, error) {
	f, err := os.OpenFile(s.path("blobs", hex), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", hex, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("opening blob %s: %w", hex, err)
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("opening blob %s: not a regular file", hex)
	}
	return f, nil
}

// ReadBlob reads a small blob; one of more than limit bytes is an error.
func (s *Store) ReadBlob(hex string, limit int64) ([]byte, error) {
	f, err := s.OpenBlob(hex)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", hex, err)
	}
	return data, nil
}

// HasBlob tells whether the blob is here.
func (s *Store) HasBlob(hex string) bool {
	_, err := os.Lstat(s.path("blobs", hex))
	return err == nil
}

// TempFile is a file without a name: it goes with its last descriptor.
func (s *Store) TempFile() (*os.File, error) {
	if err := s.Init(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path("staging"), os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating a temporary file: %w", err)
	}
	return f, nil
}
