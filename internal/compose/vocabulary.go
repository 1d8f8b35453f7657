// SPDX-License-Identifier: Apache-2.0

package compose

// Status says what becomes of a key.
type Status string

const (
	Works   Status = "works"
	Ignored Status = "ignored" // accepted, changes nothing
	Refused Status = "refused" // an error that says what to write instead
)

// Key is a row of the tables, for documents and the JSON Schema.
type Key struct {
	Name     string
	Doc      string // one sentence
	Example  string // a valid value
	Status   Status
	Note     string // why, or what is missing, or what to write instead
	Required bool
	Shape    *Shape
}

// Shape is what a value may look like. A value fits if it fits one of the kinds.
type Shape struct {
	// Any takes whatever stands there; Service is the shape of a service.
	Any, Service bool
	// Null to Mapping are YAML's kinds. Where a number or boolean may stand, a
	// string that holds one may too, because variables give strings.
	Null, Boolean, Integer, Number, String, List, Mapping bool

	Words   []string // the scalar is one of these
	Pattern string   // of a string, ECMA-262

	// Bounded numbers lie from Low to High, or are exempt.
	Bounded              bool
	Low, High            int64
	ZeroToo, MinusOneToo bool

	FalseOnly bool // a boolean that can't be true

	Item   *Shape   // of a list
	Unique bool     // no scalar of a list twice
	First  []string // the list's first item is one of these
	Min    int      // least length of a list
	Keys   []Key    // of a mapping with known keys
	Open   *Shape   // the values of a mapping with free keys
	// KeyPattern is the form of the free keys.
	KeyPattern string
	// EmptyString may stand for no value.
	EmptyString bool
}

// Directives are the names that a block of `systemd:` passes on.
type Directives struct {
	Block string // "unit", "service", …
	Page  string // "systemd.unit(5)"
	Names []string
}

// ServiceKeys is the vocabulary of one service, sorted by name.
func ServiceKeys() []Key { return exportKeys(serviceKeys) }

// ProjectKeys is the vocabulary at the left margin of a whole compose file.
func ProjectKeys() []Key { return exportKeys(topKeys) }

// SystemdDirectives lists what may stand in the blocks of `systemd:`.
func SystemdDirectives() []Directives {
	pages := map[string]string{
		"unit": "systemd.unit(5)", "install": "systemd.unit(5)", "service": "systemd.service(5)",
		"scope": "systemd.resource-control(5)", "socket": "systemd.socket(5)", "timer": "systemd.timer(5)",
	}
	var all []Directives
	for i := range sections {
		block := Directives{Block: sections[i].key, Page: pages[sections[i].key]}
		for j := range directives {
			if d := &directives[j]; d.rooms&sections[i].rooms != 0 && sections[i].refused(d) == "" {
				block.Names = append(block.Names, d.name)
			}
		}
		all = append(all, block)
	}
	return all
}

func exportKeys(fields []field) []Key {
	keys := make([]Key, len(fields))
	for i := range fields {
		f := &fields[i]
		k := &keys[i]
		*k = Key{Name: f.name, Doc: f.doc, Example: f.example, Status: Works, Required: f.required, Shape: exportShape(f.shape)}
		switch {
		case f.refused != "":
			k.Status, k.Note = Refused, f.refused
		case f.ignored != "":
			k.Status, k.Note = Ignored, f.ignored
		}
	}
	return keys
}

func exportShape(s *shape) *Shape {
	switch s {
	case nil:
		return nil
	case &anyShape:
		return &Shape{Any: true}
	case &serviceShape:
		return &Shape{Service: true}
	}
	out := &Shape{
		Null: s.kinds&null != 0, Boolean: s.kinds&boolean != 0, Integer: s.kinds&integer != 0, Number: s.kinds&float != 0,
		String: s.kinds&text != 0, List: s.kinds&list != 0, Mapping: s.kinds&mapping != 0,
		Words: s.words, Item: exportShape(s.item), Unique: s.unique, First: s.first, Min: s.min, Open: exportShape(s.open),
		EmptyString: s.emptyMeansUnset(),
	}
	if s.keys != nil {
		out.Keys = exportKeys(s.keys)
	}
	if s.format != nil {
		out.Pattern, out.FalseOnly = s.format.pattern, s.format.pattern == falsePattern
		if s.format.patternOf != nil {
			out.Pattern = s.format.patternOf()
		}
		if b := s.format.bounds; b != nil {
			out.Bounded, out.Low, out.High, out.ZeroToo, out.MinusOneToo = true, b.low, b.high, b.orZero, b.orMinusOne
		}
	}
	if s.name != nil {
		out.KeyPattern = s.name.pattern
	}
	return out
}
