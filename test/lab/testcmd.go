// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// lane is a part of the tests that is run, timed and reported as one.
type lane struct {
	name string
	run  func(r *testRun, name string) error
}

// testRun is one `lab test`.
type testRun struct {
	ctx    context.Context
	source string
	tally  *tally
	// filter is -test.run's, for all lanes; skip names tests that are not to run.
	filter string
	skip   []string
	// strict forbids to run once more what has failed.
	strict bool

	mu    sync.Mutex
	times []string
	cpu   map[string]time.Duration // of the machine, by lane
}

// Unit tests come first: they are the fastest to fail. Of the machines those that
// most people have are first, and the short ones last, so that all places are
// taken until the end. One that is emulated has one processor and uses all of it,
// one in namespaces waits half of its time: they take turns.
func allLanes() []lane {
	lanes := []lane{{"lint", (*testRun).lint}, {"unit", (*testRun).unit}}
	for _, name := range []string{
		"vm-trixie", "fast-trixie", "fast-bookworm", "vm-bookworm", "fast-forky", "vm-forky",
		"vm-engines", // limits through engines
		"vm-" + foreign.name,
		"fast-engines", "fast-daemons",
		judgeLane, // images have judges among the peers' programs: umoci unpacks the same ones
	} {
		lanes = append(lanes, lane{name, (*testRun).inside})
	}
	return append(lanes, lane{benchLane, (*testRun).ratios})
}

func cmdTest(args []string) error {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	only := flags.String("lanes", "*", "run the lanes that match one of these `patterns`, separated by commas")
	filter := flags.String("run", "", "run the tests that match this `regexp`")
	jobs := flags.Int("j", min(3, runtime.NumCPU()+1), "`number` of machines at a time")
	runs := flags.Int("runs", 1, "do it all this `number` of times; with more than 1 nothing that has failed is run once more")
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
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	red := 0
	for n := range *runs {
		r := &testRun{ctx: ctx, source: source, tally: newTally(os.Stdout), filter: *filter, strict: *runs > 1, cpu: map[string]time.Duration{}}
		r.all(lanes, *jobs)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err = r.report(skips); err != nil {
			red++
		}
		if *runs > 1 {
			fmt.Printf("=== run %d of %d is over, %d of them red\n", n+1, *runs, red)
		}
	}
	if red > 0 {
		return &statusError{1}
	}
	return nil
}

// benchLane comes last and alone: what runs beside it would be measured too.
const benchLane = "bench"

// all runs lanes that share this machine one after the other, then those that
// have machines of their own, several at a time.
func (r *testRun) all(lanes []lane, jobs int) {
	var group sync.WaitGroup
	free := make(chan struct{}, jobs)
	for _, l := range lanes {
		if r.ctx.Err() != nil {
			break
		}
		if l.name == benchLane {
			group.Wait()
		}
		if !strings.Contains(l.name, "-") {
			r.lane(l)
			continue
		}
		free <- struct{}{}
		group.Go(func() {
			r.lane(l)
			<-free
		})
	}
	group.Wait()
}

// warmTrees makes what later lanes need, next to the first ones. An error will
// come up again where it hurts.
func warmTrees(lanes []lane) {
	for _, l := range lanes {
		_, name, _ := strings.Cut(l.name, "-")
		if l.name == benchLane {
			name = peers.name
		}
		if s, err := findSuite(name); err == nil {
			s.tree()
		}
	}
}

func (r *testRun) lane(l lane) {
	fmt.Printf("=== %s\n", l.name)
	start := time.Now()
	err := l.run(r, l.name)
	if again, what := r.repeat(l.name, err); again != nil {
		// A machine of its own, or, for unit tests, no other test beside them: what
		// fails again fails.
		fmt.Printf("=== %s: once more: %s\n", l.name, what)
		err = l.run(again, l.name)
	}
	c := r.tally.end(l.name, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	line := fmt.Sprintf("%-14s %7.1f s  %5d passed %3d failed %3d skipped", l.name,
		time.Since(start).Seconds(), c.passed, c.failed, c.skipped)
	if cpu := r.cpu[l.name]; cpu > 0 {
		line += fmt.Sprintf("  (cpu %.1f s)", cpu.Seconds())
	}
	r.times = append(r.times, line)
	fmt.Println("    " + line)
}

// repeat is the run of what failed, and nil where nothing has: of some tests, or,
// where a machine died, of all that it had not done with. Kernels that are emulated
// did die while they had two processors: see qemuArgs.
func (r *testRun) repeat(lane string, err error) (again *testRun, what string) {
	names, died := r.tally.toRepeat(lane)
	machine := strings.Contains(lane, "-")
	died = died || machine && err != nil && len(names) == 0
	if !died && len(names) == 0 || lane == "lint" || r.filter != "" || r.strict || r.ctx.Err() != nil {
		return nil, ""
	}
	again = &testRun{ctx: r.ctx, source: r.source, tally: r.tally, cpu: map[string]time.Duration{}}
	what = strings.Join(names, " ")
	switch {
	case !died:
		again.filter = pattern(names)
		r.tally.forget(lane, func(test string) bool { return slices.Contains(names, test) })
	case machine:
		what = strings.TrimSpace("all that the machine had not done with: " + what)
		done := r.tally.settled(lane)
		again.skip = done
		r.tally.forget(lane, func(test string) bool { return !slices.Contains(done, test) })
	default:
		r.tally.forget(lane, func(string) bool { return true })
	}
	return again, what
}

func pattern(names []string) string { return "^(" + strings.Join(names, "|") + ")$" }

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
	for _, id := range r.tally.slowest(20) {
		fmt.Printf("slow: %5.1f s %s\n", r.tally.seconds[id], id)
	}
	fmt.Println()
	for _, line := range r.times {
		fmt.Println(line)
	}
	c := r.tally.count("")
	fmt.Printf("%d passed, %d failed, %d skipped\n", c.passed, c.failed, c.skipped)
	if c.failed > 0 || unlisted > 0 {
		return &statusError{1}
	}
	return nil
}

// test/attack takes longest: it begins first, or it would run alone at the end.
func (r *testRun) unit(name string) error { return r.goTest(name, "./test/attack", "./...") }

func (r *testRun) ratios(name string) error { return r.goTest(name, "-tags=bench", "./test/bench") }

func (r *testRun) goTest(name string, what ...string) error {
	args := []string{"test", "-json", "-count=1", "-vet=off"} // lint has
	if r.filter != "" {
		args = append(args, "-run", r.filter)
	}
	cmd := exec.CommandContext(r.ctx, "go", append(args, what...)...)
	// The go command leaves its tests running when it is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
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
	if ranErr := <-ran; ranErr != nil {
		err = fmt.Errorf("%s: %w", name, ranErr)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cpu[name] = j.cpu
	return err
}

// labPackages are where the tests live that run inside, by kind of machine.
var labPackages = map[string]string{"fast": "test/systemd", "vm": "test/vm", "judge": "internal/image"}

// judgeLane runs the tests for which the unit lane's machine lacks a program.
const judgeLane = "judge-peers"

// laneTimeout is for machines that hang, not for slow ones.
const laneTimeout = 45 * time.Minute

func (r *testRun) testJob(kind, suiteName string) (*job, error) {
	// The binary's own limit comes first: it says which test it was that hung.
	flags := []string{"-test.v=test2json", "-test.timeout=" + (laneTimeout - 2*time.Minute).String()}
	switch {
	case r.filter != "":
		flags = append(flags, "-test.run="+r.filter)
	case suiteName == foreign.name:
		flags = append(flags, "-test.run="+foreignTests)
	case isExtra(suiteName):
		// The others have run on this release already.
		flags = append(flags, "-test.run=^"+extraTests[suiteName])
	case kind == "judge":
		flags = append(flags, "-test.run=^(TestJudge|Test(Pull)?KilledAtEveryChange)")
	}
	skip := r.skip
	if r.filter == "" {
		others, err := elsewhere(filepath.Join(r.source, labPackages[kind]), suiteName)
		if err != nil {
			return nil, err
		}
		skip = append(others, skip...)
	}
	if len(skip) > 0 {
		flags = append(flags, "-test.skip="+pattern(skip))
	}
	j, err := newTestJob(r.source, labPackages[kind], suiteName, kind == "vm", flags)
	if j != nil {
		j.Timeout = laneTimeout
	}
	return j, err
}
