// SPDX-License-Identifier: Apache-2.0

// Package compose reads definitions: YAML in the Compose Specification's words
// becomes values of the definition package, or problems with their place.
//
// The way of a file: bytes → our tree with the place of every value, by way of
// the library's (load.go) or, of the plain part of YAML, without it (plain.go) →
// variables filled in (interpolate.go) → drop-ins merged (merge.go) → shapes
// checked against the tables (check.go, keys_*.go) → values decoded. The tables
// are the only list of keys; documents and the JSON Schema are made from them.
//
// Nothing here does I/O, and nothing may panic or take unbounded time or memory
// whatever the bytes are: the generator reads these files at boot (G-11).
package compose

import (
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/syntax"
)

// Layer is one contributing file: the definition itself or a drop-in. Its bytes are
// not to be changed: values are parts of them.
type Layer struct {
	Path string
	Data []byte
}

// Input is one definition with all that its meaning depends on.
type Input struct {
	// Name is the file's name without ".yaml".
	Name string
	// Layers holds the definition first, then its drop-ins in merge order.
	Layers []Layer
	// Env holds the variables for interpolation.
	Env map[string]string
	// EnvName is the file that messages name for variables; "" = NAME.env.
	EnvName string
	// EnvFile is NAME.env where it stands in another directory than the definition.
	EnvFile string
	// Dir is the definition's directory: relative host paths start there.
	Dir string
	// Home is what ~ means; "" = nothing, as to a service of the system.
	Home string
	// Read gives the files that the definition names and whose content is part
	// of its meaning (extends, include, label_file), by absolute path. Nil reads none.
	Read func(path string) ([]byte, error)
	// Files is the directory with copies of these files, each below it by its absolute
	// path; "" = they are read where they stand.
	Files string
	// Library reads what is not plain.
	Library syntax.Library
	// Memory is used for the file that is given, which is overwritten when it is used
	// again; nil: the file stays.
	Memory *Memory
}

// Memory is what the files of many definitions are made in, one after the other.
type Memory struct {
	reader  reader
	service [1]definition.Service
	lines   []definition.Line
	volumes []definition.Volume
}

// start makes all of it free.
func (m *Memory) start(in Input) *reader {
	m.lines, m.volumes = m.lines[:0], m.volumes[:0]
	m.reader = reader{in: in, memory: m, trees: sharedTrees.Get().(*trees)}
	return &m.reader
}

// take gives an empty slice that has room for count of what nobody else has.
func take[T any](from *[]T, count int) []T {
	used := len(*from)
	if used+count > cap(*from) {
		*from, used = make([]T, 0, max(count, 8)), 0
	}
	*from = (*from)[:used+count]
	return (*from)[used:used:len(*from)]
}

// Parse never fails: what is wrong stands in File.Problems, and File.Services
// holds as much as could be decoded, so that a unit can exist in any case.
func Parse(in Input) definition.File {
	memory := in.Memory
	if memory == nil {
		memory = &Memory{}
	}
	r := memory.start(in)
	defer r.trees.release() // values are copied from the trees, none refers to them
	r.readName()
	r.readLayers()
	file := r.decodeFile()
	r.scale(&file)
	r.settleOwners(&file)
	r.problems.Sort()
	r.reportDropped()
	file.Problems = r.problems
	return file
}
