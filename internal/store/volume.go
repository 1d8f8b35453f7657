// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Volume is a named volume. Its directory lies in the store unless its options
// say otherwise (MountOf). Nothing but RemoveVolume deletes one.
type Volume struct {
	Name    string            `json:"name"`
	Driver  string            `json:"driver,omitempty"` // "" = local
	Options map[string]string `json:"options,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	// Anonymous is set for a volume that a definition did not name; Unit is
	// the one it was made for.
	Anonymous bool   `json:"anonymous,omitempty"`
	Unit      string `json:"unit,omitempty"`
	// Used is set as soon as a container may have it mounted: from then on its
	// directory is never put in another's place.
	Used bool `json:"used,omitempty"`
	// Project is the number by which the file system counts what is in a
	// volume with a size (quota.go).
	Project uint32    `json:"project,omitempty"`
	Created time.Time `json:"created"`
}

// Seed is what a new or empty volume begins with: what the image has at Path,
// or what Fill puts into the directory.
type Seed struct {
	Image *Image
	Path  string // absolute, inside the image
	Fill  func(dir string) error
}

func (s *Seed) copyTo(dir string) error {
	if s.Fill != nil {
		return s.Fill(dir)
	}
	if err := copyFromImage(s, dir); err != nil {
		return fmt.Errorf("copying %s from the image: %w", s.Path, err)
	}
	return nil
}

// CheckVolumeName accepts what Docker does; the name becomes a file name.
func CheckVolumeName(name string) error {
	ok := name != "" && len(name) <= 200 && isWord(name[0])
	for i := 1; ok && i < len(name); i++ {
		ok = isWord(name[i]) || strings.IndexByte("_.-", name[i]) >= 0
	}
	if !ok {
		return fmt.Errorf("volume name %q: up to 200 letters, digits, '_', '.' and '-', beginning with a letter or digit", name)
	}
	return nil
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// AnonymousName is the volume that a unit keeps at a path it was not given a
// name for: the same at each start, so that its data stays.
func AnonymousName(unit, target string) string {
	h := fnv.New64a()
	h.Write([]byte(unit + "\x00" + target))
	base := strings.Map(func(r rune) rune {
		if r < 0x80 && (isWord(byte(r)) || strings.ContainsRune("_.-", r)) {
			return r
		}
		return '_'
	}, strings.TrimSuffix(unit, ".service"))
	return fmt.Sprintf("anon-%s-%016x", base[:min(len(base), 150)], h.Sum64())
}

func (s *Store) volumeDir(name string) string { return s.path("volumes", name) }

// VolumeData is the directory with the volume's content.
func (s *Store) VolumeData(name string) string { return filepath.Join(s.volumeDir(name), "data") }

// Volume gives a volume; ErrNotFound if there is none of that name.
func (s *Store) Volume(name string) (Volume, error) {
	var v Volume
	if err := CheckVolumeName(name); err != nil {
		return v, err
	}
	data, err := os.ReadFile(filepath.Join(s.volumeDir(name), "volume.json"))
	if errors.Is(err, os.ErrNotExist) {
		return v, fmt.Errorf("volume %s: %w; `unitc volume ls` lists what is", name, ErrNotFound)
	}
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		return v, fmt.Errorf("reading volume %s: %w", name, err)
	}
	return v, nil
}

// Volumes gives all volumes in the order of their names.
func (s *Store) Volumes() ([]Volume, error) {
	names, err := readDir(s.path("volumes"))
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	var all []Volume
	for _, n := range names {
		v, err := s.Volume(n)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// EnsureVolume gives the volume of that name and makes it if there is none. A
// new one, or one that is empty and was never used, gets what seed says; it is
// seen with all of it or not at all. Any number of units may do this at once.
// v.Used says that the caller will mount it.
func (s *Store) EnsureVolume(ctx context.Context, v Volume, seed *Seed) (Volume, error) {
	if err := CheckVolumeName(v.Name); err != nil {
		return v, err
	}
	if err := s.SameIDs(); err != nil {
		return v, err
	}
	if have, err := s.Volume(v.Name); err == nil && have.isReady(v, seed) || err != nil && !errors.Is(err, ErrNotFound) {
		return have, err
	}
	lock, err := s.Acquire(ctx, "volume-"+v.Name, nil)
	if err != nil {
		return v, err
	}
	defer lock.Unlock()
	have, err := s.Volume(v.Name)
	switch {
	case errors.Is(err, ErrNotFound):
		have = v
	case err != nil || have.isReady(v, seed):
		return have, err
	default:
		entries, err := readDir(s.VolumeData(v.Name))
		if err != nil {
			return have, fmt.Errorf("looking into volume %s: %w", v.Name, err)
		}
		have.Used = have.Used || v.Used
		if seed == nil || !have.isOwn() || len(entries) > 0 {
			return have, s.noteVolume(have)
		}
	}
	if have, err = s.makeVolume(ctx, have, seed); err != nil {
		return have, fmt.Errorf("making volume %s: %w", v.Name, err)
	}
	return have, nil
}

// isReady: nothing is to be copied into the volume or written about it.
func (v *Volume) isReady(want Volume, seed *Seed) bool {
	return v.Used || !want.Used && seed == nil
}

// noteVolume writes down what has changed about a volume.
func (s *Store) noteVolume(v Volume) error {
	data, err := json.Marshal(v)
	if err == nil {
		err = s.change(func() error { return s.writeFile(filepath.Join(s.volumeDir(v.Name), "volume.json"), data) })
	}
	if err != nil {
		return fmt.Errorf("writing down volume %s: %w", v.Name, err)
	}
	return nil
}

// makeVolume stages a volume and puts it in place, or in the place of an empty
// one, by one rename.
func (s *Store) makeVolume(ctx context.Context, v Volume, seed *Seed) (Volume, error) {
	staged := s.path("staging", "volume-"+v.Name)
	if err := removeTree(staged); err != nil {
		return v, err
	}
	defer removeTree(staged) // after the rename, what was replaced
	if v.Created.IsZero() {
		v.Created = time.Now().UTC().Truncate(time.Second)
	}
	had := v.Project
	if err := s.stageVolume(ctx, &v, staged, seed); err != nil {
		if had == 0 {
			err = errors.Join(err, s.unlimit(v))
		}
		return v, err
	}
	if err := s.syncFS(); err != nil {
		return v, err
	}
	return v, s.change(func() error {
		err := unix.Renameat2(unix.AT_FDCWD, staged, unix.AT_FDCWD, s.volumeDir(v.Name), unix.RENAME_EXCHANGE)
		if errors.Is(err, unix.ENOENT) {
			err = os.Rename(staged, s.volumeDir(v.Name))
		}
		if err != nil {
			return err
		}
		return syncDir(s.path("volumes"))
	})
}

// stageVolume fills the directory that becomes the volume's, under its limit
// from the first byte on.
func (s *Store) stageVolume(ctx context.Context, v *Volume, staged string, seed *Seed) error {
	data := filepath.Join(staged, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	// Umask is not asked: a container's users must get in.
	if err := os.Chmod(data, 0o755); err != nil {
		return err
	}
	if err := s.limit(ctx, v, data); err != nil {
		return err
	}
	if seed != nil {
		if err := seed.copyTo(data); err != nil {
			return err
		}
		if err := fits(v, data); err != nil {
			return err
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(staged, "volume.json"), text, 0o600)
}

// RemoveVolume deletes a volume and its data. The caller has seen to it that
// no unit uses it.
func (s *Store) RemoveVolume(name string) error {
	v, err := s.Volume(name)
	if err != nil {
		return err
	}
	// What a power cut has left of others that were removed goes, too.
	return errors.Join(s.discard("volumes", name), s.unlimit(v), s.SweepTrash())
}

// Mount is how a volume is mounted, in the words of the OCI runtime-spec.
type Mount struct {
	Type    string // "bind", "tmpfs", "nfs", …
	Source  string
	Options []string
}

// MountOf says what to mount for a volume. subpath, of the definition, must be
// resolved inside Source by the caller, on descriptors: the volume's content
// is a container's.
func (s *Store) MountOf(v Volume) (Mount, error) {
	if v.Driver != "" && v.Driver != "local" {
		return Mount{}, fmt.Errorf("volume %s: driver %q; only local volumes are supported", v.Name, v.Driver)
	}
	kind, device := v.Options["type"], v.Options["device"]
	var options []string
	for o := range strings.SplitSeq(v.Options["o"], ",") {
		if o != "" {
			options = append(options, o)
		}
	}
	for key := range v.Options {
		if key != "type" && key != "device" && key != "o" && key != sizeOption {
			return Mount{}, fmt.Errorf("volume %s: driver_opts %q; type, device, o and size are supported", v.Name, key)
		}
	}
	if size, err := v.Size(); err != nil {
		return Mount{}, err
	} else if size > 0 && !v.isOwn() {
		return Mount{}, fmt.Errorf("volume %s: %w", v.Name, errOtherSize)
	}
	switch {
	case v.isOwn():
		return Mount{Type: "bind", Source: s.VolumeData(v.Name), Options: []string{"rbind"}}, nil
	case kind == "none" || kind == "bind" || kind == "" && device != "":
		if !filepath.IsAbs(device) {
			return Mount{}, fmt.Errorf("volume %s: device %q of a bind is not an absolute path", v.Name, device)
		}
		return Mount{Type: "bind", Source: filepath.Clean(device), Options: withBind(options)}, nil
	case kind == "tmpfs":
		return Mount{Type: "tmpfs", Source: "tmpfs", Options: options}, nil
	case kind == "":
		return Mount{}, fmt.Errorf("volume %s: driver_opts without type and device", v.Name)
	}
	if device == "" {
		return Mount{}, fmt.Errorf("volume %s: type %s without a device", v.Name, kind)
	}
	return Mount{Type: kind, Source: device, Options: options}, nil
}

// withBind adds the flag without which a bind is none.
func withBind(options []string) []string {
	for _, o := range options {
		if o == "bind" || o == "rbind" {
			return options
		}
	}
	return append([]string{"rbind"}, options...)
}
