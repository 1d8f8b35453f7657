// SPDX-License-Identifier: Apache-2.0

package unitfile

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// EscapeSpecifiers doubles "%", which systemd.unit(5) expands nearly everywhere
// and rejects when the letter after it is unknown (G-15).
func EscapeSpecifiers(s string) string {
	return strings.ReplaceAll(s, "%", "%%")
}

// Word quotes one word of a directive that takes a list of words, so that
// systemd reads back the same bytes. Where the directive is read without C
// escapes (RequiresMountsFor=, DeviceAllow=, IODeviceWeight= and its like) that
// holds for what Printable leaves as it is.
func Word(s string) string { return quote(EscapeSpecifiers(s)) }

// Exec quotes a command line. The program must be an absolute path: "$" is
// substituted in arguments only, so it is doubled there and not in the path
// (systemd.service(5), COMMAND LINES).
func Exec(path string, args ...string) string {
	size := len(path)
	for _, arg := range args {
		size += len(arg) + 1
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteString(Word(path))
	for _, arg := range args {
		b.WriteByte(' ')
		b.WriteString(Word(strings.ReplaceAll(arg, "$", "$$")))
	}
	return b.String()
}

// quote puts a word in double quotes where it needs them and escapes as
// systemd.syntax(7), "Quoting", lists. A byte that is no UTF-8 becomes \xNN:
// raw, it would make PID 1 skip the line.
func quote(s string) string {
	if isPlainWord(s) {
		return s
	}
	b := make([]byte, 0, len(s)+8)
	b = append(b, '"')
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r < ' ' || r == 0x7f || r == utf8.RuneError && size == 1:
			b = append(b, '\\', 'x', hexDigits[s[i]>>4], hexDigits[s[i]&15])
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return string(append(b, '"'))
}

// isPlainWord tells whether a word reads back as itself without quotes. A lone
// ";" separates commands, "#" and ";" begin comments: all are quoted.
func isPlainWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && !strings.ContainsRune("/._-+=:,@%", rune(c)) {
			return false
		}
	}
	return s != ""
}

// Printable makes a text one line of valid UTF-8 for comments, descriptions and
// logs: what a terminal or a parser could take as a command is shown escaped.
func Printable(s string) string {
	plain := 0
	for plain < len(s) && s[plain] >= ' ' && s[plain] < 0x7f {
		plain++
	}
	if !strings.ContainsFunc(s[plain:], isUnprintable) {
		return s
	}
	b := make([]byte, 0, len(s)+8)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			b = append(b, `\n`...)
		case isUnprintable(r) && size == 1:
			b = append(b, '\\', 'x', hexDigits[s[i]>>4], hexDigits[s[i]&15])
		case isUnprintable(r):
			b = append(b, '?')
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return string(b)
}

// isUnprintable also holds for the line and paragraph separators and the
// marks that reorder text on a terminal.
func isUnprintable(r rune) bool {
	return r == utf8.RuneError || !unicode.IsPrint(r)
}
