// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/dropin"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/searchpath"
)

func (a *app) check() *cobra.Command {
	strict, quiet, format := false, false, "text"
	cmd := &cobra.Command{
		Use:   "check [OPTION…] [FILE…|DIR…]",
		Short: "find the faults of definitions",
		Long: `Find the faults of definitions: all of the search path, of single files, or of
directories. What is said is what the generator and a start would say; of the search
path, also what drop-ins of the units set that keeps them from starting. Notes say what the keys open that relax a default, and which networks have the host forward
packets.`,
		Example: "  unitc check\n  unitc check ./web.yaml --strict\n  unitc check --format json ./units",
		RunE: func(_ *cobra.Command, args []string) error {
			if !diag.Known(format) {
				return usagef("check: --format %s: want one of %s", format, strings.Join(diag.Formats, ", "))
			}
			problems, count, err := a.problems(args)
			if err != nil {
				return err
			}
			if err := a.report(problems, format); err != nil {
				return err
			}
			if !quiet {
				fmt.Fprintln(a.stderr, summary(problems, count))
			}
			if problems.HasErrors() || strict && tally(problems, diag.Warning) > 0 {
				return statusError(exitFailed)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "fail on warnings too")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print no summary")
	cmd.Flags().StringVar(&format, "format", format, "print `FORMAT`: "+strings.Join(diag.Formats, ", "))
	return cmd
}

// report shows each problem; a terminal sees its line too.
func (a *app) report(problems diag.List, format string) error {
	options := diag.Options{Format: format, Version: buildinfo.Version}
	if screen := terminal.Of(a.stdout); screen.Width > 0 {
		options.Source, options.Color = a.source, screen.Colour
	}
	return problems.Write(a.stdout, options)
}

// source gives the text that a problem is about.
func (a *app) source(file string) []byte {
	if filepath.IsAbs(file) {
		file = filepath.Join(a.root, file)
	}
	if st, err := os.Stat(file); err != nil || !st.Mode().IsRegular() || st.Size() > searchpath.MaxSize {
		return nil // that is the problem
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return data
}

func summary(problems diag.List, definitions int) string {
	text := fmt.Sprintf("%s checked: %s, %s", plural(definitions, "definition"), plural(tally(problems, diag.Error), "error"), plural(tally(problems, diag.Warning), "warning"))
	if notes := tally(problems, diag.Note); notes > 0 {
		text += ", " + plural(notes, "note")
	}
	return text
}

func tally(problems diag.List, severity diag.Severity) int {
	n := 0
	for _, p := range problems {
		if p.Severity == severity {
			n++
		}
	}
	return n
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// problems checks what the arguments name and gives the number of definitions.
func (a *app) problems(args []string) (diag.List, int, error) {
	runs := []catalog.DryRun{{Root: a.root}}
	if len(args) > 0 {
		runs = nil
	}
	for _, arg := range args {
		run, err := a.dryRunOf(arg)
		if err != nil {
			return nil, 0, err
		}
		runs = append(runs, run)
	}
	var all diag.List
	definitions := 0
	for _, run := range runs {
		out, err := run.Run()
		if err != nil {
			return nil, 0, err
		}
		if run.Select != nil && len(out.Definitions) == 0 {
			return nil, 0, usagef("check: a file of that name is masked or is not read in its directory")
		}
		found := append(out.Problems, planProblems(out.Definitions)...)
		if run.Dirs == nil {
			found = append(found, dropInProblems(a.root, out.Definitions)...)
		}
		if run.Select == nil {
			found = append(found, out.Strays(a.root, run.Dirs)...)
		}
		if run.Dirs == nil && run.Select == nil {
			found = append(found, linkProblems(a.root, out)...)
			found = append(found, missingNetworks(out.Definitions)...)
			found = append(found, unmetConditions(out.Definitions)...)
		}
		for _, p := range append(found, forwarding(out.Definitions, found)...) {
			all = append(all, relative(p, run.Dirs != nil))
		}
		definitions += len(out.Definitions)
	}
	all.Sort()
	return diag.List.Compact(all), definitions, nil
}

// dryRunOf turns a FILE or DIR into a run over it. A file from elsewhere is checked as the
// definition that unitc up would make of it, a file in the search path is
// checked as it stands there, with drop-ins from all of the path.
func (a *app) dryRunOf(arg string) (catalog.DryRun, error) {
	abs, err := filepath.Abs(arg)
	if err != nil {
		return catalog.DryRun{}, err
	}
	st, err := os.Stat(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return catalog.DryRun{}, usagef("check: %s: there is no such file; a definition's own name is no argument here, its file is", arg)
	}
	if err != nil {
		return catalog.DryRun{}, fmt.Errorf("check: %w", err)
	}
	if st.IsDir() {
		return catalog.DryRun{Dirs: []string{abs}}, nil
	}
	if !strings.HasSuffix(abs, ".yaml") && !strings.HasSuffix(abs, ".yml") {
		return catalog.DryRun{}, usagef("check: %s: the name of a definition ends in .yaml", arg)
	}
	run := catalog.DryRun{Select: func(e *searchpath.Entry) bool { return e.Path == abs }}
	if dir := filepath.Dir(abs); !slices.Contains(searchpath.Dirs, dir) {
		run.Dirs = []string{dir}
		// What is wrong with a file that can't be read is told at its place, and no more.
		run.Found = func(src *searchpath.Source) { src.Rename(src.Name) }
		if c, err := catalog.ReadCandidate(abs, "", nil); err == nil {
			run.Found = c.As
		}
	}
	return run, nil
}

// relative shortens the path of a file that was named by the caller; those of
// the search path are known by their full names.
func relative(p diag.Problem, named bool) diag.Problem {
	here, err := os.Getwd()
	if named && err == nil {
		if rest, ok := strings.CutPrefix(p.File, strings.TrimSuffix(here, "/")+"/"); ok {
			p.File = rest
		}
	}
	return p
}

// planProblems are the faults that only the planner sees. Facts of the host are
// assumed to be what the definition wants: a check must say the same in a build
// machine and where the container will run.
func planProblems(files []definition.File) diag.List {
	var problems diag.List
	for _, f := range files {
		for i := range f.Services {
			s := f.Services[i]
			if f.ProblemsOf(&s).HasErrors() {
				continue
			}
			if s.RootFS == "" { // what the image gives is not known here
				problems = append(problems, relaxations(&s)...)
				continue
			}
			if strings.HasSuffix(s.Name, "@") {
				s.Instance = "instance"
			}
			facts := planner.Facts{IDStart: 524288, Devices: map[string]planner.Device{}, Volumes: map[string]planner.VolumeSource{},
				Joined: planner.Joined{Network: "/proc/1/ns/net", PID: "/proc/1/ns/pid", IPC: "/proc/1/ns/ipc"}}
			facts.SELinux = &planner.SELinux{Process: "u:r:t:s0", File: "u:r:t:s0"}
			for _, v := range s.Volumes {
				facts.Volumes[v.Target] = planner.VolumeSource{Path: "/", Layers: []string{"/"}}
			}
			for _, d := range s.Devices {
				facts.Devices[d.Source] = planner.Device{Type: "c"}
			}
			_, err := planner.Build(&s, facts)
			var key *planner.KeyError
			if errors.As(err, &key) {
				problems = append(problems, s.Problem(key.Key, key.What, key.Cure))
				continue
			}
			problems = append(problems, relaxations(&s)...)
		}
	}
	return problems
}

// dropInProblems are what an administrator's drop-ins of the units set that a
// definition may not.
func dropInProblems(root string, files []definition.File) (problems diag.List) {
	for _, f := range files {
		for i := range f.Services {
			s := &f.Services[i]
			problems = append(problems, dropin.Problems(root, dropin.Unit(s.Name), s)...)
		}
	}
	return problems
}

// relaxations says what each key opens that relaxes a default. It is asked for
// by whoever wrote the key, so it is no fault, with --strict neither.
func relaxations(s *definition.Service) diag.List {
	var notes diag.List
	for _, f := range planner.Relaxed(s) {
		p := s.Problem(f.Path, "opens: "+f.Opens, "")
		p.Severity, p.Rule = diag.Note, diag.RuleRelaxation
		notes = append(notes, p)
	}
	return notes
}

// forwarding says once of each network what it makes of the host: a router. That
// of lone containers is said where the first of them stands.
func forwarding(files []definition.File, found diag.List) diag.List {
	if realm.Own() != nil {
		return nil // a user's has the host do nothing
	}
	var notes diag.List
	note := func(f *definition.File, n *definition.Network) {
		if sysctls := forwardingSysctls(n); sysctls != "" {
			p := diag.Problem{File: cmp.Or(n.Source.File, f.Path), Line: n.Source.Line, Col: n.Source.Col, Severity: diag.Note, Rule: diag.RuleHost}
			p.What = fmt.Sprintf("the network %s has the host forward packets while it is there (%s)", n.Name, sysctls)
			notes = append(notes, p)
		}
	}
	lone := &definition.Network{Name: definition.LoneNetwork}
	for i := range files {
		f := &files[i]
		if slices.ContainsFunc(found, func(p diag.Problem) bool { return p.File == f.Path && p.Severity == diag.Error }) {
			continue // it makes nothing
		}
		for j := range f.Networks {
			note(f, &f.Networks[j])
		}
		if lone != nil && slices.ContainsFunc(f.Services, joinsLone) {
			note(f, lone)
			lone = nil
		}
	}
	return notes
}

// unmetConditions are those of definitions outside of projects, for which another
// definition would have to say what it is waited for.
func unmetConditions(files []definition.File) (problems diag.List) {
	byName := map[string]*definition.Service{}
	for i := range files {
		for j := range files[i].Services {
			byName[files[i].Services[j].Name] = &files[i].Services[j]
		}
	}
	for i := range files {
		for j := range files[i].Services {
			s := &files[i].Services[j]
			for _, d := range s.DependsOn {
				other := byName[d.Service]
				if s.Project != "" || other == nil || d.Condition != definition.ServiceCompleted || other.AwaitedCompletion {
					continue
				}
				p := s.Problem("depends_on", "it is started when "+other.Name+" has started, and not when that has ended", "write systemd: {notify: completed} in "+other.Source.File)
				p.Severity = diag.Warning
				problems = append(problems, p)
			}
		}
	}
	return problems
}

// missingNetworks are external ones that none of all definitions makes, on which a
// start fails.
func missingNetworks(files []definition.File) (problems diag.List) {
	made := map[string]bool{definition.LoneNetwork: true}
	for _, f := range files {
		for _, n := range f.Networks {
			if !n.External {
				made[n.Name] = true
			}
		}
	}
	for _, f := range files {
		for _, n := range f.Networks {
			if n.External && !made[n.Name] {
				problems = append(problems, diag.Problem{File: cmp.Or(n.Source.File, f.Path), Line: n.Source.Line, Col: n.Source.Col, Severity: diag.Warning, Path: "networks." + n.Key,
					What: "no definition makes the network " + n.Name + ", and a start on it fails",
					Cure: "install the definition that makes it, or write " + searchpath.Dirs[0] + "/" + n.Name + ".network.yaml, in which `driver: bridge` is enough"})
			}
		}
	}
	return problems
}

func joinsLone(s definition.Service) bool { return s.NetworkMode == "" && len(s.Networks) == 0 }

func forwardingSysctls(n *definition.Network) string {
	var list []string
	v4, v6 := n.Forwards()
	if v4 {
		list = append(list, "net.ipv4.ip_forward")
	}
	if v6 {
		list = append(list, "net.ipv6.conf.all.forwarding")
	}
	return strings.Join(list, ", ")
}
