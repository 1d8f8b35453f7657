// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/generator"
	"github.com/unitc/unitc/internal/resolved"
	"github.com/unitc/unitc/internal/syntax"
	"github.com/unitc/unitc/internal/syntax/library"
)

// place makes a root with files below etc/unitc.
func place(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, "etc/unitc", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// tree is all there is below a directory, by path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, item os.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case item.IsDir():
			all[name] = "a directory"
		case item.Type() == os.ModeSymlink:
			all[name], err = os.Readlink(path)
		default:
			var data []byte
			data, err = os.ReadFile(path)
			all[name] = string(data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// generated is what a run with a library writes, its problems as a file more; nil
// if it was abandoned.
func generated(t *testing.T, root string, lib syntax.Library, abandon func() bool) map[string]string {
	t.Helper()
	var problems diag.List
	dir := t.TempDir()
	err := generator.Run(generator.Config{Root: root, OutDir: "/run/systemd/generator.late", WriteTo: dir, Helper: "/x", Parse: parseWith(lib), Abandon: abandon,
		Report: func(p diag.Problem) { problems = append(problems, p) }})
	all := tree(t, dir)
	if errors.Is(err, generator.ErrAbandoned) {
		if len(all) != 1 {
			t.Errorf("an abandoned run has left %q", slices.Sorted(maps.Keys(all)))
		}
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	all["problems"] = problems.String()
	return all
}

// What is read without the library means what it means to the library, to the byte:
// a tab in a last line has the library read the whole file.
func TestBothWaysAreOne(t *testing.T) {
	plain, all := 0, 0
	for _, pattern := range []string{"../../compose/testdata/*/*.yaml", "../../../examples/*/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d files (%v)", pattern, len(paths), err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				continue // a directory, as a case of its own
			}
			all++
			needed := false
			asked := func() error { needed = true; return &syntax.UnavailableError{} }
			name := filepath.Base(path)
			first := generated(t, place(t, map[string]string{name: string(data)}), unavailable(asked), func() bool { return needed })
			if first == nil {
				continue
			}
			plain++
			second := generated(t, place(t, map[string]string{name: string(data) + "\n#\ttab\n"}), library.Full, nil)
			if !maps.Equal(first, second) {
				t.Errorf("%s: with the library\n%q\nwithout\n%q", path, second, first)
			}
		}
	}
	t.Logf("%d of %d files need no library", plain, all)
	if plain < 10 || plain == all {
		t.Errorf("%d of %d files need no library", plain, all)
	}
}

// Where the last of many definitions is not plain, the other program does all, as if
// it had been run itself.
func TestTheOtherProgramTakesOver(t *testing.T) {
	files := map[string]string{"a.yaml": "rootfs: /srv\ncomand: x\n", "zz.yaml": "rootfs: &a /srv\n", "zy.yaml": "rootfs: [\n"}
	for i := range 300 { // so many that some are written before the last is read
		files[fmt.Sprintf("web%d.yaml", i)] = fmt.Sprintf("rootfs: /srv\nenvironment: {A: \"%0200d\"}\n", i)
	}
	root, out := place(t, files), t.TempDir()
	run := func(program string, env ...string) (map[string]string, string) {
		t.Helper()
		if err := errors.Join(os.RemoveAll(out), os.Mkdir(out, 0o755)); err != nil {
			t.Fatal(err)
		}
		log, err := generatorCommand(t, program, append(env, withRoot+"="+root), out, out, out).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", program, err, log)
		}
		return tree(t, out), string(log)
	}
	want, wantLog := run("full")
	got, log := run("plain")
	if !maps.Equal(got, want) || log != wantLog || strings.Count(log, "\n") < 2 || len(got) < 300 {
		t.Errorf("%d files, and it is told\n%s\nwhere the other makes %d and tells\n%s", len(got), log, len(want), wantLog)
	}

	// Without it what is plain is generated, and what is not says why.
	got, log = run("plain", withYAML+"=/nowhere/yaml")
	for name, text := range got {
		if strings.HasPrefix(name, ".unitc-") {
			t.Errorf("%s is left", name)
		}
		if strings.HasPrefix(name, "web") && text != want[name] {
			t.Errorf("%s is\n%s\nand not\n%s", name, text, want[name])
		}
	}
	for name := range want {
		if got[name] == "" {
			t.Errorf("%s is not there", name)
		}
	}
	const told = "what is written here is read by /nowhere/yaml, which cannot be run: no such file or directory; make install, or install the package"
	for _, name := range []string{"zy", "zz"} {
		line := "/etc/unitc/" + name + ".yaml: error: " + told
		if data, err := resolved.Read(resolved.Path(out, name)); err != nil || !strings.Contains(log, line) || !strings.Contains(string(data), "/nowhere/yaml") {
			t.Errorf("%s: %v\n%s\nit is told\n%s", name, err, data, log)
		}
	}
	if strings.Count(log, "\n") != 3 || !strings.Contains(log, "comand: unknown key") {
		t.Errorf("it is told\n%s", log)
	}
}

// Variables are those of the files beside a definition, and never those that systemd
// or whoever runs the generator has.
func TestNoVariableOfItsOwn(t *testing.T) {
	root := place(t, map[string]string{
		"web.yaml": "rootfs: /srv\ncommand: [x, \"${LEAK:-none}\", \"${OWN:-none}\"]\nenvironment: [LEAK, OWN]\n", "web.env": "OWN=file\n",
		"all.yaml":  "rootfs: &a /srv\ncommand: [x, \"${LEAK-none}\", \"${SYSTEMD_SCOPE-none}\"]\n",
		"must.yaml": "rootfs: /srv\nhostname: ${LEAK:?is not set}\n",
	})
	for _, program := range []string{"plain", "full"} {
		out := t.TempDir()
		env := []string{withRoot + "=" + root, "LEAK=leaked", "OWN=leaked", "SYSTEMD_SCOPE=system", "COMPOSE_PROJECT_NAME=leaked"}
		log, err := generatorCommand(t, program, env, out, out, out).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", program, err, log)
		}
		for name, want := range map[string]string{"web": `"x","none","file"`, "all": `"x","none","none"`, "must": "is not set"} {
			data, err := resolved.Read(resolved.Path(out, name))
			if err != nil || !strings.Contains(string(data), want) || strings.Contains(string(data), "leaked") {
				t.Errorf("%s: %s is %s (%v), which lacks %s", program, name, data, err, want)
			}
		}
	}
}

// A regular expression is the library's too, unless it means itself.
func TestExpressions(t *testing.T) {
	for text, plain := range map[string]bool{"listening": true, "listening on [0-9]+": false, "a.b": false} {
		needed := false
		asked := func() error { needed = true; return &syntax.UnavailableError{} }
		root := place(t, map[string]string{"web.yaml": "rootfs: /srv\nsystemd:\n  probe:\n    log: \"" + text + "\"\n"})
		if all := generated(t, root, unavailable(asked), func() bool { return needed }); (all != nil) != plain || plain && all["problems"] != "" {
			t.Errorf("%q: %q", text, all)
		}
	}
}
