// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestCachedBuildsOnce(t *testing.T) {
	t.Setenv("UNITC_LAB_CACHE", t.TempDir())
	builds := 0
	build := func(dir string) error {
		builds++
		return os.WriteFile(filepath.Join(dir, "x"), nil, 0o644)
	}
	for range 2 {
		path, err := cached("tree-1", build)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(path, "x")); err != nil {
			t.Error(err)
		}
	}
	if builds != 1 {
		t.Errorf("built %d times", builds)
	}
}

func TestCachedKeepsNothingHalfDone(t *testing.T) {
	t.Setenv("UNITC_LAB_CACHE", t.TempDir())
	broken := errors.New("broken")
	_, err := cached("tree-1", func(dir string) error {
		os.WriteFile(filepath.Join(dir, "half"), nil, 0o644)
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("err = %v", err)
	}
	// As a killed build would leave it.
	if err := os.MkdirAll(filepath.Join(cacheDir(), "tree-1.new/half"), 0o755); err != nil {
		t.Fatal(err)
	}
	path, err := cached("tree-1", func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(path); len(left) != 0 {
		t.Errorf("the tree holds %v", left)
	}
}

func TestCachedPrunesWhatNobodyUses(t *testing.T) {
	t.Setenv("UNITC_LAB_CACHE", t.TempDir())
	nothing := func(string) error { return nil }
	for _, name := range []string{"a-old", "a-used", "b-old"} {
		if _, err := cached(name, nothing); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-30 * 24 * time.Hour)
	for _, name := range []string{"a-old", "b-old"} {
		if err := os.Chtimes(filepath.Join(cacheDir(), name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cached("a-new", nothing); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"a-old": false, "a-used": true, "a-new": true, "b-old": true} {
		if _, err := os.Stat(filepath.Join(cacheDir(), name)); (err == nil) != want {
			t.Errorf("%s: kept is %v, want %v", name, err == nil, want)
		}
	}
}
