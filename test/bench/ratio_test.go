// SPDX-License-Identifier: Apache-2.0

//go:build bench

// Package bench watches over the ratios to the peers: a run of the quick
// benchmark is compared with baseline.tsv, which a change that is worth its
// price renews (README.md).
package bench

import (
	"os"
	"os/exec"
	"testing"
)

func TestNoRatioGotWorse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to boot a machine")
	}
	run := func(name string, args ...string) ([]byte, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir = "../.."
		return cmd.CombinedOutput()
	}
	if out, err := run("make", "-s", "lab"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, form := range []struct{ rows, peers string }{
		{"^(start|memory|reload)$", "^(plain|unitc|unitc-service|quadlet)$"},
		{"^many$", "^(plain|unitc|unitc-service)$"},
	} {
		// What is worse twice is worse.
		for try := 1; ; try++ {
			if out, err := run("bin/lab", "bench", "-quick", "-rows", form.rows, "-peers", form.peers); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			out, err := run("bin/bench/suite", "-compare", "test/bench/baseline.tsv", "bin/bench/bench.tsv")
			t.Logf("%s", out)
			if err == nil {
				break
			}
			if try == 2 {
				t.Fatal(err)
			}
		}
	}
}
