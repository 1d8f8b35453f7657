// SPDX-License-Identifier: Apache-2.0

// Package syntax is what definitions may be written in beyond what
// internal/compose reads by itself: all of YAML, and regular expressions. What
// reads these is given to it, as values; internal/syntax/library is that, with
// tables that take the generator a twentieth of its time before it begins.
package syntax

// Library reads what compose does not. All of its functions are there.
type Library struct {
	// YAML gives the first documents of a file, most at most, and what ended them
	// short: a fault, or an UnavailableError.
	YAML func(data []byte, most int) ([]*Node, error)
	// CheckYAML is the first fault of a file, whatever the number of documents.
	CheckYAML func(data []byte) error
	// Regexp is the fault of an expression.
	Regexp func(expression string) error
}

// Kind is what a node is.
type Kind uint8

// The kinds of YAML.
const (
	Document Kind = iota + 1
	Mapping
	Sequence
	Scalar
	Alias
)

// Node is a part of a YAML document, and the document itself.
type Node struct {
	Kind   Kind
	Quoted bool // a scalar
	// Tag is as in "!!int", also where none is written.
	Tag string
	// Value is the scalar's text, or the name of the alias.
	Value string
	// Alias is what the alias stands for; it may be around the alias.
	Alias *Node
	// Content are items, or keys and values in turns.
	Content []*Node
	// Line and Column count from 1.
	Line, Column int
}

// UnavailableError says that there is nothing here that reads it.
type UnavailableError struct{ What, Cure string }

func (e *UnavailableError) Error() string { return e.What }
