// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/atomicfile"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/change"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/loader"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/syntax/library"
)

// limitsPrefix begins the names of the drop-ins that --persist makes.
const limitsPrefix = "90-limits"

// limitKeys are the keys of definitions that one value changes live.
var limitKeys = []string{"mem_limit", "mem_reservation", "memswap_limit", "cpus", "cpu_shares", "cpu_period", "cpu_quota", "cpuset", "pids_limit"}

func (a *app) updateLimits() *cobra.Command {
	persist := false
	cmd := &cobra.Command{
		Use:   "update-limits [--persist] NAME KEY=VALUE…",
		Short: "change the limits of a running container",
		Long: `Change limits of a running container, in the words of its definition: ` + strings.Join(limitKeys, ", ") + `.
They hold at once and until it stops; with --persist a drop-in of the definition
keeps them. systemctl set-property on the scope does it in systemd's words, but
lifts no limit on memory or processor time that is there.`,
		Example:           "  unitc update-limits web mem_limit=256m cpus=1.5\n  unitc update-limits --persist db mem_limit=2g",
		Args:              cobra.MinimumNArgs(0),
		ValidArgsFunction: a.completeLimits,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("update-limits: want a name and KEY=VALUE; usage: %s", cmd.UseLine())
			}
			limits, err := parseLimits(args[1:])
			if err != nil {
				return err
			}
			return a.changeLimits(cmd, args[0], limits, persist)
		},
	}
	cmd.Flags().BoolVar(&persist, "persist", false, "keep them in a drop-in of the definition")
	return cmd
}

func (a *app) completeLimits(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeRunning(cmd, args, word)
	}
	var keys []cobra.Completion
	for _, key := range limitKeys {
		keys = append(keys, key+"=")
	}
	return keys, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

func parseLimits(words []string) (map[string]string, error) {
	limits := map[string]string{}
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok || value == "" {
			return nil, usagef("update-limits: %q: want KEY=VALUE", word)
		}
		if !slices.Contains(limitKeys, key) {
			near := ""
			if n := compose.Nearest(key, limitKeys); n != "" {
				near = "; did you mean " + n + "?"
			}
			return nil, usagef("update-limits: %q is no limit that can be changed live%s", key, near)
		}
		limits[key] = value
	}
	return limits, nil
}

// layer is a drop-in with the limits of a service.
func layer(project bool, key string, limits map[string]string) []byte {
	var b strings.Builder
	indent := ""
	if project {
		fmt.Fprintf(&b, "services:\n  %s:\n", key)
		indent = "    "
	}
	for _, key := range slices.Sorted(maps.Keys(limits)) {
		fmt.Fprintf(&b, "%s%s: %s\n", indent, key, scalar(limits[key]))
	}
	return []byte(b.String())
}

var plainNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// scalar quotes what YAML could take for something else (JSON strings are YAML).
func scalar(value string) string {
	if plainNumber.MatchString(value) {
		return value
	}
	b, err := json.Marshal(value)
	if err != nil {
		return `""`
	}
	return string(b)
}

func (a *app) changeLimits(cmd *cobra.Command, word string, limits map[string]string, persist bool) error {
	name := ""
	err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) (err error) {
		if name, err = a.target(ctx, bus, word); err != nil {
			return err
		}
		if _, ok := a.host.Started(name); !ok {
			return a.notRunning(ctx, bus, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	running, err := a.host.Definition(name)
	if err != nil {
		return err
	}
	launched, err := a.host.Plan(name)
	if err != nil {
		return err
	}
	found, err := catalog.Find(a.root, name)
	if err != nil {
		return err
	}
	wanted, err := withLimits(found, running, limits)
	if err != nil {
		return err
	}
	if persist {
		if err := a.persistLimits(found, running, limits); err != nil {
			return err
		}
	} else if launched.Scope == nil {
		return fmt.Errorf("%s has its limits in its unit (`cgroup: service`); give --persist, or use systemctl set-property --runtime %s.service", name, name)
	}
	if err := a.writeLimits(launched, wanted); err != nil {
		return err
	}
	if persist {
		if err := a.systemctl("daemon-reload"); err != nil {
			return err
		}
	}
	if err := a.setLimits(launched, running, wanted); err != nil {
		return err
	}
	changes, err := change.Compare(running, wanted)
	if err != nil {
		return err
	}
	for _, c := range changes {
		fmt.Fprintf(a.stdout, "%s: %s %s → %s\n", name, c.Field, orDash(c.Running), orDash(c.File))
	}
	return a.host.Record(name, wanted)
}

// withLimits reads the limits as if they stood in a drop-in, so that they are
// checked as all else is, and puts them into what runs.
func withLimits(found *catalog.Found, running *definition.Service, limits map[string]string) (*definition.Service, error) {
	source := found.Source
	source.Layers = append(slices.Clip(source.Layers), searchpath.Layer{Path: "update-limits", Data: layer(found.File.Project, running.Key, limits)})
	file := loader.Parse(source, library.Full)
	if problems := file.ProblemsOf(running); problems.HasErrors() {
		return nil, &catalog.BrokenError{Problems: problems}
	}
	for i := range file.Services {
		s := &file.Services[i]
		if s.Name != running.Name {
			continue
		}
		wanted := *running
		for key := range limits {
			takeLimit(&wanted.Resources, &s.Resources, key)
		}
		return &wanted, nil
	}
	return nil, fmt.Errorf("%s does not define %s any more", found.File.Path, running.Name)
}

func takeLimit(to, from *definition.Resources, key string) {
	switch key {
	case "mem_limit":
		to.MemLimit = from.MemLimit
	case "mem_reservation":
		to.MemReservation = from.MemReservation
	case "memswap_limit":
		to.MemswapLimit = from.MemswapLimit
	case "cpus":
		to.CPUs = from.CPUs
	case "cpu_shares":
		to.CPUShares = from.CPUShares
	case "cpu_period":
		to.CPUPeriod = from.CPUPeriod
	case "cpu_quota":
		to.CPUQuota = from.CPUQuota
	case "cpuset":
		to.CPUSet = from.CPUSet
	case "pids_limit":
		to.PidsLimit = from.PidsLimit
	}
}

// persistLimits adds to a drop-in of ours: what was kept before stays.
func (a *app) persistLimits(found *catalog.Found, running *definition.Service, limits map[string]string) error {
	if strings.HasSuffix(running.Name, "@") {
		return usagef("--persist: %s is one of several instances, and a drop-in of %s.yaml would change them all; write it by hand if that is meant", running.UnitName(), running.Name)
	}
	path := searchpath.Dirs[0] + "/" + found.Entry.Name + ".yaml.d/" + limitsPrefix
	if found.File.Project {
		path += "-" + running.Key
	}
	path += ".yaml"
	all := map[string]string{}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if ok && slices.Contains(limitKeys, key) {
			var text string
			if json.Unmarshal([]byte(value), &text) != nil {
				text = value
			}
			all[key] = text
		}
	}
	maps.Copy(all, limits)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := atomicfile.Write(path, append([]byte("# Made by unitc update-limits --persist.\n"), layer(found.File.Project, running.Key, all)...), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Wrote '%s'.\n", path)
	return nil
}
