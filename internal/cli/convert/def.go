// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/unitc/unitc/internal/diag"
)

// def is a definition that is being made.
type def struct {
	set    *Set
	name   string // web, worker@, front.network
	from   place  // what it is made of
	title  string // the same in words, if it is no file
	root   *node
	head   []string // comments on the whole
	broken bool     // nothing can be made of it
	podman bool     // its words are Podman's, not Docker's
	// isGuess: a network that others name, and that nothing describes.
	isGuess bool
	// private: what it is made of is nobody else's to read.
	private bool

	variables []variable // of NAME.env
	networks  []arg      // --network
	aliases   []arg      // --network-alias
	ips       []arg      // --ip, --ip6
	mac       *arg
	secretEnv []secretEnv
	hasCheck  bool // there is a health check
	notify    string
	// actsOnFailure: somebody has said what becomes of an unhealthy container.
	actsOnFailure bool
	isInPod       bool
	readOnly      *arg
	getenv        func(name string) (string, bool) // where a variable without a value has it from
	keepsTmp      bool                             // --read-only-tmpfs=false
	isProject     bool
	extra         []File // beside the definition
}

type variable struct{ name, value string }

// secretEnv is a secret of Podman's that the payload gets as a variable.
type secretEnv struct {
	secret, variable string
	by               arg
}

func (s *Set) newDef(name string, from place) *def {
	return &def{set: s, name: name, from: from, root: &node{kind: mapping}, getenv: s.host.Getenv}
}

func (d *def) file() string { return d.name + ".yaml" }

// stem is the name that files beside the definition have.
func (d *def) stem() string { return strings.TrimSuffix(d.name, "@") }

func (d *def) variableFile() string { return d.stem() + ".env" }

func (d *def) isTemplate() bool { return strings.HasSuffix(d.name, "@") }

// scalarOf is a value with its place.
func scalarOf(a arg, text string) *node { return &node{text: text, at: a.at, from: a.name} }

// bareOf is a number or a switch.
func bareOf(a arg, text string) *node { return &node{text: text, bare: true, at: a.at, from: a.name} }

func (d *def) setText(key string, a arg, text string) { d.root.put(key, scalarOf(a, text)) }

func (d *def) setBare(key string, a arg, text string) { d.root.put(key, bareOf(a, text)) }

// setNumber quotes what is no number, so that the check says so.
func (d *def) setNumber(key string, a arg) {
	if number.MatchString(a.text) && !strings.Contains(a.text, ":") {
		d.setBare(key, a, a.text)
		return
	}
	d.setText(key, a, a.text)
}

// setTrue sets a switch that is off unless it is written.
func (d *def) setTrue(key string, a arg) {
	if isTrue(a.text) {
		d.setBare(key, a, "true")
	}
}

// add appends to a list, once.
func (d *def) add(key string, a arg, text string) {
	n := d.root.child(key, list)
	for _, item := range n.items {
		if item.kind == scalar && item.text == text {
			return
		}
	}
	n.items = append(n.items, scalarOf(a, text))
}

// addMapping appends a mapping to a list.
func (d *def) addMapping(key string, a arg, pairs ...pair) {
	n := d.root.child(key, list)
	n.items = append(n.items, &node{kind: mapping, pairs: pairs, at: a.at, from: a.name})
}

// addWords sets a list of words on one line.
func (d *def) addWords(key string, a arg, all []string) {
	n := &node{kind: list, flow: true, at: a.at, from: a.name}
	for _, word := range all {
		n.items = append(n.items, scalarOf(a, word))
	}
	d.root.put(key, n)
}

// pair sets a key in a mapping below another key.
func (d *def) pair(key, name string, a arg, value *node) {
	n := d.root.child(key, mapping)
	if n.at == (place{}) {
		n.at, n.from = a.at, a.name
	}
	n.put(name, value)
}

// directive passes one on to systemd; the second of a name makes a list.
func (d *def) directive(section, name string, a arg) {
	block := d.root.child("systemd", mapping).child(section, mapping)
	have, value := block.get(name), scalarOf(a, a.text)
	switch {
	case have == nil:
		block.put(name, value)
	case have.kind == scalar:
		first := *have
		first.above = nil
		block.put(name, &node{kind: list, items: []*node{&first, value}, at: have.at, from: have.from})
	default:
		have.items = append(have.items, value)
	}
}

// lost reports what the definition does not say.
func (d *def) lost(a arg, what, cure string) { d.warn(diag.RuleLoss, "lost", a, what, cure) }

// changed reports what the definition says and means otherwise.
func (d *def) changed(a arg, what, cure string) { d.warn(diag.RuleMeaning, "look", a, what, cure) }

func (d *def) warn(rule, word string, a arg, what, cure string) {
	d.set.report(diag.Warning, rule, a.at, a.name, what, cure)
	text := word + ": " + a.name + " (" + a.at.String() + "): " + what
	if cure != "" {
		text += "; " + cure
	}
	if !slices.Contains(d.head, text) {
		d.head = append(d.head, text)
	}
}

// same notes that something needs no word, for unitc does so anyway or has no such thing.
func (d *def) same(a arg, why string) {
	d.set.report(diag.Note, diag.RuleDefault, a.at, a.name, why, "")
}

// move notes what is to be done by hand before the first start.
func (d *def) move(a arg, what, cure string) {
	d.set.report(diag.Note, diag.RuleMove, a.at, a.name, what, cure)
	if text := "before the first start: " + what + ": " + cure; !slices.Contains(d.head, text) {
		d.head = append(d.head, text)
	}
}

// tellNoText reports bytes that YAML cannot have.
func (d *def) tellNoText() {
	const what, cure = "bytes that are not UTF-8 stand as ?", "write it in UTF-8"
	d.root.each(func(n *node) {
		isText := utf8.ValidString(n.text)
		for _, p := range n.pairs {
			isText = isText && utf8.ValidString(p.key)
		}
		if !isText {
			d.lost(d.originOf(n), what, cure)
		}
	})
	for i, v := range d.variables {
		if !utf8.ValidString(v.value) {
			d.variables[i].value = strings.ToValidUTF8(v.value, "?")
			d.lost(arg{name: v.name, at: d.from}, what, cure)
		}
	}
}

// write gives the definition as YAML.
func (d *def) write() []byte {
	if d.isProject {
		d.root.sort(projectOrder)
	} else {
		d.root.sort(order)
	}
	if system := d.root.get("systemd"); system != nil {
		system.sort(systemdOrder)
	}
	var w writer
	w.comment("", "Made of "+cmp.Or(d.title, d.from.file)+" by unitc convert.")
	for _, text := range d.head {
		w.comment("", text)
	}
	w.mapping("", "", d.root)
	return []byte(w.b.String())
}

func (d *def) writeVariables() []byte {
	var b strings.Builder
	b.WriteString("# Variables of " + d.file() + ".\n")
	for _, v := range d.variables {
		b.WriteString(v.name + "=" + quoteVariable(v.value) + "\n")
	}
	return []byte(b.String())
}

// quoteVariable writes a value as files of variables have it.
func quoteVariable(s string) string {
	switch {
	case s == "" || isPlain(s) || !strings.ContainsAny(s, "\"'\\$#` \t\n"):
		return s
	case !strings.ContainsAny(s, "'\\\n"): // as \' is a quote there, too
		return "'" + s + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "\n", `\n`).Replace(s) + `"`
}

// use has the definition take a variable of NAME.env, whose value is known or empty.
func (d *def) use(name, value string) string {
	if !slices.ContainsFunc(d.variables, func(v variable) bool { return v.name == name }) {
		d.variables = append(d.variables, variable{name, value})
	}
	return string(variableMark) + "{" + name + "}"
}

// nodeOf is the part that a problem of the check is about: the one of its path or else
// the smallest at its line.
func (d *def) nodeOf(p diag.Problem) (found *node) {
	var at *node
	d.root.each(func(n *node) {
		if n.path == p.Path && p.Path != "" {
			found = n
		}
		if n.line > 0 && n.line <= p.Line {
			at = n
		}
	})
	return cmp.Or(found, at)
}

// each calls f for all that is below n, in the order in which it is written.
func (n *node) each(f func(*node)) {
	for _, p := range n.pairs {
		f(p.value)
		p.value.each(f)
	}
	for _, item := range n.items {
		f(item)
		item.each(f)
	}
}

// isRoot tells whether a part says what the root file system is: without it there is
// nothing to start.
func (d *def) isRoot(n *node) bool {
	if services := d.root.get("services"); d.isProject && services != nil {
		for _, p := range services.pairs {
			if n == p.value || n == p.value.get("image") || n == p.value.get("rootfs") {
				return true
			}
		}
		return n == services
	}
	return n == d.root.get("image") || n == d.root.get("rootfs")
}

// originOf is what a part was made of, or the first one below it.
func (d *def) originOf(n *node) arg {
	origin := arg{at: n.at, name: n.from}
	n.each(func(below *node) {
		if origin.at == (place{}) {
			origin = arg{at: below.at, name: below.from}
		}
	})
	if origin.at == (place{}) {
		origin.at = d.from
	}
	return origin
}

// remove takes a part out, and what is empty then.
func (d *def) remove(gone *node) {
	var from func(n *node)
	from = func(n *node) {
		n.items = slices.DeleteFunc(n.items, func(item *node) bool { return item == gone })
		n.pairs = slices.DeleteFunc(n.pairs, func(p pair) bool {
			had := !p.value.isEmpty()
			from(p.value)
			return p.value == gone || had && p.value.isEmpty()
		})
	}
	from(d.root)
}
