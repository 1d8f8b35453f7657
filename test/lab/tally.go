// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of a build, in place of Package
	Test        string
	Output      string
	FailedBuild string
	Elapsed     float64
}

type testID struct{ lane, pkg, test string }

// tally counts the tests of all lanes: each leaf once, a test of several boots
// once too. A test that began and never ended has failed.
type tally struct {
	mu      sync.Mutex // lanes run side by side
	out     io.Writer
	order   []testID
	results map[testID]string // run, pass, fail or skip
	output  map[testID]*strings.Builder
	seconds map[testID]float64
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, results: map[testID]string{}, output: map[testID]*strings.Builder{}, seconds: map[testID]float64{}}
}

// read takes in one lane's events and shows what failed, as it fails. Lines
// that are no events come from the tools themselves and are shown.
func (t *tally) read(lane string, r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &e) == nil && e.Action != "":
			t.add(lane, e)
		default:
			fmt.Fprintf(t.out, "%s: %s\n", lane, strings.TrimSpace(string(line)))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tally) add(lane string, e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := testID{lane, e.Package, e.Test}
	switch e.Action {
	case "output", "build-output":
		if e.Action == "build-output" {
			id.pkg = e.ImportPath
		}
		if t.output[id] == nil {
			t.output[id] = &strings.Builder{}
		}
		t.output[id].WriteString(e.Output)
	case "run":
		t.set(id, "run")
	case "pass", "skip":
		// A package's own pass, or its having no tests, is not a test.
		if e.Test != "" {
			t.set(id, e.Action)
			t.seconds[id] += e.Elapsed
		}
		if text := t.output[id]; e.Action == "skip" && e.Test != "" && text != nil {
			fmt.Fprintf(t.out, "--- SKIP %s\n%s", id, text)
		}
		delete(t.output, id)
	case "fail":
		t.seconds[id] += e.Elapsed
		t.fail(id, e)
	}
}

// fail shows a failure with what its test wrote. A package that failed because
// one of its tests did says nothing new.
func (t *tally) fail(id testID, e event) {
	if e.Test == "" && slices.ContainsFunc(t.order, func(other testID) bool {
		return other.lane == id.lane && other.pkg == id.pkg && other.test != "" && t.results[other] == "fail"
	}) {
		return
	}
	t.set(id, "fail")
	fmt.Fprintf(t.out, "--- FAIL %s\n", id)
	for _, from := range []testID{{id.lane, e.FailedBuild, ""}, id} {
		if text := t.output[from]; text != nil {
			io.WriteString(t.out, text.String())
			delete(t.output, from)
		}
	}
}

// set keeps a failure, whatever later boots say of the same test.
func (t *tally) set(id testID, result string) {
	old, seen := t.results[id]
	if !seen {
		t.order = append(t.order, id)
	}
	if old != "fail" {
		t.results[id] = result
	}
}

// top is the name of the test that id is, or is a part of.
func (id testID) top() string {
	name, _, _ := strings.Cut(id.test, "/")
	return name
}

func (id testID) String() string {
	return strings.TrimSpace(id.lane + " " + id.pkg + " " + id.test)
}

// end closes a lane and counts it. What began and never ended has failed, for
// its process died; a lane that fails without a failed test is a failure itself.
func (t *tally) end(lane string, err error) counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range t.order {
		if id.lane == lane && t.results[id] == "run" {
			t.fail(id, event{Action: "fail", Package: id.pkg, Test: id.test})
		}
	}
	c := t.count(lane)
	if err != nil && c.failed == 0 {
		t.fail(testID{lane: lane}, event{})
		fmt.Fprintln(t.out, err)
		c.failed++
	}
	return c
}

// toRepeat lists the top-level tests of a lane that failed; whole is true when
// one never ended, so that those behind it have not run either.
func (t *tally) toRepeat(lane string) (names []string, whole bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed(lane)
}

func (t *tally) failed(lane string) (names []string, whole bool) {
	for _, id := range t.order {
		if result := t.results[id]; id.lane == lane && id.test != "" && (result == "fail" || result == "run") {
			if name := id.top(); !slices.Contains(names, name) {
				names = append(names, name)
			}
			whole = whole || result == "run"
		}
	}
	return names, whole
}

// settled lists the top-level tests that a machine which died had done with:
// they need not run again. Tests that go over several boots may have passed in
// one of them alone.
func (t *tally) settled(lane string) (names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	failed, _ := t.failed(lane)
	for _, id := range t.order {
		if name := id.top(); id.lane == lane && name != "" && !strings.HasPrefix(name, "TestBoot") && !slices.Contains(failed, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// forget takes results back that a second run will give: of a lane's packages,
// and of the top-level tests that come again.
func (t *tally) forget(lane string, again func(test string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.order = slices.DeleteFunc(t.order, func(id testID) bool {
		gone := id.lane == lane && (id.test == "" || again(id.top()))
		if gone {
			delete(t.results, id)
			delete(t.output, id)
			delete(t.seconds, id)
		}
		return gone
	})
}

type counts struct{ passed, failed, skipped int }

// count counts one lane, or all of them for "".
func (t *tally) count(lane string) counts {
	var c counts
	for _, id := range t.leaves() {
		switch result := t.results[id]; {
		case lane != "" && id.lane != lane:
		case result == "pass":
			c.passed++
		case result == "skip":
			c.skipped++
		default:
			c.failed++
		}
	}
	return c
}

func (t *tally) skips() []testID {
	return slices.DeleteFunc(t.leaves(), func(id testID) bool { return t.results[id] != "skip" })
}

// slowest lists top-level tests that took longer than the given seconds.
func (t *tally) slowest(longer float64) []testID {
	slow := slices.DeleteFunc(slices.Clone(t.order), func(id testID) bool {
		return t.seconds[id] <= longer || id.test == "" || strings.Contains(id.test, "/")
	})
	slices.SortStableFunc(slow, func(a, b testID) int { return cmp.Compare(t.seconds[b], t.seconds[a]) })
	return slow
}

// leaves leaves out tests that have subtests, but for one that failed while all
// of its subtests passed: that failure is nowhere else.
func (t *tally) leaves() []testID {
	parents := map[testID]bool{}
	explained := map[testID]bool{}
	for _, id := range t.order {
		for up := id; strings.Contains(up.test, "/"); {
			up.test = up.test[:strings.LastIndex(up.test, "/")]
			parents[up] = true
			if t.results[id] == "fail" {
				explained[up] = true
			}
		}
	}
	var leaves []testID
	for _, id := range t.order {
		if !parents[id] || (t.results[id] == "fail" && !explained[id]) {
			leaves = append(leaves, id)
		}
	}
	return leaves
}
