// SPDX-License-Identifier: Apache-2.0

// Package unitfile is the grammar of systemd's unit files: sections and
// assignments in the order given, the quoting of words and command lines, and
// the escaping of unit names. It knows no directive and does no I/O.
//
// A Writer fails closed: a value that would be read back as anything but
// itself (a second line, a joined line, a line that PID 1 skips) is an error.
package unitfile

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/unitc/unitc/internal/protection"
)

// sizeHint is more than most unit files have, in bytes.
const sizeHint = 1 << 10

// lineMax is LONG_LINE_MAX of systemd (basic/def.h): one longer line makes PID 1
// refuse the whole file.
const lineMax = 1<<20 - 1

// A ValueError is an assignment that a unit file cannot hold.
type ValueError struct {
	Section, Name, Value string
	Reason               string
}

// Error names the directive and gives the start of the value.
func (e *ValueError) Error() string {
	value := e.Value
	if len(value) > 60 {
		value = value[:60] + "…"
	}
	return fmt.Sprintf("[%s] %s=%q: %s", e.Section, e.Name, value, e.Reason)
}

// Writer builds one unit file. The zero value is ready for use.
type Writer struct {
	buf     []byte
	section string
	errs    []error
}

// NewWriter appends the file to buf.
func NewWriter(buf []byte) Writer { return Writer{buf: buf} }

// Comment adds a line for people; anything that would end the comment is shown
// escaped.
func (w *Writer) Comment(text string) {
	if cap(w.buf)-len(w.buf) < sizeHint {
		w.buf = slices.Grow(w.buf, sizeHint)
	}
	w.buf = append(w.buf, "# "...)
	w.buf = append(w.buf, Printable(text)...)
	w.buf = append(w.buf, '\n')
}

// Section begins a section.
func (w *Writer) Section(name string) {
	if len(w.buf) > 0 && w.section != "" {
		w.buf = append(w.buf, '\n')
	}
	w.section = name
	w.buf = append(w.buf, '[')
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, "]\n"...)
}

// Set adds an assignment whose value is in unit-file syntax already.
func (w *Writer) Set(name, value string) {
	reason := ""
	if !validDirective(name) {
		reason = "the name of a directive is letters and digits, or begins with X-"
	} else {
		reason = checkValue(value)
	}
	if reason == "" && len(name)+1+len(value) > lineMax {
		reason = "longer than the 1 MiB that a line of a unit file may have"
	}
	if reason != "" {
		w.errs = append(w.errs, &ValueError{w.section, name, value, reason})
		return
	}
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '=')
	w.buf = append(w.buf, value...)
	w.buf = append(w.buf, '\n')
}

// Bytes returns the file, or every assignment that was refused.
func (w *Writer) Bytes() ([]byte, error) {
	return w.buf, errors.Join(w.errs...)
}

// Errors returns the refused assignments in their order.
func (w *Writer) Errors() []error { return w.errs }

// validDirective also takes the names that systemd.unit(5) leaves to others,
// as X-Owner.
func validDirective(name string) bool {
	private := len(name) > 2 && name[:2] == "X-"
	for i := range len(name) {
		if c := name[i]; !isAlnum(c) && !(private && (c == '-' || c == '_')) {
			return false
		}
	}
	return name != ""
}

// checkValue says why a value cannot stand on one line, or "". systemd's
// read_line() ends a line at \n, \r and NUL; config_parse() joins a line that
// ends in an unescaped backslash with the next one and skips a line that is
// not UTF-8; white space at the ends is dropped without a word.
func checkValue(value string) string {
	if protection.Off("one-line-values") {
		return ""
	}
	escaped, plain := false, true
	for i := range len(value) {
		switch c := value[i]; {
		case c > '\\' && c < 0x7f || c >= ' ' && c < '\\': // nearly all
			escaped = false
		case c == '\n' || c == '\r' || c == 0:
			return "a line break or NUL cannot stand in a unit file"
		case c < ' ' && c != '\t' || c == 0x7f:
			return "a control character cannot stand in a unit file"
		default:
			escaped = c == '\\' && !escaped
			plain = plain && c < utf8.RuneSelf
		}
	}
	switch {
	case escaped:
		return `a "\" at the end would join this line with the next one`
	case !plain && !utf8.ValidString(value):
		return "not UTF-8: systemd would skip the line"
	}
	return ""
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
