// SPDX-License-Identifier: Apache-2.0

package units

import (
	"path"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// Stem is a unit's name as operators type it, without what systemd adds.
func Stem(name string) string {
	for _, suffix := range []string{".service", ".target", ".yaml"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

// Match gives the names of the containers that a word means: web, web.service,
// web.yaml, worker@1, all instances that were launched of worker@, all services
// of the project blog. Launched are the names that something was started of.
func Match(generated []Generated, launched []string, word string) []string {
	stem := Stem(word)
	isTemplate := strings.HasSuffix(stem, "@")
	if !isTemplate && (slices.Contains(launched, stem) || find(generated, stem+".service") != nil) {
		return []string{stem}
	}
	var names []string
	for _, name := range launched {
		if isTemplate && strings.HasPrefix(name, stem) {
			names = append(names, name)
		}
	}
	for i := range generated {
		g := &generated[i]
		if strings.HasPrefix(g.Name, definition.NetworkUnit) {
			continue // of the same file, and no container
		}
		if g.Source == "" {
			g.Source, _ = signedSource(g.dir + "/" + g.Name)
		}
		if path.Base(g.Source) == stem+".yaml" && !strings.HasSuffix(g.stem(), "@") {
			names = append(names, g.stem())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Stems are all names that Match may be given.
func Stems(generated []Generated, launched []string) []string {
	names := slices.Clone(launched)
	for i := range generated {
		names = append(names, generated[i].stem())
	}
	slices.Sort(names)
	return slices.Compact(names)
}
