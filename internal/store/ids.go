// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/realm"
)

// mapped is a line of uid_map(5) or gid_map: ids of the namespace, and what they are outside.
type mapped struct {
	kind                   string // u or g
	inside, outside, count int
}

func (m mapped) String() string {
	return fmt.Sprintf("%s %d %d %d\n", m.kind, m.inside, m.outside, m.count)
}

// within tells whether a list maps these ids as this line does.
func (m mapped) within(list []mapped) bool {
	return slices.ContainsFunc(list, func(o mapped) bool {
		return o.kind == m.kind && o.inside-m.inside == o.outside-m.outside && o.inside <= m.inside && m.inside+m.count <= o.inside+o.count
	})
}

// Where the kernel says how ids are mapped, for which tests have others.
var idMaps = map[string]string{"u": "/proc/self/uid_map", "g": "/proc/self/gid_map"}

// SameIDs is sameIDs for who has a namespace within the user's made, in which the ids
// outside cannot be seen.
func (s *Store) SameIDs() error {
	if _, err := os.Lstat(s.path("lock")); err != nil {
		return nil // nothing was ever written
	}
	return s.sameIDs()
}

// sameIDs sees that files of a user's store belong to whom they belonged when they were
// written: root may have given the user other subordinate ids since, and the files
// would be nobody's. The system's store knows the host's ids alone.
func (s *Store) sameIDs() error {
	if u := realm.Own(); u == nil || !u.Entered {
		return nil
	}
	var have []mapped
	for _, kind := range []string{"u", "g"} {
		data, err := realm.IDMap(idMaps[kind])
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			m, err := parseMapped(kind + " " + line)
			if err != nil {
				return fmt.Errorf("%s: %w", idMaps[kind], err)
			}
			have = append(have, m)
		}
	}
	if !slices.ContainsFunc(have, func(m mapped) bool { return m.inside != m.outside }) {
		return nil // a namespace within the user's, for which SameIDs was asked
	}
	path := s.path("ids")
	noted, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var text strings.Builder
	for _, m := range have {
		text.WriteString(m.String())
	}
	if text.String() == string(noted) {
		return nil
	}
	for line := range strings.Lines(string(noted)) {
		m, err := parseMapped(line)
		if err != nil {
			return fmt.Errorf("%s: %w; remove it", path, err)
		}
		if !m.within(have) && !s.hasNothing() {
			return fmt.Errorf("images and volumes in %s belong to other ids than %s now gives: %d to %d were %d to %d; have root give the former ids back, in front of others of this user, or remove all images and volumes (`unitc rmi`, `unitc volume rm`; what those leave as root) and pull anew",
				s.dir, map[string]string{"u": "/etc/subuid", "g": "/etc/subgid"}[m.kind], m.inside, m.inside+m.count-1, m.outside, m.outside+m.count-1)
		}
	}
	return s.change(func() error { return s.writeFile(path, []byte(text.String())) })
}

func (s *Store) hasNothing() bool {
	for _, kind := range []string{"layers", "volumes"} {
		if names, err := readDir(s.path(kind)); err != nil || len(names) > 0 {
			return false
		}
	}
	return true
}

func parseMapped(line string) (m mapped, err error) {
	f := strings.Fields(line)
	if len(f) != 4 {
		return m, fmt.Errorf("%q is no line of ids", line)
	}
	m.kind = f[0]
	for i, into := range []*int{&m.inside, &m.outside, &m.count} {
		if *into, err = strconv.Atoi(f[i+1]); err != nil {
			return m, err
		}
	}
	return m, nil
}
