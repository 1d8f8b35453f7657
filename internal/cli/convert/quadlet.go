// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// Source is one file as it stands, or a drop-in.
type Source struct {
	Path string // as it is reported
	Dir  string // where relative paths begin, absolute
	Data []byte
	// Private: others may not read it, nor what is made of it. People keep passwords there.
	Private bool
	// DropIns are merged over it, in their order.
	DropIns []Source
}

// quadlet is a file of Podman's with its drop-ins.
type quadlet struct {
	set      *Set
	base     string // web.container
	kind     string // container
	at       place
	dir      string
	sections []section
	def      *def
	expand   *expander
	members  []*quadlet // of a pod
	// Of a .kube: PublishPort=, and which of them a container has.
	published []arg
	used      []bool
	private   bool
}

// section is what stands below one [Name], of all files of a quadlet.
type section struct {
	name    string
	at      place
	entries []entry
}

type entry struct {
	key, value string
	at         place
}

// Kinds are the types of Quadlet files, by the ends of their names.
var Kinds = []string{"container", "pod", "network", "volume", "image", "build", "kube", "artifact"}

// IsQuadlet tells by its name whether a file is Podman's.
func IsQuadlet(path string) bool {
	return slices.Contains(Kinds, strings.TrimPrefix(filepath.Ext(path), "."))
}

// Add reads a file; Quadlets converts all that were added.
func (s *Set) Add(src Source) {
	q := &quadlet{set: s, base: filepath.Base(src.Path), dir: src.Dir, at: place{file: src.Path}, private: src.Private}
	q.kind = strings.TrimPrefix(filepath.Ext(q.base), ".")
	s.ofUser(q)
	ok := q.read(src.Path, src.Data)
	for _, drop := range src.DropIns {
		ok = q.read(drop.Path, drop.Data) && ok
		q.private = q.private || drop.Private
	}
	for _, other := range s.quadlets {
		if other.base == q.base {
			s.fault(q.at, "", "there is a file of this name already, "+other.at.file, "Podman takes the first that it finds; convert that one")
			return
		}
	}
	if ok {
		s.quadlets = append(s.quadlets, q)
	}
}

// ofUser tells once that a file is a user's, where the system's are asked for.
func (s *Set) ofUser(q *quadlet) {
	in := q.dir + "/"
	if s.host.User || s.toldOfUser || !strings.Contains(in, "/.config/containers/systemd/") && !strings.Contains(in, "/containers/systemd/users/") {
		return
	}
	s.toldOfUser = true
	s.report(diag.Note, diag.RuleMeaning, q.at, "", "it is a user's, and becomes one of the system's", "unitc --user convert, as that user, makes the user's definition")
}

// continued joins a line that ends in a backslash with the next ones. Podman, unlike
// systemd, puts no blank between them.
func continued(lines []string, line string, i int) (string, int) {
	for strings.HasSuffix(line, `\`) {
		line = strings.TrimSuffix(line, `\`)
		next := ""
		for next == "" && i+1 < len(lines) {
			i++
			if next = strings.TrimSpace(lines[i]); next != "" && (next[0] == '#' || next[0] == ';') {
				next = ""
			}
		}
		line += next
	}
	return line, i
}

// read parses systemd.syntax(7).
func (q *quadlet) read(path string, data []byte) bool {
	current := -1
	lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		at := place{file: path, line: i + 1, col: 1 + len(lines[i]) - len(strings.TrimLeft(lines[i], " \t"))}
		line := strings.TrimSpace(lines[i])
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line, i = continued(lines, line, i); line == "" {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		switch {
		case line[0] == '[' && line[len(line)-1] == ']':
			current = q.begin(line[1:len(line)-1], at)
		case strings.IndexByte(line, 0) >= 0:
			q.set.report(diag.Error, diag.RuleSyntax, at, "", "a NUL byte stands in it", "save it as text")
			return false
		case !found || current < 0:
			q.set.report(diag.Error, diag.RuleSyntax, at, "", "neither a section nor KEY=VALUE in one", "Podman reads nothing of such a file; mend it")
			return false
		default:
			s := &q.sections[current]
			s.entries = append(s.entries, entry{strings.TrimSpace(key), strings.TrimSpace(value), at})
		}
	}
	return true
}

func (q *quadlet) begin(name string, at place) int {
	for i := range q.sections {
		if q.sections[i].name == name {
			return i
		}
	}
	q.sections = append(q.sections, section{name: name, at: at})
	return len(q.sections) - 1
}

// section is one of them, empty if there is none of its name.
func (q *quadlet) section(name string) *section {
	for i := range q.sections {
		if q.sections[i].name == name {
			return &q.sections[i]
		}
	}
	return &section{name: name, at: q.at}
}

// title is the section that a kind of file is about: Container.
func (q *quadlet) title() string { return strings.ToUpper(q.kind[:1]) + q.kind[1:] }

func (q *quadlet) own() *section { return q.section(q.title()) }

// all are the values of a key; an empty one takes back those before.
func (s *section) all(key string) (values []arg) {
	for _, e := range s.entries {
		if e.key != key {
			continue
		}
		if e.value == "" {
			values = nil
			continue
		}
		values = append(values, e.arg())
	}
	return values
}

func (e entry) arg() arg { return arg{text: e.value, name: e.key + "=", at: e.at} }

// last is the value that counts where there may be one.
func (s *section) last(key string) (arg, bool) {
	for _, e := range slices.Backward(s.entries) {
		if e.key == key {
			return e.arg(), e.value != ""
		}
	}
	return arg{}, false
}

func (s *section) text(key string) string {
	a, _ := s.last(key)
	return a.text
}

// keys are those of the section, each once, in their order.
func (s *section) keys() (names []string) {
	for _, e := range s.entries {
		if !slices.Contains(names, e.key) {
			names = append(names, e.key)
		}
	}
	return names
}

// stem is the file's name without its ending: web, worker@.
func (q *quadlet) stem() string { return strings.TrimSuffix(q.base, "."+q.kind) }

// suffixes are what Podman appends to the names of units.
var suffixes = map[string]string{"container": "", "kube": "", "pod": "-pod", "network": "-network", "volume": "-volume", "image": "-image", "build": "-build", "artifact": "-artifact"}

// unit is the name of the unit that Podman makes, without .service.
func (q *quadlet) unit() string {
	if name := q.own().text("ServiceName"); name != "" {
		return strings.TrimSuffix(name, ".service")
	}
	stem := q.stem()
	if before, ok := strings.CutSuffix(stem, "@"); ok {
		return before + suffixes[q.kind] + "@"
	}
	return stem + suffixes[q.kind]
}

// find is the quadlet of a file's name.
func (s *Set) find(base string) *quadlet {
	for _, q := range s.quadlets {
		if q.base == base {
			return q
		}
	}
	return nil
}

// findUnit is the quadlet whose unit has a name with .service.
func (s *Set) findUnit(unit string) *quadlet {
	for _, q := range s.quadlets {
		if q.unit()+".service" == unit {
			return q
		}
	}
	return nil
}

// Quadlets converts all files that were added.
func (s *Set) Quadlets() {
	for _, q := range s.quadlets {
		if pod := s.find(q.own().text("Pod")); pod != nil && q.kind == "container" {
			pod.members = append(pod.members, q)
		}
	}
	for _, q := range s.quadlets {
		q.convert()
	}
}

func (q *quadlet) convert() {
	if q.kind != "volume" && q.kind != "network" && !slices.ContainsFunc(q.sections, func(s section) bool { return s.name == q.title() }) {
		q.set.fault(q.at, "", "there is no section ["+q.title()+"]", "Podman makes no unit of such a file; give it one")
		return
	}
	switch q.kind {
	case "container":
		q.container()
	case "pod":
		q.pod()
	case "network":
		q.network()
	case "volume":
		q.volume()
	case "image":
		q.image()
	case "build":
		q.build()
	case "kube":
		q.kube()
	default:
		q.set.report(diag.Error, diag.RuleUnsupported, q.own().at, "", "unitc has no artifacts", "bring the files to the host by other means, and mount them under volumes:")
	}
}

// start makes the definition and what its values are expanded by.
func (q *quadlet) start(name string) *def {
	d := q.set.newDef(name, q.at)
	d.podman, d.private = true, q.private
	q.def = d
	q.expand = &expander{d: d, unit: q.unit() + ".service", environ: map[string]string{}, files: map[string]string{}}
	d.getenv = q.expand.known
	q.serviceVariables()
	return d
}

// each calls the rows of a table for all that a section has.
func (q *quadlet) each(table []key) {
	s := q.own()
	for _, name := range s.keys() {
		row := rowOf(table, name)
		if row == nil {
			first := s.all(name)
			a := arg{name: name + "=", at: s.at}
			if len(first) > 0 {
				a = first[0]
			}
			q.def.lost(a, "Podman 5 and 6 have no such key in ["+s.name+"]", "see podman-systemd.unit(5)")
			continue
		}
		row.read(q, row, s)
	}
}

func rowOf(table []key, name string) *key {
	for i := range table {
		if table[i].name == name {
			return &table[i]
		}
	}
	return nil
}

const (
	notAmong = "is not among those that are converted"
	together = "convert them together"
)

// file is the quadlet of a name, an empty one if it is not among those that are
// converted.
func (q *quadlet) file(d *def, a arg, base string) *quadlet {
	if other := q.set.find(base); other != nil {
		return other
	}
	d.changed(a, "the file "+base+" "+notAmong, together)
	return &quadlet{set: q.set, base: base, kind: strings.TrimPrefix(filepath.Ext(base), ".")}
}

// absolute is a path as Podman takes it: relative ones begin beside the file.
func (q *quadlet) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) || path[0] == variableMark {
		return path
	}
	return filepath.Join(q.dir, path)
}
