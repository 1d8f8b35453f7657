// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/live"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
)

// sample is one container at one moment.
type sample struct {
	Name string `json:"name"`
	// CPUPercent is of one processor, since the sample before.
	CPUPercent *float64 `json:"cpu_percent,omitempty"`
	live.Usage
}

// firstInterval is between the two samples that a share of a processor needs.
const firstInterval = 300 * time.Millisecond

func (a *app) stats() *cobra.Command {
	once, asJSON, interval, order := false, false, 2*time.Second, "name"
	cmd := &cobra.Command{
		Use:   "stats [OPTION…] [NAME…]",
		Short: "show what containers use, live",
		Long: `Show what containers use: processor time, memory and its limit, bytes of the
network and of disks, processes, and pressure, which is the share of the last ten
seconds in which some process waited for the processor, for memory, or for disks.
It is read from the kernel's counters (cgroups(7)); systemd is not asked. What the
kernel does not count here is shown as "-".`,
		ValidArgsFunction: a.completeRunning,
		RunE: func(_ *cobra.Command, args []string) error {
			if a.root != "" {
				return usagef("stats: nothing runs in --root %s", a.root)
			}
			if interval < 100*time.Millisecond {
				return usagef("--interval %v: want 100ms or more", interval)
			}
			if !slices.Contains(orders, order) {
				return usagef("--sort %s: want one of %s", order, strings.Join(orders, ", "))
			}
			s := &sampler{app: a, words: args, order: order, survey: live.Survey{Host: a.host}}
			// What the shares of the first picture are counted from.
			if err := s.take(s.survey.Processor); err != nil {
				return err
			}
			if once || !asJSON && terminal.Of(a.stdout).Width == 0 {
				time.Sleep(firstInterval)
				if err := s.take(s.survey.Usage); err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(s.now)
				}
				return s.write(terminal.Of(a.stdout))
			}
			return s.follow(interval, asJSON)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&once, "no-stream", false, "print once; the default without a terminal")
	f.BoolVar(&asJSON, "json", false, "print JSON, an array a line unless --no-stream")
	f.DurationVarP(&interval, "interval", "i", interval, "`TIME` between two looks")
	f.StringVar(&order, "sort", order, "the `COLUMN` to sort by: name, cpu, memory, pids")
	return cmd
}

var orders = []string{"name", "cpu", "memory", "pids"}

// sampler looks again and again.
type sampler struct {
	*app
	words []string
	order string
	now   []sample
	// survey is kept from one look to the next.
	survey live.Survey
}

// take looks once; shares are of the time since the look before.
func (s *sampler) take(look func(cgroup string) live.Usage) error {
	defer s.survey.Close() // a slice may be another by the next look
	names, err := s.host.Names()
	if err == nil && s.host.Permitted() != nil {
		names, err = s.defined() // who may not see what was launched sees what there could be
	}
	if err != nil {
		return err
	}
	if len(s.words) > 0 {
		if names, err = s.targets(context.Background(), nil, s.words); err != nil {
			return err
		}
	}
	before := map[string]live.Usage{}
	for _, b := range s.now {
		before[b.Name] = b.Usage
	}
	payloads := s.host.Payloads(names, units.ScopeOf)
	s.now = []sample{}
	for _, name := range names {
		cgroup, ok := payloads[name]
		if !ok {
			continue // it has ended, or is about to begin
		}
		now := sample{Name: name, Usage: look(cgroup)}
		if b, ok := before[name]; ok && b.CPU != nil && now.CPU != nil && *now.CPU >= *b.CPU {
			share := float64(*now.CPU-*b.CPU) / float64(now.At.Sub(b.At).Microseconds()) * 100
			now.CPUPercent = &share
		}
		s.now = append(s.now, now)
	}
	slices.SortStableFunc(s.now, s.compare)
	return nil
}

// defined are the containers that units are there for, instances apart.
func (s *sampler) defined() (names []string, err error) {
	generated, err := units.ListGenerated(s.unitDir)
	for _, name := range units.Stems(generated, nil) {
		if !strings.HasSuffix(name, "@") {
			names = append(names, name)
		}
	}
	return names, err
}

// compare puts the greatest first, but for names.
func (s *sampler) compare(a, b sample) int {
	of := func(x sample) float64 {
		switch {
		case s.order == "cpu" && x.CPUPercent != nil:
			return *x.CPUPercent
		case s.order == "memory" && x.Memory != nil:
			return float64(*x.Memory)
		case s.order == "pids" && x.Pids != nil:
			return float64(*x.Pids)
		}
		return 0
	}
	if x, y := of(a), of(b); x != y {
		if x > y {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Name, b.Name)
}

// follow looks until somebody ends it, or nobody reads any more.
func (s *sampler) follow(interval time.Duration, asJSON bool) error {
	ctx, stop := untilInterrupted(context.Background())
	defer stop()
	wait := firstInterval
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = interval
		if err := s.take(s.survey.Usage); err != nil {
			return err
		}
		var err error
		if asJSON {
			err = json.NewEncoder(s.stdout).Encode(s.now)
		} else {
			err = s.redraw()
		}
		if err != nil {
			return err
		}
	}
}

// redraw writes from the first line on and clears what is below (ECMA-48 ED).
func (s *sampler) redraw() error {
	screen := terminal.Of(s.stdout)
	var b strings.Builder
	inner := terminal.Screen{Writer: &b, Width: screen.Width, Colour: screen.Colour}
	if err := s.write(inner); err != nil {
		return err
	}
	lines := strings.SplitAfter(b.String(), "\n")
	if rows := terminal.Rows(s.stdout); rows > 1 && len(lines) >= rows {
		lines = append(lines[:rows-2], fmt.Sprintf("and %d more", len(lines)-rows+1))
	}
	_, err := fmt.Fprint(s.stdout, "\x1b[H"+strings.ReplaceAll(strings.Join(lines, ""), "\n", "\x1b[K\n")+"\x1b[J")
	return err
}

func (s *sampler) write(w terminal.Screen) error {
	t := terminal.Table{Header: []string{"NAME", "CPU", "MEMORY", "NET RX/TX", "DISK R/W", "PIDS", "PRESSURE C/M/IO"}, Shrink: []int{0}, Drop: []int{4, 3, 6, 5}}
	for _, u := range s.now {
		cpu := "-"
		if u.CPUPercent != nil {
			cpu = fmt.Sprintf("%.1f%%", *u.CPUPercent)
		}
		if u.Frozen {
			cpu = "paused"
		}
		memory := bytesOf(u.Memory)
		if u.MemoryLimit != nil {
			memory += "/" + bytesOf(u.MemoryLimit)
		}
		t.Add(u.Name, cpu, memory, pair(u.NetRead, u.NetWrite), pair(u.IORead, u.IOWrite), count(u.Pids), pressures(u.Usage))
		if u.MemoryLimit != nil && u.Memory != nil && *u.Memory > *u.MemoryLimit/10*9 {
			t.Rows[len(t.Rows)-1][2].Colour = terminal.Warn
		}
	}
	return t.Write(w)
}

func pressures(u live.Usage) string {
	if u.CPUPressure == nil && u.MemoryPressure == nil && u.IOPressure == nil {
		return "-"
	}
	var words []string
	for _, p := range []*float64{u.CPUPressure, u.MemoryPressure, u.IOPressure} {
		if p == nil {
			words = append(words, "-")
			continue
		}
		words = append(words, fmt.Sprintf("%.0f%%", *p))
	}
	return strings.Join(words, " ")
}

func pair(a, b *uint64) string {
	if a == nil && b == nil {
		return "-"
	}
	return bytesOf(a) + " " + bytesOf(b)
}

func bytesOf(n *uint64) string {
	if n == nil {
		return "-"
	}
	if *n == 0 {
		return "0"
	}
	return size(*n)
}

func count(n *uint64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}
