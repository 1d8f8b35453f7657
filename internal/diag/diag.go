// SPDX-License-Identifier: Apache-2.0

// Package diag is a problem and where it is: file, line, column, the path of
// the key, what is wrong and what to write instead. Every stage that reads an
// operator's words reports through it, so that all faults of a file are shown
// at once and in one form. It prints nothing and decides nothing.
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a problem stops the unit from starting.
type Severity int

const (
	// Error stops the unit: starting it prints the problem and fails.
	Error Severity = iota
	// Warning is shown by `unitc check` and never stops a start.
	Warning
	// Note is no fault: it says what a key that is right brings with it.
	Note
)

// String gives the word used in a printed problem.
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Note:
		return "note"
	}
	return "error"
}

// MarshalText writes the word, so that JSON has no numbers to look up.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads it back.
func (s *Severity) UnmarshalText(text []byte) error {
	switch string(text) {
	case "error":
		*s = Error
	case "warning":
		*s = Warning
	case "note":
		*s = Note
	default:
		return fmt.Errorf("severity %q", text)
	}
	return nil
}

// Problem is one fault. Line and Col count from 1 as yaml.v3 does; 0 means
// that the fault is of the whole file and the number is left out.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line,omitempty"`
	Col      int      `json:"col,omitempty"`
	Severity Severity `json:"severity"`
	Rule     string   `json:"rule,omitempty"` // the kind of fault; "" is RuleValue
	Path     string   `json:"path,omitempty"` // services.web.ports[0]
	What     string   `json:"what"`
	Cure     string   `json:"cure,omitempty"`
	// Of are the services of a project, by their keys, that the fault is of, and what they
	// share that has it; none: of all that the file has.
	Of []string `json:"-"`
}

// String prints `file:line:col: severity: path: what; cure`.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, max(p.Col, 1))
	}
	fmt.Fprintf(&b, ": %s: ", p.Severity)
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.What)
	if p.Cure != "" {
		b.WriteString("; " + p.Cure)
	}
	return b.String()
}

// Kinds of faults, for machines and statistics.
const (
	RuleValue       = "value"       // right key, wrong value
	RuleType        = "type"        // a list where a string is wanted
	RuleUnknownKey  = "unknown-key" // no such key
	RuleDuplicate   = "duplicate"   // the same thing twice
	RuleConflict    = "conflict"    // two keys that exclude each other
	RuleMissing     = "missing"     // something has to be there
	RuleReference   = "reference"   // something of that name is not there
	RuleSyntax      = "syntax"      // no YAML
	RuleVariable    = "variable"    // interpolation
	RuleLimit       = "limit"       // more than is allowed
	RuleUnsupported = "unsupported" // a Compose key or value that unitc will not have
	RuleDirective   = "directive"   // a value that systemd would not take
	RuleRelaxation  = "relaxation"  // a key that opens what is closed by default
	RuleHost        = "host"        // what a start changes of the host
	RuleLoss        = "loss"        // what a conversion cannot take along
	RuleMeaning     = "meaning"     // what means something else when it is converted
	RuleDefault     = "default"     // what needs no word when it is converted
	RuleMove        = "move"        // what is to be brought over by hand
)

// List is the problems of one or more files.
type List []Problem

// HasErrors tells whether any problem stops its unit.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(p Problem) bool { return p.Severity == Error })
}

// Sort orders by file, line and column, keeping equal places in the order in
// which they were found.
func (l List) Sort() {
	slices.SortStableFunc(l, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}

// Compact leaves one of neighbours that say the same.
func (l List) Compact() List {
	return slices.CompactFunc(l, func(a, b Problem) bool { return a.Rule == b.Rule && a.String() == b.String() })
}

// String prints one problem a line.
func (l List) String() string {
	var b strings.Builder
	for _, p := range l {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}
