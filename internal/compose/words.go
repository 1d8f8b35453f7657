// SPDX-License-Identifier: Apache-2.0

package compose

import "strings"

// shellCure is what to write where a shell would be needed: Compose cuts the
// command off there without a word.
const shellCure = `put it in quotes, or write the shell out: [sh, -c, "…"]`

// What splitWords takes, but for what a variable brings: plain characters,
// escapes, single and double quotes. commandFormat demands a word.
const (
	quotedPattern = `\$\{[^}]*\}|\\[\s\S]|'[^']*'|"([^"\\]|\\[\s\S])*"`
	tokenPattern  = `(` + quotedPattern + `|[^\\'";&|<>()` + "`" + `])`
)

var (
	wordsFormat   = format{name: "words", pattern: `^` + tokenPattern + `*$`}
	commandFormat = format{name: "command", pattern: `^\s*(` + quotedPattern + `|[^\s\\'";&|<>()` + "`" + `])` + tokenPattern + `*$`}
)

// splitWords parts a command into words as Compose does: blanks part words,
// quotes and backslashes keep them together, \t and \n mean the characters, and
// nothing is expanded.
func splitWords(s string) (words []string, what, cure string) {
	words = []string{}
	var word strings.Builder
	var quoted rune // the open quote, 0 outside
	open, escaped := false, false
	for _, c := range s {
		switch {
		case escaped:
			word.WriteRune(unescape(c))
			escaped = false
		case c == '\\' && quoted != '\'':
			escaped, open = true, true
		case quoted != 0 && c == quoted:
			quoted = 0
		case quoted != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quoted, open = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if open {
				words = append(words, word.String())
				word.Reset()
			}
			open = false
		case strings.ContainsRune(";&|<>()`", c):
			return words, "the command has " + quote(string(c)) + ", and no shell reads it", shellCure
		default:
			word.WriteRune(c)
			open = true
		}
	}
	switch {
	case quoted != 0:
		return words, "the command has a quote " + string(quoted) + " that is never closed", "close the quote, or write a list of words"
	case escaped:
		return words, "the command ends in a backslash", "write a list of words"
	case open:
		words = append(words, word.String())
	}
	return words, "", ""
}

func unescape(c rune) rune {
	switch c {
	case 't':
		return '\t'
	case 'n':
		return '\n'
	}
	return c
}
