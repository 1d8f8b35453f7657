// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// A service with a fault does not start; the others of its project do. What follows
// says of which services a fault is, and where that is not certain it is of all.

// owners are the services that a fault at this path is of.
func (r *reader) owners(path string) (keys []string) {
	services := r.services()
	switch {
	case services == nil:
		return nil
	case path == "" && r.owner != "":
		return []string{r.owner} // a value that was made of another has no path
	}
	for i := range services.pairs {
		if key := services.pairs[i].key; isBelow(path, "services", key) {
			keys = append(keys, key)
		}
	}
	for _, kind := range []string{"networks", "volumes", "secrets", "configs"} {
		for i := range r.root.get(kind).orEmpty().pairs {
			if key := r.root.get(kind).pairs[i].key; isBelow(path, kind, key) {
				keys = append(r.users(kind, key), definition.OfDeclared(kind, key))
			}
		}
	}
	return keys
}

// isBelow tells whether a path is that of an entry, or of something in it.
func isBelow(path, kind, key string) bool {
	rest, found := strings.CutPrefix(path, join(kind, key))
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// users are the services that use what is declared.
func (r *reader) users(kind, key string) (keys []string) {
	services := r.services()
	for i := range services.pairs {
		p := &services.pairs[i]
		if p.value.kind != mapping || uses(p.value, kind, key) || kind == "secrets" && uses(p.value.get("build"), kind, key) {
			keys = append(keys, p.key)
		}
	}
	return keys
}

func uses(service *node, kind, key string) bool {
	list := service.get(kind)
	if kind == "networks" && key == defaultNetwork && (list.isNull() || len(list.items)+len(list.pairs) == 0) {
		return true // who names none; with network_mode: that is none either, and too much
	}
	for _, item := range list.orEmpty().items {
		name, _, _ := strings.Cut(item.text, ":")
		if name == key || item.get("source").str() == key {
			return true
		}
	}
	return findPair(list, key) != nil
}

// joinOwners are those of a fault that several values have, as by an anchor.
func joinOwners(one, other []string) []string {
	if len(one) == 0 || len(other) == 0 {
		return nil
	}
	for _, key := range other {
		if !slices.Contains(one, key) {
			one = append(one[:len(one):len(one)], key)
		}
	}
	return one
}

// settleOwners sees to it that no service starts without what was wrong in it.
func (r *reader) settleOwners(file *definition.File) {
	services := r.services()
	if services == nil || !r.problems.HasErrors() {
		return
	}
	file.Problems = r.problems
	for i := range services.pairs {
		p := &services.pairs[i]
		s := definition.Service{Key: p.key}
		if !isSpoiled(p.value) || file.ProblemsOf(&s).HasErrors() {
			continue
		}
		// The fault was told of another one, that this one is made from.
		for j := range r.problems {
			if one := &r.problems[j]; one.Severity == diag.Error {
				one.Of = joinOwners(one.Of, []string{p.key})
			}
		}
	}
	if r.full() {
		// What came behind was not looked at.
		for i := range r.problems {
			r.problems[i].Of = nil
		}
	}
}

// isSpoiled tells whether anything in a tree was left out.
func isSpoiled(n *node) bool {
	return n.bad || slices.ContainsFunc(n.items, isSpoiled) || slices.ContainsFunc(n.pairs, func(p pair) bool { return isSpoiled(p.value) })
}
