// SPDX-License-Identifier: Apache-2.0

package entry

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Arguments and environment are passed on, however many there are, and what was
// asked for already stays.
func TestStartAddsOneVariable(t *testing.T) {
	program := filepath.Join(t.TempDir(), "show")
	build := exec.Command("go", "build", "-ldflags=-E "+Symbol, "-o", program, "./testdata/show")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	for _, n := range []int{0, 1, 2, 3, 1000} {
		for _, args := range [][]string{{"other name"}, {"a", "", "é\n"}, {"a", "b", "c", "d"}} {
			cmd := exec.Command(program)
			cmd.Args, cmd.Env = args, []string{}
			for i := range n {
				cmd.Env = append(cmd.Env, fmt.Sprintf("V%d=%s", i, strings.Repeat("x", i%50)))
			}
			s := started(t, cmd)
			if want := append(slices.Clone(cmd.Env), "GOMAXPROCS=1"); s.Processors != 1 || s.PageSize != os.Getpagesize() ||
				!slices.Equal(s.Env, want) || !slices.Equal(s.Args, args) {
				t.Errorf("%d variables, arguments %q: %d processors, pages of %d, %q, environment %.200q", n, args, s.Processors, s.PageSize, s.Args, s.Env)
			}
		}
	}
	cmd := exec.Command(program)
	cmd.Env = []string{"GOMAXPROCS=3"}
	if s := started(t, cmd); s.Processors != 3 {
		t.Errorf("%d processors of three that were asked for", s.Processors)
	}
}

type shown struct {
	Args, Env  []string
	Processors int
	PageSize   int
}

func started(t *testing.T, cmd *exec.Cmd) (s shown) {
	t.Helper()
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	return s
}
