// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/envfile"
)

var testHost = Host{
	Home: "/root", Runtime: "/run", Name: "root", ID: "0", Group: "root", GID: "0", Dir: "/here",
	Getenv: func(name string) (string, bool) { return "from here", name == "PASSED" },
	ReadFile: func(path string) ([]byte, error) {
		if path == "/etc/worker.conf" {
			return []byte("# a comment\nLEVEL=\"3\"\nOTHER=x\n"), nil
		}
		return nil, os.ErrNotExist
	},
}

var userHost = Host{User: true, Home: "/home/a%b", Runtime: "/run/user/1500", Name: "somebody", ID: "1500", Group: "people", GID: "2000", Dir: "/home/a%b"}

// repaired has the definitions checked until they have no faults.
func repaired(t testing.TB, s *Set) string {
	t.Helper()
	for range 200 {
		found := checked(t, s.Files())
		if s.Repair(found) {
			continue
		}
		if found.HasErrors() {
			t.Fatalf("what was made is no definition:\n%s", found)
		}
		return shown(s)
	}
	t.Fatal("it is repaired without an end")
	return ""
}

func checked(t testing.TB, files []File) diag.List {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := catalog.DryRun{Dirs: []string{dir}}.Run()
	if err != nil {
		t.Fatal(err)
	}
	for i := range out.Problems {
		out.Problems[i].File = strings.TrimPrefix(out.Problems[i].File, dir+"/")
	}
	return out.Problems
}

func shown(s *Set) string {
	var b strings.Builder
	for _, f := range s.Files() {
		fmt.Fprintf(&b, "-- %s --\n%s", f.Name, f.Data)
	}
	return b.String() + "-- report --\n" + s.Problems().String()
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestQuadlets(t *testing.T) {
	paths, err := filepath.Glob("testdata/quadlet/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			host := testHost
			if filepath.Base(path) == "user.txtar" {
				host = userHost
			}
			golden(t, strings.TrimSuffix(path, "txtar")+"golden", repaired(t, readArchive(archive, host)))
		})
	}
}

func readArchive(archive *txtar.Archive, host Host) *Set {
	s := New(host)
	for _, f := range archive.Files {
		if strings.Contains(f.Name, "/") {
			continue
		}
		src := Source{Path: f.Name, Dir: "/etc/containers/systemd", Data: f.Data}
		for _, drop := range archive.Files {
			if strings.HasPrefix(drop.Name, f.Name+".d/") {
				src.DropIns = append(src.DropIns, Source{Path: drop.Name, Dir: src.Dir, Data: drop.Data})
			}
		}
		s.Add(src)
	}
	s.Quadlets()
	return s
}

// Podman takes the first file of a name, and a user's file has a note for root.
func TestOneNameTwice(t *testing.T) {
	const dir = "/home/a/.config/containers/systemd"
	add := func(host Host) string {
		s := New(host)
		for _, path := range []string{dir + "/x.container", dir + "/sub/x.container", dir + "/y.container"} {
			s.Add(Source{Path: path, Dir: filepath.Dir(path), Data: []byte("[Container]\nImage=docker.io/library/busybox:1\n")})
		}
		s.Quadlets()
		return repaired(t, s)
	}
	got := add(testHost)
	if !strings.Contains(got, dir+"/sub/x.container: error: there is a file of this name already, "+dir+"/x.container; ") || strings.Count(got, "-- x.yaml --") != 1 {
		t.Errorf("one name twice:\n%s", got)
	}
	if note := "note: it is a user's, and becomes one of the system's"; strings.Count(got, note) != 1 || strings.Contains(add(userHost), note) {
		t.Errorf("a user's file:\n%s", got)
	}
}

// A NUL byte marks variables here, and so is in no text.
func TestNoNUL(t *testing.T) {
	s := New(Host{ReadFile: func(string) ([]byte, error) { return []byte("A=\x00{HOME}\n"), nil }})
	s.Add(Source{Path: "x.container", Data: []byte("[Container]\nImage=a\nLabel=a=\x00{HOME}\n")})
	s.Add(Source{Path: "y.container", Data: []byte("[Container]\nImage=docker.io/library/busybox:1\nLabel=a=${A}\n[Service]\nEnvironmentFile=/x\n")})
	s.Quadlets()
	if got := repaired(t, s); !strings.Contains(got, "x.container:3:1: error: a NUL byte stands in it") || strings.Contains(got, "HOME") {
		t.Error(got)
	}
}

// Bytes that no YAML can have are told, whichever way they come.
func TestNoText(t *testing.T) {
	s := New(Host{ReadFile: func(string) ([]byte, error) { return []byte("A=\xff\n"), nil }})
	s.Add(Source{Path: "x.container", Data: []byte("[Container]\nImage=docker.io/library/busybox:1\nWorkingDir=/\xfe\nEnvironment=\"B=\\xff\" C=${A}\nLabel=\xfd=x\n[Service]\nEnvironmentFile=/x\n")})
	s.Quadlets()
	got := repaired(t, s)
	for _, want := range []string{"x.container:3:1: warning: WorkingDir=: bytes", "x.container:4:1: warning: Environment=: bytes", "x.container:5:1: warning: Label=: bytes", "x.container: warning: A: bytes"} {
		if !strings.Contains(got, want) {
			t.Errorf("the report has no %q:\n%s", want, got)
		}
	}
}

// What a file of variables is written with is what is read of it.
func TestQuoteVariable(t *testing.T) {
	for _, value := range []string{"", "a", "a b", "it's", `"`, `\`, "$x ${y} $$", "#", "a#b", " a ", "two\nlines", "it's $x \"q\" \\ \n", "`x`", "a=b"} {
		d := New(testHost).newDef("x", place{})
		d.use("NAME", value)
		variables, problems := envfile.Parse(envfile.File{Data: d.writeVariables()})
		if len(variables) != 1 || variables[0].Value == nil || *variables[0].Value != value || len(problems) > 0 {
			t.Errorf("%q is written as %q: %s", value, d.writeVariables(), problems)
		}
	}
}

func TestCommandLines(t *testing.T) {
	data, err := os.ReadFile("testdata/run/many.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(data)) {
		words, err := splitWords(line, false)
		if err != nil {
			t.Fatal(err)
		}
		s := New(testHost)
		s.Command(words)
		fmt.Fprintf(&b, "$ %s%s", line, repaired(t, s))
	}
	golden(t, "testdata/run/many.golden", b.String())
}

// Whatever stands in a file, what is made of it is a definition.
func FuzzQuadlet(f *testing.F) {
	paths, _ := filepath.Glob("testdata/quadlet/*.txtar")
	for _, path := range paths {
		if archive, err := txtar.ParseFile(path); err == nil {
			for _, file := range archive.Files {
				f.Add(string(file.Data))
			}
		}
	}
	f.Add("\\\n[Container]\n\\")
	f.Add("[Container]\nImage=a\nEnvironment=\"A=\\x01\\u2028\" =b\nLabel=: #\nExec='\nVolume=a:/b:\nHealthRetries=x\n[Service]\nNice=\\\n[Unit]\n")
	f.Add("[Container]\nImage=a\nEnvironment=A=\x00{HOME}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			t.Skip()
		}
		s := New(testHost)
		for _, kind := range []string{"container", "pod", "network"} {
			s.Add(Source{Path: "x." + kind, Dir: "/etc/containers/systemd", Data: []byte(text)})
		}
		s.Quadlets()
		repaired(t, s)
	})
}

// A value is read back as itself, whatever characters it has.
func FuzzValues(f *testing.F) {
	for _, text := range []string{"", "a", "no", "1", "0x1F", "1e3", "2001-01-01", "a: b", "$X ${Y} $$", "- a", "#", "é\u2028", "\"'\\", "~", "12:30", "=", "!x", "<<", "-", "--", "a:", "a\x01b", "\x7f\x1b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsFunc(text, func(r rune) bool { return r == 0xfffd || r == 0 }) || len(text) > 1000 {
			t.Skip()
		}
		s := New(testHost)
		d := s.newDef("x", place{file: "x"})
		a := arg{name: "x", at: place{file: "x", line: 1, col: 1}}
		d.setText("image", a, "example.com/x")
		d.addWords("command", a, []string{"sh", text})
		d.pair("labels", "key", a, scalarOf(a, text))
		s.add(d)
		dir := t.TempDir()
		for _, file := range s.Files() {
			if err := os.WriteFile(filepath.Join(dir, file.Name), file.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := catalog.DryRun{Dirs: []string{dir}}.Run()
		if err != nil || out.Problems.HasErrors() || len(out.Definitions) != 1 {
			t.Fatalf("%v\n%s\n%s", err, out.Problems, s.Files()[0].Data)
		}
		service := out.Definitions[0].Services[0]
		if service.Command[1] != text || service.Labels[0].Value != text {
			t.Errorf("%q is read as %q and %q", text, service.Command[1], service.Labels[0].Value)
		}
	})
}
