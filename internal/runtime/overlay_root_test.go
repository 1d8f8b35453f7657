// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/planner"
)

// image makes layers, lowest first, each a map of paths to contents; "-> x" is
// a link, "gone" a whiteout.
func image(t *testing.T, c *container, layers ...map[string]string) *planner.Image {
	t.Helper()
	base := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(base, 0o755))
	i := &planner.Image{Lowers: []string{c.root}, Upper: base + "/c/upper", Work: base + "/c/work"}
	must(os.MkdirAll(i.Upper, 0o755))
	must(os.MkdirAll(i.Work, 0o755))
	for n, files := range layers {
		dir := filepath.Join(base, fmt.Sprint(n))
		must(os.Mkdir(dir, 0o755))
		for path, text := range files {
			full := filepath.Join(dir, path)
			must(os.MkdirAll(filepath.Dir(full), 0o755))
			if text == "gone" {
				must(unix.Mknod(full, unix.S_IFCHR, 0))
				continue
			}
			must(os.WriteFile(full, []byte(text), 0o644))
		}
		i.Lowers = append([]string{dir}, i.Lowers...)
	}
	c.service.RootFS, c.service.Image = "", "test"
	c.facts.Image = i
	return i
}

func TestImageLayers(t *testing.T) {
	for _, userns := range []string{"", "host"} {
		c := newContainer(t)
		c.service.UsernsMode = userns
		c.write("srv/low", "low")
		c.write("srv/hidden", "hidden")
		i := image(t, c, map[string]string{"srv/middle": "middle", "srv/low": "changed"}, map[string]string{"srv/hidden": "gone", "etc/passwd": "web:x:1234:5::/:/bin/sh\n"})
		i.User, i.WorkingDir, i.Env = "web", "/srv", []string{"A=image", "*", "HOSTSECRET", "B=2"}
		seen := c.look(map[string]string{
			"read=/srv/low": "changed", "read=/srv/middle": "middle", "read=/srv/hidden": "ENOENT",
			"ids": "1234 5 []", "cwd": "/srv", "stat=/srv/middle": "100644 0:0",
			"env": "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\ncontainer=unitc\nA=image\nB=2\nHOME=/",
		})
		_ = seen
	}
}

func TestImageIsNotWrittenTo(t *testing.T) {
	c := newContainer(t)
	i := image(t, c, map[string]string{"srv/file": "of the image"})
	c.look(map[string]string{"create=/srv/new": "ok", "create=/srv/file": "ok", "read=/srv/file": "made inside", "create=/etc/x": "ok"})
	if b, err := os.ReadFile(i.Lowers[0] + "/srv/file"); err != nil || string(b) != "of the image" {
		t.Fatalf("the layer has %q (%v)", b, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(i.Upper+"/srv/new", &st); err != nil || st.Uid != 0 {
		t.Fatalf("the upper directory belongs to %d (%v): it is not id-mapped", st.Uid, err)
	}
	// Read-only: nothing is kept, nothing is written.
	c = newContainer(t)
	i = image(t, c)
	i.Upper, i.Work = "", ""
	c.service.ReadOnly = true
	c.look(map[string]string{"create=/srv/new": "EROFS", "create=/dev/shm/x": "ok"})
}

func TestHundredsOfLayers(t *testing.T) {
	c := newContainer(t)
	var layers []map[string]string
	for n := range 300 {
		layers = append(layers, map[string]string{fmt.Sprintf("srv/%d", n): fmt.Sprint(n)})
	}
	image(t, c, layers...)
	c.look(map[string]string{"read=/srv/0": "0", "read=/srv/299": "299"})
}
