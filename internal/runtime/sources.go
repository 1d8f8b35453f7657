// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/regular"
)

// openSources opens what bind mounts come from, and fills the tmpfs that begin
// with a copy of the image's directory.
func openSources(l *Launch) error {
	for _, path := range l.plan.CreateSources {
		if _, err := os.Stat(path); err == nil {
			continue // a file or a socket is as good a source as a directory
		}
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("creating the bind source: %w", err)
		}
	}
	l.sources = make([]*os.File, len(l.spec.Mounts))
	l.copies = map[int][]byte{}
	for i, m := range l.spec.Mounts {
		o, err := parseOptions(m.Options)
		if err != nil {
			return fmt.Errorf("mounts[%d] %s: %w", i, m.Destination, err)
		}
		switch {
		case o.copyUp:
			if l.sources[i], err = l.copyUp(m.Destination, o); err == nil && o.propagation != 0 {
				err = setPropagation(l.sources[i], sourceKind(o), false)
			}
		case slices.Contains(l.plan.Copies, m.Destination):
			l.copies[i], _, err = regular.Read(m.Source)
		case m.Type == "bind" || o.bind:
			l.sources[i], err = l.openSource(m, o)
		}
		if err != nil {
			return fmt.Errorf("mounts[%d]: %w", i, err)
		}
	}
	return nil
}

func (l *Launch) openSource(m specs.Mount, o mountOptions) (*os.File, error) {
	if l.plan.SharedShm > 0 && m.Destination == "/dev/shm" {
		f, err := cloneOf(l.plan.SharedShm, m.Destination)
		if err != nil {
			return nil, err
		}
		return l.own(f), o.apply(f)
	}
	if err := l.mustPropagate(m, o); err != nil {
		return nil, err
	}
	f, err := cloneBelow(m.Source, l.plan.Subpaths[m.Destination], o.recursive, sourceKind(o))
	if err != nil {
		return nil, err
	}
	l.own(f)
	if err := l.labelSource(f, m); err != nil {
		return nil, err
	}
	if err := l.idmapSource(f, m, o); err != nil {
		return nil, err
	}
	if err := o.apply(f); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Source, err)
	}
	return f, nil
}

// idmapSource gives a bind mount its own mapping, or the container's.
func (l *Launch) idmapSource(f *os.File, m specs.Mount, o mountOptions) error {
	if len(m.UIDMappings) > 0 {
		ns, err := mappingNamespace(m.UIDMappings, m.GIDMappings)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Source, err)
		}
		defer ns.Close()
		return idmap(f, ns, o.idmapTree, m.Source)
	}
	if !o.idmap {
		return nil
	}
	if l.anchor == nil {
		return fmt.Errorf("%s: idmap without mappings of its own needs a user namespace", m.Source)
	}
	err := idmap(f, l.anchor.user, o.idmapTree, m.Source)
	if errors.Is(err, ErrIDMap) && (l.hostView(m) || l.keepsOwners(f, m)) {
		return nil
	}
	return err
}

// cloneBelow is cloneTree of a place below source. The volume's content is the
// payload's: a link in it leads to another place of the volume and never out.
func cloneBelow(source, unsafeSubpath string, recursive bool, kind uint64) (*os.File, error) {
	if unsafeSubpath == "" {
		return cloneTree(unix.AT_FDCWD, source, recursive, kind)
	}
	volume, err := unix.Open(source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", source, err)
	}
	defer unix.Close(volume)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve()}
	place, err := inroot.Open(volume, strings.TrimPrefix(unsafeSubpath, "/"), &how)
	if err != nil {
		return nil, fmt.Errorf("opening subpath %s of %s: %w", unsafeSubpath, source, err)
	}
	defer unix.Close(place)
	return cloneTree(place, "", recursive, kind)
}

// hostView tells whether m is one of the read-only views of the host's own
// files under `rootfs: host`. Where their file system cannot be id-mapped,
// their owners show as nobody: less to see, nothing more to do.
func (l *Launch) hostView(m specs.Mount) bool {
	return l.plan.Root.Kind == plan.RootHost && m.Source == m.Destination && slices.Contains(m.Options, "ro")
}
