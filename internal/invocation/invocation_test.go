// SPDX-License-Identifier: Apache-2.0

package invocation

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOver(t *testing.T) {
	const journal, link, dir = "run/systemd/units/invocation:systemd-journald.service", "run/systemd/units/invocation:web.service", "run/unitc/web"
	for name, c := range map[string]struct {
		there []string
		want  bool
	}{
		"ended":             {[]string{journal}, true},
		"runs":              {[]string{journal, link, dir}, false},
		"its records gone":  {[]string{journal, link}, false},
		"its link gone":     {[]string{journal, dir}, false},
		"no links are kept": {nil, false},
		"another runs":      {[]string{journal, link + "x", dir + "-2"}, true},
	} {
		root = t.TempDir()
		for _, path := range c.there {
			path = filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("nowhere", path); err != nil {
				t.Fatal(err)
			}
		}
		if got := Over("web.service"); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	root = ""
}

func TestIsOver(t *testing.T) {
	const first, second = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	root = t.TempDir()
	t.Cleanup(func() { root = "" })
	links := filepath.Join(root, "run/systemd/units/invocation:")
	if err := os.MkdirAll(filepath.Dir(links), 0o755); err != nil {
		t.Fatal(err)
	}
	for unit, id := range map[string]string{"systemd-journald": second, "web": first} {
		if err := os.Symlink(id, links+unit+".service"); err != nil {
			t.Fatal(err)
		}
	}
	if id := ID("web.service"); id != first {
		t.Errorf("the invocation is %q", id)
	}
	for _, c := range []struct {
		unit, id string
		want     bool
	}{
		{"web.service", first, false},
		{"web.service", second, true},
		{"web.service", "", false},
		{"db.service", first, true},
		{"db.service", "", true},
	} {
		if got := IsOver(c.unit, c.id); got != c.want {
			t.Errorf("%s %q: %v", c.unit, c.id, got)
		}
	}
	// It may be about to begin: its directory is there and its link cannot be seen.
	if err := os.MkdirAll(filepath.Join(root, "run/unitc/web"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(links + "web.service"); err != nil {
		t.Fatal(err)
	}
	if IsOver("web.service", first) || ID("web.service") != "" {
		t.Error("a directory alone does not count")
	}
}
