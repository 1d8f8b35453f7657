// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"
	"testing"
)

func TestTallyCounts(t *testing.T) {
	for _, tt := range []struct {
		name, events string
		want         counts
	}{
		{"a package that passes is no test", `
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p"}`, counts{passed: 1}},
		{"leaves only", `
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"run","Package":"p","Test":"TestA/x"}
			{"Action":"run","Package":"p","Test":"TestA/y"}
			{"Action":"pass","Package":"p","Test":"TestA/x"}
			{"Action":"skip","Package":"p","Test":"TestA/y"}
			{"Action":"pass","Package":"p","Test":"TestA"}`, counts{passed: 1, skipped: 1}},
		{"a failed leaf fails its parents and package, and is one failure", `
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"run","Package":"p","Test":"TestA/x"}
			{"Action":"run","Package":"p","Test":"TestA/x/y"}
			{"Action":"fail","Package":"p","Test":"TestA/x/y"}
			{"Action":"fail","Package":"p","Test":"TestA/x"}
			{"Action":"fail","Package":"p","Test":"TestA"}
			{"Action":"fail","Package":"p"}`, counts{failed: 1}},
		{"a parent that fails by itself counts", `
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"run","Package":"p","Test":"TestA/x"}
			{"Action":"pass","Package":"p","Test":"TestA/x"}
			{"Action":"fail","Package":"p","Test":"TestA"}`, counts{passed: 1, failed: 1}},
		{"a test without an end has failed", `
			{"Action":"run","Package":"p","Test":"TestA"}`, counts{failed: 1}},
		{"a package that does not build has failed", `
			{"Action":"build-output","ImportPath":"p [p.test]","Output":"x.go:1:1: no\n"}
			{"Action":"build-fail","ImportPath":"p [p.test]"}
			{"Action":"start","Package":"p"}
			{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`, counts{failed: 1}},
		{"over two boots, the last result stands", `
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p"}
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p","Test":"TestA"}`, counts{passed: 1}},
		{"but a failure stays", `
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"fail","Package":"p","Test":"TestA"}
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p","Test":"TestA"}`, counts{failed: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			tally := newTally(&out)
			if err := tally.read("lane", strings.NewReader(strings.TrimSpace(tt.events))); err != nil {
				t.Fatal(err)
			}
			if got := tally.end("lane", nil); got != tt.want {
				t.Errorf("counted %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestTallyShowsWhatFailed(t *testing.T) {
	var out strings.Builder
	tally := newTally(&out)
	tally.read("lane", strings.NewReader(`
{"Action":"output","Package":"p","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestBad","Output":"bad_test.go:7: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestBad"}
{"Action":"build-output","ImportPath":"q [q.test]","Output":"x.go:1:1: no\n"}
{"Action":"fail","Package":"q","FailedBuild":"q [q.test]"}
`))
	for _, want := range []string{"FAIL lane p TestBad\n", "got 1, want 2", "FAIL lane q\n", "x.go:1:1: no"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "chatter") {
		t.Errorf("output of a test that passed is shown:\n%s", &out)
	}
}

func TestTallyCountsALaneThatBreaks(t *testing.T) {
	var out strings.Builder
	tally := newTally(&out)
	tally.add("other", event{Action: "pass", Package: "p", Test: "TestA"})
	if got := tally.end("lane", errors.New("no machine")); got != (counts{failed: 1}) {
		t.Errorf("the lane: %+v", got)
	}
	if got := tally.count(""); got != (counts{passed: 1, failed: 1}) {
		t.Errorf("all: %+v", got)
	}
	if !strings.Contains(out.String(), "no machine") {
		t.Errorf("the reason is not shown: %s", &out)
	}
}

func TestSkipListNeedsReasons(t *testing.T) {
	list, err := parseSkips("# comment\n\nfast-* test/systemd TestX/* no controllers here\n")
	if err != nil {
		t.Fatal(err)
	}
	module := "github.com/unitc/unitc/"
	for id, want := range map[testID]string{
		{"fast-trixie", module + "test/systemd", "TestX/y"}: "no controllers here",
		{"fast-trixie", module + "test/systemd", "TestX"}:   "",
		{"unit", module + "test/systemd", "TestX/y"}:        "",
	} {
		if got := list.reason(id); got != want {
			t.Errorf("reason of %v: %q, want %q", id, got, want)
		}
	}
	if _, err := parseSkips("fast-* test/systemd TestX\n"); err == nil {
		t.Error("a line without a reason was accepted")
	}
}

// What has failed runs once more; where a machine died, all that it had not done
// with, tests that go over several boots among them.
func TestRepeatLeavesOutWhatIsSettled(t *testing.T) {
	died := errors.New("the VM's kernel panicked")
	for _, tt := range []struct {
		name, lane, last string
		err              error
		filter, skip     string
		kept             int
	}{
		{"nothing failed", "vm-x", "pass", nil, "", "", -1},
		{"a test failed", "vm-x", "fail", died, "^(TestC)$", "", 2},
		{"a machine died in a test", "vm-x", "run", died, "", "TestA", 1},
		{"a machine died between tests", "vm-x", "pass", died, "", "TestA TestC", 2},
		{"a process died", "unit", "run", died, "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tally := newTally(&strings.Builder{})
			for _, e := range []event{{Action: "pass", Test: "TestA"}, {Action: "pass", Test: "TestBootB"}, {Action: "run", Test: "TestC/x"}, {Action: tt.last, Test: "TestC/x"}} {
				tally.add(tt.lane, e)
			}
			r := &testRun{ctx: t.Context(), tally: tally}
			again, _ := r.repeat(tt.lane, tt.err)
			if tt.kept < 0 {
				if again != nil {
					t.Errorf("runs once more: %+v", again)
				}
				return
			}
			if again == nil || again.filter != tt.filter || strings.Join(again.skip, " ") != tt.skip || len(tally.order) != tt.kept {
				t.Errorf("once more %+v, %d results are kept", again, len(tally.order))
			}
		})
	}
}
