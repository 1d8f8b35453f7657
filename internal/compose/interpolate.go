// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/envfile"
	"github.com/unitc/unitc/internal/interpolate"
)

// maxExpanded is what filled-in variables may add to one definition in bytes.
const maxExpanded = 4 << 20

// Variables reads the files that give variables to a definition, .env and then
// NAME.env: what the later ones set wins, and they may use what the earlier set.
func Variables(layers []Layer) (map[string]string, diag.List) {
	return variables(layers, nil)
}

// variables is Variables with what the files may use beside their own, which wins.
func variables(layers []Layer, outside func(string) (string, bool)) (map[string]string, diag.List) {
	vars := map[string]string{}
	var problems diag.List
	for _, layer := range layers {
		lookup := func(name string) (string, bool) {
			if outside != nil {
				if value, ok := outside(name); ok {
					return value, true
				}
			}
			value, ok := vars[name]
			return value, ok
		}
		read, faults := envfile.Parse(envfile.File{Path: layer.Path, Data: layer.Data, Lookup: lookup, Above: outside != nil})
		problems = append(problems, faults...)
		set := make(map[string]string, len(read))
		for _, v := range read {
			if v.Value != nil {
				set[v.Name] = *v.Value
			}
		}
		maps.Copy(vars, set)
	}
	return vars, problems
}

// fillIn puts variables into a scalar, each layer by itself and before merging,
// so that a fault is shown where it stands.
func (l *loader) fillIn(n *node) {
	if l.unread || strings.IndexByte(n.text, '$') < 0 {
		return
	}
	x := interpolate.Expander{
		Lookup: func(name string) (string, bool) { return l.variable(l.layer, name) },
		Unset:  func(name string) { l.warnUnset(n, name) },
		Limit:  maxScalar,
	}
	text, err := x.Expand(n.text)
	var e *interpolate.Error
	if errors.As(err, &e) && l.building {
		n.text = ""
		l.later(n, diag.Warning, e.Cure, e.What)
		return
	}
	if errors.As(err, &e) {
		n.bad = true
		l.later(n, diag.Error, e.Cure, e.What)
		return
	}
	if l.expanded += len(text); l.expanded > maxExpanded {
		l.faultFile(n.place, "use shorter variables", "variables make the definition grow beyond %d bytes", maxExpanded)
		l.full = true
		return
	}
	n.text = text
}

// variable is what a name stands for in a layer.
func (r *reader) variable(layer int32, name string) (string, bool) {
	value, ok := r.in.Env[name]
	if s := r.scopes[layer]; !ok && s != nil {
		value, ok = s.vars[name]
	}
	if !ok && name == "COMPOSE_PROJECT_NAME" {
		return r.in.Name, true
	}
	return value, ok
}

// fillTree fills in the scalars of a tree that was made without convert; beyond
// the limit nothing is left of it, as there.
func (l *loader) fillTree(n *node) {
	if l.full {
		*n = node{kind: null, place: n.place}
		return
	}
	for i := range n.pairs {
		outer := l.enter(n.pairs[i].key)
		l.fillTree(n.pairs[i].value)
		l.within = outer
	}
	for _, item := range n.items {
		l.fillTree(item)
	}
	if n.kind&scalar != 0 {
		l.fillIn(n)
	}
}

// envName is the file in which a definition's own variables are set.
func (r *reader) envName() string {
	return cmp.Or(r.in.EnvName, strings.TrimSuffix(r.in.Name, "@")+".env")
}

// ofLogin are variables that Compose always finds, as a shell that somebody has
// logged in to sets them.
var ofLogin = []string{"HOME", "LOGNAME", "PWD", "USER"}

// warnUnset tells of a variable that gives "" because nobody sets it, as
// Compose does; once a name.
func (l *loader) warnUnset(n *node, name string) {
	n.unset = name
	if l.unset[name] {
		return
	}
	if l.unset == nil {
		l.unset = map[string]bool{}
	}
	l.unset[name] = true
	if slices.Contains(ofLogin, name) {
		l.later(n, diag.Error, "set it in "+l.envName()+" beside the definition", "the variable "+name+" is not set: a unit has none of a login's, as Compose has")
		return
	}
	l.later(n, diag.Warning, "set it in "+l.envName()+" beside the definition, or write ${"+name+":-default}", "the variable "+name+" is not set and gives an empty string")
}
