// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A reload takes the directory of units away and makes it anew. Where it has
// been missing for long, nobody waits for one.
func TestReloading(t *testing.T) {
	for _, tc := range []struct {
		name     string
		there    bool
		old      bool
		reloaded bool
	}{
		{"units written just now", true, false, true}, {"units of long ago", true, true, false},
		{"none since just now", false, false, true}, {"never any", false, true, false},
	} {
		dir := filepath.Join(t.TempDir(), "units")
		changed := filepath.Dir(dir)
		if tc.there {
			changed = dir
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if tc.old {
			then := time.Now().Add(-time.Hour)
			if err := os.Chtimes(changed, then, then); err != nil {
				t.Fatal(err)
			}
		}
		a := &app{unitDir: dir}
		if got := a.reloading(); got != tc.reloaded {
			t.Errorf("%s: reloading: %v", tc.name, got)
		}
	}
}
