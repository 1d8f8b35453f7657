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
		key := services.pairs[i].key
		rest, found := strings.CutPrefix(path, join("services", key))
		if found && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			keys = append(keys, key)
		}
	}
	return keys
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
