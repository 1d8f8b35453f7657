// SPDX-License-Identifier: Apache-2.0

// Package openmetrics writes figures as OpenMetrics 1.0 text, in the part of it that
// readers of Prometheus' older text format (0.0.4), node_exporter's textfile
// collector among them, take as well: gauges and counters.
package openmetrics

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ContentType and OldContentType are what an HTTP answer calls the text, for who
// asks for OpenMetrics and for others.
const (
	ContentType    = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	OldContentType = "text/plain; version=0.0.4; charset=utf-8"
)

// Kind is what a family's samples are.
type Kind string

// The kinds. The samples of a counter have "_total" behind the family's name.
const (
	Gauge   Kind = "gauge"
	Counter Kind = "counter"
)

// Label is one of a sample's.
type Label struct{ Name, Value string }

// Family is what is known of one thing, of whichever there are.
type Family struct {
	Name    string // the unit's word at its end, if it has one
	Unit    string // bytes, seconds, ratio, "" = none
	Kind    Kind
	Help    string
	samples []string
}

// Add appends a sample.
func (f *Family) Add(value float64, labels ...Label) {
	name := f.Name
	if f.Kind == Counter {
		name += "_total"
	}
	var words []string
	for _, l := range labels {
		words = append(words, l.Name+`="`+escape(l.Value, true)+`"`)
	}
	f.samples = append(f.samples, name+"{"+strings.Join(words, ",")+"} "+number(value))
}

// Write writes all families that have samples, and the end of the text.
func Write(w io.Writer, families []*Family) error {
	var b strings.Builder
	for _, f := range families {
		if len(f.samples) == 0 {
			continue
		}
		fmt.Fprintf(&b, "# TYPE %s %s\n", f.Name, f.Kind)
		if f.Unit != "" {
			fmt.Fprintf(&b, "# UNIT %s %s\n", f.Name, f.Unit)
		}
		fmt.Fprintf(&b, "# HELP %s %s\n", f.Name, escape(f.Help, false))
		for _, s := range f.samples {
			b.WriteString(s + "\n")
		}
	}
	b.WriteString("# EOF\n")
	_, err := io.WriteString(w, b.String())
	return err
}

var (
	inText  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	inLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// escape also replaces what is no UTF-8: one bad name would cost all figures.
func escape(s string, quoted bool) string {
	s = strings.ToValidUTF8(s, "�")
	if quoted {
		return inLabel.Replace(s)
	}
	return inText.Replace(s)
}

// number is without an exponent, as people read it.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
