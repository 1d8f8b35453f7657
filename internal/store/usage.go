// SPDX-License-Identifier: Apache-2.0

package store

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
