// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

func hex(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

// shellWord writes one word of a command that somebody may paste into a shell: names come
// from files of others.
func shellWord(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("_./:@%+=,-", r)
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

var errOpenQuote = errors.New("a quote is not closed")

// splitWords parts a value as systemd.syntax(7) says under "Quoting": blanks part
// words, quotes keep them together. unescape also reads C's escapes.
func splitWords(s string, unescape bool) ([]string, error) {
	var all []string
	for {
		s = strings.TrimLeft(s, " \t\n\r")
		if s == "" {
			return all, nil
		}
		word, rest, err := firstWord(s, unescape)
		if err != nil {
			return all, err
		}
		all, s = append(all, word), rest
	}
}

func firstWord(s string, unescape bool) (word, rest string, err error) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && unescape && i+1 < len(s):
			text, n := escaped(s[i:])
			b.WriteString(text)
			i += n - 1
		case c == '\\' && i+1 < len(s):
			b.WriteString(s[i : i+2])
			i++
		case quote == 0 && strings.IndexByte(" \t\n\r", c) >= 0:
			return b.String(), s[i:], nil
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return b.String(), "", errOpenQuote
	}
	return b.String(), "", nil
}

var escapes = map[byte]string{'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v", '\\': `\`, '"': `"`, '\'': "'", 's': " "}

// escaped reads one escape at the beginning of s, and how long it is. What is none
// stays as it is.
func escaped(s string) (string, int) {
	if text, ok := escapes[s[1]]; ok {
		return text, 2
	}
	form := map[byte]struct{ skip, digits, base int }{'x': {2, 2, 16}, 'u': {2, 4, 16}, 'U': {2, 8, 16}}[s[1]]
	if s[1] >= '0' && s[1] <= '7' {
		form = struct{ skip, digits, base int }{1, 3, 8}
	}
	end := form.skip + form.digits
	if form.digits == 0 || len(s) < end {
		return s[:2], 2
	}
	code, err := strconv.ParseUint(s[form.skip:end], form.base, 32)
	switch {
	case err != nil || code == 0:
		return s[:2], 2
	case form.digits < 4 && code < 256:
		return string([]byte{byte(code)}), end
	}
	return string(rune(code)), end
}

// units of systemd.time(7), without months and years, which no unit needs here.
var timeUnits = map[string]time.Duration{
	"": time.Second, "s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"us": time.Microsecond, "usec": time.Microsecond, "ms": time.Millisecond, "msec": time.Millisecond,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour, "w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
}

// timeSpan reads "90", "1min 30s" and the like.
func timeSpan(s string) (time.Duration, bool) {
	total, some := time.Duration(0), false
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimLeft(s, " ") {
		end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if end < 0 {
			end = len(s)
		}
		value, err := strconv.ParseFloat(s[:end], 64)
		if err != nil || value > 1<<31 {
			return 0, false
		}
		s = strings.TrimLeft(s[end:], " ")
		end = strings.IndexFunc(s, func(r rune) bool { return r < 'a' || r > 'z' })
		if end < 0 {
			end = len(s)
		}
		unit, ok := timeUnits[s[:end]]
		if !ok {
			return 0, false
		}
		total, some, s = total+time.Duration(value*float64(unit)), true, s[end:]
	}
	return total, some
}

// spell writes a time as definitions have it: 1m30s, 2h.
func spell(d time.Duration) string {
	text := d.String()
	if before, ok := strings.CutSuffix(text, "m0s"); ok {
		text = before + "m"
	}
	if before, ok := strings.CutSuffix(text, "h0m"); ok {
		text = before + "h"
	}
	return text
}
