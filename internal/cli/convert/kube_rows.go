// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/cli/convert/kube"
)

// row is a field of an object of Kubernetes', and what becomes of it.
type row[T teller] struct {
	name string
	do   func(c T, v kube.Value) // nil: something else reads it
	// becomes is for the manual, as key's is.
	becomes string
}

// teller is what fields are read for: it reports what is lost of them.
type teller interface {
	teller() *def
	owner() *object
	project() *project
}

// walk calls the rows of a table for the fields of a mapping.
func walk[T teller](c T, rows []row[T], v kube.Value) {
	if v.IsNull() {
		return
	}
	if !v.IsMap() {
		c.teller().lost(c.owner().arg(v), "it is no mapping", "Kubernetes does not take it either")
		return
	}
	for _, f := range v.Fields() {
		a := c.owner().arg(f.Value)
		i := rowIndex(rows, f.Key)
		switch {
		case f.Again:
			c.teller().lost(a, "it stands twice, and the last counts", "")
		case i < 0:
			c.teller().lost(a, "Kubernetes has no such field here", "see its API reference")
		case f.Value.IsNull():
		case rows[i].do != nil:
			rows[i].do(c, f.Value)
		}
	}
}

// known tells of fields that a small mapping does not have.
func known(c teller, v kube.Value, names string) {
	for _, f := range v.Fields() {
		if !slices.Contains(strings.Fields(names), f.Key) {
			c.teller().lost(c.owner().arg(f.Value), "Kubernetes has no such field here", "see its API reference")
		}
	}
}

func rowIndex[T teller](rows []row[T], name string) int {
	for i := range rows {
		if rows[i].name == name {
			return i
		}
	}
	return -1
}

// argOf is a value with its place.
func argOf(c teller, v kube.Value) arg { return c.owner().arg(v) }

// read is a row that another one, or the whole, takes care of.
func read[T teller](name, becomes string) row[T] { return row[T]{name: name, becomes: becomes} }

// fieldDoes is a row with a function of its own.
func fieldDoes[T teller](name, becomes string, do func(c T, v kube.Value)) row[T] {
	return row[T]{name: name, becomes: becomes, do: do}
}

// fieldLost is a row of what definitions cannot say.
func fieldLost[T teller](name, what, cure string) row[T] {
	becomes := "lost: " + what
	if cure != "" {
		becomes += "; " + cure
	}
	return row[T]{name: name, becomes: becomes, do: func(c T, v kube.Value) { c.teller().lost(argOf(c, v), what, cure) }}
}

// switchLost is lost where it is on.
func switchLost[T teller](name, what, cure string) row[T] {
	r := fieldLost[T](name, what, cure)
	do := r.do
	r.do = func(c T, v kube.Value) {
		if v.True() {
			do(c, v)
		}
	}
	return r
}

// fieldIdle is a row of what takes no word. It is said once.
func fieldIdle[T teller](name, why string) row[T] {
	return row[T]{name: name, becomes: "nothing: " + why, do: func(c T, v kube.Value) { c.project().note(argOf(c, v), why) }}
}

// manualOf writes a table for the manual.
func manualOf[T teller](b *strings.Builder, title string, rows []row[T]) {
	b.WriteString("\n## " + title + "\n")
	for _, r := range rows {
		b.WriteString("\n**" + r.name + "**\n: " + r.becomes + "\n")
	}
}
