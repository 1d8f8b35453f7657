// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestOnceTestsRunInOneSuite(t *testing.T) {
	t.Setenv("UNITC_LAB_SLOW", "")
	dir := t.TempDir()
	text := "package p\n\n// A is one.\n//\n//lab:once\nfunc TestA() {}\n\n// It speaks of\n// lab:once only.\nfunc TestB() {}\n\n//lab:once\nfunc helper() {}\n\nfunc TestC() {\n\t//lab:once\n}\n\n//lab:others\nfunc TestD() {}\n"
	if err := os.WriteFile(filepath.Join(dir, "x_test.go"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for suiteName, want := range map[string][]string{"bookworm": {"TestA"}, "forky": {"TestA"}, "trixie": {"TestD"}, "engines": nil, "peers": nil} {
		got, err := elsewhere(dir, suiteName)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s leaves out %q (%v), want %q", suiteName, got, err, want)
		}
	}
	t.Setenv("UNITC_LAB_SLOW", "1")
	if got, err := elsewhere(dir, "bookworm"); err != nil || got != nil {
		t.Errorf("with UNITC_LAB_SLOW bookworm leaves out %q (%v)", got, err)
	}
}
