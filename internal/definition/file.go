// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"slices"

	"github.com/unitc/unitc/internal/diag"
)

// File is all that one definition file (with its drop-ins) gives. A problem with
// severity Error makes error units of the services that it is of (ProblemsOf).
type File struct {
	// Name is the file's name without ".yaml": "web", "worker@", "blog".
	Name string
	Path string
	// Project is true for a whole compose file with `services:`.
	Project  bool
	Services []Service
	// Networks, Volumes, Secrets and Configs are the project's; of a service
	// without a project they are empty.
	Networks []Network
	Volumes  []NamedVolume
	Secrets  []Material
	Configs  []Material
	Problems diag.List
}

// ProblemsOf are the problems that concern a service: its own, and those of the whole
// file. One service's faults keep none but itself from starting.
func (f *File) ProblemsOf(s *Service) diag.List {
	return f.problems(func(p *diag.Problem) bool { return len(p.Of) == 0 || slices.Contains(p.Of, s.Key) })
}

// OfDeclared is how Problem.Of names a network, volume, secret or config that a fault is
// of, beside the services that use it. No service is called so.
func OfDeclared(kind, key string) string { return kind + "/" + key }

// ProblemsOfNetwork are those of the whole file and of this network.
func (f *File) ProblemsOfNetwork(n *Network) diag.List {
	own := OfDeclared("networks", n.Key)
	return f.problems(func(p *diag.Problem) bool { return len(p.Of) == 0 || slices.Contains(p.Of, own) })
}

// SharedProblems are those of the whole file.
func (f *File) SharedProblems() diag.List {
	return f.problems(func(p *diag.Problem) bool { return len(p.Of) == 0 })
}

// StartProblems are the problems without those of services alone that do not start with
// the project, as of profiles that nobody has asked for.
func (f *File) StartProblems() diag.List {
	return f.problems(func(p *diag.Problem) bool {
		return len(p.Of) == 0 || slices.ContainsFunc(f.Services, func(s Service) bool { return s.StartsWithProject() && slices.Contains(p.Of, s.Key) })
	})
}

// problems are those that are wanted; where that is all, nothing is copied.
func (f *File) problems(wanted func(*diag.Problem) bool) diag.List {
	count := 0
	for i := range f.Problems {
		if wanted(&f.Problems[i]) {
			count++
		}
	}
	if count == len(f.Problems) {
		return f.Problems
	}
	list := make(diag.List, 0, count)
	for i := range f.Problems {
		if p := &f.Problems[i]; wanted(p) {
			list = append(list, *p)
		}
	}
	return list
}
