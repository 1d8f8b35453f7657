// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/searchpath"
)

// Wherever a file has room for it, a line says where its relative paths begin.
func TestDirectoryLine(t *testing.T) {
	for name, text := range map[string]string{
		"plain":         "services:\n  web: {rootfs: host, command: x, volumes: ['./root:/r']}\n",
		"no last line":  "services:\n  web: {rootfs: host, command: x, volumes: ['./root:/r']}",
		"braces":        "{services: {web: {rootfs: host, command: x, volumes: ['./root:/r']}}}\n",
		"braces below":  "# yaml-language-server: $schema=x\n---\n{\n  services: {web: {rootfs: host, command: x, volumes: ['./root:/r']}},\n}\n",
		"json":          "{\"services\": {\"web\": {\"rootfs\": \"host\", \"command\": \"x\", \"volumes\": [\"./root:/r\"]}}}",
		"indented":      "  services:\n    web: {rootfs: host, command: x, volumes: ['./root:/r']}\n",
		"end of it":     "services:\n  web: {rootfs: host, command: x, volumes: ['./root:/r']}\n...\n",
		"both":          "---\n services:\n   web: {rootfs: host, command: x, volumes: ['./root:/r']}\n...\n",
		"anchor":        "x-a: &a {rootfs: host, command: x, volumes: ['./root:/r']}\nservices: {web: *a}\n...\n",
		"lines of CRLF": "  services:\r\n    web: {rootfs: host, command: x, volumes: ['./root:/r']}\r\n",
		"letters":       "{x-ä: é, services: {web: {rootfs: host, command: x, volumes: ['./root:/r']}}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "blog.yaml")
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			c, err := ReadCandidate(path, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			problems, err := c.Check(searchpath.Dirs[0])
			if err != nil || problems.HasErrors() || c.Directory != dir || strings.Count(string(c.Data), dir) != 1 {
				t.Fatalf("%v, %s, directory %q:\n%s", err, problems, c.Directory, c.Data)
			}
			if got := c.File.Services[0].Volumes[0].Source; got != dir+"/root" {
				t.Errorf("its volume is %s:\n%s", got, c.Data)
			}
		})
	}
}

// What Compose merges without being told comes along, with its own paths and lines.
func TestOverride(t *testing.T) {
	for _, c := range []struct{ file, override, want string }{
		{"compose.yaml", "docker-compose.override.yaml", "other"},
		{"docker-compose.yml", "compose.override.yml", "other"},
		{"blog.yaml", "compose.override.yml", ""},
		{"compose.yaml", "compose.overrides.yml", ""},
	} {
		dir := filepath.Join(t.TempDir(), "site")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			c.file:     "services:\n  web: {rootfs: host, command: x}\n",
			c.override: "services:\n  web: {hostname: other, volumes: ['./root:/r']}\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := ReadCandidate(filepath.Join(dir, c.file), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		problems, err := got.Check(searchpath.Dirs[0])
		if err != nil || problems.HasErrors() || got.File.Services[0].Hostname != c.want || (got.Directory != "") != (c.want != "") {
			t.Errorf("%s with %s: %v, %s, %+v", c.file, c.override, err, problems, got.File.Services[0])
		}
		if c.want != "" && (got.Name != "site" || got.File.Services[0].Volumes[0].Source != dir+"/root") {
			t.Errorf("%s is %s with %+v", c.file, got.Name, got.File.Services[0].Volumes)
		}
	}
}

func TestDirectoryName(t *testing.T) {
	for dir, want := range map[string]string{"blog": "blog", "My App (2)": "myapp2", "blog.example.com": "blogexamplecom", "app+db@home": "appdbhome", "_.x": "x", "été": "t", "+": "+"} {
		if got := directoryName(dir); got != want {
			t.Errorf("directoryName(%q) = %q, want %q", dir, got, want)
		}
	}
}

// A project is called what Compose calls it.
func TestProjectName(t *testing.T) {
	for _, c := range []struct{ text, env, want string }{
		{"services: {}\n", "", "docker"},
		{"name: blog\nservices: {}\n", "", "blog"},
		{"name: blog\nservices: {}\n", "COMPOSE_PROJECT_NAME=shop\n", "shop"},
		{"services: {}\nname: ${NAME:-blog}-${N}\n", "N=2\n", "blog-2"},
		{"name: Not a name\nservices: {}\n", "", "docker"},
		{"name: ${GONE:?}\nservices: {}\n", "A='\n", "docker"},
		{"- name\n", "COMPOSE_PROJECT_NAME=../x\n", "docker"},
		{"{", "", "docker"},
	} {
		dir := filepath.Join(t.TempDir(), "docker")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"compose.yaml": c.text, ".env": c.env} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := ReadCandidate(dir+"/compose.yaml", "", nil); err != nil || got.Name != c.want {
			t.Errorf("%q with %q is called %+v, %v; want %s", c.text, c.env, got, err, c.want)
		}
		if got, err := ReadCandidate(dir+"/compose.yaml", "given", nil); err != nil || got.Name != "given" {
			t.Errorf("with a name it is called %+v, %v", got, err)
		}
	}
}

// place writes files below a directory; "-> x" is a link.
func place(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, isLink := strings.CutPrefix(text, "-> "); isLink {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// What a project names comes along as copies, with which it means the same where
// nothing else of it is.
func TestNamed(t *testing.T) {
	root := place(t, map[string]string{
		"app/compose.yaml": "include: [db/compose.yaml, link/compose.yaml]\nservices:\n  web: {image: 'web:${TAG}', label_file: ./labels, extends: {file: ../common/base.yaml, service: base}, volumes: ['./html:/html']}\n",
		"app/.env":         "TAG=1\n", "app/labels": "a=b\n", "app/compose.override.yaml": "include: [./more.yaml]\n",
		"app/more.yaml":       "services: {more: {image: more, volumes: ['./x:/x']}}\n",
		"app/db/compose.yaml": "services: {db: {image: 'db:${PG}', env_file: ./db.env, extends: {file: ../../common/base.yaml, service: base}}}\n",
		"app/db/.env":         "PG=16\n",
		"app/link":            "-> ../elsewhere",
		// A path with .. through a link means what is written, as in Compose.
		"elsewhere/compose.yaml": "services: {far: {image: far, extends: {file: ../more.yaml, service: more}}}\n",
		"common/base.yaml":       "services: {base: {restart: always, volumes: ['./shared:/shared']}}\n",
	})
	c, err := ReadCandidate(root+"/app/compose.yaml", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	here, _, err := c.here()
	if err != nil || here.Problems.HasErrors() {
		t.Fatalf("%v, %s", err, here.Problems)
	}
	problems, err := c.Check(searchpath.Dirs[0])
	if err != nil || problems.HasErrors() || c.Directory != root+"/app" || len(c.File.Services) != 4 {
		t.Fatalf("%v, %s, %+v", err, problems, c.File.Services)
	}
	modes := map[string]os.FileMode{}
	for _, n := range c.Named {
		modes[strings.TrimPrefix(n.Path, root)] = n.Mode
	}
	want := map[string]os.FileMode{"/app/.env": 0o600, "/app/more.yaml": 0o640, "/app/db/compose.yaml": 0o640, "/app/db/.env": 0o600, "/app/link/compose.yaml": 0o640, "/common/base.yaml": 0o640, "/app/labels": 0o600}
	if !maps.Equal(modes, want) {
		t.Errorf("named are %v, want %v", modes, want)
	}
	for i, s := range c.File.Services {
		if s.Name != here.Services[i].Name || fmt.Sprint(s.Volumes, s.Image, s.Labels) != fmt.Sprint(here.Services[i].Volumes, here.Services[i].Image, here.Services[i].Labels) {
			t.Errorf("%s has %v, where it stood %v", s.Name, s.Volumes, here.Services[i].Volumes)
		}
	}

	// Installed, without what it was made of.
	const text = "etc/unitc/app.yaml"
	installed := place(t, map[string]string{text: string(c.Data), "etc/unitc/app.yaml.d/50.yaml": string(c.Overrides[0].Data), "etc/unitc/app.env": string(c.EnvData())})
	files := installed + "/etc/unitc/app" + searchpath.EndCopies
	if err := c.WriteFiles(files); err != nil || !c.HasFiles(files) {
		t.Fatalf("%v, the same: %t", err, c.HasFiles(files))
	}
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	defer os.Rename(root+".away", root)
	found, err := Find(installed, "app")
	if err != nil || found.File.Problems.HasErrors() || len(found.Services) != 4 || len(found.Named) != len(want) {
		t.Fatalf("%v, %s, %+v", err, found.File.Problems, found.Named)
	}
	if err := os.WriteFile(files+root+"/app/labels", []byte("a=c\n"), 0o600); err != nil || c.HasFiles(files) {
		t.Errorf("%v: another file is the same", err)
	}
	if err := os.Remove(files + root + "/app/more.yaml"); err != nil {
		t.Fatal(err)
	}
	if found, err = Find(installed, "app"); err != nil || !strings.Contains(found.File.Problems.String(), "copy the file to /etc/unitc/app.yaml.files"+root+"/app/more.yaml") {
		t.Errorf("without one of them: %v, %s", err, found.File.Problems)
	}
}

func TestNamedRefuses(t *testing.T) {
	many := "include:\n"
	files := map[string]string{}
	for i := range 18 {
		files[fmt.Sprintf("big%d.yaml", i)] = fmt.Sprintf("services: {s%d: {image: x}}\n#%s\n", i, strings.Repeat("x", 1<<20-100))
		many += fmt.Sprintf("- ./big%d.yaml\n", i)
	}
	for name, text := range map[string]string{"loop.yaml": "include: [turn.yaml]\n", "turn.yaml": "-> loop.yaml", "zero.yaml": "-> /dev/zero", "sub/x": "", "gone.yaml": "-> /no/such/file"} {
		files[name] = text
	}
	root := place(t, files)
	for text, want := range map[string]string{
		many:                      "have more than 16 MiB together",
		"include: [loop.yaml]\n":  "files include each other",
		"include: [zero.yaml]\n":  "a device, not a regular file",
		"include: [sub]\n":        "a directory, not a file",
		"include: [gone.yaml]\n":  "a link to /no/such/file",
		"include: ['https://x']":  "unitc does not support files from elsewhere",
		"include: [../x.yaml]\n":  "no such file",
		"include: ['~/x.yaml']\n": "no home directory",
	} {
		path := root + "/compose.yaml"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := ReadCandidate(path, "app", nil)
		if err != nil {
			t.Fatal(err)
		}
		problems, err := c.Check(searchpath.Dirs[0])
		if got := fmt.Sprint(err) + problems.String(); !strings.Contains(got, want) {
			t.Errorf("%.40q: %.300s, want %s", text, got, want)
		}
	}
}

// Both files of variables count, as in the search path, and are one where they are installed.
func TestEnvOfCandidate(t *testing.T) {
	root := place(t, map[string]string{
		"compose.yaml": "services: {web: {image: '${A}-${B}-${C}'}}\n", "worker@.yaml": "image: '${A}-%i'\n",
		".env": "\ufeffA=dot\nB=dot", "blog.env": "\ufeffB=own\nC=${A}-own", "worker.env": "A=w\n",
	})
	c, err := ReadCandidate(root+"/compose.yaml", "blog", nil)
	if err != nil || len(c.Env) != 2 {
		t.Fatalf("%v, %+v", err, c)
	}
	if _, err := c.Check(searchpath.Dirs[0]); err != nil || c.File.Services[0].Image != "dot-own-dot-own" {
		t.Errorf("%v, %s", err, c.File.Services[0].Image)
	}
	installed := place(t, map[string]string{"etc/unitc/blog.yaml": string(c.Data), "etc/unitc/blog.env": string(c.EnvData())})
	if found, err := Find(installed, "blog"); err != nil || found.Services[0].Image != "dot-own-dot-own" || !strings.Contains(string(c.EnvData()), "# Of "+root+"/.env:\n") {
		t.Errorf("%v, %s, installed as\n%s", err, found.Services[0].Image, c.EnvData())
	}
	c, err = ReadCandidate(root+"/worker@.yaml", "", nil)
	if err != nil || len(c.Env) != 2 || c.EnvTarget() != "/etc/unitc/worker.env" {
		t.Errorf("%v, %+v", err, c)
	}
}

// The variables that an administrator sets of a package's definition are its secrets' too.
func TestEnvElsewhere(t *testing.T) {
	root := place(t, map[string]string{
		"usr/lib/unitc/definitions/blog.yaml": "services: {web: {image: x, env_file: /x.env, secrets: [s]}}\nsecrets: {s: {environment: S}}\n",
		"etc/unitc/blog.env":                  "S=1\n",
	})
	found, err := Find(root, "blog")
	if err != nil || found.File.Problems.HasErrors() {
		t.Fatalf("%v, %s", err, found.File.Problems)
	}
	s := found.Services[0]
	if got := strings.Join(s.Secrets[0].EnvFiles, " "); s.OwnVariables != "/etc/unitc/blog.env" || got != "/etc/unitc/blog.env /usr/lib/unitc/definitions/.env" {
		t.Errorf("%s, and for the secret %s", s.OwnVariables, got)
	}
}
