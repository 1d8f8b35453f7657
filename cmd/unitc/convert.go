// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/atomicfile"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/convert"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/regular"
)

type convertOptions struct {
	output, format string
	strict, force  bool
	quiet          bool
}

func (a *app) convert() *cobra.Command {
	o := convertOptions{format: "text"}
	cmd := &cobra.Command{
		Use:   "convert [OPTION…] FILE…|DIR…|-|-- docker run …",
		Short: "make definitions of Quadlet files, of Kubernetes YAML or of docker run",
		Long: `Make definitions of Podman's Quadlet files, of YAML of Kubernetes' (- reads it from
standard input), or of a command line of docker run or podman run, and report what is
lost or means something else, each at its place. Units keep their names. Definitions are
printed, or written to the directory of --output.`,
		Example: "  unitc convert /etc/containers/systemd\n  unitc convert --output /etc/unitc web.container data.volume\n  unitc convert pod.yaml\n  unitc convert -- docker run -d --name web -p 8080:80 nginx",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !diag.Known(o.format) {
				return usagef("convert: --format %s: want one of %s", o.format, strings.Join(diag.Formats, ", "))
			}
			if len(args) == 0 {
				return usagef("convert: want Quadlet files, YAML of Kubernetes', or -- and a command line; usage: %s", cmd.UseLine())
			}
			set, err := a.converted(args, cmd.ArgsLenAtDash() == 0)
			if err != nil {
				return err
			}
			return a.giveConverted(set, &o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "write the definitions to `DIR`")
	f.BoolVar(&o.force, "force", false, "overwrite files in it")
	f.BoolVar(&o.strict, "strict", false, "fail, and write nothing, if anything is lost or means something else")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "report no notes, and print no summary")
	f.StringVar(&o.format, "format", o.format, "report as `FORMAT`: "+strings.Join(diag.Formats, ", "))
	return cmd
}

// maxRepairs bounds how often what was made is checked: each time takes a part out.
const maxRepairs = 1000

// converted converts what the arguments name, and has it checked as unitc check does
// until nothing is left that a start would refuse.
func (a *app) converted(args []string, isCommand bool) (*convert.Set, error) {
	host, err := a.convertHost()
	if err != nil {
		return nil, err
	}
	set := convert.New(host)
	if isCommand {
		set.Command(args)
	} else {
		if err := a.addFiles(set, args); err != nil {
			return nil, err
		}
		set.Quadlets()
		set.Kubernetes()
	}
	for range maxRepairs {
		problems, err := checkConverted(set.Files())
		if err != nil {
			return nil, err
		}
		if !set.Repair(problems) {
			return set, nil
		}
	}
	return nil, errors.New("convert: what was made does not become a definition; this is a fault of unitc's")
}

func (a *app) convertHost() (convert.Host, error) {
	dir, err := os.Getwd()
	host := convert.Host{Home: "/root", Runtime: "/run", Name: "root", ID: "0", Group: "root", GID: "0", Dir: dir, Getenv: os.LookupEnv, ReadFile: readVariableFile, ReadSource: readSource}
	if err != nil || !a.user {
		return host, err
	}
	me, err := user.Current()
	if err != nil {
		return host, err
	}
	host.User, host.Home, host.Name, host.ID, host.Runtime = true, me.HomeDir, me.Username, me.Uid, "/run/user/"+me.Uid
	host.Group, host.GID = me.Gid, me.Gid // %g of a group without a name
	if group, err := user.LookupGroupId(me.Gid); err == nil {
		host.Group = group.Name
	}
	return host, nil
}

// readVariableFile reads a file that a unit names.
func readVariableFile(path string) ([]byte, error) {
	data, _, err := regular.Read(path)
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return nil, pathError.Err // who asks knows the path
	}
	return data, err
}

// addFiles reads files, and directories as Podman does: with all that is below.
func (a *app) addFiles(set *convert.Set, args []string) error {
	for _, arg := range args {
		st, err := os.Stat(arg)
		switch {
		case arg == "-":
			err = a.addStandardInput(set)
		case err != nil && (arg == "docker" || arg == "podman"):
			return usagef("convert: write -- in front of a command line: unitc convert -- %s", strings.Join(args, " "))
		case err != nil:
			return fmt.Errorf("convert: %w", err)
		case !st.IsDir() && !convert.IsQuadlet(arg):
			err = addKubernetes(set, arg)
		case !st.IsDir():
			err = addQuadlet(set, arg)
		default:
			err = addQuadletsBelow(set, arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// maxInput bounds what is read of standard input, as files are bounded.
const maxInput = 16 << 20

// addStandardInput: who may read what comes from there is not known, so what is made of it
// is for its owner alone.
func (a *app) addStandardInput(set *convert.Set) error {
	data, err := io.ReadAll(io.LimitReader(a.stdin, maxInput+1))
	switch {
	case err != nil:
		return fmt.Errorf("convert: reading standard input: %w", err)
	case len(data) > maxInput:
		return fmt.Errorf("convert: more than %d bytes on standard input", maxInput)
	case !convert.IsKubernetes(data):
		return errors.New("convert: standard input has no object of Kubernetes' (kind: and apiVersion: in YAML)")
	}
	dir, err := os.Getwd()
	set.AddKubernetes(convert.Source{Path: "standard input", Dir: dir, Data: data, Private: true})
	return err
}

// addKubernetes reads a file that has objects of Kubernetes', whatever it is called.
func addKubernetes(set *convert.Set, path string) error {
	src, err := readSource(path)
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	if !convert.IsKubernetes(src.Data) {
		return usagef("convert: %s: there is no object of Kubernetes' in it, with kind: and apiVersion:, and the name of a Quadlet file ends in one of .%s; a compose file is a definition as it is: unitc check %[1]s", path, strings.Join(convert.Kinds, ", ."))
	}
	set.AddKubernetes(src)
	return nil
}

// isYAML tells by its name whether a file may have objects of Kubernetes'.
func isYAML(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// addManifests reads the YAML of Kubernetes' of a directory without Quadlet files.
func addManifests(set *convert.Set, paths []string) (count int, err error) {
	for _, path := range paths {
		src, err := readSource(path)
		if err != nil {
			return count, fmt.Errorf("convert: %w", err)
		}
		if convert.IsKubernetes(src.Data) {
			set.AddKubernetes(src)
			count++
		}
	}
	return count, nil
}

func addQuadletsBelow(set *convert.Set, top string) error {
	count := 0
	var manifests []string
	seen := map[string]bool{}
	var walk func(dir string) error
	walk = func(dir string) error {
		real, err := filepath.EvalSymlinks(dir) // as Podman does it follows links to directories
		if err != nil || seen[real] {
			return err
		}
		seen[real] = true
		items, err := os.ReadDir(dir)
		for _, item := range items {
			path := filepath.Join(dir, item.Name())
			st, statErr := os.Stat(path)
			switch {
			case statErr != nil: // a link to nothing
			case st.IsDir():
				err = errors.Join(err, walk(path))
			case convert.IsQuadlet(path):
				count++
				err = errors.Join(err, addQuadlet(set, path))
			case isYAML(path):
				manifests = append(manifests, path)
			}
		}
		return err
	}
	if err := walk(top); err != nil || count > 0 {
		return err // of YAML those are read that a .kube names
	}
	if count, err := addManifests(set, manifests); err != nil || count > 0 {
		return err
	}
	return fmt.Errorf("convert: %s: there is no Quadlet file in it, and no YAML of Kubernetes'", top)
}

func addQuadlet(set *convert.Set, path string) error {
	src, err := readSource(path)
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	// Of drop-ins of one name that of the nearest directory counts.
	found := map[string]string{}
	for _, dir := range dropInDirs(path) {
		items, _ := os.ReadDir(dir)
		for _, item := range items {
			if name := item.Name(); strings.HasSuffix(name, ".conf") && found[name] == "" {
				found[name] = filepath.Join(dir, name)
			}
		}
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		drop, err := readSource(found[name])
		if err != nil {
			return fmt.Errorf("convert: %w", err)
		}
		src.DropIns = append(src.DropIns, drop)
	}
	set.Add(src)
	return nil
}

func readSource(path string) (convert.Source, error) {
	data, mode, err := regular.Read(path)
	if err != nil {
		return convert.Source{}, err
	}
	abs, err := filepath.Abs(path)
	return convert.Source{Path: path, Dir: filepath.Dir(abs), Data: data, Private: mode&0o004 == 0}, err
}

// dropInDirs are those of podman-systemd.unit(5), the nearest first: foo-bar.container.d,
// foo-.container.d, container.d. Of an instance of a template nothing is made.
func dropInDirs(path string) []string {
	dir, base := filepath.Split(path)
	kind := filepath.Ext(base)
	stem := strings.TrimSuffix(base, kind)
	dirs := []string{dir + base + ".d"}
	for i := len(stem) - 2; i > 0; i-- {
		if stem[i] == '-' {
			dirs = append(dirs, dir+stem[:i+1]+kind+".d")
		}
	}
	return append(dirs, dir+kind[1:]+".d")
}

// checkConverted is unitc check of the files, whose problems name them alone.
func checkConverted(files []convert.File) (diag.List, error) {
	dir, err := os.MkdirTemp("", "unitc-convert-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the check: %w", err)
	}
	defer os.RemoveAll(dir)
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, fs.FileMode(f.Mode)); err != nil {
			return nil, err
		}
	}
	out, err := catalog.DryRun{Dirs: []string{dir}}.Run()
	if err != nil {
		return nil, err
	}
	problems := append(out.Problems, planProblems(out.Definitions)...)
	for i := range problems {
		problems[i].File = strings.TrimPrefix(problems[i].File, dir+"/")
	}
	return problems, nil
}

// giveConverted prints or writes the definitions and reports what was found.
func (a *app) giveConverted(set *convert.Set, o *convertOptions) error {
	problems := set.Problems()
	if o.quiet {
		problems = slices.DeleteFunc(problems, func(p diag.Problem) bool { return p.Severity == diag.Note })
	}
	failed := problems.HasErrors() || o.strict && tally(problems, diag.Warning) > 0
	files := set.Files()
	switch {
	case o.output == "":
		if err := a.printConverted(files); err != nil {
			return err
		}
	case !o.strict || !failed:
		if err := writeConverted(o.output, files, o.force); err != nil {
			return err
		}
	}
	report := *a
	if o.output == "" {
		report.stdout = a.stderr // what is made has the other
	}
	if err := report.report(problems, o.format); err != nil {
		return err
	}
	if !o.quiet && o.format == "text" {
		fmt.Fprintln(a.stderr, convertSummary(files, problems))
	}
	if failed {
		return statusError(exitFailed)
	}
	return nil
}

func convertSummary(files []convert.File, problems diag.List) string {
	return fmt.Sprintf("%s made: %s, %s, %s", plural(len(files), "file"), plural(tally(problems, diag.Error), "error"),
		plural(tally(problems, diag.Warning), "warning"), plural(tally(problems, diag.Note), "note"))
}

// printConverted names each file where there are several.
func (a *app) printConverted(files []convert.File) error {
	for i, f := range files {
		if len(files) > 1 {
			divider := "---\n"
			if i == 0 {
				divider = ""
			}
			if _, err := fmt.Fprintf(a.stdout, "%s# %s\n", divider, f.Name); err != nil {
				return err
			}
		}
		if f.Secret {
			if _, err := fmt.Fprintf(a.stdout, "# %s with mode %04o, which --output writes\n", plural(len(f.Data), "byte"), f.Mode); err != nil {
				return err
			}
			continue
		}
		if _, err := a.stdout.Write(f.Data); err != nil {
			return err
		}
	}
	return nil
}

// writeConverted writes all of the files or, if one of them is there already, none.
func writeConverted(dir string, files []convert.File, force bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.Name)); err == nil && !force {
			return fmt.Errorf("convert: %s is there already, and nothing was written; --force overwrites it", filepath.Join(dir, f.Name))
		}
	}
	for i, f := range files {
		if err := placeConverted(filepath.Join(dir, f.Name), f, force); err != nil {
			for _, made := range files[:i] {
				if !force {
					err = errors.Join(err, os.Remove(filepath.Join(dir, made.Name)))
				}
			}
			return err
		}
	}
	return nil
}

// placeConverted has a whole file appear under its name.
func placeConverted(path string, f convert.File, force bool) error {
	if force {
		return atomicfile.Write(path, f.Data, fs.FileMode(f.Mode))
	}
	file, err := atomicfile.Create(path, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(f.Data)
	if err = errors.Join(err, file.Chmod(fs.FileMode(f.Mode))); err != nil {
		return err
	}
	if err = file.Add(); errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("convert: %s is there already; --force overwrites it", path)
	}
	return err
}
