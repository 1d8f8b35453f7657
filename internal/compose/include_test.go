// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"errors"
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
		"include: [loop.yaml]":                           "/etc/unitc/loop.yaml:1:11: error: files include each other",
		"include: [none.yaml]":                           "blog.yaml:1:11: error: include[0]: reading the included file: no such file",
		"include: [db.yaml]\nservices: {db: {image: x}}": `/etc/unitc/db.yaml:1:12: error: services.db: "db" is there already: at line 2 of blog.yaml`,
		"include: [bad.yaml]":                            "/etc/unitc/bad.yaml:1:18: error: services.bad.imag: unknown key",
		"include: db.yaml":                               "include: a string, where a list is wanted",
		"include: [{env_file: x}]":                       "path",
		"include: []":                                    "the project has no services",
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
