// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// samples are the values of one metric by peer, in the order of rounds.
type samples map[string]map[string][]float64

func (s samples) add(metric, peer string, value float64) {
	if s[metric] == nil {
		s[metric] = map[string][]float64{}
	}
	s[metric][peer] = append(s[metric][peer], value)
}

// print writes the rows `metric peer median min max n`.
func (s samples) print(peers []*peer) {
	var metrics []string
	for m := range s {
		metrics = append(metrics, m)
	}
	slices.Sort(metrics)
	for _, m := range metrics {
		for _, p := range peers {
			if v := slices.Sorted(slices.Values(s[m][p.name])); len(v) > 0 {
				fmt.Printf("%s\t%s\t%.3f\t%.3f\t%.3f\t%d\n", m, p.name, v[len(v)/2], v[0], v[len(v)-1], len(v))
			}
		}
	}
}

// rounds runs what is compared in turns, each round in another order. The
// first round warms caches and is not counted. A peer that fails is left out
// from there on, aloud; unitc may not fail.
func rounds(n int, peers []*peer, one func(p *peer, count bool) error) error {
	order := slices.Clone(peers)
	for i := range n + 1 {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		var failed error
		order = slices.DeleteFunc(order, func(p *peer) bool {
			err := one(p, i > 0)
			if err != nil && strings.Contains(p.name, "unitc") {
				failed = fmt.Errorf("round %d: %s: %w", i, p.name, err)
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "left out from round %d on: %s: %v\n", i, p.name, err)
			}
			return err != nil
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// now is CLOCK_MONOTONIC, which the payload writes too.
func now() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// busy is the CPU time of the whole machine: this program, PID 1 and journald
// too. The kernel counts it for the root cgroup with or without controllers.
func busy() time.Duration {
	text, _ := os.ReadFile("/sys/fs/cgroup/cpu.stat")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return time.Duration(n) * time.Microsecond
		}
	}
	return 0
}

// settle waits until the machine is at rest: what one turn left to do must not
// be counted with the next. What containers leave is taken away some time behind
// their end, in which there is nothing to do.
func settle() {
	for range 200 {
		before := busy()
		time.Sleep(10 * time.Millisecond)
		if busy()-before < 300*time.Microsecond && !remains() {
			return
		}
	}
}

// remains tells whether there are records of containers that do not run.
func remains() bool {
	var records []string
	for _, pattern := range []string{"/run/unitc/.networks/*/[^.]*.json", "/run/unitc/.images/[^.]*"} {
		found, _ := filepath.Glob(pattern)
		records = append(records, found...)
	}
	return slices.ContainsFunc(records, func(path string) bool {
		name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".json"), ".service")
		_, err := os.Lstat("/run/systemd/units/invocation:" + name + ".service")
		return os.IsNotExist(err)
	})
}

func systemctl(words ...string) error {
	if out, err := exec.Command("systemctl", words...).CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(words, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func stampFile(p *peer, instance string) string { return filepath.Join(stamps, p.name+"-"+instance) }

// clear removes old stamps, so that a new one is of this start.
func clear(p *peer) {
	files, _ := filepath.Glob(stampFile(p, "*"))
	for _, f := range files {
		os.Remove(f)
	}
}

// stamp waits for the payload's word of when its first instruction ran.
func stamp(p *peer, instance string) (time.Duration, error) {
	for deadline := now() + 60*time.Second; now() < deadline; time.Sleep(200 * time.Microsecond) {
		text, _ := os.ReadFile(stampFile(p, instance))
		if bytes.HasSuffix(text, []byte("\n")) {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
			return time.Duration(n), err
		}
	}
	return 0, fmt.Errorf("instance %s wrote no stamp", instance)
}

// began is what one start took.
type began struct{ first, returned, cpu time.Duration }

// start starts one instance and waits for its payload.
func (b *bench) start(p *peer, instance string) (began, error) {
	clear(p)
	cpu, t := busy(), now()
	if err := systemctl("start", p.service(instance)); err != nil {
		return began{}, err
	}
	returned := now() - t
	at, err := stamp(p, instance)
	if err != nil {
		return began{}, err
	}
	settle()
	return began{at - t, returned, busy() - cpu}, nil
}

// startAndStop does both, each on a machine that has come to rest; cpu is what the
// stop took.
func (b *bench) startAndStop(p *peer) (got began, stopped, cpu time.Duration, err error) {
	settle()
	if got, err = b.start(p, "1"); err != nil {
		return got, 0, 0, err
	}
	before, t := busy(), now()
	if err = systemctl("stop", p.service("1")); err != nil {
		return got, 0, 0, err
	}
	stopped = now() - t
	settle()
	return got, stopped, busy() - before, nil
}

// extra finds the memory of what runs now and did not before, the payload aside.
func extra(before map[int]bool) (pss, private float64) {
	for _, pid := range processes() {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if before[pid] || strings.TrimSpace(string(comm)) == "payload" {
			continue
		}
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			if len(words) < 3 {
				continue
			}
			kib, _ := strconv.ParseFloat(words[1], 64)
			switch words[0] {
			case "Pss:":
				pss += kib
			case "Private_Clean:", "Private_Dirty:":
				private += kib
			}
		}
	}
	return pss, private
}

func processes() []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func processSet() map[int]bool {
	set := map[int]bool{}
	for _, pid := range processes() {
		set[pid] = true
	}
	return set
}
