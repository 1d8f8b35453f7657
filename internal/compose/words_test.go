// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"regexp"
	"slices"
	"testing"
)

// The schema's pattern and the parser have one opinion of every string.
func TestWordsFormat(t *testing.T) {
	pattern := regexp.MustCompile(wordsFormat.pattern)
	for in, want := range map[string][]string{
		"":                    {},
		`a b  c`:              {"a", "b", "c"},
		`sh -c "a | b; c"`:    {"sh", "-c", "a | b; c"},
		`'it''s' "a\"b" c\ d`: {"its", `a"b`, "c d"},
		`''`:                  {""},
		"a\nb":                {"a", "b"},
		`a | b`:               nil,
		`a && b`:              nil,
		`a > b`:               nil,
		`a $(b)`:              nil,
		"a `b`":               nil,
		`a; b`:                nil,
		`"a`:                  nil,
		`'a`:                  nil,
		`a\`:                  nil,
		`"a\"`:                nil,
		`'a\'`:                {`a\`},
	} {
		words, what, _ := splitWords(in)
		if valid := what == ""; valid != (want != nil) || valid != pattern.MatchString(in) || valid && !slices.Equal(words, want) {
			t.Errorf("%q: %q, %q; pattern %v", in, words, what, pattern.MatchString(in))
		}
	}
}
