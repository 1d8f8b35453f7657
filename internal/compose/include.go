// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"maps"
	"path"
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// maxIncludes bounds how deep files include each other.
const maxIncludes = 16

var includeShape = shape{kinds: list, item: &shape{kinds: text | mapping, format: &hostPathFormat, keys: []field{
	{name: "env_file", shape: &shape{kinds: text | list, format: &hostPathFormat, item: &hostPathShape}, example: "[./db.env]",
		doc: "Files with variables for the included file; .env in its directory if left out, /dev/null for none. The project's own variables win."},
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
		p := r.namedPath(n)
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
	vars := r.includeScope(item, dir)
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

// scope is what an included file may use beside the project's own variables.
type scope struct {
	vars map[string]string
	// files gave them: those of the outermost file that includes come first, and win.
	files [][]string
}

// includeScope reads what an included file may use. The variables of whoever
// includes it win.
func (r *reader) includeScope(item *node, dir string) *scope {
	if r.in.Read == nil {
		return nil
	}
	outer := r.scopes[item.place.layer]
	s := &scope{vars: map[string]string{}}
	if outer != nil {
		maps.Copy(s.vars, outer.vars)
		s.files = outer.files
	}
	layers := r.includeEnvFiles(item.get("env_file"), dir)
	if len(layers) == 0 {
		return s
	}
	vars, problems := variables(layers, func(name string) (string, bool) { return r.variable(item.place.layer, name) })
	r.problems = append(r.problems, problems...)
	var paths []string
	for _, l := range layers {
		paths = append(paths, l.Path)
	}
	s.files = append(s.files[:len(s.files):len(s.files)], paths)
	for name, value := range vars {
		if _, known := s.vars[name]; !known {
			s.vars[name] = value
		}
	}
	return s
}

func (r *reader) includeEnvFiles(given *node, dir string) []Layer {
	if given == nil {
		layer, err := r.readNamed(path.Join(dir, ".env"))
		if err != nil {
			return nil // nobody asked for it
		}
		return []Layer{layer}
	}
	var layers []Layer
	for _, n := range given.asList().items {
		p := r.hostPath(n, n.str())
		if p == "" || p == "/dev/null" {
			continue // Compose's word for none
		}
		layer, err := r.readNamed(p)
		if err != nil {
			r.fault(n, r.cureNamed(p, "write the path of a file of KEY=value lines"), "reading the env file: %v", err).Rule = diag.RuleReference
			continue
		}
		layers = append(layers, layer)
	}
	return layers
}

// readNamed reads a file that the definition names, or the copy of it.
func (r *reader) readNamed(file string) (Layer, error) {
	data, err := r.in.Read(r.in.Files + file)
	return Layer{Path: r.in.Files + file, Data: data}, err
}

// cureNamed is for a file that could not be read: of one that has copies, the cure
// is another.
func (r *reader) cureNamed(file, cure string) string {
	if r.in.Files == "" {
		return cure
	}
	return "install it anew with unitc up, or copy the file to " + r.in.Files + file
}

// isRemote tells whether Compose would fetch a file from elsewhere.
func isRemote(p string) bool {
	return strings.Contains(p, "://") || strings.HasPrefix(p, "git@") || strings.HasPrefix(p, "github.com/")
}

// namedPath is the path of a file that is read to know what the definition is.
func (r *reader) namedPath(n *node) string {
	if isRemote(n.str()) {
		r.fault(n, "fetch it, for example with git clone, and write the path of the file", "%sfiles from elsewhere: %s", unsupported, quote(n.str())).Rule = diag.RuleUnsupported
		return ""
	}
	return r.hostPath(n, n.str())
}

func (r *reader) includeFile(n *node, file, dir string, vars *scope) *node {
	if r.in.Read == nil || len(r.in.Layers) >= maxLayers {
		r.fault(n, "write the services themselves", "no further file can be read here")
		return nil
	}
	layer, err := r.readNamed(file)
	if err != nil {
		r.fault(n, r.cureNamed(file, "write the path of a compose file"), "reading the included file: %v", err).Rule = diag.RuleReference
		return nil
	}
	r.in.Layers = append(r.in.Layers[:len(r.in.Layers):len(r.in.Layers)], layer)
	index := int32(len(r.in.Layers) - 1)
	r.readFrom(index, dir)
	r.setScope(index, vars)
	return r.load(int(index))
}

func (r *reader) setScope(layer int32, s *scope) {
	if r.scopes == nil {
		r.scopes = map[int32]*scope{}
	}
	r.scopes[layer] = s
}

// readFrom says where the relative paths of a layer begin.
func (r *reader) readFrom(layer int32, dir string) {
	if r.dirs == nil {
		r.dirs = map[int32]string{}
	}
	r.dirs[layer] = dir
}

// adopt puts the parts of an included tree below what is there already: as in
// Compose, whoever includes a file may change what it has.
func (r *reader) adopt(root, tree *node) {
	for _, kind := range shared {
		from := tree.get(kind)
		if from == nil || from.kind != mapping {
			continue
		}
		into := findPair(root, kind)
		switch {
		case into == nil:
			root.pairs = append(root.pairs, pair{key: kind, place: from.place, value: from})
		case into.value.isNull():
			into.value = from
		case into.value.kind == mapping: // else its shape is wrong, and that is told
			r.adoptPairs(into.value, from, projectShape.child(kind))
		}
	}
}

func (r *reader) adoptPairs(into, from *node, s *shape) {
	for _, p := range from.pairs {
		own := findPair(into, p.key)
		if own == nil {
			into.pairs = append(into.pairs, p)
			continue
		}
		r.mergePair(&p, *own, s.child(p.key))
		own.value = p.value
	}
}
