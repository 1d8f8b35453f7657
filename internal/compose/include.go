// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"path"

	"github.com/unitc/unitc/internal/diag"
)

// maxIncludes bounds how deep files include each other.
const maxIncludes = 16

var includeShape = shape{kinds: list, item: &shape{kinds: text | mapping, format: &hostPathFormat, keys: []field{
	{name: "env_file", shape: &shape{kinds: text | list, format: &hostPathFormat, item: &hostPathShape}, example: "[./db.env]",
		doc: "Files with variables for the included file; .env in its directory if left out. The project's own variables win."},
	{name: "path", shape: &shape{kinds: text | list, format: &hostPathFormat, item: &hostPathShape, min: 1}, example: "./db/compose.yaml", required: true,
		doc: "The file; of several, each is merged over those before it."},
	{name: "project_directory", shape: &hostPathShape, example: "./db",
		doc: "Where the file's relative paths start; its own directory if left out."},
}}}

// shared are the parts of a project that an included file adds to.
var shared = []string{"services", "networks", "volumes", "secrets", "configs"}

// include adds what `include:` names to the project. chain holds the files on
// the way to root.
func (r *reader) include(root *node, chain []string) {
	at := findPair(root, "include")
	if at == nil || at.value.isNull() || at.value.mark == reset {
		return
	}
	if !r.check(at.value, &includeShape, &field{name: "include", example: "[./db/compose.yaml]"}) {
		at.value.bad = true
	}
	for _, item := range at.value.good().items {
		if tree := r.includeOne(item, chain); tree != nil {
			r.adopt(root, tree)
		}
	}
}

// includeOne reads the files of one item as one tree.
func (r *reader) includeOne(item *node, chain []string) *node {
	files := []*node{item}
	if item.kind == mapping {
		files = item.get("path").asList().items
	}
	var paths []string
	for _, n := range files {
		p := r.hostPath(n, n.str())
		if p == "" {
			return nil
		}
		if contains(chain, p) || len(chain) > maxIncludes {
			r.fault(n, "remove one of the two", "files include each other").Rule = diag.RuleReference
			return nil
		}
		paths = append(paths, p)
	}
	dir := path.Dir(paths[0])
	if given := item.get("project_directory"); given != nil {
		if dir = r.hostPath(given, given.str()); dir == "" {
			return nil
		}
	}
	vars := r.includeVariables(item, dir)
	var all *node
	for i, p := range paths {
		tree := r.includeFile(files[i], p, dir, vars)
		switch {
		case tree == nil:
			return nil
		case all == nil:
			all = tree
		default:
			r.merge(all, tree, &projectShape)
		}
	}
	r.include(all, append(chain[:len(chain):len(chain)], paths...))
	return all
}

// includeVariables reads what an included file may use beside the project's
// own variables, which win.
func (r *reader) includeVariables(item *node, dir string) map[string]string {
	given := item.get("env_file")
	if r.in.Read == nil {
		return nil
	}
	if given == nil {
		data, err := r.in.Read(path.Join(dir, ".env"))
		if err != nil {
			return nil // nobody asked for it
		}
		return r.variables([]Layer{{Path: path.Join(dir, ".env"), Data: data}})
	}
	var layers []Layer
	for _, n := range given.asList().items {
		p := r.hostPath(n, n.str())
		if p == "" {
			continue
		}
		data, err := r.in.Read(p)
		if err != nil {
			r.fault(n, "write the path of a file of KEY=value lines", "reading the env file: %v", err).Rule = diag.RuleReference
			continue
		}
		layers = append(layers, Layer{Path: p, Data: data})
	}
	return r.variables(layers)
}

func (r *reader) variables(layers []Layer) map[string]string {
	vars, problems := Variables(layers)
	r.problems = append(r.problems, problems...)
	return vars
}

func (r *reader) includeFile(n *node, file, dir string, vars map[string]string) *node {
	if r.in.Read == nil || len(r.in.Layers) >= maxLayers {
		r.fault(n, "write the services themselves", "no further file can be read here")
		return nil
	}
	data, err := r.in.Read(file)
	if err != nil {
		r.fault(n, "write the path of a compose file", "reading the included file: %v", err).Rule = diag.RuleReference
		return nil
	}
	r.in.Layers = append(r.in.Layers[:len(r.in.Layers):len(r.in.Layers)], Layer{Path: file, Data: data})
	index := int32(len(r.in.Layers) - 1)
	r.readFrom(index, dir)
	if r.layerEnv == nil {
		r.layerEnv = map[int32]map[string]string{}
	}
	r.layerEnv[index] = vars
	return r.load(int(index))
}

// readFrom says where the relative paths of a layer begin.
func (r *reader) readFrom(layer int32, dir string) {
	if r.dirs == nil {
		r.dirs = map[int32]string{}
	}
	r.dirs[layer] = dir
}

// adopt adds the parts of an included tree. A name that is there already is
// refused, as in Compose: it would mean two things.
func (r *reader) adopt(root, tree *node) {
	for _, kind := range shared {
		from := tree.get(kind)
		if from == nil || from.kind != mapping {
			continue
		}
		into := findPair(root, kind)
		if into == nil || into.value.kind != mapping {
			if into != nil && !into.value.isNull() {
				continue // its shape is wrong, and that is told
			}
			made := pair{key: kind, place: from.place, value: &node{kind: mapping, place: from.place}}
			if into == nil {
				root.pairs = append(root.pairs, made)
				into = &root.pairs[len(root.pairs)-1]
			} else {
				*into = made
			}
		}
		for _, p := range from.pairs {
			if first := findPair(into.value, p.key); first != nil {
				r.report(diag.Error, p.place, join(kind, p.key), "rename one of the two", "%s is there already: at %s", quote(p.key), r.where(p.place, first.place)).Rule = diag.RuleDuplicate
				continue
			}
			into.value.pairs = append(into.value.pairs, p)
		}
	}
}
