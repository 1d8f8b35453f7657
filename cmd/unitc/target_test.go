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
		age      time.Duration
		reloaded bool
	}{
		{"units written just now", true, 0, true}, {"units of long ago", true, time.Hour, false},
		{"none since just now", false, 0, true}, {"never any", false, time.Hour, false},
		{"units of before the clock was set back", true, -time.Hour, false},
	} {
		dir := filepath.Join(t.TempDir(), "units")
		changed := filepath.Dir(dir)
		if tc.there {
			changed = dir
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if tc.age != 0 {
			then := time.Now().Add(-tc.age)
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
