// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// raceThemselves are programs that fail on a busy machine (inside.sh says why).
// Cases of ours have what they look for.
var raceThemselves = []string{"killsig", "pidfile", "poststart"}

// No row of runtime-tools that RESULTS.md says is passed gets lost: the lab has
// compiled just these.
func TestEngineValidationPrograms(t *testing.T) {
	const dir = "/root/conformance"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	programs := make(chan string, len(entries))
	for _, e := range entries {
		if name := e.Name(); name != "runtimetest" && !strings.Contains(name, ".") && !slices.Contains(raceThemselves, name) {
			programs <- name
		}
	}
	if passed := len(programs) + len(raceThemselves); passed < 31 {
		t.Errorf("%d programs are passed by RESULTS.md: it has lost some", passed)
	}
	close(programs)
	var group sync.WaitGroup
	for range 6 { // most of the time they sleep
		group.Go(func() {
			for name := range programs {
				cmd := exec.Command(dir+"/inside.sh", name)
				cmd.Env = append(os.Environ(), "RUNTIMES="+ociRuntime)
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), "\n| "+name+" | pass |\n") {
					t.Errorf("%s: %v: %s", name, err, out)
				}
			}
		})
	}
	group.Wait()
}
