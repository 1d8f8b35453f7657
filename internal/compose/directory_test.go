// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/syntax/library"
)

// Relative paths begin in x-directory; it is read as it is written.
func TestDirectory(t *testing.T) {
	files := map[string]string{
		"/srv/blog/base.yaml": "services: {base: {env_file: base.env}}\n",
		"/opt/more/more.yaml": "services: {more: {rootfs: /r, command: /x, volumes: ['./root:/r']}}\nx-directory: /nowhere\n",
	}
	read := func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
	parse := func(layers ...string) (paths, problems string) {
		in := Input{Name: "blog", Dir: "/etc/unitc", Read: read, Library: library.Full}
		for _, text := range layers {
			in.Layers = append(in.Layers, Layer{Path: "blog.yaml", Data: []byte(text)})
		}
		file := Parse(in)
		var list []string
		for _, s := range file.Services {
			for _, v := range s.Volumes {
				list = append(list, v.Source)
			}
			for _, f := range s.EnvFiles {
				list = append(list, f.Path)
			}
		}
		return strings.Join(list, " "), file.Problems.String()
	}
	for _, c := range []struct {
		name   string
		layers []string
		want   string
	}{
		{"none", []string{"rootfs: /r\ncommand: /x\nvolumes: ['./root:/r']\n"}, "/etc/unitc/root"},
		{"one definition", []string{"rootfs: /r\ncommand: /x\nvolumes: ['./root:/r', '../data:/data', '/abs:/abs']\nx-directory: /srv/blog/\n"}, "/srv/blog/root /srv/data /abs"},
		{"a dollar", []string{"rootfs: /r\ncommand: /x\nvolumes: ['./root:/r']\nx-directory: \"/srv/$x ${Y}\"\n"}, "/srv/$x ${Y}/root"},
		{"a project", []string{"services: {web: {rootfs: /r, command: /x, volumes: ['./root:/r'], extends: {file: base.yaml, service: base}}}\ninclude: [/opt/more/more.yaml]\nx-directory: /srv/blog\n"},
			"/srv/blog/root /srv/blog/base.env /opt/more/root"},
		{"a drop-in's", []string{"rootfs: /r\ncommand: /x\nvolumes: ['./root:/r']\nx-directory: /srv/blog\n", "volumes: ['./data:/data']\nx-directory: /srv/other\n"}, "/srv/other/root /srv/other/data"},
	} {
		if paths, problems := parse(c.layers...); paths != c.want || problems != "" {
			t.Errorf("%s: %s, want %s\n%s", c.name, paths, c.want, problems)
		}
	}
	if _, problems := parse("rootfs: /r\ncommand: /x\nvolumes: ['./root:/r']\nx-directory: srv\n"); !strings.Contains(problems, "blog.yaml:4:14: error: x-directory: ") {
		t.Errorf("a relative one: %s", problems)
	}
	if line := Directory(`/srv/a "b"\c`); line != `x-directory: "/srv/a \"b\"\\c"` {
		t.Errorf("the line is %s", line)
	}
}
