// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
)

// sharedTree is a tmpfs of a peer group of its own, with two directories.
func sharedTree(t *testing.T, more ...string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"))
	must(t, unix.Mount("", dir, "", unix.MS_SHARED, ""))
	for _, d := range append(more, "outside", "inside") {
		must(t, os.MkdirAll(dir+"/"+d, 0o777))
	}
	return dir
}

// What the host mounts later shows inside for slave and shared, what the
// container mounts shows outside for shared alone, and neither for the others.
func TestPropagationOfBinds(t *testing.T) { propagationOfBinds(t, plan.RootDirectory) }

// The same for those that are cloned once more in their turn, and whose first
// clone goes with the host's root.
func TestPropagationOfBindsInABundle(t *testing.T) { propagationOfBinds(t, plan.RootBundle) }

func propagationOfBinds(t *testing.T, root string) {
	for option, want := range map[string]struct{ in, out bool }{
		"": {}, "private": {}, "rprivate": {}, "unbindable": {}, "runbindable": {},
		"slave": {in: true}, "rslave": {in: true}, "shared": {true, true}, "rshared": {true, true},
	} {
		privately(t, func() {
			dir := sharedTree(t, "below")
			must(t, unix.Mount("tmpfs", dir+"/below", "tmpfs", 0, ""))
			must(t, os.Mkdir(dir+"/below/deeper", 0o755))
			must(t, unix.Mount("tmpfs", dir+"/below/deeper", "tmpfs", 0, ""))
			c := newContainer(t)
			c.spec = func(p *plan.Plan) { p.Root.Kind = root }
			c.service.UsernsMode = "host"
			c.service.CapAdd, c.service.SecurityOpt = []string{"CAP_SYS_ADMIN"}, []string{"seccomp=unconfined"}
			c.service.Volumes = []definition.Volume{{Type: definition.VolumeBind, Source: dir, Target: "/vol", Propagation: option}}
			h := c.hold("mount=/vol/inside")
			must(t, unix.Mount("tmpfs", dir+"/outside", "tmpfs", 0, ""))
			must(t, os.WriteFile(dir+"/outside/later", nil, 0o644))
			seen, err := h.probe(ExecConfig{}, "list=/vol/outside", "read=/proc/self/mountinfo")
			must(t, err)
			if got := seen["list=/vol/outside"] == "later"; got != want.in {
				t.Errorf("%q: what the host mounts shows inside: %v", option, got)
			}
			_, point, err := mountOf(dir + "/inside")
			must(t, err)
			if got := point == dir+"/inside"; got != want.out {
				t.Errorf("%q: what the container mounts shows outside: %v", option, got)
			}
			optional := strings.Join(mountLines(seen["read=/proc/self/mountinfo"])["/vol"].optional, " ")
			if strings.Contains(optional, "unbindable") != strings.HasSuffix(option, "unbindable") {
				t.Errorf("%q: the mount is %q", option, optional)
			}
			for _, place := range []string{dir + "/below", dir + "/below/deeper"} {
				if _, point, err := mountOf(place); err != nil || point != place {
					t.Errorf("%q: %s is on the mount %s (%v): the host's own was unmounted", option, place, point, err)
				}
			}
			below, there := mountLines(seen["read=/proc/self/mountinfo"])["/vol/below/deeper"]
			if words := strings.Join(below.optional, " "); !there || strings.Contains(words, "unbindable") != strings.HasSuffix(option, "unbindable") {
				t.Errorf("%q: the mount below is there: %t, and %q", option, there, words)
			}
		})
	}
}

// The root file system itself, whose rule is the runtime-spec's: only slave has
// to do with the host.
func TestPropagationOfTheRoot(t *testing.T) {
	for option, want := range map[string]struct {
		in   bool
		word string
	}{"private": {}, "rprivate": {}, "slave": {true, "master:"}, "rslave": {true, "master:"}, "shared": {false, "shared:"}, "rshared": {false, "shared:"}, "unbindable": {false, "unbindable"}} {
		privately(t, func() {
			c := newContainer(t)
			must(t, os.Mkdir(c.root+"/outside", 0o755))
			must(t, unix.Mount(c.root, c.root, "", unix.MS_BIND, ""))
			must(t, unix.Mount("", c.root, "", unix.MS_SHARED, ""))
			c.spec = func(p *plan.Plan) { p.Spec.Linux.RootfsPropagation = option }
			h := c.hold()
			must(t, unix.Mount("tmpfs", c.root+"/outside", "tmpfs", 0, ""))
			must(t, os.WriteFile(c.root+"/outside/later", nil, 0o644))
			seen, err := h.probe(ExecConfig{}, "list=/outside", "read=/proc/self/mountinfo")
			must(t, err)
			if got := seen["list=/outside"] == "later"; got != want.in {
				t.Errorf("%s: what the host mounts shows inside: %v", option, got)
			}
			optional := strings.Join(mountLines(seen["read=/proc/self/mountinfo"])["/"].optional, " ")
			if want.word == "" && optional != "" || !strings.Contains(optional, want.word) {
				t.Errorf("%s: the root is %q", option, optional)
			}
		})
	}
}

func TestPropagationThatCannotBe(t *testing.T) {
	privately(t, func() {
		private := t.TempDir()
		must(t, unix.Mount("tmpfs", private, "tmpfs", 0, ""))
		shared := sharedTree(t, "proc")
		for _, v := range []struct {
			volumes []definition.Volume
			wrong   string
		}{
			{[]definition.Volume{{Type: definition.VolumeBind, Source: private, Target: "/vol", Propagation: "rshared"}}, "nothing propagates: `mount --make-shared " + private},
			{[]definition.Volume{{Type: definition.VolumeBind, Source: private, Target: "/vol", Propagation: "slave"}}, "nothing propagates"},
			{[]definition.Volume{{Type: definition.VolumeBind, Source: shared, Target: "/vol", Propagation: "shared"}, {Type: definition.VolumeTmpfs, Target: "/vol/inside"}}, "would be mounted on the host as well"},
			{[]definition.Volume{{Type: definition.VolumeBind, Source: shared, Target: "/sys", Propagation: "rshared"}}, "would be hidden or read-only on the host as well"},
		} {
			c := newContainer(t)
			c.service.Volumes = v.volumes
			c.service.Command = []string{"/payload", "payload"}
			if out, err := c.exec(); err == nil || !strings.Contains(err.Error(), v.wrong) {
				t.Errorf("%+v: %v: %s", v.volumes, err, out)
			}
		}
	})
}

// Joined namespaces that are not made with clone(2) here: those of mounts and of
// time. The root file system is attached in the one, which keeps its own root,
// and goes with its attach point.
func TestJoiningMountAndTimeByPath(t *testing.T) {
	privately(t, func() {
		holder := exec.Command("sleep", "60")
		holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		must(t, holder.Start())
		defer func() { _ = holder.Process.Kill(); _ = holder.Wait() }()
		dir := "/proc/" + strconv.Itoa(holder.Process.Pid) + "/"
		c := newContainer(t)
		c.spec = func(p *plan.Plan) { p.Spec.Linux.Namespaces[0].Path = dir + "ns/mnt" }
		link, err := os.Readlink(dir + "ns/mnt")
		must(t, err)
		h := c.hold()
		seen, err := h.probe(ExecConfig{}, "ns=mnt", "list=/", "create=/sys/x", "read=/proc/keys")
		must(t, err)
		expect(t, seen, map[string]string{"ns=mnt": link, "list=/": "dev etc payload proc srv sys tmp", "create=/sys/x": "EROFS", "read=/proc/keys": ""})
		if root, err := os.Readlink(dir + "root"); err != nil || root != "/" {
			t.Errorf("the holder's root is %q (%v)", root, err)
		}
		if entries, err := os.ReadDir(dir + "root" + c.root); err != nil || len(entries) == 0 {
			t.Errorf("the holder does not see the host's files: %v", err)
		}
		// It would travel from a namespace that shares its mounts.
		must(t, holder.Process.Kill())
		shared := exec.Command("sleep", "60")
		shared.SysProcAttr = holder.SysProcAttr
		must(t, unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""))
		must(t, shared.Start())
		defer func() { _ = shared.Process.Kill(); _ = shared.Wait() }()
		c = newContainer(t)
		c.service.Command = []string{"/payload", "payload"}
		c.spec = func(p *plan.Plan) {
			p.Spec.Linux.Namespaces[0].Path = "/proc/" + strconv.Itoa(shared.Process.Pid) + "/ns/mnt"
		}
		if out, err := c.exec(); err == nil || !strings.Contains(err.Error(), "make-rprivate") {
			t.Errorf("joined a namespace that shares its mounts: %v: %s", err, out)
		}
	})
	offsets := "monotonic        4711         0\nboottime            0         0\n"
	clock := newContainer(t)
	clock.spec = func(p *plan.Plan) {
		p.Spec.Linux.Namespaces = append(p.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		p.Spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 4711}}
	}
	h := clock.hold()
	seen, err := h.probe(ExecConfig{}, "read=/proc/self/timens_offsets")
	must(t, err)
	if got := seen["read=/proc/self/timens_offsets"]; got != offsets {
		t.Errorf("a process that joins has %q", got)
	}
	path := "/proc/" + strconv.Itoa(h.pid) + "/ns/time"
	link, err := os.Readlink(path)
	must(t, err)
	c := newContainer(t)
	c.spec = func(p *plan.Plan) {
		p.Spec.Linux.Namespaces = append(p.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace, Path: path})
	}
	c.look(map[string]string{"read=/proc/self/timens_offsets": offsets, "link=/proc/self/ns/time": link})
}
