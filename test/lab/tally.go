// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of a build, in place of Package
	Test        string
	Output      string
	FailedBuild string
}

type testID struct{ lane, pkg, test string }

// tally counts the tests of all lanes: each leaf once, a test of several boots
// once too. A test that began and never ended has failed.
type tally struct {
	out     io.Writer
	order   []testID
	results map[testID]string // run, pass, fail or skip
	output  map[testID]*strings.Builder
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, results: map[testID]string{}, output: map[testID]*strings.Builder{}}
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
		}
		delete(t.output, id)
	case "fail":
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

func (id testID) String() string {
	return strings.TrimSpace(id.lane + " " + id.pkg + " " + id.test)
}

// close fails what began and never ended, for its process died.
func (t *tally) close(lane string) {
	for _, id := range t.order {
		if id.lane == lane && t.results[id] == "run" {
			t.fail(id, event{Action: "fail", Package: id.pkg, Test: id.test})
		}
	}
}

type counts struct{ passed, failed, skipped int }

func (t *tally) count() counts {
	var c counts
	for _, id := range t.leaves() {
		switch t.results[id] {
		case "pass":
			c.passed++
		case "skip":
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
