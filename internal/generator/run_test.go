// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/resolved"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/unitfile"
)

// simple takes any file as a working definition.
func simple(src searchpath.Source) definition.File {
	if len(src.Layers) == 0 || src.Problems.HasErrors() {
		return definition.File{Name: src.Name, Path: src.Path, Problems: src.Problems}
	}
	f := one(definition.Service{Name: src.Name, RootFS: "/srv", Source: definition.Source{File: src.Path}})
	f.Name, f.Path = src.Name, src.Path
	return f
}

func (h *host) names() string {
	h.t.Helper()
	entries, err := os.ReadDir(h.out)
	if err != nil {
		h.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != filepath.Dir(loadedDropIn) { // TestUnitsThatStayLoaded
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

func (h *host) resolved(name string) definition.Resolved {
	h.t.Helper()
	var r definition.Resolved
	data, err := resolved.Read(resolved.Path(h.out, name))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func TestNativeUnitsWin(t *testing.T) {
	for _, c := range []struct{ name, path, content, names string }{
		{"nothing", "etc/other", "", ".unitc web.service"},
		{"administrator", "etc/systemd/system/web.service", "[Service]", ".unitc multi-user.target.wants unitc-conflict-web.service"},
		{"runtime", "run/systemd/system/web.service", "[Service]", ".unitc multi-user.target.wants unitc-conflict-web.service"},
		{"local", "usr/local/lib/systemd/system/web.service", "[Service]", ".unitc multi-user.target.wants unitc-conflict-web.service"},
		{"distribution", "usr/lib/systemd/system/web.service", "[Service]", ".unitc multi-user.target.wants unitc-conflict-web.service"},
		{"alias", "etc/systemd/system/web.service", "-> /usr/lib/systemd/system/apache.service", ".unitc multi-user.target.wants unitc-conflict-web.service"},
		{"mask", "etc/systemd/system/web.service", "-> /dev/null", ".unitc web.service"},
		{"edited in full", "etc/systemd/system/web.service", "ExecStart=/x start /run/systemd/generator.late/.unitc/web.json\n", ".unitc web.service"},
		{"edited other", "etc/systemd/system/web.service", "ExecStart=/x start /run/systemd/generator.late/.unitc/other.json\n", ".unitc multi-user.target.wants unitc-conflict-web.service"},
		{"drop-in", "etc/systemd/system/web.service.d/override.conf", "[Service]", ".unitc web.service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, map[string]string{"etc/unitc/web.yaml": "", c.path: c.content})
			h.run(simple)
			if got := h.names(); got != c.names {
				t.Errorf("output is %s, want %s", got, c.names)
			}
			if conflict := strings.Contains(c.names, "conflict"); conflict != (len(h.log) == 1) {
				t.Errorf("log is %s", h.log)
			} else if conflict && !strings.Contains(h.log[0].What, "/"+c.path) {
				t.Errorf("log does not name the unit: %s", h.log)
			}
		})
	}
}

// A timer or a socket of the definition would start the other one's service.
func TestNativeUnitIsNotTriggered(t *testing.T) {
	h := newHost(t, map[string]string{"etc/unitc/web.yaml": "", "etc/systemd/system/web.service": "[Service]"})
	h.run(func(src searchpath.Source) definition.File {
		f := simple(src)
		f.Services[0].System.Timer = []definition.Directive{directive("OnCalendar", "daily")}
		f.Services[0].Ports = []definition.Port{{Target: 80, Published: 8080, Activation: true}}
		return f
	})
	if got := h.names(); got != ".unitc multi-user.target.wants unitc-conflict-web.service" {
		t.Errorf("output is %s", got)
	}
}

// With many definitions the directories are listed instead of asked.
func TestNativeUnitsWinOverMany(t *testing.T) {
	placed := map[string]string{"usr/lib/systemd/system/u7.service": "[Service]", "etc/systemd/system/u8.service": "-> /dev/null"}
	for i := range listFrom {
		placed[fmt.Sprintf("etc/unitc/u%d.yaml", i)] = ""
	}
	h := newHost(t, placed)
	h.run(simple)
	names := h.names()
	if strings.Contains(names, " u7.service") || !strings.Contains(names, " unitc-conflict-u7.service") || !strings.Contains(names, " u8.service") || len(h.log) != 1 {
		t.Errorf("output is %s, log %s", names, h.log)
	}
}

func TestMaskedUnitBeforeNativeUnit(t *testing.T) {
	h := newHost(t, map[string]string{
		"etc/unitc/web.yaml": "", "etc/systemd/system/web.service": "-> /dev/null", "usr/lib/systemd/system/web.service": "[Service]",
	})
	h.run(simple)
	if got := h.names(); got != ".unitc web.service" || len(h.log) != 0 {
		t.Errorf("output is %s, log %s", got, h.log)
	}
}

func TestTwoDefinitionsOfOneUnit(t *testing.T) {
	h := newHost(t, map[string]string{"etc/unitc/blog.yaml": "", "etc/unitc/blog-web.yaml": ""})
	h.run(func(src searchpath.Source) definition.File {
		f := simple(src)
		f.Services[0].Name = "blog-web"
		return f
	})
	if got := h.names(); got != ".unitc blog-web.service multi-user.target.wants unitc-conflict-blog-web.service" {
		t.Errorf("output is %s", got)
	}
	problems := h.resolved("unitc-conflict-blog-web").Problems.String()
	if want := "/etc/unitc/blog-web.yaml: error: the unit blog-web.service is already made by /etc/unitc/blog.yaml"; !strings.HasPrefix(problems, want) {
		t.Errorf("problems are %s", problems)
	}
}

// Where the target of a project is another unit, its services would be that one's
// parts: none of them runs. An edited copy of our own is the administrator's word.
func TestProjectWhoseTargetIsTaken(t *testing.T) {
	project := func(src searchpath.Source) definition.File {
		f := simple(src)
		f.Project, f.Services[0].Name = true, src.Name+"-web"
		return f
	}
	for _, c := range []struct {
		path, text, names string
		broken            bool
	}{
		{"usr/lib/systemd/system/blog.target", "[Unit]", ".unitc blog-web.service multi-user.target.wants unitc-conflict-blog.target.service", true},
		{"etc/systemd/system/blog.target", "# Generated by unitc-generator from /etc/unitc/blog.yaml\n[Unit]", ".unitc blog-web.service blog.target", false},
		{"etc/systemd/system/blog.target", "-> /dev/null", ".unitc blog-web.service blog.target", false},
	} {
		h := newHost(t, map[string]string{"etc/unitc/blog.yaml": "", c.path: c.text})
		h.run(project)
		if got := h.names(); got != c.names {
			t.Errorf("%s: output is %s", c.path, got)
		}
		problems := h.resolved("blog-web").Problems.String()
		if want := "error: the unit blog.target exists already: /" + c.path; strings.Contains(problems, want) != c.broken || c.broken != (len(h.log) == 1) {
			t.Errorf("%s %q: problems are %s, log %s", c.path, c.text, problems, h.log)
		}
	}
}

func TestAliasThatIsTaken(t *testing.T) {
	h := newHost(t, map[string]string{"etc/unitc/web.yaml": "", "etc/unitc/a.yaml": "", "usr/lib/systemd/system/www.service": "[Service]"})
	h.run(func(src searchpath.Source) definition.File {
		f := simple(src)
		if src.Name == "web" {
			f.Services[0].System = install(directive("Alias", "www.service a.service b.service"))
		}
		return f
	})
	if got := h.names(); got != ".unitc a.service b.service web.service" {
		t.Errorf("output is %s", got)
	}
	if target, err := os.Readlink(filepath.Join(h.out, "b.service")); err != nil || target != "web.service" {
		t.Errorf("the alias leads to %s (%v)", target, err)
	}
	if len(h.log) != 2 || h.log.HasErrors() {
		t.Errorf("log is %s", h.log)
	}
}

func TestMaskedDefinitionIsNoUnit(t *testing.T) {
	h := newHost(t, map[string]string{"etc/unitc/web.yaml": "-> /dev/null", "usr/lib/unitc/definitions/web.yaml": ""})
	h.run(simple)
	if got := h.names(); got != "" {
		t.Errorf("output is %s", got)
	}
}

// What cannot be read is a unit all the same, and its neighbour is untouched.
func TestUnreadableDefinition(t *testing.T) {
	h := newHost(t, map[string]string{"etc/unitc/good.yaml": "", "etc/unitc/link.yaml": "-> /nowhere", "etc/unitc/dir.yaml/x": "", "etc/unitc/old.yml": ""})
	h.run(simple)
	if got := h.names(); got != ".unitc dir.service good.service link.service multi-user.target.wants old.service" {
		t.Errorf("output is %s", got)
	}
	for _, name := range []string{"dir", "link", "old"} {
		if !h.resolved(name).Problems.HasErrors() {
			t.Errorf("%s has no problems", name)
		}
	}
	if len(h.resolved("good").Problems) != 0 || len(h.log) != 3 {
		t.Errorf("log is %s", h.log)
	}
}

func TestParserPanicIsOneFault(t *testing.T) {
	h := newHost(t, map[string]string{"etc/unitc/bad.yaml": "", "etc/unitc/good.yaml": ""})
	h.run(func(src searchpath.Source) definition.File {
		if src.Name == "bad" {
			panic("on purpose")
		}
		return simple(src)
	})
	if got := h.names(); got != ".unitc bad.service good.service multi-user.target.wants" {
		t.Errorf("output is %s", got)
	}
	if problems := h.resolved("bad").Problems.String(); !strings.Contains(problems, "on purpose") {
		t.Errorf("problems are %s", problems)
	}
}

// SECURITY §3 row 3: every name gives one unit with a valid name, and nothing
// but the unit, whatever the name is.
func TestHostileFileNames(t *testing.T) {
	names := map[string]string{
		"a b": `a\x20b.service`, "-x": "-x.service", `a\x2d`: `a\x2d.service`, "x@": "x@.service", "@x": "unitc-invalid-58d7a565.service",
		"é": `\xc3\xa9.service`, "new\nline": `new\x0aline.service`, "%i": `\x25i.service`, "$(x)": `\x24\x28x\x29.service`, ";": `\x3b.service`,
		"\xff": `\xff.service`, "\u2028": `\xe2\x80\xa8.service`, "[Service]": `\x5bService\x5d.service`, `"`: `\x22.service`, "a@b@c": "a@b@c.service",
		"-": "-.service", strings.Repeat("x", 250): "unitc-invalid-9d5e284d.service",
	}
	for name, want := range names {
		h := newHost(t, nil)
		if err := os.MkdirAll(filepath.Join(h.root, "etc/unitc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.root, "etc/unitc", name+".yaml"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		tree := h.run(simple)
		got := strings.Fields(strings.Replace(h.names(), "multi-user.target.wants", "", 1))
		if len(got) != 2 || !slices.Contains(got, ".unitc") || !slices.Contains(got, want) {
			t.Errorf("%q gives %q, want %s", name, got, want)
		}
		if unitfile.NameKind(want) == unitfile.Invalid {
			t.Errorf("%q is no unit's name", want)
		}
		text, err := os.ReadFile(filepath.Join(h.out, want))
		if err != nil {
			t.Error(err)
		}
		if strings.Count(string(text), "\nExecStart=") != 1 || strings.Count(string(text), "\nExec") > 2 || strings.Count(string(text), "\nOnSuccess=") > 1 || strings.Count(string(text), "\n[") != 2 {
			t.Errorf("%q gives\n%s", name, tree)
		}
	}
}

// G-8: the same input gives the same bytes, over old output as well.
func TestSameInputSameBytes(t *testing.T) {
	table, placed := map[string]definition.File{}, map[string]string{}
	for _, c := range goldenCases {
		name := c.name
		if strings.HasSuffix(c.file, "@") {
			name += "@"
		}
		table[name] = c.definition
		placed["etc/unitc/"+name+".yaml"] = ""
	}
	h := newHost(t, placed)
	first := h.run(files(table))
	for range 5 {
		if again := h.run(files(table)); again != first {
			t.Fatalf("another run differs: %s", firstDifference(again, first))
		}
		fresh := &host{t: t, root: h.root, out: t.TempDir()}
		if again := fresh.run(files(table)); again != first {
			t.Fatalf("a run into an empty directory differs: %s", firstDifference(again, first))
		}
	}
	if strings.Contains(first, ".unitc-") {
		t.Error("a temporary file was left")
	}
}

// G-16: while two runs write the same directory, every unit that can be seen is
// whole, and so is its resolved definition.
func TestConcurrentRunsShowWholeUnits(t *testing.T) {
	placed := map[string]string{}
	for i := range 50 {
		placed[fmt.Sprintf("etc/unitc/u%d.yaml", i)] = ""
	}
	h := newHost(t, placed)
	parse := func(src searchpath.Source) definition.File {
		f := simple(src)
		f.Services[0].Restart.Policy = definition.RestartAlways
		f.Services[0].Labels = []definition.KeyValue{{Key: "long", Value: strings.Repeat("x", 16<<10)}}
		return f
	}
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for range 10 {
				if err := Run(Config{Root: h.root, OutDir: h.out, Helper: "/x", Parse: parse, Report: func(diag.Problem) {}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	seen := 0
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		seen += checkWhole(t, h.out)
	}
	if seen < 50 {
		t.Errorf("%d whole units seen", seen)
	}
}

func checkWhole(t *testing.T, dir string) int {
	count := 0
	for i := range 50 {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("u%d.service", i)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || !strings.HasSuffix(string(text), "\nSlice=unitc.slice\n") {
			t.Errorf("half a unit: %v\n%s", err, text)
		}
		data, err := resolved.Read(resolved.Path(dir, fmt.Sprintf("u%d", i)))
		if err != nil || !json.Valid(data) {
			t.Errorf("a unit without its definition: %v", err)
		}
		count++
	}
	return count
}

// A name in the way must not be written through (G-6).
func TestOutputDirectoryWithLinks(t *testing.T) {
	h := newHost(t, map[string]string{"etc/unitc/web.yaml": "", "decoy/x": "untouched"})
	decoy := filepath.Join(h.root, "decoy")
	for name, target := range map[string]string{"web.service": decoy + "/x", ".unitc": decoy} {
		if err := os.Symlink(target, filepath.Join(h.out, name)); err != nil {
			t.Fatal(err)
		}
	}
	h.run(simple)
	h.resolved("web")
	entries, err := os.ReadDir(decoy)
	data, readErr := os.ReadFile(decoy + "/x")
	if len(entries) != 1 || string(data) != "untouched" {
		t.Errorf("%d files in the decoy, %q (%v, %v)", len(entries), data, err, readErr)
	}
}

func TestNoOutputDirectory(t *testing.T) {
	h := newHost(t, nil)
	err := Run(Config{Root: h.root, OutDir: filepath.Join(h.out, "none"), Helper: "/x", Parse: simple, Report: func(diag.Problem) {}})
	if !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v", err)
	}
}

func TestProductOfTimes(t *testing.T) {
	for want, c := range map[string]struct {
		n int
		d time.Duration
	}{"40s": {4, 10 * time.Second}, "infinity": {999_999_999, 20 * time.Second}, "4500ms": {3, 1500 * time.Millisecond}} {
		if got := product(c.n, c.d); got != want {
			t.Errorf("%d times %v is %s, want %s", c.n, c.d, got, want)
		}
	}
}
