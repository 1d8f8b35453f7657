// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// lane is a part of the tests that is run, timed and reported as one.
type lane struct {
	name string
	run  func(r *testRun, name string) error
}

// testRun is one `lab test`.
type testRun struct {
	source string
	tally  *tally
	// filter is -test.run's, for all lanes.
	filter string
	times  []string
}

// Unit tests come first: they are the fastest to fail. The oldest and the newest
// systemd follow the one that most people have.
func allLanes() []lane {
	lanes := []lane{{"lint", (*testRun).lint}, {"unit", (*testRun).unit}}
	for _, s := range suites {
		lanes = append(lanes, lane{"fast-" + s.name, (*testRun).inside})
	}
	lanes = append(lanes, lane{"fast-" + daemons.name, (*testRun).inside})
	for _, s := range suites {
		lanes = append(lanes, lane{"vm-" + s.name, (*testRun).inside})
	}
	return lanes
}

func cmdTest(args []string) error {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	only := flags.String("lanes", "*", "run the lanes that match one of these `patterns`, separated by commas")
	filter := flags.String("run", "", "run the tests that match this `regexp`")
	if err := flags.Parse(args); err != nil {
		return &statusError{2}
	}
	source, err := sourceDir()
	if err != nil {
		return err
	}
	skips, err := readSkips(filepath.Join(source, "test/skips.txt"))
	if err != nil {
		return err
	}
	lanes := slices.DeleteFunc(allLanes(), func(l lane) bool {
		return !slices.ContainsFunc(strings.Split(*only, ","), func(p string) bool { return match(p, l.name) })
	})
	go warmTrees(lanes)
	r := &testRun{source: source, tally: newTally(os.Stdout), filter: *filter}
	for _, l := range lanes {
		r.lane(l)
	}
	return r.report(skips)
}

// warmTrees makes what later lanes need, next to the first ones. An error will
// come up again where it hurts.
func warmTrees(lanes []lane) {
	for _, l := range lanes {
		if _, name, ok := strings.Cut(l.name, "-"); ok {
			if s, err := findSuite(name); err == nil {
				s.tree()
			}
		}
	}
}

func (r *testRun) lane(l lane) {
	fmt.Printf("=== %s\n", l.name)
	start := time.Now()
	before := r.tally.count()
	err := l.run(r, l.name)
	r.tally.close(l.name)
	after := r.tally.count()
	// A failed test says so itself; a lane that fails without one needs words.
	if err != nil && after.failed == before.failed {
		r.tally.fail(testID{lane: l.name}, event{})
		after.failed++
		fmt.Println(err)
	}
	r.times = append(r.times, fmt.Sprintf("%-14s %7.1f s  %5d passed %3d failed %3d skipped", l.name,
		time.Since(start).Seconds(), after.passed-before.passed, after.failed-before.failed, after.skipped-before.skipped))
}

// report ends with the one line that machines read.
func (r *testRun) report(skips skipList) error {
	unlisted := 0
	for _, id := range r.tally.skips() {
		why := skips.reason(id)
		if why == "" {
			unlisted++
			why = "NOT in test/skips.txt"
		}
		fmt.Printf("skipped: %s: %s\n", id, why)
	}
	fmt.Println()
	for _, line := range r.times {
		fmt.Println(line)
	}
	c := r.tally.count()
	fmt.Printf("%d passed, %d failed, %d skipped\n", c.passed, c.failed, c.skipped)
	if c.failed > 0 || unlisted > 0 {
		return &statusError{1}
	}
	return nil
}

func (r *testRun) unit(name string) error {
	args := []string{"test", "-json", "-count=1"}
	if r.filter != "" {
		args = append(args, "-run", r.filter)
	}
	cmd := exec.Command("go", append(args, "./...")...)
	return r.follow(name, cmd)
}

// follow runs a command that writes events.
func (r *testRun) follow(lane string, cmd *exec.Cmd) error {
	cmd.Dir = r.source
	cmd.Stderr = os.Stdout
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	return errors.Join(r.tally.read(lane, out), cmd.Wait())
}

// inside runs the tests of one kind in a machine of one suite. `go tool
// test2json` makes events of what the test binary prints there.
func (r *testRun) inside(name string) error {
	kind, suiteName, _ := strings.Cut(name, "-")
	j, err := r.testJob(kind, suiteName)
	if err != nil || j == nil {
		return err
	}
	convert := exec.Command("go", "tool", "test2json", "-t", "-p", strings.TrimSuffix(modulePath, "/")+"/"+labPackages[kind])
	in, err := convert.StdinPipe()
	if err != nil {
		return err
	}
	ran := make(chan error, 1)
	go func() {
		err := j.run(nil, in, os.Stdout)
		in.Close()
		ran <- err
	}()
	err = r.follow(name, convert)
	if err := <-ran; err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return err
}

// labPackages are where the tests live that run inside, by kind of machine.
var labPackages = map[string]string{"fast": "test/systemd", "vm": "test/vm"}

func (r *testRun) testJob(kind, suiteName string) (*job, error) {
	flags := []string{"-test.v=test2json"}
	switch {
	case r.filter != "":
		flags = append(flags, "-test.run="+r.filter)
	case suiteName == daemons.name:
		// The others have run on this release already.
		flags = append(flags, "-test.run=^TestDaemon")
	}
	return newTestJob(r.source, labPackages[kind], suiteName, kind == "vm", flags)
}

// newTestJob compiles a package's tests and lays them out in the machine as
// they are in the checkout, so that paths to testdata and examples hold.
func newTestJob(source, pkg, suiteName string, vm bool, flags []string) (*job, error) {
	binary := filepath.Join(source, "bin", filepath.Base(pkg)+".test")
	tags := "lab"
	if suiteName == daemons.name {
		tags += "," + daemons.name
	}
	build := exec.Command("go", "test", "-c", "-tags", tags, "-o", binary, "./"+pkg)
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling the tests of %s: %w\n%s", pkg, err, out)
	}
	j := &job{Suite: suiteName, Source: source, checkout: source, VM: vm, Dir: "/root/" + pkg}
	j.Copies = []string{binary + ":" + j.Dir + "/" + filepath.Base(binary)}
	for _, extra := range []string{pkg + "/testdata", "examples", "packaging"} {
		if _, err := os.Stat(filepath.Join(source, extra)); err == nil {
			j.Copies = append(j.Copies, filepath.Join(source, extra)+":/root/"+extra)
		}
	}
	// After a reboot only those tests go on that asked for it.
	script := `[ "${UNITC_LAB_BOOT:-1}" = 1 ] || set -- "$@" -test.run=^TestBoot; exec ./"$0" "$@"`
	j.Command = append([]string{"sh", "-c", script, filepath.Base(binary)}, flags...)
	j.setEnv()
	return j, j.prepare()
}

// cmdGotest is for those who write the tests: one package, one suite, all flags.
func cmdGotest(args []string) error {
	vm := len(args) > 0 && args[0] == "-vm"
	if vm {
		args = args[1:]
	}
	if len(args) < 2 {
		return errors.New("arguments: want [-vm] SUITE PACKAGE [-test.FLAG]")
	}
	source, err := sourceDir()
	if err != nil {
		return err
	}
	pkg := strings.TrimPrefix(filepath.Clean(args[1]), modulePath)
	j, err := newTestJob(source, pkg, args[0], vm, args[2:])
	if err != nil {
		return err
	}
	return j.run(os.Stdin, os.Stdout, io.Writer(os.Stderr))
}
