// SPDX-License-Identifier: Apache-2.0

//go:build lab && daemons

package systemd

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// "completions for bash, zsh, fish from one source": each shell finds its script
// where `make install` and where the package puts it, and offers the same.
func TestShellCompletions(t *testing.T) {
	keepInstall(t)
	place(t, "/etc/unitc/website.yaml", packageDefinition)
	place(t, "/etc/unitc/webhook@.yaml", packageDefinition)
	reload(t)
	t.Run("make install", compareShells)
	installer(t, "uninstall")
	must(t, "dpkg", "--install", debPackage)
	t.Cleanup(func() { command(t, "dpkg", "--purge", "unitc") })
	t.Run("package", compareShells)
}

func compareShells(t *testing.T) {
	lines := map[string]string{
		"unitc sta":                  "stats",
		"unitc secret ":              "set",
		"unitc stats --so":           "--sort",
		"unitc ps --":                "--json",
		"unitc cat we":               "webhook@",
		"unitc enable websi":         "website",
		"unitc completion ":          "fish",
		"unitc help al":              "all",
		"unitc update-limits websit": "website",
		"unitc stats --sort me":      "memory",
		"unitc kill -s H":            "HUP",
	}
	ordered := slices.Sorted(maps.Keys(lines))
	bash := offered(t, append([]string{"bash", "testdata/complete.bash"}, ordered...))
	others := map[string]map[string][]string{
		"zsh":  offered(t, append([]string{"zsh", "testdata/complete.zsh"}, ordered...)),
		"fish": offered(t, append([]string{"fish", "--private", "-c", `for line in $argv; echo "= $line"; complete -C $line; end`}, ordered...)),
	}
	for _, line := range ordered {
		if !slices.Contains(bash[line], lines[line]) {
			t.Errorf("%q: bash offers %q, which %s is not among", line, bash[line], lines[line])
		}
		for shell, offers := range others {
			if !slices.Equal(offers[line], bash[line]) {
				t.Errorf("%q: %s offers %q, and bash %q", line, shell, offers[line], bash[line])
			}
		}
	}
}

// offered is what a shell prints for each line, without descriptions, in the
// order of the alphabet.
func offered(t *testing.T, argv []string) map[string][]string {
	t.Helper()
	argv = append([]string{"HOME=" + t.TempDir(), "XDG_DATA_DIRS=/usr/local/share:/usr/share", "timeout", "120"}, argv...)
	offers, line := map[string][]string{}, ""
	for text := range strings.Lines(must(t, "env", argv...)) {
		text = strings.TrimSuffix(text, "\n")
		if next, ok := strings.CutPrefix(text, "= "); ok {
			line = next
			continue
		}
		word, _, _ := strings.Cut(text, "\t")
		offers[line] = append(offers[line], word)
	}
	for _, words := range offers {
		slices.Sort(words)
	}
	return offers
}
