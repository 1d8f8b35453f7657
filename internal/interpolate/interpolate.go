// SPDX-License-Identifier: Apache-2.0

// Package interpolate fills variables into strings by the Compose
// Specification's rules: $NAME, ${NAME}, ${NAME:-default}, ${NAME:?message},
// ${NAME:+instead}, their forms without the colon, and $$ for a dollar sign, which
// also stands for itself where no variable can begin.
// It knows no environment; definitions and env files bring their variables.
package interpolate

import (
	"fmt"
	"strings"
)

// maxDepth bounds defaults within defaults.
const maxDepth = 20

// Expander fills variables in.
type Expander struct {
	// Lookup gives a variable's value.
	Lookup func(name string) (value string, set bool)
	// Unset is told of variables that are not set and have no default; they
	// give "". It may be nil.
	Unset func(name string)
	// Limit is the greatest length of a result in bytes.
	Limit int
}

// Error is a string that can't be filled in.
type Error struct {
	Offset int // of the "$" in the string
	What   string
	Cure   string
}

func (e *Error) Error() string { return e.What }

// Expand fills the variables of one string in.
func (x *Expander) Expand(s string) (string, error) {
	if strings.IndexByte(s, '$') < 0 {
		return s, nil
	}
	var out strings.Builder
	p := parser{Expander: x, text: s, out: &out}
	if err := p.run(0); err != nil {
		return "", err
	}
	return out.String(), nil
}

// parser walks one string. out is nil while a branch that is not taken is read.
type parser struct {
	*Expander
	text string
	at   int
	out  *strings.Builder
	// pairs tells of each "{" whether a "}" closes it; nil = not looked at yet.
	pairs []bool
	// nested is true in a word whose other braces are counted too.
	nested bool
}

// run copies text up to its end or, inside braces, to the closing one. As in
// Compose, pairs of other braces belong to the word: ${URL:-/e/{id}} is /e/{id}.
func (p *parser) run(depth int) error {
	open := 0
	for p.at < len(p.text) {
		next := strings.IndexAny(p.text[p.at:], "${}")
		if next < 0 {
			next = len(p.text) - p.at
		}
		if err := p.write(p.text[p.at : p.at+next]); err != nil {
			return err
		}
		p.at += next
		var err error
		switch {
		case p.at == len(p.text):
		case p.text[p.at] == '$':
			err = p.variable(depth)
		case p.text[p.at] == '}' && depth > 0 && open == 0:
			return nil
		default:
			if p.nested && p.text[p.at] == '{' {
				open++
			} else if p.nested {
				open--
			}
			err = p.write(p.text[p.at : p.at+1])
			p.at++
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// closed tells whether the "{" at an offset has a "}" of its own, all braces counted.
func (p *parser) closed(at int) bool {
	if p.pairs == nil {
		p.pairs = make([]bool, len(p.text))
		var open []int
		for i := range len(p.text) {
			switch {
			case p.text[i] == '{':
				open = append(open, i)
			case p.text[i] == '}' && len(open) > 0:
				p.pairs[open[len(open)-1]] = true
				open = open[:len(open)-1]
			}
		}
	}
	return p.pairs[at]
}

func (p *parser) write(s string) error {
	if p.out == nil {
		return nil
	}
	if p.out.Len()+len(s) > p.Limit {
		return &Error{p.at, fmt.Sprintf("the string grows beyond %d bytes", p.Limit), "use shorter variables"}
	}
	p.out.WriteString(s)
	return nil
}

// variable reads what a "$" begins.
func (p *parser) variable(depth int) error {
	start := p.at
	p.at++
	rest := p.text[p.at:]
	switch {
	case strings.HasPrefix(rest, "$"):
		p.at++
		return p.write("$")
	case strings.HasPrefix(rest, "{"):
		p.at++
		return p.braced(start, depth)
	}
	name := leadingName(rest)
	if name == "" {
		return p.write("$") // as in $2y$10$…, ^a$ and $(id): Compose leaves it alone
	}
	p.at += len(name)
	return p.value(name)
}

func leadingName(s string) string {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return s[:i]
		}
	}
	return s
}

// value writes a variable that has no default.
func (p *parser) value(name string) error {
	value, set := p.Lookup(name)
	if !set && p.out != nil && p.Unset != nil {
		p.Unset(name)
	}
	return p.write(value)
}

// braced reads ${NAME…} behind its opening brace.
func (p *parser) braced(start, depth int) error {
	if depth == maxDepth {
		return &Error{start, "defaults are nested too deep", "write them flatter"}
	}
	name := leadingName(p.text[p.at:])
	if name == "" {
		return &Error{start, "a ${ without a variable's name", "write ${NAME}, or $$ for a dollar sign"}
	}
	p.at += len(name)
	operator := ""
	for _, o := range []string{":-", "-", ":?", "?", ":+", "+", "}"} {
		if strings.HasPrefix(p.text[p.at:], o) {
			operator = o
			break
		}
	}
	p.at += len(operator)
	switch operator {
	case "}":
		return p.value(name)
	case "":
		if strings.IndexByte(p.text[p.at:], '}') < 0 {
			return &Error{start, "a ${ that is never closed", "close it: ${" + name + "}"}
		}
		return &Error{start, "${" + name + " goes on with an unknown sign", "write ${" + name + "}, or :- for a default, :? to demand it, :+ to replace it"}
	}
	return p.operation(start, depth, name, operator)
}

// operation reads the word behind an operator, up to the closing brace, and
// writes what the variable and the operator make of it.
func (p *parser) operation(start, depth int, name, operator string) error {
	value, set := p.Lookup(name)
	given := set && (operator[0] != ':' || value != "")
	taken := p.out
	kind := operator[len(operator)-1]
	var message strings.Builder
	switch {
	case kind == '?' && !given && taken != nil:
		p.out = &message
	case kind == '-' && given, kind == '+' && !given, kind == '?':
		p.out = nil
	}
	// Where they do not pair up the first "}" is the end, as in ${OPEN:-{}.
	outer := p.nested
	p.nested = p.closed(start+1) && (outer || depth == 0)
	err := p.run(depth + 1)
	p.out, p.nested = taken, outer
	if err != nil {
		return err
	}
	if p.at == len(p.text) {
		return &Error{start, "a ${ that is never closed", "close it: ${" + name + "}"}
	}
	p.at++
	switch {
	case given && kind != '+':
		return p.write(value)
	case kind == '?' && taken != nil:
		what := "the variable " + name + " is not set"
		if set {
			what = "the variable " + name + " is empty"
		}
		if message.Len() > 0 {
			what += ": " + message.String()
		}
		return &Error{start, what, "set " + name}
	}
	return nil
}
