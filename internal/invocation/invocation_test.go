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
