// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/quickjson"
)

// Lines maps a key's path ("command", "volumes[0].source") to its place. Every
// definition has a dozen, and they are looked at only when a start fails: so
// they are written without reflection, and read when one is asked for.
type Lines struct {
	list []Line // sorted by key
	form string // what was read and not looked at yet
}

// Line is where one key stands.
type Line struct {
	Key string
	Position
}

// NewLines takes the list over. Of a key that stands in it twice the last counts.
func NewLines(list []Line) Lines {
	if len(list) == 0 {
		return Lines{}
	}
	slices.SortStableFunc(list, func(a, b Line) int { return strings.Compare(a.Key, b.Key) })
	kept := list[:1]
	for _, line := range list[1:] {
		if last := &kept[len(kept)-1]; last.Key == line.Key {
			*last = line
			continue
		}
		kept = append(kept, line)
	}
	return Lines{list: kept}
}

// At is the place of a key.
func (l *Lines) At(key string) (Position, bool) {
	l.look()
	i, found := slices.BinarySearchFunc(l.list, key, func(have Line, key string) int { return strings.Compare(have.Key, key) })
	if !found {
		return Position{}, false
	}
	return l.list[i].Position, true
}

// Equal compares what both say, read or not.
func (l Lines) Equal(other Lines) bool {
	l.look()
	other.look()
	return slices.Equal(l.list, other.list)
}

// look makes the list of what was read. It was checked to be JSON then; what it
// has no place for is passed over.
func (l *Lines) look() {
	if l.form == "" {
		return
	}
	var places map[string]Position
	_ = quickjson.Parse([]byte(l.form), &places)
	list := make([]Line, 0, len(places))
	for key, at := range places {
		list = append(list, Line{key, at})
	}
	*l = NewLines(list)
}

// AppendForm appends the JSON object.
func (l Lines) AppendForm(b []byte) []byte {
	if l.form != "" {
		return append(b, l.form...)
	}
	b = append(b, '{')
	for i := range l.list {
		line := &l.list[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(quickjson.AppendString(b, line.Key), `:{`...)
		if line.File != "" {
			b = append(quickjson.AppendString(append(b, `"file":`...), line.File), ',')
		}
		b = strconv.AppendInt(append(b, `"line":`...), int64(line.Line), 10)
		b = strconv.AppendInt(append(b, `,"col":`...), int64(line.Col), 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

// ParseForm reads what AppendForm has written.
func (l *Lines) ParseForm(data []byte) error {
	if len(data) == 0 || data[0] != '{' {
		return fmt.Errorf("%.10q where the places of keys belong", data)
	}
	*l = Lines{form: string(data)}
	return nil
}

// MarshalJSON is for encoding/json, which the command line uses.
func (l Lines) MarshalJSON() ([]byte, error) { return l.AppendForm(nil), nil }

// UnmarshalJSON is MarshalJSON's.
func (l *Lines) UnmarshalJSON(data []byte) error { return l.ParseForm(data) }
