// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/unitc/unitc/internal/definition"
)

// FuzzParse holds whatever bytes to what the generator relies on: no panic, a
// service with a name, problems with places in a contributing file, no value
// that could add a line to a unit, and the same answer twice.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/faults/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add("web", string(data), "mem_limit: 1g\nvolumes: !reset []\n")
		}
	}
	f.Add("blog", "services: {a: {image: x, depends_on: [b], extends: b}, b: {image: y, ports: [80-90:80-90]}}", "services: {a: {depends_on: {c: {condition: service_healthy}}}, c: }")
	f.Add("blog", "services: {a: {extends: {file: base.yaml, service: b}, deploy: {replicas: 2}}}\nvolumes: {v: }", "volumes: {v: {external: true}}")
	f.Add("blog", "include: [x.yaml, {path: [a, b], env_file: e}]\nservices: {a: {image: x, scale: 3}}", "include: [y]\nservices: {a: {scale: 0}}")
	f.Add("web@", "rootfs: host\ncommand: 'a %i %x'", "command: !override b")
	f.Fuzz(func(t *testing.T, name, text, dropin string) {
		if strings.ContainsAny(name, "/\x00\n") {
			return // no name of a file that the search path gives
		}
		in := parseText(name, text)
		in.Layers = append(in.Layers, Layer{Path: "drop.yaml", Data: []byte(dropin)})
		in.Env = map[string]string{"A": "b"}
		in.Read = func(string) ([]byte, error) { return []byte("services: {b: {image: z, volumes: [./x:/x]}}"), nil }
		file := parse(in)
		checkFile(t, in, file)
		if first, second := toJSON(t, file), toJSON(t, parse(in)); first != second {
			t.Errorf("two answers:\n%s\n%s", first, second)
		}
	})
}

func toJSON(t *testing.T, file definition.File) string {
	t.Helper()
	out, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func checkFile(t *testing.T, in Input, file definition.File) {
	t.Helper()
	if len(file.Services) == 0 {
		t.Error("no service, so no unit")
	}
	for _, p := range file.Problems {
		if p.What == "" || p.Line < 0 || p.Col < 0 || p.Line > 0 && p.File != in.Layers[0].Path && p.File != in.Layers[1].Path && !filepath.IsAbs(p.File) {
			t.Errorf("a problem without a place or words: %+v", p)
		}
		if strings.ContainsAny(p.String(), "\n\x00") {
			t.Errorf("a problem of two lines: %q", p)
		}
	}
	for i := range file.Services {
		s := &file.Services[i]
		if s.Name == "" && in.Name != "" || s.Source.File != in.Layers[0].Path {
			t.Errorf("a service without a name or source: %q %q", s.Name, s.Source.File)
		}
		for _, d := range allDirectives(s) {
			if strings.ContainsAny(d.Name+d.Value, "\n\r\x00") || strings.HasSuffix(d.Value, `\`) || strings.ContainsAny(d.Name, "= []") {
				t.Errorf("a directive that is more than one line: %q=%q", d.Name, d.Value)
			}
		}
		for _, v := range s.Volumes {
			if !filepath.IsAbs(v.Target) || v.Target != filepath.Clean(v.Target) || v.Target == "/" {
				t.Errorf("a volume at %q", v.Target)
			}
			if v.Type == definition.VolumeBind && !filepath.IsAbs(v.Source) {
				t.Errorf("a bind from %q", v.Source)
			}
		}
	}
}

func allDirectives(s *definition.Service) (all []definition.Directive) {
	for i := range sections {
		all = append(all, *sections[i].into(&s.System)...)
	}
	return all
}

// FuzzWords: words in single quotes are parted as they were joined.
func FuzzWords(f *testing.F) {
	f.Add("a", "b c")
	f.Add("", `it's "x" \y`)
	f.Fuzz(func(t *testing.T, one, two string) {
		if !utf8.ValidString(one) || !utf8.ValidString(two) {
			return // YAML has no such strings
		}
		quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
		words, what, _ := splitWords(quoted(one) + " " + quoted(two))
		if what != "" || len(words) != 2 || words[0] != one || words[1] != two {
			t.Errorf("%q and %q became %q (%s)", one, two, words, what)
		}
		splitWords(one) // whatever it is, it ends
	})
}

// FuzzMerge: merging a definition with itself changes nothing that is not a list
// without identity, and never panics.
func FuzzMerge(f *testing.F) {
	for _, seed := range []string{"rootfs: host\nenvironment: {A: b}\nvolumes: [/a:/b]", "rootfs: host\nlabels: !reset [a]", "services: {a: {image: x}}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := parse(parseText("web", text))
		in := parseText("web", text)
		in.Layers = append(in.Layers, in.Layers[0])
		twice := parse(in)
		if once.Problems.HasErrors() != twice.Problems.HasErrors() && !once.Problems.HasErrors() {
			t.Errorf("the definition over itself has problems:\n%s", twice.Problems)
		}
	})
}

// FuzzPort: what the format takes is decoded to ports that exist, at most as
// many as are allowed.
func FuzzPort(f *testing.F) {
	for _, s := range []string{"80", "8080:80", "127.0.0.1:8080:80/udp", "[::1]::80", "3000-3005:3000-3005", "::1:80:80", "9000-9010:80/tcp", ":80", "-", "1-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := yaml.Marshal(map[string]any{"rootfs": "host", "ports": []string{s}})
		if err != nil {
			t.Skip()
		}
		file := parse(Input{Name: "web", Layers: []Layer{{Path: "web.yaml", Data: text}}})
		if file.Problems.HasErrors() {
			return
		}
		for _, p := range file.Services[0].Ports {
			if p.Target < 1 || p.Target > 65535 || p.Published < 0 || p.Published > 65535 || p.PublishedEnd != 0 && p.PublishedEnd <= p.Published || p.HostIP == "%" {
				t.Fatalf("%q gives %+v", s, p)
			}
		}
		if len(file.Services[0].Ports) > maxPorts {
			t.Fatalf("%q gives %d ports", s, len(file.Services[0].Ports))
		}
	})
}
