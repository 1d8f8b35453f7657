// SPDX-License-Identifier: Apache-2.0

// Package envfile reads files of NAME=value lines as Compose does: `.env` and
// NAME.env beside a definition, whose variables are filled into it, and the
// files of `env_file:`, which the helper reads at each start. It does no I/O
// and links no YAML.
package envfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/interpolate"
)

const (
	// maxVariables bounds one file's lines.
	maxVariables = 10_000
	// maxValue bounds one value in bytes: the kernel takes no longer string in
	// an environment (MAX_ARG_STRLEN).
	maxValue = 128 << 10
	// maxFaults is the number of errors after which no more is read, and of warnings
	// that are shown.
	maxFaults = 20
	// maxTotal bounds all values of a file once variables are filled in.
	maxTotal = 4 << 20
)

// File is one file to be read.
type File struct {
	Path string
	Data []byte
	// Raw takes values as they stand (`format: raw`).
	Raw bool
	// Lookup gives variables that the file may use and does not set itself; it
	// may be nil.
	Lookup func(name string) (string, bool)
	// Above has Lookup asked before what the file sets, as Compose does for the
	// files of env_file.
	Above bool
}

// Parse gives the variables in the order of the file, no name twice (the last
// one wins), and what is wrong with the file. A nil value is a name without "=".
func Parse(f File) ([]definition.Env, diag.List) {
	p := parser{File: f, rest: string(f.Data), line: 1, index: map[string]int{}}
	p.expander = interpolate.Expander{Lookup: p.lookup, Unset: p.unset, Limit: maxValue}
	p.rest = strings.TrimPrefix(p.rest, "\ufeff") // a byte order mark, as editors on Windows write
	switch {
	case !utf8.ValidString(p.rest):
		p.fault("save it as UTF-8 text", "the bytes are not valid UTF-8")
		return nil, p.problems
	case strings.IndexByte(p.rest, 0) >= 0:
		p.fault("save it as text", "a NUL byte stands in the file")
		return nil, p.problems
	}
	for p.rest != "" && p.faults < maxFaults && p.total < maxTotal {
		p.statement()
	}
	if p.total >= maxTotal {
		p.fault("use shorter values", "the values have more than %d bytes", maxTotal)
	}
	return p.vars, p.problems
}

type parser struct {
	File
	rest     string // what is still to be read
	line     int    // of the beginning of rest
	vars     []definition.Env
	index    map[string]int // of vars, by name
	total    int
	problems diag.List
	faults   int // the errors among them
	warnings int
	expander interpolate.Expander
}

func (p *parser) lookup(name string) (string, bool) {
	if p.Above && p.Lookup != nil {
		if value, ok := p.Lookup(name); ok {
			return value, true
		}
	}
	if i, ok := p.index[name]; ok && p.vars[i].Value != nil {
		return *p.vars[i].Value, true
	}
	if p.Lookup == nil {
		return "", false
	}
	return p.Lookup(name)
}

// fault tells what is wrong in words that have nothing of the file's own but names: they
// go to the journal, and what stands in a wrong place is often a part of a password, or
// of a key that has lines.
func (p *parser) fault(cure, format string, args ...any) {
	p.faults++
	p.problems = append(p.problems, diag.Problem{File: p.Path, Line: p.line, Col: 1, What: fmt.Sprintf(format, args...), Cure: cure})
}

// unset tells of a variable that gives "": often a password that has a dollar sign.
func (p *parser) unset(name string) {
	p.warn("write $$ for a dollar sign, or put the value in single quotes", "the variable "+name+" is not set and gives an empty string")
}

func (p *parser) warn(cure, what string) {
	if p.warnings++; p.warnings <= maxFaults {
		p.problems = append(p.problems, diag.Problem{File: p.Path, Line: p.line, Col: 1, Severity: diag.Warning, Rule: diag.RuleVariable, What: what, Cure: cure})
	}
}

// takeLine cuts one line off.
func (p *parser) takeLine() string {
	line, rest, _ := strings.Cut(p.rest, "\n")
	p.rest = rest
	return strings.TrimSuffix(line, "\r")
}

// statement reads one variable, a comment or an empty line.
func (p *parser) statement() {
	before := p.rest
	line := p.takeLine()
	defer func() { p.line += strings.Count(before[:len(before)-len(p.rest)], "\n") }()
	trimmed := strings.TrimLeft(line, " \t")
	if trimmed == "" || trimmed[0] == '#' {
		return
	}
	if word, ok := strings.CutPrefix(trimmed, "export"); ok && !p.Raw && word != "" && (word[0] == ' ' || word[0] == '\t') {
		trimmed = strings.TrimLeft(word, " \t")
	}
	separator := "="
	if at := strings.IndexAny(trimmed, "=:"); at >= 0 && !p.Raw {
		separator = trimmed[at : at+1] // Compose reads YAML's `NAME: value` too
	}
	name, value, given := strings.Cut(trimmed, separator)
	name = strings.TrimRight(name, " \t")
	if what := badName(name); what != "" {
		p.fault("write NAME=value, and a value of several lines in quotes", "%s", what)
		return
	}
	if !given {
		p.set(name, nil)
		return
	}
	if !p.Raw {
		if blank := strings.TrimLeft(value, " \t"); blank != value && blank[:min(1, len(blank))] == "#" {
			p.warn("put the comment on a line of its own, or the value in quotes", "what looks like a comment is the value of "+name+", as with Compose")
		}
		var ok bool
		if value, ok = p.value(before, line, strings.TrimLeft(value, " \t")); !ok {
			return
		}
	}
	if len(value) > maxValue {
		p.fault("shorten it", "the value of %s has %d bytes, %d are allowed", name, len(value), maxValue)
		return
	}
	p.set(name, &value)
}

func badName(name string) string {
	if name == "" {
		return "a line without a variable's name"
	}
	for _, c := range name {
		if c != '_' && c != '.' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return fmt.Sprintf("%q cannot stand in a variable's name", c)
		}
	}
	return ""
}

func (p *parser) set(name string, value *string) {
	if value != nil {
		p.total += len(*value)
	}
	if i, again := p.index[name]; again {
		p.vars[i].Value = value
		return
	}
	if len(p.vars) == maxVariables {
		p.fault("split it", "more than %d variables", maxVariables)
		p.rest = ""
		return
	}
	p.index[name] = len(p.vars)
	p.vars = append(p.vars, definition.Env{Name: name, Value: value})
}

// value reads what stands behind the sign; in quotes it may go on over lines.
func (p *parser) value(statement, line, value string) (string, bool) {
	if value == "" || value[0] != '\'' && value[0] != '"' {
		// Compose takes a # that begins the value for a part of it, as of a colour or a password.
		value, _, _ = strings.Cut(value, " #")
		return p.expand(strings.TrimRight(value, " \t"))
	}
	quote := value[0]
	// The quoted text begins at the same distance from the line's end.
	start := len(strings.TrimSuffix(firstLine(statement), "\r")) - len(value) + 1
	end := closingQuote(statement[start:], quote)
	if end < 0 {
		p.fault("close the quote", "a quote %c that is never closed", quote)
		p.rest = ""
		return "", false
	}
	text := statement[start : start+end]
	p.rest = statement[start+end+1:]
	if after := strings.TrimSpace(p.takeLine()); after != "" && after[0] != '#' {
		p.fault("put the whole value in quotes", "something stands behind the closing quote")
		return "", false
	}
	if quote == '\'' {
		return strings.NewReplacer(`\\`, `\\`, `\'`, `'`).Replace(text), true
	}
	return p.expand(unescape(text))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func closingQuote(s string, quote byte) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			return i
		}
	}
	return -1
}

// unescape reads the escapes of double quotes. \$ becomes $$, which expand
// turns into a dollar sign.
func unescape(s string) string {
	return strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\"`, `"`, `\$`, "$$", `\\`, `\`).Replace(s)
}

func (p *parser) expand(value string) (string, bool) {
	out, err := p.expander.Expand(value)
	var e *interpolate.Error
	if errors.As(err, &e) {
		p.fault(e.Cure+", or put the value in single quotes", "%s", e.What)
		return "", false
	}
	return out, true
}
