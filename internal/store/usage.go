// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Usage is what one kind of content takes of the disk.
type Usage struct {
	What        string `json:"what"`
	Count       int    `json:"count"`
	Bytes       int64  `json:"bytes"`
	Reclaimable int64  `json:"reclaimable"`
	With        string `json:"with,omitempty"` // the command that frees it
}

// Usage counts blocks on the disk, holes not included and links once.
func (s *Store) Usage() ([]Usage, error) {
	prune, err := s.Collect(Prune{Dangling: true, DryRun: true})
	if err != nil {
		return nil, err
	}
	gone := map[string]bool{}
	for _, l := range prune.Layers {
		gone["layers/"+l] = true
	}
	for _, b := range prune.Blobs {
		gone["blobs/"+b] = true
	}
	var out []Usage
	for _, kind := range []struct{ dir, what, with string }{
		{"layers", "unpacked layers", "unitc prune"}, {"blobs", "compressed layers", "unitc prune --blobs"},
		{"staging", "downloads under way", "unitc prune --partial"}, {"containers", "written by containers", ""}, {"volumes", "volumes", "unitc volume rm"},
	} {
		u := Usage{What: kind.what, With: kind.with}
		entries, err := readDir(s.path(kind.dir))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			n, err := diskBytes(s.path(kind.dir, e))
			if err != nil {
				return nil, err
			}
			u.Count++
			u.Bytes += n
			if gone[kind.dir+"/"+e] || kind.dir == "blobs" {
				u.Reclaimable += n
			}
		}
		out = append(out, u)
	}
	return out, nil
}

func diskBytes(root string) (int64, error) {
	var total int64
	links := map[uint64]bool{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil // it went while we counted
		}
		if err != nil || st.Nlink > 1 && st.Mode&unix.S_IFMT == unix.S_IFREG && links[st.Ino] {
			return err
		}
		links[st.Ino] = true
		total += st.Blocks * 512
		return nil
	})
	return total, err
}
