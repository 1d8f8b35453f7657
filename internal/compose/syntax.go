// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/unitc/unitc/internal/diag"
)

// maxBisect is the size up to which the line of a syntax error is searched for.
const maxBisect = 64 << 10

// syntaxHints puts yaml.v3's words into an operator's. The first row whose text
// is part of the parser's message holds.
var syntaxHints = []struct{ text, what, cure string }{
	{"exceeded max depth", "values are nested too deep", "write it flatter"},
	{"mapping values are not allowed", "a second `: ` stands in this value, or the line is indented wrongly", "put the value in quotes, or align the line with its neighbours"},
	{"could not find expected ':'", "a line without a colon, or a value that goes on at the wrong indentation", "write `key: value`"},
	{"found unexpected end of stream", "a quote that is opened here is never closed", "close the quote"},
	{"did not find expected key", "the line does not fit the indentation of the lines above", "align it with its neighbours"},
	{"did not find expected '-' indicator", "a line between list items that is no item", "begin it with `- `, or indent it as part of the item above"},
	{"did not find expected ',' or ']'", "a list in brackets that goes on without a comma", "add the comma, or close the list with `]`"},
	{"did not find expected ',' or '}'", "a mapping in braces that goes on without a comma", "add the comma, or close the mapping with `}`"},
	{"did not find expected node content", "a value is missing, or begins with a character that YAML reserves", "write the value, in quotes"},
	{"block sequence entries are not allowed", "a list item where none can stand", "begin the list on the line after its key"},
	{"mapping keys are not allowed", "a key where none can stand", "indent it under the key that it belongs to"},
	{"did not find expected <document start>", "the file goes on after its end", "align the line with the file's first key"},
	{"did not find expected alphabetic or numeric character", "`*` or `&` begins an alias or anchor, and no name follows", "put the value in quotes"},
	{"unknown escape character", "an unknown escape sequence in a double-quoted string", "write \\\\ for a backslash, or use single quotes"},
	{"tab character", "a tab stands in the indentation", "use spaces"},
	{"control characters are not allowed", "a control character stands in the file", "write it as an escape in double quotes"},
	{"found undefined tag handle", "an unknown tag", "put the value in quotes if it begins with `!`"},
}

// faultSyntax reports an error of yaml.v3, which often names the line where the
// enclosing block began and, for the first line, none.
func (r *reader) faultSyntax(data []byte, at place, err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line, message := splitLine(message)
	if name, ok := strings.CutPrefix(message, "unknown anchor '"); ok {
		name = strings.TrimSuffix(name, "' referenced")
		at.line, at.col = findToken(data, "*"+name)
		r.faultFile(at, "write &"+shorten(name)+" where the value stands first", "the anchor of *%s is nowhere above", shorten(name)).Rule = diag.RuleSyntax
		return
	}
	if len(data) <= maxBisect {
		line = r.findSyntaxLine(data, message, line)
	}
	content := lineOf(data, line)
	at.line, at.col = int32(line), columnOf(content, message)
	what, cure := "YAML: "+message, "see yaml.org for the syntax"
	for _, hint := range syntaxHints {
		if strings.Contains(message, hint.text) {
			what, cure = hint.what, hint.cure
			break
		}
	}
	if strings.Contains(message, "cannot start any token") {
		what, cure = hintToken(content)
	}
	if n := noBreakSpace(data, line); n > 0 {
		before, _, _ := strings.Cut(lineOf(data, n), "\u00a0")
		at.line, at.col = int32(n), int32(utf8.RuneCountInString(before))+1
		what, cure = "a no-break space stands where YAML has a space", "write a space; text that is copied from a page has others"
	}
	r.faultFile(at, cure, "%s", what).Rule = diag.RuleSyntax
}

// noBreakSpace finds one behind a colon or a dash, or in the indentation, of the line of a
// fault or of the one above; 0 = there is none.
func noBreakSpace(data []byte, line int) int {
	for _, n := range []int{line - 1, line} {
		if n < 1 {
			continue
		}
		text := strings.TrimLeft(lineOf(data, n), " -")
		if strings.Contains(text, ":\u00a0") || strings.HasPrefix(text, "\u00a0") {
			return n
		}
	}
	return 0
}

// columnOf is where the line begins or, of a quote that is never closed, where
// the quote is.
func columnOf(content, message string) int32 {
	start := len(content) - len(strings.TrimLeft(content, " "))
	if strings.Contains(message, "end of stream") {
		for i, c := range content {
			if (c == '"' || c == '\'') && (i == start || strings.ContainsRune(" [{,", rune(content[i-1]))) {
				return int32(utf8.RuneCountInString(content[:i])) + 1
			}
		}
	}
	return int32(start) + 1
}

// splitLine parts "line 3: message".
func splitLine(message string) (int, string) {
	rest, ok := strings.CutPrefix(message, "line ")
	if !ok {
		return 1, message
	}
	digits, rest, ok := strings.Cut(rest, ": ")
	line, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return 1, message
	}
	return line, rest
}

// hintToken explains a character that begins no value.
func hintToken(content string) (what, cure string) {
	trimmed := strings.TrimLeft(content, " ")
	if strings.HasPrefix(trimmed, "\t") {
		return "a tab stands in the indentation", "use spaces"
	}
	for _, c := range "@`%" {
		if strings.Contains(content, ": "+string(c)) || strings.Contains(content, "- "+string(c)) {
			return "a value can't begin with " + string(c), "put it in quotes"
		}
	}
	if strings.Contains(content, "\t") {
		return "a tab stands where YAML takes spaces only", "use spaces"
	}
	return "a character that begins no value", "put the value in quotes"
}

// findSyntaxLine looks for the shortest beginning of the file that fails with
// the same message: its last line is where the parser gave up or, of what is
// never closed, where it was opened. The search assumes that a longer beginning
// fails too.
func (r *reader) findSyntaxLine(data []byte, message string, guess int) int {
	lines := bytes.SplitAfter(data, []byte{'\n'})
	fails := func(n int) bool {
		err := r.in.Library.CheckYAML(bytes.Join(lines[:n], nil))
		if err == nil {
			return false
		}
		_, got := splitLine(strings.TrimPrefix(err.Error(), "yaml: "))
		return got == message
	}
	low, high := 0, len(lines)
	for low+1 < high {
		if middle := (low + high) / 2; fails(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	if high == len(lines) && !fails(high) {
		return guess
	}
	return high
}

// lineOf is one line of the file, counted from 1.
func lineOf(data []byte, line int) string {
	for ; line > 1; line-- {
		next := bytes.IndexByte(data, '\n')
		if next < 0 {
			return ""
		}
		data = data[next+1:]
	}
	content, _, _ := bytes.Cut(data, []byte{'\n'})
	return strings.TrimRight(string(content), "\r")
}

// findToken is the place of a token's first appearance as a word of its own.
func findToken(data []byte, token string) (line, col int32) {
	for from := 0; ; {
		found := bytes.Index(data[from:], []byte(token))
		if found < 0 {
			return 1, 1
		}
		found += from
		next, _ := utf8.DecodeRune(data[found+len(token):])
		if found+len(token) == len(data) || strings.ContainsRune(" \t\r\n,]}:", next) {
			return position(data, found)
		}
		from = found + len(token)
	}
}
