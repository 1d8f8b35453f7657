// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Programs begin in assembly of ours (internal/entry, internal/oci/entry), which each
// processor has its own of: without it they only take longer, which nobody would notice.
func TestProgramsBegin(t *testing.T) {
	helpers := "/usr/local/lib/"
	for _, c := range []struct {
		name, call string
		args       []string
	}{
		{"unitc-exec", "prctl(PR_SET_TIMERSLACK, 1000000)", []string{helpers + "unitc/unitc-exec"}},
		{"unitc-generator", "prctl(PR_SET_TIMERSLACK, 100000000)", []string{helpers + "systemd/system-generators/unitc-generator", t.TempDir(), t.TempDir(), t.TempDir()}},
		{"unitc-runtime", `, "", ["/usr/local/bin/unitc-runtime", "run", "--bundle", "/nowhere", "x"]`, []string{"/usr/local/bin/unitc-runtime", "run", "--bundle", "/nowhere", "x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			trace := filepath.Join(t.TempDir(), "trace")
			// Without a bundle and without words two of them fail, after what is looked for.
			out, _ := exec.Command("strace", append([]string{"-f", "-s", "200", "-e", "trace=prctl,execveat", "-o", trace, "--"}, c.args...)...).CombinedOutput()
			text, err := os.ReadFile(trace)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for line := range strings.Lines(string(text)) {
				if strings.Contains(line, c.call) && strings.HasSuffix(line, " = 0\n") {
					return
				}
			}
			t.Errorf("%q is not among\n%s\nwhat it says: %s", c.call, text, out)
		})
	}
}
