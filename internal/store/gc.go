// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/reference"
)

// partialAge is how long the part of a broken download is worth keeping.
const partialAge = 24 * time.Hour

// Prune says what a collection may remove beyond what nothing refers to.
type Prune struct {
	// Dangling removes images without a name, All also named ones; never one
	// that a unit runs.
	Dangling, All bool
	// Keep exempts named images from All.
	Keep func(Name) bool
	// Blobs removes the compressed layers of unpacked ones: half of the space,
	// and from then on save, push and repair need the registry again.
	Blobs bool
	// Partial removes the parts of broken downloads whatever their age.
	Partial bool
	// DryRun removes nothing and reports what would go.
	DryRun bool

	only string // remove no other image than this one
}

// Pruned is what a collection removed. Bytes counts blobs and file contents.
type Pruned struct {
	Names  []string `json:"names"`
	Images []string `json:"images"`
	Layers []string `json:"layers"`
	Blobs  []string `json:"blobs"`
	Staged int      `json:"staged"` // directories of broken pulls
	Bytes  int64    `json:"bytes"`
}

// Collect removes what nothing refers to, what dead processes left, and what p
// asks for. Names go first and content last, by rename into the trash under
// the exclusive lock; the deletion itself, which may take long, holds no lock.
func (s *Store) Collect(p Prune) (Pruned, error) {
	c := collector{s: s, p: p, keep: map[string]bool{}}
	if _, err := os.Lstat(s.dir); errors.Is(err, os.ErrNotExist) {
		return c.out, nil
	}
	if err := s.decide(c.decide); err != nil {
		return c.out, fmt.Errorf("collecting: %w", err)
	}
	if p.DryRun {
		return c.out, nil
	}
	if err := s.emptyTrash(); err != nil {
		return c.out, fmt.Errorf("emptying the trash: %w", err)
	}
	return c.out, nil
}

type collector struct {
	s    *Store
	p    Prune
	keep map[string]bool // "layers/KEY", "blobs/HEX", "images/HEX"
	out  Pruned
}

func (c *collector) decide() error {
	if err := c.s.leased(c.keep); err != nil {
		return err
	}
	if err := c.images(); err != nil {
		return err
	}
	if err := c.sweep("layers", &c.out.Layers); err != nil {
		return err
	}
	if err := c.sweep("blobs", &c.out.Blobs); err != nil {
		return err
	}
	return c.staged()
}

// images decides which images stay and marks what they need. An image that
// cannot be read might need any layer: then nothing is collected.
func (c *collector) images() error {
	names, err := c.s.Names()
	if err != nil {
		return err
	}
	users, err := c.s.Users()
	if err != nil {
		return err
	}
	images, err := c.s.Images()
	if err != nil {
		return err
	}
	byImage := map[string][]Name{}
	for _, n := range names {
		byImage[n.Image] = append(byImage[n.Image], n)
		if c.p.All || c.p.only != "" {
			continue
		}
		if n.Previous != "" {
			c.keep["images/"+hexOf(n.Previous)] = true // the way back
		}
		if n.Next != nil {
			c.keep["images/"+hexOf(n.Next.Image)] = true // the way forward
			c.keep["blobs/"+hexOf(n.Next.Target)] = true
		}
	}
	for _, img := range images {
		named := byImage[img.Digest]
		delete(byImage, img.Digest)
		if len(users[img.Digest]) > 0 || c.keep["images/"+hexOf(img.Digest)] || !c.unwanted(img, named) {
			c.mark(img, named)
			continue
		}
		if err := c.removeImage(img, named); err != nil {
			return err
		}
	}
	return c.orphans(byImage)
}

// orphans removes names whose image is lost: a name that is there keeps the
// image from being fetched.
func (c *collector) orphans(byImage map[string][]Name) error {
	for _, named := range byImage {
		for _, n := range named {
			if c.p.DryRun {
				continue
			}
			if err := c.s.removeName(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *collector) unwanted(img Image, named []Name) bool {
	if c.p.only != "" && c.p.only != img.Digest {
		return false
	}
	if len(named) == 0 {
		return c.p.Dangling || c.p.All
	}
	if !c.p.All {
		return false
	}
	for _, n := range named {
		if c.p.Keep != nil && c.p.Keep(n) {
			return false
		}
	}
	return true
}

func (c *collector) mark(img Image, named []Name) {
	c.keep["blobs/"+hexOf(img.Digest)] = true
	c.keep["blobs/"+hexOf(img.ID)] = true
	for _, n := range named {
		c.keep["blobs/"+hexOf(n.Target)] = true
	}
	for _, l := range img.Layers {
		c.keep["layers/"+l.Key] = true
		if !c.p.Blobs {
			c.keep["blobs/"+hexOf(l.Blob)] = true
		}
	}
}

func (c *collector) removeImage(img Image, named []Name) error {
	for _, n := range named {
		c.out.Names = append(c.out.Names, n.Ref)
		if c.p.DryRun {
			continue
		}
		if err := c.s.removeName(n); err != nil {
			return err
		}
	}
	c.out.Images = append(c.out.Images, img.Digest)
	if c.p.DryRun {
		return nil
	}
	if err := os.Remove(c.s.imagePath(hexOf(img.Digest))); err != nil {
		return err
	}
	return syncDir(c.s.path("images"))
}

// sweep moves what is not marked to the trash.
func (c *collector) sweep(kind string, out *[]string) error {
	entries, err := readDir(c.s.path(kind))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if c.keep[kind+"/"+e] {
			continue
		}
		*out = append(*out, e)
		c.out.Bytes += c.size(kind, e)
		if c.p.DryRun {
			continue
		}
		if err := os.Rename(c.s.path(kind, e), c.s.path("trash", tempName(kind))); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) size(kind, name string) int64 {
	if kind == "layers" {
		info, _ := c.s.LayerInfo(name) // unreadable: nothing to count, and it goes
		return info.Bytes
	}
	if st, err := os.Lstat(c.s.path(kind, name)); err == nil {
		return st.Size()
	}
	return 0
}

// staged moves away what no living process is making. Temporaries of writeFile
// have no lock of their own: their writers hold the store's, as we do now.
func (c *collector) staged() error {
	entries, err := readDir(c.s.path("staging"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if c.p.DryRun || c.isPartial(e) {
			continue
		}
		key := strings.TrimPrefix(e, "layer-")
		lock, free := tryLock(c.s.path("locks", key))
		if !free {
			continue
		}
		err := os.Rename(c.s.path("staging", e), c.s.path("trash", tempName("staged")))
		os.Remove(lock.path)
		lock.Unlock()
		if err != nil {
			return err
		}
		c.out.Staged++
	}
	return c.locks()
}

func (c *collector) isPartial(name string) bool {
	if c.p.Partial || !strings.HasPrefix(name, "blob-") {
		return false
	}
	st, err := os.Lstat(c.s.path("staging", name))
	// A time far in the future is of a clock that was set back since.
	return err == nil && time.Since(st.ModTime()).Abs() < partialAge
}

// locks removes free lock files, or each layer ever made would leave one.
func (c *collector) locks() error {
	entries, err := readDir(c.s.path("locks"))
	if err != nil || c.p.DryRun {
		return err
	}
	for _, e := range entries {
		if lock, free := tryLock(c.s.path("locks", e)); free {
			os.Remove(lock.path)
			lock.Unlock()
		}
	}
	return nil
}

// emptyTrash deletes. Two collectors may do it at once.
func (s *Store) emptyTrash() error {
	entries, err := readDir(s.path("trash"))
	if err != nil {
		return err
	}
	var failed error
	for _, e := range entries {
		failed = errors.Join(failed, removeTree(s.path("trash", e)))
	}
	return failed
}

// RemoveImage removes one name, or, for a digest, an image with all its names
// if force. An image that a unit runs stays until the unit has stopped: only
// its names go.
func (s *Store) RemoveImage(ref string, force bool) (Pruned, error) {
	img, err := s.Resolve(ref)
	if err != nil {
		return Pruned{}, err
	}
	users, err := s.Users()
	if err != nil {
		return Pruned{}, err
	}
	if units := users[img.Digest]; len(units) > 0 && !force {
		return Pruned{}, fmt.Errorf("image %s: %w by %s; stop it, or use --force to remove only the name", ref, ErrInUse, strings.Join(units, ", "))
	}
	names, err := s.namesToRemove(ref, img, force)
	if err != nil {
		return Pruned{}, err
	}
	for _, n := range names {
		if err := s.change(func() error { return s.removeName(n) }); err != nil {
			return Pruned{}, err
		}
	}
	out, err := s.Collect(Prune{Dangling: true, only: img.Digest})
	for _, n := range names {
		out.Names = append(out.Names, n.Ref)
	}
	return out, err
}

// namesToRemove is one name where a name was given, else all of the image.
func (s *Store) namesToRemove(ref string, img Image, force bool) ([]Name, error) {
	if r, err := reference.Parse(ref); err == nil {
		if n, err := s.readName(r); err == nil && n.file != "" {
			return []Name{n}, nil
		}
	}
	all, err := s.Names()
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(all, func(n Name) bool { return n.Image != img.Digest })
	if len(names) > 1 && !force {
		return nil, fmt.Errorf("image %s: %w under %d names; remove them, or use --force", ref, ErrInUse, len(names))
	}
	return names, nil
}
