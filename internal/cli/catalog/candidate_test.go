// SPDX-License-Identifier: Apache-2.0

package catalog

import (
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
	for dir, want := range map[string]string{"blog": "blog", "My App (2)": "MyApp2", "app+db@home": "appdbhome", "_.x": "x", "été": "t", "+": "+"} {
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

// Files that Compose would merge are not passed over.
func TestOtherFiles(t *testing.T) {
	for env, want := range map[string]string{
		"":                          "",
		"COMPOSE_FILE=compose.yaml": "",
		"COMPOSE_FILE=./compose.yaml:compose.override.yaml\n":         "",
		"A=1\nCOMPOSE_FILE=compose.yaml:prod/more.yaml\n":             ".env:2:1",
		"COMPOSE_PATH_SEPARATOR=,\nCOMPOSE_FILE=/x.yaml,compose.yaml": ".env:2:1",
	} {
		dir := t.TempDir()
		const text = "services: {web: {rootfs: host, command: x}}\n"
		for name, text := range map[string]string{"compose.yaml": text, "compose.override.yaml": text, ".env": env} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c, err := ReadCandidate(dir+"/compose.yaml", "site", nil)
		if err != nil {
			t.Fatal(err)
		}
		problems, err := c.Check(searchpath.Dirs[0])
		if err != nil || problems.HasErrors() != (want != "") || !strings.Contains(problems.String(), want) {
			t.Errorf("with %q: %v, %s", env, err, problems)
		}
	}
}
