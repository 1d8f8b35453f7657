// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/searchpath"
)

// What COMPOSE_FILE names is merged in its order, and nothing else is; a file that
// cannot be is not passed over.
func TestComposeFile(t *testing.T) {
	const text = "services: {web: {rootfs: host, command: x, hostname: %[1]s, volumes: ['./%[1]s:/%[1]s']}}\n"
	for _, c := range []struct{ env, file, name, want, fault string }{
		{"", "compose.yaml", "site", "compose override", ""},
		{"COMPOSE_FILE=compose.yaml", "compose.yaml", "site", "compose", ""},
		{"COMPOSE_FILE=./compose.yaml:compose.override.yaml\n", "compose.yaml", "site", "compose override", ""},
		{"COMPOSE_FILE=compose.yaml:prod/more.yaml:compose.override.yaml\n", "compose.yaml", "site", "compose more override", ""},
		{"S=,\nCOMPOSE_PATH_SEPARATOR=$S\nCOMPOSE_FILE=base.yml,prod/more.yaml", "base.yml", "site", "base more", ""},
		{"COMPOSE_PROJECT_NAME=shop\nCOMPOSE_FILE=base.yml:", "base.yml", "shop", "base", ""},
		{"COMPOSE_FILE=compose.yaml", "base.yml", "base", "base", ""},
		{"A=1\nCOMPOSE_FILE=compose.yaml:gone.yaml\n", "compose.yaml", "site", "", `.env:2:1: error: COMPOSE_FILE names "gone.yaml": no such file or directory; correct the name, or take it away`},
		{"COMPOSE_FILE=compose.yaml:prod\n", "compose.yaml", "site", "", `COMPOSE_FILE names "prod": not a regular file`},
		{"COMPOSE_FILE=base.yml:prod/more.yaml", "compose.yaml", "site", "", `.env:1:1: error: COMPOSE_FILE has Compose begin with "base.yml"; name base.yml in the place of compose.yaml, or take COMPOSE_FILE away`},
		{"COMPOSE_FILE=compose.yaml:base.yml", "base.yml", "base", "", `has Compose begin with "compose.yaml"`},
		{"COMPOSE_FILE=compose.yaml" + strings.Repeat(":base.yml", mostOverrides), "compose.yaml", "site", "", "COMPOSE_FILE names 31 files; at most 30 are merged"},
	} {
		files := map[string]string{"site/.env": c.env}
		for path, host := range map[string]string{"compose.yaml": "compose", "compose.override.yaml": "override", "base.yml": "base", "prod/more.yaml": "more"} {
			files["site/"+path] = fmt.Sprintf(text, host)
		}
		dir := place(t, files) + "/site"
		got, err := ReadCandidate(dir+"/"+c.file, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		problems, err := got.Check(searchpath.Dirs[0])
		if err != nil || problems.HasErrors() != (c.fault != "") || !strings.Contains(problems.String(), c.fault) || got.Name != c.name {
			t.Errorf("%s with %q is %s: %v, %s", c.file, c.env, got.Name, err, problems)
		}
		if c.want == "" {
			continue
		}
		web, want := got.File.Services[0], strings.Fields(c.want)
		if web.Hostname != want[len(want)-1] || len(web.Volumes) != len(want) || len(got.Overrides) != len(want)-1 {
			t.Errorf("%s with %q: %s has %+v", c.file, c.env, web.Hostname, web.Volumes)
		}
		for i, v := range web.Volumes {
			if v.Source != dir+"/"+want[i] { // of all of them, relative paths begin at the first
				t.Errorf("%s with %q: %s, want %s", c.file, c.env, v.Source, want[i])
			}
		}
	}
}

func TestOverrideNumber(t *testing.T) {
	before := ""
	for n := range mostOverrides {
		name := OverrideName(n)
		if OverrideNumber(name) != n || name <= before {
			t.Errorf("the drop-in %d is %s, behind %s", n, name, before)
		}
		before = name
	}
	if n := OverrideNumber("50-local.yaml"); n >= 0 {
		t.Errorf("50-local.yaml is the drop-in %d", n)
	}
}

// Variables that docker compose has from a shell are no silent loss.
func TestVariablesOfAShell(t *testing.T) {
	dir := place(t, map[string]string{"site/compose.yaml": "services:\n  web: {rootfs: host, command: x}\n", "site/.env": "COMPOSE_PROFILES=debug\n"}) + "/site"
	t.Setenv("COMPOSE_PROFILES", "debug")
	t.Setenv("COMPOSE_FILE", "compose.yaml:prod.yaml")
	t.Setenv("COMPOSE_PROJECT_NAME", "shop")
	for name, want := range map[string]int{"": 2, "other": 1} {
		c, err := ReadCandidate(dir+"/compose.yaml", name, nil)
		if err != nil {
			t.Fatal(err)
		}
		problems, err := c.Check(searchpath.Dirs[0])
		if err != nil || problems.HasErrors() || len(problems) != want || !strings.Contains(problems.String(), "compose.yaml: warning: COMPOSE_FILE of this shell is not obeyed: a boot has none of it; write it to .env beside the file") {
			t.Errorf("--name %q: %v, %s", name, err, problems)
		}
	}
}
