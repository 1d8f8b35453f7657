// SPDX-License-Identifier: Apache-2.0

package unitfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// This parser is written from systemd.syntax(7) and systemd.service(5) alone,
// so that it is a second opinion on the writer and not its mirror.

type assignment struct{ section, name, value string }

func parseFile(data string) ([]assignment, error) {
	var (
		list    []assignment
		section string
	)
	for line := range strings.SplitSeq(strings.TrimSuffix(data, "\n"), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		default:
			name, value, found := strings.Cut(line, "=")
			if !found {
				return nil, fmt.Errorf("line %q has no =", line)
			}
			list = append(list, assignment{section, name, strings.TrimLeft(value, " \t")})
		}
	}
	return list, nil
}

func splitWords(s string) ([]string, error) {
	var words []string
	for {
		s = strings.TrimLeft(s, " \t\n\r")
		if s == "" {
			return words, nil
		}
		word, rest, err := nextWord(s)
		if err != nil {
			return nil, err
		}
		words, s = append(words, word), rest
	}
}

func nextWord(s string) (string, string, error) {
	var b []byte
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			return string(b), s[i:], nil
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\':
			out, n, err := unescapeOne(s[i:])
			if err != nil {
				return "", "", err
			}
			b = append(b, out...)
			i += n - 1
		default:
			b = append(b, c)
		}
	}
	if quote != 0 {
		return "", "", errors.New("unbalanced quotes")
	}
	return string(b), "", nil
}

func unescapeOne(s string) (string, int, error) {
	if len(s) < 2 {
		return "", 0, errors.New("backslash at the end")
	}
	simple := map[byte]string{'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v",
		'\\': `\`, '"': `"`, '\'': "'", 's': " "}
	if out, ok := simple[s[1]]; ok {
		return out, 2, nil
	}
	if s[1] == 'x' && len(s) >= 4 {
		n, err := strconv.ParseUint(s[2:4], 16, 8)
		return string([]byte{byte(n)}), 4, err
	}
	return "", 0, fmt.Errorf("unknown escape %q", s[:2])
}

func expandSpecifiers(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 == len(s) || s[i+1] != '%' {
			return "", fmt.Errorf("specifier in %q", s)
		}
		b.WriteByte('%')
		i++
	}
	return b.String(), nil
}

func substituteVariables(s string) (string, error) {
	for i := 0; i < len(s); i++ {
		if s[i] == '$' {
			if i+1 == len(s) || s[i+1] != '$' {
				return "", fmt.Errorf("variable in %q", s)
			}
			i++
		}
	}
	return strings.ReplaceAll(s, "$$", "$"), nil
}

// parseExec gives the program and its arguments of one command line.
func parseExec(s string) (string, []string, error) {
	if strings.IndexByte("-@:+!|;", s[0]) >= 0 {
		return "", nil, fmt.Errorf("prefix in %q", s)
	}
	for _, raw := range strings.Fields(withoutQuoted(s)) {
		if raw == ";" {
			return "", nil, fmt.Errorf("two commands in %q", s)
		}
	}
	words, err := splitWords(s)
	if err != nil {
		return "", nil, err
	}
	for i := range words {
		if words[i], err = expandSpecifiers(words[i]); err != nil {
			return "", nil, err
		}
		if i == 0 {
			continue
		}
		if words[i], err = substituteVariables(words[i]); err != nil {
			return "", nil, err
		}
	}
	return words[0], words[1:], nil
}

// withoutQuoted has an x in the place of each quoted part: systemd looks for ";"
// where a word begins, and not in one (config_parse_exec()).
func withoutQuoted(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		for i++; i < len(s) && s[i] != '"'; i++ {
			if s[i] == '\\' {
				i++
			}
		}
		b.WriteByte('x')
	}
	return b.String()
}
