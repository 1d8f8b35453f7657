// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/regular"
	"github.com/unitc/unitc/internal/searchpath"
)

// composeNames are files that do not give their project its name.
var composeNames = []string{"compose", "docker-compose", "container-compose"}

// overrideNames are Compose's, the first that is there.
var overrideNames = []string{"compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"}

const (
	overrideEnd = "-compose.override.yaml"
	// firstOverride numbers the drop-ins that such files become, in the order in which
	// they are merged: limits that are kept win over all of them.
	firstOverride = 50
	mostOverrides = 30
)

// OverrideName is the drop-in that the n-th of them becomes.
func OverrideName(n int) string { return fmt.Sprint(firstOverride+n) + overrideEnd }

// OverrideNumber is the place of a drop-in among them, -1 if it is none.
func OverrideNumber(name string) int {
	for n := range mostOverrides {
		if OverrideName(n) == name {
			return n
		}
	}
	return -1
}

// OverrideTarget is where the n-th of its overrides will stand.
func (c *Candidate) OverrideTarget(n int) string { return c.Target() + ".d/" + OverrideName(n) }

// isWhole tells whether Compose finds a file of this name by itself.
func isWhole(path string) bool {
	return slices.Contains(composeNames, strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".yaml"), ".yml"))
}

// variablesBeside are those of .env, of which what is wrong is told later.
func (c *Candidate) variablesBeside() (map[string]string, error) {
	env, err := c.readBeside([]string{".env"})
	if err != nil || env == nil {
		return nil, err
	}
	vars, _ := compose.Variables([]compose.Layer{compose.Layer(*env)})
	return vars, nil
}

// composeFiles are those that COMPOSE_FILE names, as it names them and as paths.
func (c *Candidate) composeFiles(vars map[string]string) (names, paths []string) {
	for name := range strings.SplitSeq(vars["COMPOSE_FILE"], cmp.Or(vars["COMPOSE_PATH_SEPARATOR"], ":")) {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		path := filepath.Clean(name)
		if !filepath.IsAbs(name) {
			path = filepath.Join(filepath.Dir(c.Path), name)
		}
		names, paths = append(names, name), append(paths, path)
	}
	return names, paths
}

// readOverrides takes the files that Compose merges over this one: those that
// COMPOSE_FILE names behind it, or else the one of a known name beside it.
func (c *Candidate) readOverrides(vars map[string]string) error {
	names, paths := c.composeFiles(vars)
	if len(names) == 0 {
		if !isWhole(c.Path) {
			return nil
		}
		layer, err := c.readBeside(overrideNames)
		if layer != nil {
			c.Overrides = []searchpath.Layer{*layer}
		}
		return err
	}
	if paths[0] != c.Path {
		if isWhole(c.Path) || slices.Contains(paths, c.Path) {
			c.faultFiles("name "+names[0]+" in the place of "+filepath.Base(c.Path)+", or take COMPOSE_FILE away", "COMPOSE_FILE has Compose begin with %q", names[0])
		}
		return nil
	}
	if len(names) > mostOverrides {
		c.faultFiles("join some of them to one", "COMPOSE_FILE names %d files; at most %d are merged", len(names), mostOverrides)
		return nil
	}
	for i, path := range paths[1:] {
		layer, err := readOverride(path)
		if err != nil {
			c.faultFiles("correct the name, or take it away", "COMPOSE_FILE names %q: %v", names[i+1], err)
			continue
		}
		c.Overrides = append(c.Overrides, layer)
	}
	return nil
}

// ofShell are variables of Compose's that it has from a shell, too, with what sets them here.
var ofShell = []struct{ name, cure string }{
	{"COMPOSE_ENV_FILES", "name the file .env, or NAME.env, beside the definition"},
	{"COMPOSE_FILE", "write it to .env beside the file"},
	{"COMPOSE_PROFILES", "write it to .env beside the file"},
	{"COMPOSE_PROJECT_NAME", "write it to .env beside the file, or --name NAME"},
}

// warnShell tells of those that somebody has set for docker compose: units are made anew
// at each boot, where nobody sets them.
func (c *Candidate) warnShell(vars map[string]string, named bool) {
	for _, v := range ofShell {
		value := os.Getenv(v.name)
		if value == "" || value == vars[v.name] || named && v.name == "COMPOSE_PROJECT_NAME" {
			continue
		}
		c.others = append(c.others, diag.Problem{File: c.Path, Severity: diag.Warning, Rule: diag.RuleVariable,
			What: v.name + " of this shell is not obeyed: a boot has none of it", Cure: v.cure})
	}
}

func readOverride(path string) (searchpath.Layer, error) {
	data, _, err := regular.Read(path)
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return searchpath.Layer{Path: path, Data: data}, err
}

// faultFiles reports an error at the line of COMPOSE_FILE.
func (c *Candidate) faultFiles(cure, format string, args ...any) {
	p := diag.Problem{Col: 1, Rule: diag.RuleUnsupported, What: fmt.Sprintf(format, args...), Cure: cure}
	for _, env := range c.Env {
		for i, line := range bytes.Split(env.Data, []byte("\n")) {
			if bytes.HasPrefix(bytes.TrimPrefix(bytes.TrimSpace(line), []byte("export ")), []byte("COMPOSE_FILE")) {
				p.File, p.Line = env.Path, i+1
			}
		}
	}
	c.others = append(c.others, p)
}
