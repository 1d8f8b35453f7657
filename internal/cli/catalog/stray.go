// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/regular"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/syntax"
	"github.com/unitc/unitc/internal/syntax/library"
)

// Definitions stand in the search directories and not below them, as systemd's units do:
// of two with one name in two directories one would have to lose, and what a definition
// mounts stands beside it. Quadlet looks into all directories, and people who keep a
// directory for each compose file expect that; so it is told where a definition stands
// that nobody reads. The generator does not look: a directory below may be anything, and
// of a server that does not answer.
const (
	mostStrayNames = 5000
	strayDepth     = 3
	maxStray       = 128 << 10 // bytes; definitions that people write have a few KiB
)

// strays looks for definitions in the directories below a search directory.
type strays struct {
	root  string
	names int // that were looked at
	found []string
}

// below fills in the paths of files named as definitions are, without root.
func (s *strays) below(dir string, depth int) {
	list, err := os.ReadDir(s.root + dir)
	if err != nil {
		return
	}
	for _, item := range list {
		path := dir + "/" + item.Name()
		if s.names++; s.names > mostStrayNames {
			return
		}
		name := item.Name()
		switch ending := strings.ToLower(filepath.Ext(name)); {
		case name[0] == '.', strings.HasSuffix(name, ".yaml.d"), strings.HasSuffix(name, searchpath.EndCopies):
		case item.IsDir() && depth < strayDepth:
			s.below(path, depth+1)
		case depth > 0 && (ending == ".yaml" || ending == ".yml"):
			s.found = append(s.found, path)
		}
	}
}

// Strays are definitions below the search directories that nobody reads and that no
// definition extends, includes or mounts.
// Of other directories than the search path it is no fault that they have some.
func (o *Output) Strays(root string, dirs []string) (problems diag.List) {
	others := dirs != nil
	if !others {
		dirs = searchpath.Dirs
	}
	for _, dir := range dirs {
		s := strays{root: root}
		s.below(dir, 0)
		for _, path := range s.found {
			data, _, err := regular.Read(root + path)
			if err != nil || !isDefinition(data) || o.knows(path, data) {
				continue
			}
			what := "definitions stand in " + dir + " and not in directories below it"
			p := diag.Problem{File: path, Severity: diag.Warning, What: "not read: " + what, Cure: strayCure(path)}
			if others {
				p.Severity, p.What, p.Cure = diag.Note, "not checked: "+what, "`unitc check "+path+"` checks it"
			}
			problems = append(problems, p)
		}
	}
	return problems
}

func strayCure(path string) string { return "`unitc up " + path + "` installs it" }

// isDefinition tells a definition from what else is written in YAML.
func isDefinition(data []byte) bool {
	if len(data) > maxStray {
		return false
	}
	documents, _ := library.Full.YAML(data, 1)
	if len(documents) == 0 || len(documents[0].Content) == 0 {
		return false
	}
	top := documents[0].Content[0]
	return isService(top) || eachValue(top, func(key string, value *syntax.Node) bool {
		return key == "services" && eachValue(value, func(_ string, service *syntax.Node) bool { return isService(service) })
	})
}

// isService: with one of these a mapping can be started.
func isService(n *syntax.Node) bool {
	return eachValue(n, func(key string, value *syntax.Node) bool {
		switch key {
		case "rootfs", "image", "bundle":
			return value.Kind == syntax.Scalar
		}
		return false
	})
}

// eachValue tells whether any pair of a mapping is what is looked for.
func eachValue(n *syntax.Node, is func(key string, value *syntax.Node) bool) bool {
	if n.Kind != syntax.Mapping {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if is(n.Content[i].Value, n.Content[i+1]) {
			return true
		}
	}
	return false
}

// knows tells whether a definition names a file, mounts it, or is what was made of it.
func (o *Output) knows(path string, data []byte) bool {
	for _, l := range o.read {
		if l.Path == path || bytes.Equal(l.Data, data) || bytes.Contains(l.Data, []byte(compose.Directory(filepath.Dir(path)))) {
			return true
		}
	}
	for i := range o.Definitions {
		for j := range o.Definitions[i].Services {
			for _, v := range o.Definitions[i].Services[j].Volumes {
				if v.Type == definition.VolumeBind && (v.Source == path || strings.HasPrefix(path, strings.TrimSuffix(v.Source, "/")+"/")) {
					return true
				}
			}
		}
	}
	return false
}

// strayOf finds the file that somebody may mean by a name that no definition has.
func strayOf(root, stem string) string {
	for _, dir := range searchpath.Dirs {
		s := strays{root: root}
		s.below(dir, 0)
		for _, path := range s.found {
			name := filepath.Base(path)
			if base := strings.TrimSuffix(name, filepath.Ext(name)); base == stem || isWhole(path) && filepath.Base(filepath.Dir(path)) == stem {
				return path
			}
		}
	}
	return ""
}
