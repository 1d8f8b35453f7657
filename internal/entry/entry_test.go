// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package entry

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Arguments and environment are passed on, however many there are, and what was
// asked for already stays.
func TestStartAddsOneVariable(t *testing.T) {
	for symbol, slack := range map[string]int{Symbol: max(ownSlack(t), 1_000_000), SymbolAlone: 100_000_000} {
		t.Run(symbol[strings.LastIndexByte(symbol, '.')+1:], func(t *testing.T) { checkStart(t, symbol, slack) })
	}
}

// ownSlack is how late the timers of this program may be, in ns, which a child
// inherits.
func ownSlack(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/timerslack_ns")
	slack, parseErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || parseErr != nil {
		t.Fatal(err, parseErr)
	}
	return slack
}

func checkStart(t *testing.T, symbol string, slack int) {
	program := filepath.Join(t.TempDir(), "show")
	build := exec.Command("go", "build", "-ldflags=-E "+symbol, "-o", program, "./testdata/show")
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
			if want := append(slices.Clone(cmd.Env), "GOMAXPROCS=1"); s.Processors != 1 || s.Slack != slack || s.MemProfileRate != 0 || s.PageSize != os.Getpagesize() ||
				!slices.Equal(s.Env, want) || !slices.Equal(s.Args, args) {
				t.Errorf("%d variables, arguments %q: %+.400v", n, args, s)
			}
		}
	}
	checkFiles(t, program)
	if symbol == Symbol {
		checkSlack(t, program)
	}
	cmd := exec.Command(program)
	cmd.Env = []string{"GOMAXPROCS=3"}
	if s := started(t, cmd); s.Processors != 3 {
		t.Errorf("%d processors of three that were asked for", s.Processors)
	}
}

// Timers are late while Go begins, and never more than is said for one that was
// given more; what the program starts has what it was given itself.
func checkSlack(t *testing.T, program string) {
	t.Helper()
	for given, want := range map[int]int{70_000: 1_000_000, 3_000_000: 3_000_000} {
		s := started(t, exec.Command("sh", "-c", fmt.Sprintf("echo %d >/proc/$$/timerslack_ns; exec \"$0\"", given), program))
		if s.Slack != want || s.Restored != given {
			t.Errorf("of %d ns: %d ns, for others %d", given, s.Slack, s.Restored)
		}
	}
}

// Go's own limit of open files is the hard one, whatever it was at first, and the
// program's that is run then is what it would be without us; so it is where no
// standard stream is open, and where the hard limit is low.
func checkFiles(t *testing.T, program string) {
	t.Helper()
	for _, c := range []struct{ limits, want string }{
		{"ulimit -Sn 100; ulimit -Hn 200", "100\n200\n"},
		{"ulimit -n 200", "200\n200\n"},
		{"ulimit -n 200; exec <&-", "200\n200\n"},
		{"ulimit -n 4", "4\n4\n"},
	} {
		out, err := exec.Command("sh", "-c", c.limits+"; exec \"$0\" -exec", program).CombinedOutput()
		if err != nil || string(out) != c.want {
			t.Errorf("%s: %v\n%s", c.limits, err, out)
		}
	}
	if s := started(t, exec.Command("sh", "-c", "ulimit -Sn 100; ulimit -Hn 200; exec \"$0\"", program)); s.Files != 199 {
		t.Errorf("%d files of 200 may be open", s.Files)
	}
}

type shown struct {
	Args, Env  []string
	Processors int
	PageSize   int
	// Slack is how late timers may be, in ns, Restored those of what it starts.
	Slack, Restored int
	MemProfileRate  int
	Files           uint64
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
