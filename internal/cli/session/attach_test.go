// SPDX-License-Identifier: Apache-2.0

package session

import (
	"bytes"
	"testing"
)

func TestDetachKeys(t *testing.T) {
	for text, want := range map[string]string{"ctrl-p,ctrl-q": "\x10\x11", "ctrl-a,d": "\x01d", "": "", "CTRL-]": "\x1d", "ctrl-@": "\x00", "q": "q"} {
		if got, err := DetachKeys(text); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{",", "ctrl-", "ctrl-pp", "ctrl-1", "alt-x", "a,,b", "é"} {
		if got, err := DetachKeys(text); err == nil {
			t.Errorf("%q is taken as %q", text, got)
		}
	}
}

// Keys are found wherever a read ends, and nothing that was typed is lost.
func TestDetectorFindsKeysAcrossReads(t *testing.T) {
	for _, c := range []struct {
		keys, typed, sent string
		detached          bool
	}{
		{"pq", "abpqc", "ab", true},
		{"pq", "ppq", "p", true},
		{"pq", "papbqp", "papbq", false}, // the last may be the beginning of more
		{"aab", "aaab", "a", true},
		{"aab", "aaxaab", "aax", true},
		{"", "pq", "pq", false},
		{"q", "abq", "ab", true},
	} {
		for cut := 1; cut <= len(c.typed); cut++ {
			d := detector{keys: []byte(c.keys)}
			var sent []byte
			detached := false
			for rest := []byte(c.typed); len(rest) > 0 && !detached; {
				n := min(cut, len(rest))
				var part []byte
				part, detached = d.feed(bytes.Clone(rest[:n]))
				sent = append(sent, part...)
				rest = rest[n:]
			}
			if string(sent) != c.sent || detached != c.detached {
				t.Errorf("keys %q in %q by %d: sent %q, detached %v; want %q, %v", c.keys, c.typed, cut, sent, detached, c.sent, c.detached)
			}
		}
	}
}
