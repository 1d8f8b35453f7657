// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for target, want := range map[string]string{
		"80":                      "127.0.0.1:80 [::1]:80 localhost:80 /",
		"localhost:8080":          "127.0.0.1:8080 [::1]:8080 localhost:8080 /",
		":8080":                   "127.0.0.1:8080 [::1]:8080 localhost:8080 /",
		"10.0.0.1:5432":           "10.0.0.1:5432 10.0.0.1:5432 /",
		"[fd00::1]:443":           "[fd00::1]:443 [fd00::1]:443 /",
		"http://:8080/health?a=b": "127.0.0.1:8080 [::1]:8080 localhost:8080 /health?a=b",
		"http://10.0.0.1":         "10.0.0.1:80 10.0.0.1 /",
		"https://":                "127.0.0.1:443 [::1]:443 localhost /",
		"https://[::1]:8443/ok":   "[::1]:8443 [::1]:8443 /ok",
		"https://10.0.0.1:443":    "10.0.0.1:443 10.0.0.1:443 /",
		"http://localhost":        "127.0.0.1:80 [::1]:80 localhost /",
	} {
		e, ok := Parse(target)
		var words []string
		for _, a := range e.Addresses {
			words = append(words, a.String())
		}
		if got := strings.Join(append(words, e.Host, e.Path), " "); !ok || got != want {
			t.Errorf("%s: %q (%v), want %q", target, got, ok, want)
		}
	}
	for _, bad := range []string{"", "0", "65536", "web:80", "http://web/"} {
		if _, ok := Parse(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}
