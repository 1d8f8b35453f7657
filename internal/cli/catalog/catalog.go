// SPDX-License-Identifier: Apache-2.0

// Package catalog finds definitions by the names that operators type, and says
// what the generator would make of them. It reads files only: nothing here
// needs systemd to run, so it works on images and in build machines too.
package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/loader"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/syntax/library"
)

// NotFoundError is a name that nothing here has.
type NotFoundError struct {
	Name    string
	Nearest string // "" = nothing like it
	None    bool   // there is no definition at all
	What    string // another thing than a definition: "secret"
	Stray   string // the file that may have been meant, where none is read
}

func (e *NotFoundError) Error() string {
	switch {
	case e.What != "" && e.Nearest != "":
		return fmt.Sprintf("no %s %q; did you mean %s?", e.What, e.Name, e.Nearest)
	case e.What != "":
		return fmt.Sprintf("no %s %q; `unitc %s ls` lists all", e.What, e.Name, e.What)
	case e.Stray != "":
		return fmt.Sprintf("no definition %q: %s is not read, as it stands below a search directory and not in it; %s", e.Name, e.Stray, strayCure(e.Stray))
	case e.None:
		return fmt.Sprintf("no definition %q, nor any other; write one to %s/%s.yaml", e.Name, searchpath.Dirs[0], e.Name)
	case e.Nearest != "":
		return fmt.Sprintf("no definition %q; did you mean %s?", e.Name, e.Nearest)
	}
	return fmt.Sprintf("no definition %q; `unitc ps -a` lists all", e.Name)
}

// ManyError is a project where one service was asked for, or a template where one
// instance was.
type ManyError struct {
	Name     string
	Services []string
}

func (e *ManyError) Error() string {
	what := "a project of %d services"
	if slices.ContainsFunc(e.Services, func(name string) bool { return strings.Contains(name, "@") }) {
		what = "a template with %d instances"
	}
	return fmt.Sprintf("%s is "+what+"; name one of them: %s", e.Name, len(e.Services), strings.Join(e.Services, " "))
}

// BrokenError is a definition with faults.
type BrokenError struct{ Problems diag.List }

func (e *BrokenError) Error() string { return strings.TrimSuffix(e.Problems.String(), "\n") }

// Found is a definition that a name means.
type Found struct {
	Entry  *searchpath.Entry
	Source searchpath.Source
	File   definition.File
	// Named are the files that it extends and includes, and their like.
	Named []searchpath.Layer
	// Services are those that the name means: of a project's name all, else one.
	// It is empty if nothing of the file could be decoded.
	Services []definition.Service
	// Project is true if the name means all of a project.
	Project bool
}

// Find looks a name up below root ("" is the host). It takes what operators
// have at hand: web, web.service, web.yaml, worker@1, blog, blog.target, blog-db.
func Find(root, name string) (*Found, error) {
	tree := searchpath.Open(root)
	defer tree.Close()
	stem := name
	for _, suffix := range []string{".service", ".target", ".yaml"} {
		stem = strings.TrimSuffix(stem, suffix)
	}
	base, instance := stem, ""
	if at := strings.IndexByte(stem, '@'); at >= 0 {
		base, instance = stem[:at+1], stem[at+1:]
	}
	if entry, ok := tree.Entry(base); ok && !entry.Masked {
		f := read(tree, entry)
		f.Project = f.File.Project
		for _, s := range f.File.Services {
			s.Instance = instance
			f.Services = append(f.Services, s)
		}
		return f, nil
	}
	if f := findInProjects(tree, base, instance); f != nil {
		return f, nil
	}
	return nil, notFound(tree, root, name, stem)
}

func read(tree *searchpath.Tree, entry *searchpath.Entry) *Found {
	f := &Found{Entry: entry, Source: tree.Read(entry)}
	f.Source.Named = &f.Named
	f.File = loader.Parse(f.Source, library.Full)
	return f
}

// findInProjects looks for blog-db in blog.yaml, and for the longer name first
// where both blog-a.yaml and blog.yaml could have it.
func findInProjects(tree *searchpath.Tree, base, instance string) *Found {
	for i := strings.LastIndexByte(base, '-'); i > 0; i = strings.LastIndexByte(base[:i], '-') {
		entry, ok := tree.Entry(base[:i])
		if !ok || entry.Masked {
			continue
		}
		f := read(tree, entry)
		for _, s := range f.File.Services {
			if s.Name == base {
				s.Instance = instance
				f.Services = []definition.Service{s}
				return f
			}
		}
	}
	return nil
}

func notFound(tree *searchpath.Tree, root, name, stem string) error {
	names := unitStems(tree)
	return &NotFoundError{Name: name, Nearest: compose.Nearest(stem, names), None: len(names) == 0, Stray: strayOf(root, stem)}
}

// unitStems are the names of all services that definitions give, and those of
// the projects.
func unitStems(tree *searchpath.Tree) []string {
	var names []string
	for _, name := range tree.Names() {
		entry, _ := tree.Entry(name)
		if entry.Masked {
			continue
		}
		names = append(names, name)
		for _, s := range read(tree, entry).File.Services {
			if s.Name != name {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// Names are the services and projects that definitions give, in byte order.
func Names(root string) []string {
	tree := searchpath.Open(root)
	defer tree.Close()
	names := unitStems(tree)
	slices.Sort(names)
	return names
}

// One is the service that a name means, with what keeps it from starting as an
// error.
func (f *Found) One() (*definition.Service, error) {
	problems := f.File.Problems
	if len(f.Services) == 1 {
		problems = f.File.ProblemsOf(&f.Services[0])
	}
	if len(f.Services) == 0 || problems.HasErrors() {
		if !problems.HasErrors() {
			problems = append(problems, diag.Problem{File: f.File.Path, What: "it defines no service", Cure: "write rootfs: or image:"})
		}
		return nil, &BrokenError{problems}
	}
	if len(f.Services) > 1 {
		e := &ManyError{Name: f.File.Name}
		for _, s := range f.Services {
			e.Services = append(e.Services, s.Name)
		}
		return nil, e
	}
	s := &f.Services[0]
	if strings.HasSuffix(s.Name, "@") && s.Instance == "" {
		return nil, &TemplateError{s.Name}
	}
	return s, nil
}

// TemplateError is a template where an instance is needed.
type TemplateError struct{ Name string }

func (e *TemplateError) Error() string {
	return fmt.Sprintf("%s is a template; name an instance of it, as in %s1", e.Name, e.Name)
}

// IsUsage tells whether an error is of what was typed and not of a definition.
func IsUsage(err error) bool {
	var many *ManyError
	var template *TemplateError
	return errors.As(err, &many) || errors.As(err, &template)
}
