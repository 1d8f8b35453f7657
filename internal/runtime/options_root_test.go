// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
)

// mountLine is a mount as proc_pid_mountinfo(5) shows it inside.
type mountLine struct{ mount, optional, super []string }

func mountLines(text string) map[string]mountLine {
	lines := map[string]mountLine{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		end := slices.Index(f, "-")
		lines[f[4]] = mountLine{strings.Split(f[5], ","), f[6:end], strings.Split(f[end+3], ",")}
	}
	return lines
}

// Every option of the runtime-spec's list and of mount(8), asked for and then
// read from inside. The source of the binds has all that an option can take
// away, or nothing, on itself and on what is mounted below.
func TestEveryMountOption(t *testing.T) {
	const all = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_NOSYMFOLLOW
	both := func(has string) [][4]string { // option, on the mount, below it, base
		return [][4]string{{has, has, "", "plain"}, {"r" + has, has, has, "plain"}}
	}
	var cases [][4]string
	for _, o := range []string{"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"} {
		cases = append(cases, both(o)...)
	}
	for _, o := range []string{"rw -ro", "suid -nosuid", "dev -nodev", "exec -noexec", "atime -noatime", "diratime -nodiratime", "symfollow -nosymfollow",
		"relatime -noatime", "strictatime -noatime", "nostrictatime -noatime", "norelatime -noatime"} {
		word, gone, _ := strings.Cut(o, " ")
		cases = append(cases, [4]string{word, gone, "", "full"}, [4]string{"r" + word, gone, gone, "full"})
	}
	cases = append(cases,
		[4]string{"strictatime", "-relatime", "", "plain"}, [4]string{"rstrictatime", "-relatime", "-relatime", "plain"},
		[4]string{"relatime", "relatime", "", "full"}, [4]string{"defaults", "rw", "", "plain"},
		[4]string{"user", "nosuid nodev noexec", "", "plain"}, [4]string{"users", "noexec", "", "plain"}, [4]string{"owner", "nosuid -noexec", "", "plain"}, [4]string{"group", "nodev", "", "plain"},
	)
	for _, o := range []string{"auto", "noauto", "nouser", "_netdev", "silent", "loud", "iversion", "noiversion", "x-systemd.automount", "X-mount.mkdir", "remount"} {
		cases = append(cases, [4]string{o, "rw", "", "plain"})
	}
	privately(t, func() {
		sources := map[string]string{"plain": t.TempDir(), "full": t.TempDir()}
		for kind, dir := range sources {
			must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"))
			must(t, os.Mkdir(dir+"/sub", 0o755))
			must(t, unix.Mount("tmpfs", dir+"/sub", "tmpfs", 0, "mode=0755"))
			if kind == "full" {
				must(t, unix.Mount("", dir+"/sub", "", unix.MS_BIND|unix.MS_REMOUNT|all, ""))
				must(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|all, ""))
			}
		}
		c := newContainer(t)
		c.service.UsernsMode = "host"
		c.spec = func(p *plan.Plan) {
			for i, v := range cases {
				p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: fmt.Sprintf("/bind/%d", i), Type: "bind", Source: sources[v[3]], Options: []string{"rbind", v[0]}})
				if v[3] == "plain" && v[0] != "remount" {
					p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: fmt.Sprintf("/new/%d", i), Type: "tmpfs", Source: "new", Options: []string{v[0], "size=1m"}})
				}
			}
		}
		seen := mountLines(c.run("read=/proc/self/mountinfo")["read=/proc/self/mountinfo"])
		for i, v := range cases {
			hasWords(t, v[0]+" bound", seen[fmt.Sprintf("/bind/%d", i)].mount, v[1])
			hasWords(t, v[0]+" bound, below", seen[fmt.Sprintf("/bind/%d/sub", i)].mount, v[2])
			if v[3] == "plain" && v[0] != "remount" {
				hasWords(t, v[0]+" of a new file system", seen[fmt.Sprintf("/new/%d", i)].mount, v[1])
			}
			if v[2] == "" && v[3] == "plain" {
				hasWords(t, v[0]+" bound, below", seen[fmt.Sprintf("/bind/%d/sub", i)].mount, "rw -nosuid -nodev -noexec -nodiratime -nosymfollow relatime")
			}
		}
	})
}

// hasWords: "a -b" is with a and without b.
func hasWords(t *testing.T, what string, got []string, words string) {
	t.Helper()
	if len(got) == 0 {
		t.Errorf("%s: not mounted", what)
	}
	for _, w := range strings.Fields(words) {
		without, not := strings.CutPrefix(w, "-")
		if slices.Contains(got, without) == not {
			t.Errorf("%s: has %v, which should have %s", what, got, w)
		}
	}
}

// Options of the file system: the kernel's for all, and each one's own.
func TestOptionsOfFileSystems(t *testing.T) {
	c := newContainer(t)
	c.service.UsernsMode = "host"
	options := []string{"sync", "dirsync", "lazytime", "mand", "size=1m", "mode=0710", "nr_inodes=77"}
	want := []string{"sync", "dirsync", "lazytime", "mand", "size=1024k", "mode=710", "nr_inodes=77"}
	c.spec = func(p *plan.Plan) {
		add := func(dst string, options ...string) {
			p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: dst, Type: "tmpfs", Source: "new", Options: options})
		}
		for i, o := range options {
			add(fmt.Sprintf("/new/%d", i), o)
		}
		add("/off", "sync", "async", "lazytime", "nolazytime", "mand", "nomand")
		add("/again", "size=1m")
		add("/again", "remount", "size=2m", "ro", "noexec")
		add("/copy", "tmpcopyup", "size=1m", "nosuid")
	}
	seen := mountLines(c.run("read=/proc/self/mountinfo")["read=/proc/self/mountinfo"])
	for i, w := range want {
		hasWords(t, options[i], seen[fmt.Sprintf("/new/%d", i)].super, w)
	}
	hasWords(t, "off", seen["/off"].super, "-sync -lazytime -mand")
	hasWords(t, "remount", seen["/again"].super, "size=2048k")
	hasWords(t, "remount", seen["/again"].mount, "ro noexec -nosuid")
	hasWords(t, "tmpcopyup", seen["/copy"].mount, "nosuid rw")
	for option, wrong := range map[string]string{"X-mount.owner=1": "mount(8)'s own", "no-such-option": "fsconfig"} {
		c.service.Command = []string{"/payload", "payload"}
		c.spec = func(p *plan.Plan) {
			p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: "/x", Type: "tmpfs", Source: "x", Options: []string{option}})
		}
		if out, err := c.exec(); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v: %s", option, err, out)
		}
	}
}
