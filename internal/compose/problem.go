// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// reader is one run of Parse.
type reader struct {
	in       Input
	root     *node // nil if the file can't be read as YAML
	trees    *trees
	memory   *Memory
	problems diag.List
	told     tally           // problems by severity
	dropped  tally           // those beyond maxProblems
	targets  []place         // of the mounts of the service being read
	expanded int             // bytes that variables were filled into
	unset    map[string]bool // variables that were told of
	pending  []pendingProblem
	delayed  tally // of pending

	service    *node                // the service being read
	owner      string               // its key, in a project
	fileLabels map[string]string    // from its label_file
	published  map[string]publisher // the host's ports that the definition takes
	addressed  bool                 // one of them on an address of the host's
	clashes    []clash              // those that two of its services take

	extended map[extendedFile]*node // services of files named by extends
	// directory is where relative paths begin that are of no such file; "" = in.Dir.
	directory string
	dirs      map[int32]string // directories of those files and of included ones, by layer
	scopes    map[int32]*scope // what included files may use, by layer
	cloned    int              // values that extends has copied
}

// fault reports an error at a value.
func (r *reader) fault(n *node, cure, format string, args ...any) *diag.Problem {
	if n.unset != "" {
		p := r.report(diag.Error, n.place, r.pathOf(n), "set "+n.unset+" in "+r.envName(), format, args...)
		p.What += " (the variable " + n.unset + " is not set)"
		p.Rule = diag.RuleVariable
		return &diag.Problem{}
	}
	return r.report(diag.Error, n.place, r.pathOf(n), cure, format, args...)
}

// warn reports what never stops a start.
func (r *reader) warn(n *node, cure, format string, args ...any) *diag.Problem {
	return r.report(diag.Warning, n.place, r.pathOf(n), cure, format, args...)
}

// faultKey reports an error at a mapping's key.
func (r *reader) faultKey(n *node, p *pair, cure, format string, args ...any) *diag.Problem {
	return r.report(diag.Error, p.place, join(r.pathOf(n), p.key), cure, format, args...)
}

// faultFile reports an error of a whole layer, or of a line in it.
func (r *reader) faultFile(at place, cure, format string, args ...any) *diag.Problem {
	return r.report(diag.Error, at, "", cure, format, args...)
}

// report adds a problem and returns it, for its rule to be set.
func (r *reader) report(severity diag.Severity, at place, path, cure, format string, args ...any) *diag.Problem {
	if *r.told.of(severity) >= maxProblems {
		*r.dropped.of(severity)++
		return &diag.Problem{}
	}
	p := diag.Problem{
		File: r.path(at), Line: int(at.line), Col: int(at.col),
		Severity: severity, Path: path, What: fmt.Sprintf(format, args...), Cure: cure,
		Of: r.owners(path),
	}
	for i := range r.problems {
		// What an anchor holds is met once an alias, and is to be corrected once.
		if had := &r.problems[i]; had.Line == p.Line && had.Col == p.Col && had.What == p.What && had.File == p.File && p.Line > 0 {
			had.Of = joinOwners(had.Of, p.Of)
			return &diag.Problem{}
		}
	}
	r.problems = append(r.problems, p)
	*r.told.of(severity)++
	return &r.problems[len(r.problems)-1]
}

// tally counts problems. Warnings never take the place of errors: a definition may
// have any number of them.
type tally struct{ errors, warnings int }

func (t *tally) of(severity diag.Severity) *int {
	if severity == diag.Error {
		return &t.errors
	}
	return &t.warnings
}

// full tells that further errors are only counted.
func (r *reader) full() bool { return r.told.errors >= maxProblems }

// pendingProblem is a problem that was found before the tree was whole, so that
// its path is not known yet.
type pendingProblem struct {
	node       *node
	severity   diag.Severity
	what, cure string
}

func (r *reader) later(n *node, severity diag.Severity, cure, what string) {
	if *r.delayed.of(severity) >= maxProblems {
		*r.dropped.of(severity)++
		return
	}
	*r.delayed.of(severity)++
	r.pending = append(r.pending, pendingProblem{n, severity, what, cure})
}

// reportLater reports what was found while the tree was made.
func (r *reader) reportLater() {
	for _, p := range r.pending {
		r.report(p.severity, p.node.place, r.pathOf(p.node), p.cure, "%s", p.what).Rule = diag.RuleVariable
	}
}

// reportDropped closes a list that was cut.
func (r *reader) reportDropped() {
	if r.dropped == (tally{}) {
		return
	}
	last := &r.problems[len(r.problems)-1]
	more := diag.Problem{File: last.File, Severity: diag.Warning, Cure: "correct these first"}
	if r.dropped.errors > 0 {
		more.Severity = diag.Error
	}
	more.What = strconv.Itoa(r.dropped.errors+r.dropped.warnings) + " further problems are not shown"
	r.problems = append(r.problems, more)
}

// path is the file of a place.
func (r *reader) path(at place) string {
	if int(at.layer) < len(r.in.Layers) {
		return r.in.Layers[at.layer].Path
	}
	return r.in.Name + ".yaml"
}

// where names another place in a message: the line, with the file if that is
// not the file of the problem.
func (r *reader) where(here, there place) string {
	line := "line " + strconv.Itoa(int(there.line))
	if here.layer != there.layer {
		return line + " of " + r.path(there)
	}
	return line
}

// pathOf finds the way from the root to a node, as services.web.ports[0].
// Problems are rare and nodes are met often, so nothing is kept for it.
func (r *reader) pathOf(n *node) string {
	if n.whole != nil {
		n = n.whole
	}
	path, _ := findPath(r.root, n, "")
	return path
}

func findPath(from, to *node, path string) (string, bool) {
	if from == to {
		return path, true
	}
	if from == nil {
		return "", false
	}
	for i := range from.pairs {
		if found, ok := findPath(from.pairs[i].value, to, join(path, from.pairs[i].key)); ok {
			return found, true
		}
	}
	for i, item := range from.items {
		if found, ok := findPath(item, to, path+"["+strconv.Itoa(i)+"]"); ok {
			return found, true
		}
	}
	return "", false
}

// join appends a key to a path; a key that is no plain word is quoted.
func join(path, key string) string {
	if strings.ContainsAny(key, ".[] \t\n\"") || key == "" {
		return path + "[" + strconv.Quote(shorten(key)) + "]"
	}
	if path == "" {
		return shorten(key)
	}
	return path + "." + shorten(key)
}

// shorten keeps a value of the file from filling the terminal.
func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

// quote shows a value of the file in a message.
func quote(s string) string { return strconv.Quote(shorten(s)) }
