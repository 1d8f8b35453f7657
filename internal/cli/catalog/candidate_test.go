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
