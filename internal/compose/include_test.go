// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// reading gives the files of a map, by absolute path.
func reading(files map[string]string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("no such file")
	}
}

func TestInclude(t *testing.T) {
	in := parseText("blog", `include:
  - parts/db.yaml
  - {path: [/srv/cache/compose.yaml, ./cache-more.yaml], project_directory: /srv/cache, env_file: /srv/cache/env}
services:
  web: {image: web, depends_on: [db, cache]}
`)
	in.Env = map[string]string{"BOTH": "own"}
	in.Read = reading(map[string]string{
		"/etc/unitc/parts/db.yaml":   "include: [../deeper.yaml]\nservices: {db: {image: 'db:${TAG}-${BOTH}', volumes: ['data:/data', './conf:/conf']}}\nvolumes: {data: {}}\n",
		"/etc/unitc/parts/.env":      "TAG=7\nBOTH=theirs\n",
		"/etc/unitc/deeper.yaml":     "services: {deep: {image: deep, extends: {file: base.yaml, service: base}}}\n",
		"/etc/unitc/base.yaml":       "services: {base: {init: true}}\n",
		"/srv/cache/compose.yaml":    "services: {cache: {image: 'cache:${V}', volumes: ['./d:/d']}}\n",
		"/etc/unitc/cache-more.yaml": "services: {cache: {read_only: true}}\n",
		"/srv/cache/env":             "V=1\n",
	})
	file := parse(in)
	if file.Problems.HasErrors() {
		t.Fatal(file.Problems)
	}
	got := map[string]string{}
	for _, s := range file.Services {
		got[s.Name] = s.Image
		for _, v := range s.Volumes {
			got[s.Name] += " " + v.Source
		}
		if s.Name == "blog-cache" && !s.ReadOnly || s.Name == "blog-deep" && !s.Init {
			t.Errorf("%s lacks what another file adds", s.Name)
		}
	}
	want := map[string]string{"blog-web": "web", "blog-db": "db:7-own blog_data /etc/unitc/parts/conf", "blog-deep": "deep", "blog-cache": "cache:1 /srv/cache/d"}
	for name, words := range want {
		if got[name] != words {
			t.Errorf("%s is %q, want %q", name, got[name], words)
		}
	}
	if len(got) != len(want) || len(file.Volumes) != 1 {
		t.Errorf("services %v, volumes %v", got, file.Volumes)
	}
}

func TestIncludeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"include: [loop.yaml]":                                                     "/etc/unitc/loop.yaml:1:11: error: files include each other",
		"include: [none.yaml]":                                                     "blog.yaml:1:11: error: include[0]: reading the included file: no such file",
		"include: ['https://example.com/x.git#main:x']":                            "include[0]: unitc does not support files from elsewhere",
		"include: [{path: 'oci://docker.io/x/y'}]":                                 "include[0].path: unitc does not support files from elsewhere",
		"services: {web: {extends: {file: 'git@github.com:x/y.git', service: x}}}": "services.web.extends.file: unitc does not support files from elsewhere",
		"include: [{path: db.yaml, env_file: /x/gone.env}]":                        "include[0].env_file: reading the env file: no such file",
		"include: [bad.yaml]":                                                      "/etc/unitc/bad.yaml:1:18: error: services.bad.imag: unknown key",
		"include: db.yaml":                                                         "include: a string, where a list is wanted",
		"include: [{env_file: x}]":                                                 "path",
		"include: []":                                                              "the project has no services",
	} {
		in := parseText("blog", text)
		in.Read = reading(map[string]string{
			"/etc/unitc/loop.yaml": "include: [loop.yaml]\n", "/etc/unitc/db.yaml": "services: {db: {image: x}}\n",
			"/etc/unitc/bad.yaml": "services: {bad: {imag: x}}\n",
		})
		if got := parse(in).Problems.String(); !strings.Contains(got, want) {
			t.Errorf("%s\ngives\n%swant %s", text, got, want)
		}
	}
}

// What includes a file may change what it has; of two that are included, the first
// counts, and the same one twice is one.
func TestIncludeMerges(t *testing.T) {
	in := parseText("blog", `include: [db.yaml, more.yaml, parts/../db.yaml]
services: {db: {image: own, command: [own], environment: [B=own], ports: ["80:80"]}}
networks: {back: }
`)
	in.Read = reading(map[string]string{
		"/etc/unitc/db.yaml":   "services: {db: {image: first, command: [first, x], init: true, environment: {A: first, B: first}, ports: ['80:80', '81:81'], networks: [back]}}\nnetworks: {back: {internal: true}}\n",
		"/etc/unitc/more.yaml": "services: {db: {image: more, hostname: more, init: false}}\n",
	})
	file := parse(in)
	if file.Problems.HasErrors() || len(file.Services) != 1 || len(file.Networks) != 1 || !file.Networks[0].Internal {
		t.Fatalf("%s%+v", file.Problems, file.Networks)
	}
	s := &file.Services[0]
	if s.Image != "own" || strings.Join(s.Command, " ") != "own" || !s.Init || s.Hostname != "more" || len(s.Ports) != 2 || len(s.Environment) != 2 {
		t.Errorf("%+v", s)
	}
	for _, e := range s.Environment {
		if want := map[string]string{"A": "first", "B": "own"}[e.Name]; *e.Value != want {
			t.Errorf("%s is %s, want %s", e.Name, *e.Value, want)
		}
	}
}

// Variables of whoever includes a file win over its own, however deep, and hold for
// what it extends; its env_file and secrets are told where they are.
func TestIncludeVariables(t *testing.T) {
	const extended = "services: {base: {working_dir: '/${WHO}-${BOTH}'}}\n"
	in := parseText("blog", `include: [a/compose.yaml, {path: b.yaml, env_file: [one.env, /dev/null, two.env]}]
services: {web: {image: x, env_file: web.env, extends: {file: base.yaml, service: base}}}
`)
	in.Env = map[string]string{"TOP": "top", "BOTH": "project"}
	in.Files = "/copies"
	in.Read = reading(map[string]string{
		"/copies/etc/unitc/base.yaml":           extended,
		"/copies/etc/unitc/a/compose.yaml":      "include: [deep/compose.yaml]\nservices: {a: {image: 'a-${WHO}', env_file: a.env}}\n",
		"/copies/etc/unitc/a/.env":              "WHO=a\nBOTH=a\nFROM=${TOP}-${BOTH}\n",
		"/copies/etc/unitc/a/deep/compose.yaml": "services: {deep: {image: '${WHO}-${FROM}-${DEEP}', env_file: deep.env, secrets: [s], extends: {file: ../../base.yaml, service: base}}}\nsecrets: {s: {environment: DEEP}}\n",
		"/copies/etc/unitc/a/deep/.env":         "WHO=deep\nDEEP=deep-${WHO}\n",
		"/copies/etc/unitc/b.yaml":              "services: {b: {image: 'b-${N}-${M}', extends: {file: base.yaml, service: base}}}\n",
		"/copies/etc/unitc/one.env":             "N=1\nWHO=b\n",
		"/copies/etc/unitc/two.env":             "M=${N}2\nN=2\n",
	})
	file := parse(in)
	if file.Problems.HasErrors() {
		t.Fatal(file.Problems)
	}
	for _, s := range file.Services {
		want := map[string][3]string{
			"web":  {"x", "/-project", "[]"},
			"a":    {"a-a", "", "[[/copies/etc/unitc/a/.env]]"},
			"deep": {"a-top-project-deep-a", "/a-project", "[[/copies/etc/unitc/a/.env] [/copies/etc/unitc/a/deep/.env]]"},
			"b":    {"b-2-12", "/b-project", "[[/copies/etc/unitc/one.env /copies/etc/unitc/two.env]]"},
		}[s.Key]
		if got := [3]string{s.Image, s.WorkingDir, fmt.Sprint(s.Variables)}; got != want {
			t.Errorf("%s is %q, want %q", s.Key, got, want)
		}
		for _, f := range s.EnvFiles {
			if !strings.HasPrefix(f.Path, "/etc/unitc/") {
				t.Errorf("the env_file of %s is %s", s.Key, f.Path)
			}
		}
		for _, g := range s.Secrets {
			if got := strings.Join(g.EnvFiles, " "); got != "/etc/unitc/blog.env /etc/unitc/.env /copies/etc/unitc/a/.env /copies/etc/unitc/a/deep/.env" {
				t.Errorf("its secret is looked up in %s", got)
			}
		}
	}
	in.Read = reading(nil)
	if got := parse(in).Problems.String(); !strings.Contains(got, "install it anew with unitc up, or copy the file to /copies/etc/unitc/a/compose.yaml") {
		t.Errorf("without the copies: %s", got)
	}
}
