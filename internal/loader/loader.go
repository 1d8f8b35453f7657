// SPDX-License-Identifier: Apache-2.0

// Package loader joins what searchpath found with the definition language: the
// bytes of a definition, its drop-ins and its variables become a
// definition.File. Generator and CLI both read definitions through it, so that
// `unitc check` says what the generator will do.
package loader

import (
	"path"

	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/envfile"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/syntax"
)

// Parse never fails: what is wrong, files that could not be read included,
// stands in File.Problems. The library reads what is not plain.
func Parse(src searchpath.Source, library syntax.Library) definition.File {
	return ParseInto(nil, src, library)
}

// ParseInto is Parse for many definitions one after the other, each of which
// overwrites the one before.
func ParseInto(memory *compose.Memory, src searchpath.Source, library syntax.Library) definition.File {
	file := definition.File{Name: src.Name, Path: src.Path}
	in := compose.Input{Name: src.Name, Dir: src.Dir, EnvName: src.EnvName, Layers: make([]compose.Layer, len(src.Layers)), Read: src.ReadNamed, Files: src.Files, Library: library, Memory: memory}
	if u := realm.Own(); u != nil {
		in.Home = u.Home
	}
	for i, layer := range src.Layers {
		in.Layers[i] = compose.Layer(layer)
	}
	for _, layer := range src.Env {
		if path.Dir(layer.Path) != src.Dir {
			in.EnvFile = layer.Path // an administrator's, of a definition that a package has
		}
	}
	vars, problems := variables(src.Env)
	// Without a first layer there is nothing to parse, and nothing to say but
	// why it could not be read.
	if len(in.Layers) > 0 && in.Layers[0].Path == src.Path {
		in.Env = vars
		file = compose.Parse(in)
	}
	file.Problems = append(append(src.Problems[:len(src.Problems):len(src.Problems)], problems...), file.Problems...)
	if realm.Own() != nil {
		file.ForUser()
	}
	return file
}

// variables merges the env files, of which a later one may use and replaces
// the variables of those before it.
func variables(files []searchpath.Layer) (map[string]string, diag.List) {
	if len(files) == 0 {
		return nil, nil
	}
	var problems diag.List
	vars := map[string]string{}
	for _, f := range files {
		list, faults := envfile.Parse(envfile.File{Path: f.Path, Data: f.Data, Lookup: func(name string) (string, bool) {
			value, ok := vars[name]
			return value, ok
		}})
		problems = append(problems, faults...)
		for _, v := range list {
			if v.Value != nil {
				vars[v.Name] = *v.Value
			}
		}
	}
	return vars, problems
}
