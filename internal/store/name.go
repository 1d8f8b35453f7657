// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/reference"
)

// Name is what one name means: a small file whose path is the name.
type Name struct {
	// Ref is the canonical name; for a short name that an alias of
	// registries.conf sent elsewhere, the name that was fetched.
	Ref string `json:"ref"`
	// Image is the digest of the manifest for this platform, Target what the
	// registry gave for the name: the same, or that of a multi-platform index; "" = it
	// is not known, as after a way back.
	Image  string `json:"image"`
	Target string `json:"target,omitempty"`
	// Time is when the registry was last asked, for pull_policy.
	Time time.Time `json:"time"`
	// Platform is another one than this machine's, which was asked for.
	Platform string `json:"platform,omitempty"`
	// Previous is the image that the name meant before the last update, which is
	// kept for the way back; Rejected is one that was gone back from.
	Previous string `json:"previous,omitempty"`
	Rejected string `json:"rejected,omitempty"`
	// Next is the entry of a newer image that is here and that the name does not
	// mean yet: an update makes it the name's.
	Next *Name `json:"next,omitempty"`
	// Trial is the update to Image, or the way back from another one to it, that has
	// not ended.
	Trial *Trial `json:"trial,omitempty"`

	file  string
	later bool
}

// Trial is what an update has restarted and not seen to be up.
type Trial struct {
	Name       string   `json:"name"` // of the image, as the definitions have it
	Platform   string   `json:"platform,omitempty"`
	Units      []string `json:"units"`
	Dependents []string `json:"dependents,omitempty"` // units that went down with these
}

// Later has PutImage note an image as the name's next one, where the name
// means one already.
func (n Name) Later() Name {
	n.later = true
	return n
}

// Advance makes the next image, if there is one, the name's.
func (n *Name) Advance() {
	if n.Next != nil {
		file := n.file
		*n = *n.Next
		n.file = file
	}
}

// MeanAgain has the name mean an image that it has meant before. What the registry gave
// for the name is another's, and is forgotten: who asks for that by its digest must not
// get this one.
func (n *Name) MeanAgain(image string) { n.Image, n.Target = image, "" }

// NewName makes the entry for a reference.
func NewName(r reference.Reference, target string, at time.Time) Name {
	return Name{Ref: r.String(), Target: target, Time: at.UTC().Truncate(time.Second), Platform: r.Platform, file: r.File()}
}

// NewAlias makes the entry for a short name that means the name to.
func NewAlias(short, to reference.Reference, target string, at time.Time) Name {
	n := NewName(to, target, at)
	n.file = short.ShortFile()
	return n
}

// NamePath is the file that exists exactly when the name's image is complete,
// for a ConditionPathExists= of the unit that fetches it.
func NamePath(dir string, r reference.Reference) string {
	return filepath.Join(dir, "names", r.File())
}

func (s *Store) writeName(n Name) error {
	data, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("naming %s: %w", n.Ref, err)
	}
	path := s.path("names", n.file)
	if err := s.mkdirSync(filepath.Dir(path)); err != nil {
		return fmt.Errorf("naming %s: %w", n.Ref, err)
	}
	if err := s.writeFile(path, data); err != nil {
		return fmt.Errorf("naming %s: %w", n.Ref, err)
	}
	return nil
}

// postponed is the entry to write: that of the name as it is, with the new one
// as its next, if it is for later.
func (s *Store) postponed(n Name) (Name, error) {
	if !n.later {
		return n, nil
	}
	old, err := s.readNameFile(n.file)
	if errors.Is(err, os.ErrNotExist) {
		return n, nil
	}
	if old.Next = &n; old.Image == n.Image {
		old.Next = nil
	}
	return old, err
}

// LookupName gives the entry of a name.
func (s *Store) LookupName(r reference.Reference) (Name, error) { return s.readName(r) }

// nameFiles are where a name may stand: as the alias that it is filed under, or
// in full. One for another platform may stand without it too, as archives are
// loaded: whether it fits is for who asks.
func nameFiles(r reference.Reference) []string {
	files := []string{r.ShortFile(), r.File()}
	if r.Platform != "" {
		r.Platform = ""
		files = append(files, r.ShortFile(), r.File())
	}
	return slices.DeleteFunc(files, func(file string) bool { return file == "" })
}

func (s *Store) readName(r reference.Reference) (Name, error) {
	for _, file := range nameFiles(r) {
		n, err := s.readNameFile(file)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return n, err
		}
	}
	if r.Digest == "" {
		return Name{}, notFound(r.String())
	}
	return s.nameByDigest(r)
}

// nameByDigest finds an image fetched under a tag by the digest of its
// manifest or index.
func (s *Store) nameByDigest(r reference.Reference) (Name, error) {
	if _, err := os.Lstat(s.imagePath(hexOf(r.Digest))); err == nil {
		return Name{Ref: r.String(), Image: r.Digest, Target: r.Digest}, nil
	}
	names, err := s.Names()
	if err != nil {
		return Name{}, err
	}
	for _, n := range names {
		if n.Target == r.Digest && n.Platform == r.Platform {
			return Name{Ref: r.String(), Image: n.Image, Target: r.Digest, Time: n.Time}, nil
		}
	}
	return Name{}, notFound(r.String())
}

func (s *Store) readNameFile(file string) (Name, error) {
	n := Name{file: file}
	data, err := os.ReadFile(s.path("names", file))
	if errors.Is(err, os.ErrNotExist) {
		return n, err
	}
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	if err == nil {
		err = reference.CheckDigest(n.Image)
	}
	if err != nil {
		return n, fmt.Errorf("reading the name %s: %w", file, err)
	}
	if n.Rejected != "" {
		n.Target = "" // MeanAgain came behind the first way back: older files have what was gone back from
	}
	return n, nil
}

// Names gives every name, in the order of their files.
func (s *Store) Names() ([]Name, error) {
	root := s.path("names")
	var names []Name
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		file, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		n, err := s.readNameFile(file)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		names = append(names, n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing names: %w", err)
	}
	return names, nil
}

// HasName tells whether an image has a name, for whatever platform.
func (s *Store) HasName(digest string, r reference.Reference) bool {
	names, _ := s.Names() // one that cannot be read names nothing
	return slices.ContainsFunc(names, func(n Name) bool { return n.Image == digest && n.Ref == r.String() })
}

// foreignName is the name's one entry of another platform, for who asks for none
// and has no image of this machine's.
func (s *Store) foreignName(r reference.Reference) (Name, error) {
	names, err := s.Names()
	if err != nil {
		return Name{}, err
	}
	var found []Name
	for _, n := range names {
		if n.Platform != "" && strings.HasPrefix(n.file, r.File()+";") {
			found = append(found, n)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Name{}, fmt.Errorf("image %s: images of %d other platforms have this name; name one by its digest, `unitc images` lists them", r, len(found))
	}
	return Name{}, notFound(r.String())
}

// Tag gives an image another name.
func (s *Store) Tag(ref string, to reference.Reference, at time.Time) error {
	img, err := s.Resolve(ref)
	if err != nil {
		return err
	}
	return s.change(func() error {
		if _, err := os.Lstat(s.imagePath(hexOf(img.Digest))); err != nil {
			return notFound(ref)
		}
		n := NewName(to, img.Digest, at)
		n.Image = img.Digest
		return s.writeName(n)
	})
}

// ChangeName lets f change what a name means, or what is known of it.
func (s *Store) ChangeName(r reference.Reference, f func(*Name)) error {
	return s.change(func() error {
		found := false
		platform := ""
		// An alias is filed under its short name too.
		for _, file := range nameFiles(r) {
			n, err := s.readNameFile(file)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if found && n.Platform != platform {
				break // that one means another image
			}
			platform = n.Platform
			f(&n)
			if _, err := os.Lstat(s.imagePath(hexOf(n.Image))); err != nil {
				return notFound(n.Image)
			}
			if err := s.writeName(n); err != nil {
				return err
			}
			found = true
		}
		if !found {
			return notFound(r.String())
		}
		return nil
	})
}

// Untag removes a name; the image stays until the collector meets it unnamed
// and unused.
func (s *Store) Untag(r reference.Reference) error {
	return s.change(func() error {
		n, err := s.readName(r)
		if err != nil {
			return err
		}
		if n.file == "" {
			return notFound(r.String())
		}
		return s.removeName(n)
	})
}

func (s *Store) removeName(n Name) error {
	path := s.path("names", n.file)
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing the name %s: %w", n.file, err)
	}
	return syncDir(filepath.Dir(path))
}
