// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// jsonReader reads JSON token by token, for encoding/json's decoder of whole
// values takes keys in any case, the last of two equal ones, and tells no
// place. After a fault in the syntax it is broken and reads nothing more.
type jsonReader struct {
	data   []byte
	dec    *json.Decoder
	faults []Fault
	broken bool
}

func newJSONReader(data []byte) *jsonReader {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return &jsonReader{data: data, dec: dec}
}

// place is where the next token begins.
func (r *jsonReader) place() int64 { return r.past(" \t\r\n:,") }

// past is where the input goes on after bytes of the given set.
func (r *jsonReader) past(set string) int64 {
	at := r.dec.InputOffset()
	for at < int64(len(r.data)) && strings.IndexByte(set, r.data[at]) >= 0 {
		at++
	}
	return at
}

func (r *jsonReader) fault(at int64, path, what string) {
	if r.broken {
		return
	}
	before := r.data[:min(at, int64(len(r.data)))]
	r.faults = append(r.faults, Fault{
		Line: bytes.Count(before, []byte("\n")) + 1,
		Col:  len(before) - bytes.LastIndexByte(before, '\n'),
		Path: path,
		What: what,
	})
}

// token gives the next token, nil at the end or on a fault of syntax (and for
// null, which null() looks for first).
func (r *jsonReader) token(path string) json.Token {
	if r.broken {
		return nil
	}
	at := r.past(" \t\r\n") // a comma here may itself be the fault
	tok, err := r.dec.Token()
	if err == nil {
		return tok
	}
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		r.fault(max(at, syntax.Offset-1), path, strings.TrimPrefix(err.Error(), "json: "))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.fault(int64(len(r.data)), path, "ends in the middle")
	default:
		r.fault(at, path, err.Error())
	}
	r.broken = true
	return nil
}

// null takes a null away, which means that a key is as good as not there.
func (r *jsonReader) null() bool {
	if !r.broken && bytes.HasPrefix(r.data[r.place():], []byte("null")) {
		return r.token("") == nil
	}
	return false
}

// want takes a token of the type T, or skips the whole value and says what
// should stand there.
func want[T json.Token](r *jsonReader, path, what string) (value T, ok bool) {
	if r.null() {
		return value, false
	}
	at := r.place()
	tok := r.token(path)
	if value, ok = tok.(T); ok {
		return value, true
	}
	if !r.broken {
		r.fault(at, path, "not "+what)
		r.skip(tok)
	}
	return value, false
}

// skip reads on to the end of the value that began with tok.
func (r *jsonReader) skip(tok json.Token) {
	for depth := 0; !r.broken; tok = r.token("") {
		if d, ok := tok.(json.Delim); ok {
			if d == '{' || d == '[' {
				depth++
			} else {
				depth--
			}
		}
		if depth == 0 {
			return
		}
	}
}

func (r *jsonReader) text(path string) string {
	s, _ := want[string](r, path, "a string")
	return s
}

func (r *jsonReader) texts(path string) (texts []string) {
	r.list(path, func(path string) { texts = append(texts, r.text(path)) })
	return texts
}

func (r *jsonReader) number(path string, limit uint64) uint64 {
	at := r.place()
	text, ok := want[json.Number](r, path, "a number")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(text.String(), 10, 64)
	if err != nil || n > limit {
		r.fault(at, path, fmt.Sprintf("%s is not a whole number from 0 to %d", text, limit))
	}
	return n
}

// list calls element with the path of each element, which it must read.
func (r *jsonReader) list(path string, element func(path string)) {
	if !r.open('[', path, "a list") {
		return
	}
	for i := 0; r.more(); i++ {
		element(fmt.Sprintf("%s[%d]", path, i))
	}
	r.token(path)
}

// object calls field with each of the known keys, whose value it must read. It
// tells whether there was a whole object.
func (r *jsonReader) object(path, known string, field func(key, path string)) bool {
	if !r.open('{', path, "an object") {
		return false
	}
	var seen []string
	for r.more() {
		at := r.place()
		key, ok := r.token(path).(string)
		if !ok {
			return false
		}
		sub := strings.TrimPrefix(path+"."+key, ".")
		switch {
		case !slices.Contains(strings.Fields(known), key):
			r.fault(at, sub, "unknown key; known here are "+known)
			r.skip(r.token(sub))
		case slices.Contains(seen, key):
			r.fault(at, sub, "stands there twice")
			r.skip(r.token(sub))
		default:
			seen = append(seen, key)
			field(key, sub)
		}
	}
	r.token(path)
	return !r.broken
}

// open takes the bracket that a value of that kind begins with.
func (r *jsonReader) open(bracket json.Delim, path, what string) bool {
	if r.null() {
		return false
	}
	at := r.place()
	tok := r.token(path)
	if r.broken || tok == bracket {
		return !r.broken
	}
	r.fault(at, path, "not "+what)
	r.skip(tok)
	return false
}

func (r *jsonReader) more() bool { return !r.broken && r.dec.More() }

// end says if anything follows the value.
func (r *jsonReader) end() {
	if at := r.place(); !r.broken && at < int64(len(r.data)) {
		r.fault(at, "", "text after the end of the profile")
	}
}
