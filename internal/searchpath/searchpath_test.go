// SPDX-License-Identifier: Apache-2.0

package searchpath

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// place writes files below a fresh root. A value "-> x" is a link.
func place(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, content := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, isLink := strings.CutPrefix(content, "-> "); isLink {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func open(t *testing.T, root string) *Tree {
	t.Helper()
	tree := Open(root)
	t.Cleanup(tree.Close)
	return tree
}

func read(t *testing.T, tree *Tree, name string) Source {
	t.Helper()
	e, ok := tree.Entry(name)
	if !ok || e.Masked {
		t.Fatalf("%q: found %t, %+v", name, ok, e)
	}
	return tree.Read(e)
}

// shape shows a source in one line: the layers, the variables, the problems.
func shape(src Source) string {
	var b strings.Builder
	for _, l := range src.Layers {
		b.WriteString(l.Path + "=" + string(l.Data) + " ")
	}
	for _, l := range src.Env {
		b.WriteString("env " + l.Path + "=" + string(l.Data) + " ")
	}
	return strings.TrimSpace(b.String() + src.Problems.String())
}

func TestFirstDirectoryWins(t *testing.T) {
	tree := open(t, place(t, map[string]string{
		"etc/unitc/web.yaml":                   "etc",
		"run/unitc/definitions/web.yaml":       "run",
		"usr/lib/unitc/definitions/web.yaml":   "usr",
		"run/unitc/definitions/db.yaml":        "run",
		"usr/lib/unitc/definitions/db.yaml":    "usr",
		"usr/lib/unitc/definitions/cache.yaml": "usr",
	}))
	if want := []string{"cache", "db", "web"}; !slices.Equal(tree.Names(), want) {
		t.Errorf("names are %q, want %q", tree.Names(), want)
	}
	for name, want := range map[string]string{
		"web": "/etc/unitc/web.yaml=etc", "db": "/run/unitc/definitions/db.yaml=run", "cache": "/usr/lib/unitc/definitions/cache.yaml=usr",
	} {
		if got := shape(read(t, tree, name)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	e, _ := tree.Entry("web")
	if want := []string{"/run/unitc/definitions/web.yaml", "/usr/lib/unitc/definitions/web.yaml"}; !slices.Equal(e.Overridden, want) {
		t.Errorf("overridden are %q, want %q", e.Overridden, want)
	}
}

func TestDropInsOfAllDirectories(t *testing.T) {
	tree := open(t, place(t, map[string]string{
		"usr/lib/unitc/definitions/web.yaml":             "base",
		"usr/lib/unitc/definitions/web.yaml.d/30-c.yaml": "usr-c",
		"usr/lib/unitc/definitions/web.yaml.d/20-b.yaml": "usr-b",
		"usr/lib/unitc/definitions/web.yaml.d/40-d.yaml": "usr-d",
		"run/unitc/definitions/web.yaml.d/10-a.yaml":     "run-a",
		"etc/unitc/web.yaml.d/20-b.yaml":                 "etc-b",
		"etc/unitc/web.yaml.d/40-d.yaml":                 "-> /dev/null",
		"etc/unitc/web.yaml.d/README":                    "no drop-in",
		"etc/unitc/web.yaml.d/.hidden.yaml":              "no drop-in",
	}))
	want := "/usr/lib/unitc/definitions/web.yaml=base /run/unitc/definitions/web.yaml.d/10-a.yaml=run-a " +
		"/etc/unitc/web.yaml.d/20-b.yaml=etc-b /usr/lib/unitc/definitions/web.yaml.d/30-c.yaml=usr-c"
	if got := shape(read(t, tree, "web")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Copies of what a definition names count where the definition itself stands.
func TestCopies(t *testing.T) {
	tree := open(t, place(t, map[string]string{
		"etc/unitc/web.yaml":                              "base",
		"etc/unitc/web.yaml.files/srv/web/base.yaml":      "copy",
		"srv/web/base.yaml":                               "original",
		"etc/unitc/gone.yaml.files/x":                     "of nothing",
		"usr/lib/unitc/definitions/db.yaml":               "vendor",
		"etc/unitc/db.yaml.files/x":                       "of another",
		"usr/lib/unitc/definitions/web.yaml.files/x.yaml": "of another",
	}))
	if tree.Problems != nil || !slices.Equal(tree.Names(), []string{"db", "web"}) {
		t.Errorf("names are %q, %s", tree.Names(), tree.Problems)
	}
	if src := read(t, tree, "db"); src.Files != "" {
		t.Errorf("those of db are in %s", src.Files)
	}
	src := read(t, tree, "web")
	var named []Layer
	src.Named = &named
	for range 2 {
		if data, err := src.ReadNamed(src.Files + "/srv/web/base.yaml"); err != nil || string(data) != "copy" {
			t.Errorf("%q, %v", data, err)
		}
	}
	if _, err := src.ReadNamed(src.Files + "/x.yaml"); err == nil {
		t.Error("a copy that is not there is read")
	}
	if len(named) != 1 || named[0].Path != "/etc/unitc/web.yaml.files/srv/web/base.yaml" {
		t.Errorf("named are %+v", named)
	}
}

func TestMasks(t *testing.T) {
	tree := open(t, place(t, map[string]string{
		"etc/unitc/web.yaml":                 "-> /dev/null",
		"usr/lib/unitc/definitions/web.yaml": "base",
		"etc/unitc/zero.yaml":                "-> /dev/zero",
		"etc/unitc/link.yaml":                "-> ../../usr/lib/unitc/definitions/web.yaml",
	}))
	for name, want := range map[string]bool{"web": true, "zero": false, "link": false} {
		if e, ok := tree.Entry(name); !ok || e.Masked != want {
			t.Errorf("%s masked: %t, want %t", name, e.Masked, want)
		}
	}
	if got := shape(read(t, tree, "link")); got != "/etc/unitc/link.yaml=base" {
		t.Errorf("the link is %s", got)
	}
}

func TestEnvironment(t *testing.T) {
	tree := open(t, place(t, map[string]string{
		"etc/unitc/web.yaml":                "base",
		"etc/unitc/.env":                    "shared",
		"etc/unitc/web.env":                 "own",
		"run/unitc/definitions/web.env":     "lost",
		"etc/unitc/other.env":               "of nothing",
		"usr/lib/unitc/definitions/db.yaml": "vendor",
		"etc/unitc/db.env":                  "admin",
		"etc/unitc/worker@.yaml":            "template",
		"etc/unitc/worker.env":              "its own",
		"etc/unitc/worker@.env":             "of nothing",
	}))
	for name, want := range map[string]string{
		"worker@": "/etc/unitc/worker@.yaml=template env /etc/unitc/.env=shared env /etc/unitc/worker.env=its own",
		"web":     "/etc/unitc/web.yaml=base env /etc/unitc/.env=shared env /etc/unitc/web.env=own",
		"db":      "/usr/lib/unitc/definitions/db.yaml=vendor env /etc/unitc/db.env=admin",
	} {
		if got := shape(read(t, tree, name)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if len(tree.Problems) != 0 {
		t.Errorf("problems: %s", tree.Problems)
	}
}

func TestOtherNamesAreNotDefinitions(t *testing.T) {
	tree := open(t, place(t, map[string]string{
		"etc/unitc/README": "", "etc/unitc/site.conf": "", "etc/unitc/conf.d/a.yaml": "", "etc/unitc/web.json": "", "etc/unitc/yaml": "", "etc/unitc/web.d/x": "", "etc/unitc/web.yaml~": "", "etc/unitc/.web.yaml": "", "etc/unitc/..yaml": "", "etc/unitc/.yaml": "",
		"etc/unitc/web.yaml.bak": "", "etc/unitc/sub/web.yaml": "", "etc/unitc/.yml": "",
	}))
	if len(tree.Names()) != 0 || len(tree.Problems) != 0 {
		t.Errorf("names %q, problems %s", tree.Names(), tree.Problems)
	}
}

func TestFilesThatNobodyReads(t *testing.T) {
	tree := open(t, place(t, map[string]string{
		"etc/unitc/web.yaml": "", "etc/unitc/web.yml": "", "etc/unitc/lost.yaml.d/a.yaml": "", "etc/unitc/web.yml.d/a.yaml": "", "etc/unitc/web.yaml.d/a.yml": "", "etc/unitc/web.yaml.d/.a.yml": "",
	}))
	want := "/etc/unitc/lost.yaml.d: warning: drop-ins of a definition that is not there; write lost.yaml or remove the directory\n" +
		"/etc/unitc/web.yml: warning: not read, /etc/unitc/web.yaml has this name; remove one of the two\n" +
		"/etc/unitc/web.yml.d: warning: not read: the name of a directory of drop-ins ends in \".yaml.d\"; rename it to web.yaml.d\n"
	tree.Problems.Sort()
	if got := tree.Problems.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	want = "/etc/unitc/web.yaml.d/a.yml: error: the name of a drop-in ends in \".yaml\"; rename it to a.yaml"
	if got := read(t, tree, "web").Problems.String(); strings.TrimSpace(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A name that is almost right is told, or has its unit tell of it.
func TestNamesThatAreAlmostRight(t *testing.T) {
	tree := open(t, place(t, map[string]string{
		"etc/unitc/web.YAML": "rootfs: host", "etc/unitc/db.Yml": "rootfs: host", "etc/unitc/good.yaml": "base", "usr/lib/unitc/definitions/good.YML": "",
		"etc/unitc/a.yaml.txt": "", "etc/unitc/b.yam": "", "etc/unitc/c.YMAL": "", "etc/unitc/d.yal/x": "",
		"etc/unitc/good.service.d/a.conf": "", "etc/unitc/good.Yaml.D/a.yaml": "",
		"etc/unitc/good.yaml.d/1.conf": "", "etc/unitc/good.yaml.d/2.YAML": "", "etc/unitc/good.yaml.d/3.ymal": "", "etc/unitc/good.yaml.d/4.yaml": "drop-in", "etc/unitc/good.yaml.d/README.md": "",
	}))
	if want := []string{"db", "good", "web"}; !slices.Equal(tree.Names(), want) {
		t.Errorf("names are %q, want %q", tree.Names(), want)
	}
	const dropIn, definition = `the name of a directory of drop-ins ends in ".yaml.d"`, `the name of a definition ends in ".yaml"`
	want := "/etc/unitc/a.yaml.txt: warning: not read: " + definition + "; rename it to a.yaml\n" +
		"/etc/unitc/b.yam: warning: not read: " + definition + "; rename it to b.yaml\n" +
		"/etc/unitc/c.YMAL: warning: not read: " + definition + "; rename it to c.yaml\n" +
		"/etc/unitc/good.Yaml.D: warning: not read: " + dropIn + "; rename it to good.yaml.d\n" +
		"/etc/unitc/good.service.d: warning: not read: " + dropIn + "; rename it to good.yaml.d; `systemctl edit` makes those of the unit\n" +
		"/usr/lib/unitc/definitions/good.YML: warning: not read, /etc/unitc/good.yaml has this name; remove one of the two\n"
	if got := tree.Problems.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for name, want := range map[string]string{
		"web": "/etc/unitc/web.YAML=rootfs: host /etc/unitc/web.YAML: error: " + definition + "; rename it to web.yaml",
		"db":  "/etc/unitc/db.Yml=rootfs: host /etc/unitc/db.Yml: error: " + definition + "; rename it to db.yaml",
		"good": "/etc/unitc/good.yaml=base /etc/unitc/good.yaml.d/4.yaml=drop-in /etc/unitc/good.yaml.d/1.conf: error: the name of a drop-in ends in \".yaml\"; rename it to 1.yaml\n" +
			"/etc/unitc/good.yaml.d/2.YAML: error: the name of a drop-in ends in \".yaml\"; rename it to 2.yaml\n" +
			"/etc/unitc/good.yaml.d/3.ymal: error: the name of a drop-in ends in \".yaml\"; rename it to 3.yaml",
	} {
		src := read(t, tree, name)
		src.Problems.Sort()
		if got := shape(src); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
	}
}

// Whatever has a definition's name is an entry with one clear problem, and
// nothing is waited for.
func TestHostileFiles(t *testing.T) {
	root := place(t, map[string]string{
		"etc/unitc/good.yaml":          "good",
		"etc/unitc/wrong.yml":          "x",
		"etc/unitc/dangling.yaml":      "-> /var/lib/x.yaml",
		"etc/unitc/loop.yaml":          "-> loop.yaml",
		"etc/unitc/zero.yaml":          "-> /dev/zero",
		"etc/unitc/linkdir.yaml":       "-> /proc",
		"etc/unitc/mem.yaml":           "-> /proc/self/mem",
		"etc/unitc/dropins.yaml":       "base",
		"etc/unitc/dropins.yaml.d":     "a file",
		"etc/unitc/baddrop.yaml":       "base",
		"etc/unitc/baddrop.yaml.d/a":   "",
		"etc/unitc/env.yaml":           "base",
		"etc/unitc/env.env":            "-> /dev/zero",
		"etc/unitc/bad name\n.yaml":    "x",
		"etc/unitc/directory.yaml/x":   "",
		"etc/unitc/writable.yaml":      "base",
		"etc/unitc/others.yaml":        "base",
		"etc/unitc/large.yaml":         "",
		"run/unitc/definitions":        "not a directory",
		"etc/unitc/baddrop.yaml.d/.ok": "",
	})
	etc := filepath.Join(root, "etc/unitc")
	for _, path := range []string{"fifo.yaml", "baddrop.yaml.d/f.yaml"} {
		if err := unix.Mkfifo(filepath.Join(etc, path), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(etc, "large.yaml"), 100<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(etc, "writable.yaml"), 0o666); err != nil {
		t.Fatal(err)
	}
	others := "/etc/unitc/others.yaml=base"
	if os.Geteuid() == 0 {
		others += " /etc/unitc/others.yaml: warning: it belongs to the user 1234, who may write it, and so become root; chown root: /etc/unitc/others.yaml"
		if err := os.Chown(filepath.Join(etc, "others.yaml"), 1234, -1); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	tree := open(t, root)
	for name, want := range map[string]string{
		"others":     others,
		"good":       "/etc/unitc/good.yaml=good",
		"bad name\n": "/etc/unitc/bad name\n.yaml=x",
		"wrong":      `/etc/unitc/wrong.yml=x /etc/unitc/wrong.yml: error: the name of a definition ends in ".yaml"; rename it to wrong.yaml`,
		"dangling":   "/etc/unitc/dangling.yaml: error: a link to /var/lib/x.yaml: no such file or directory; correct the link",
		"loop":       "/etc/unitc/loop.yaml: error: a link to loop.yaml: too many levels of symbolic links; correct the link",
		"zero":       "/etc/unitc/zero.yaml: error: a device, not a regular file; write the definition into a regular file",
		"fifo":       "/etc/unitc/fifo.yaml: error: a FIFO, not a regular file; write the definition into a regular file",
		"directory":  "/etc/unitc/directory.yaml: error: a directory, not a file; write the definition into a file of this name; drop-ins belong in directory.yaml.d",
		"linkdir":    "/etc/unitc/linkdir.yaml: error: a directory, not a file",
		"mem":        "/etc/unitc/mem.yaml: error: reading: input/output error",
		"large":      "/etc/unitc/large.yaml: error: 104857600 bytes, more than the 1 MiB that is read of one file; keep data in files of their own and mount them",
		"dropins":    "/etc/unitc/dropins.yaml=base /etc/unitc/dropins.yaml.d: error: reading the drop-ins: not a directory; make it a directory of *.yaml files",
		"baddrop":    "/etc/unitc/baddrop.yaml=base /etc/unitc/baddrop.yaml.d/f.yaml: error: a FIFO, not a regular file",
		"env":        "/etc/unitc/env.yaml=base /etc/unitc/env.env: error: a device, not a regular file",
		"writable":   "/etc/unitc/writable.yaml=base /etc/unitc/writable.yaml: warning: any user may write it, and so become root; chmod o-w /etc/unitc/writable.yaml",
	} {
		if got := shape(read(t, tree, name)); !strings.HasPrefix(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
	if len(tree.Names()) != 16 {
		t.Errorf("%d names: %q", len(tree.Names()), tree.Names())
	}
	if want := "/run/unitc/definitions: error: reading the search directory: not a directory"; !strings.HasPrefix(tree.Problems.String(), want) {
		t.Errorf("problems %s, want %s", tree.Problems, want)
	}
	if spent := time.Since(begin); spent > time.Second {
		t.Errorf("it took %v", spent)
	}
}

func TestTooManyDropIns(t *testing.T) {
	files := map[string]string{"etc/unitc/web.yaml": "base"}
	for i := range maxDropIns + 1 {
		files["etc/unitc/web.yaml.d/"+strings.Repeat("a", i%50+1)+string(rune('a'+i/50))+".yaml"] = "x"
	}
	src := read(t, open(t, place(t, files)), "web")
	if len(src.Layers) != 1 || !src.Problems.HasErrors() {
		t.Errorf("%d layers, problems %s", len(src.Layers), src.Problems)
	}
}

func TestNoSearchDirectories(t *testing.T) {
	tree := open(t, t.TempDir())
	if len(tree.Names()) != 0 || len(tree.Problems) != 0 {
		t.Errorf("names %q, problems %s", tree.Names(), tree.Problems)
	}
}

// Files that definitions name are read below the root, and read as carefully.
func TestReadNamed(t *testing.T) {
	root := t.TempDir()
	for path, content := range map[string]string{"etc/unitc/web.yaml": "x", "srv/base.yaml": "base"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "srv/fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree := Open(root)
	defer tree.Close()
	entry, _ := tree.Entry("web")
	src := tree.Read(entry)
	if data, err := src.ReadNamed("/srv/base.yaml"); err != nil || string(data) != "base" {
		t.Errorf("read %q, %v", data, err)
	}
	for _, path := range []string{"/srv/gone", "/gone/x", "/srv/fifo", "/srv"} {
		if data, err := src.ReadNamed(path); err == nil {
			t.Errorf("%s gave %q", path, data)
		}
	}
}

// What is written while it is read is neither what it was nor what it will be.
func TestFileThatIsBeingWritten(t *testing.T) {
	path := t.TempDir() + "/web.yaml"
	old := time.Now().Add(-time.Hour)
	for name, tc := range map[string]struct {
		change func(f *os.File) error
		other  bool
	}{
		"left alone": {func(*os.File) error { return nil }, false},
		"truncated":  {func(f *os.File) error { return f.Truncate(0) }, true},
		"longer":     {func(f *os.File) error { _, err := f.WriteAt([]byte("a: 1\nb: 22\n"), 0); return err }, true},
		"as long":    {func(f *os.File) error { _, err := f.WriteAt([]byte("b: 2\n"), 0); return err }, true},
	} {
		if err := errors.Join(os.WriteFile(path, []byte("a: 1\n"), 0o644), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		err = unix.Fstat(int(f.Fd()), &st)
		data, readErr := readAll(int(f.Fd()), int(st.Size))
		if err := errors.Join(err, readErr, tc.change(f)); err != nil {
			t.Fatal(err)
		}
		if got := isOther(int(f.Fd()), &st, len(data)); got != tc.other {
			t.Errorf("%s: it is another one: %v", name, got)
		}
		if !isOther(int(f.Fd()), &st, int(st.Size)-1) {
			t.Errorf("%s: half of it is taken for all", name)
		}
		f.Close()
	}
}

// An editor may rename a file before it writes the new one.
func TestFileThatIsReplaced(t *testing.T) {
	root := t.TempDir()
	dir := root + "/etc/unitc"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"gone", "late", "link"} {
		write(name+".yaml", "a: old\n")
	}
	write("other", "a: new\n")
	tree := Open(root)
	defer tree.Close()
	for _, name := range []string{"gone", "late", "link"} {
		if err := os.Remove(dir + "/" + name + ".yaml"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("other", dir+"/link.yaml"); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(2*writePause, func() { write("late.yaml~", "a: new\n"); os.Rename(dir+"/late.yaml~", dir+"/late.yaml") })
	for _, name := range []string{"late", "link"} {
		e, _ := tree.Entry(name)
		if src := tree.Read(e); len(src.Layers) != 1 || string(src.Layers[0].Data) != "a: new\n" {
			t.Errorf("%s: %q, %v", name, src.Layers, src.Problems)
		}
	}
	e, _ := tree.Entry("gone")
	if src := tree.Read(e); len(src.Layers) != 0 || len(src.Problems) != 1 || src.Problems[0].What != wentMeanwhile {
		t.Errorf("gone: %q, %v", src.Layers, src.Problems)
	}
}
