// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
)

// privately runs f on a thread with a mount namespace of its own, in which f
// may mount what the host never sees.
func privately(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		goruntime.LockOSThread() // and never unlocked: the thread ends with its namespace
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			t.Errorf("unshare: %v", err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Errorf("making / private: %v", err)
			return
		}
		f()
	}()
	<-done
}

// volumeWithMount is a directory with a tmpfs below it; both have a file.
func volumeWithMount(t *testing.T) string {
	t.Helper()
	data := t.TempDir()
	must(t, os.Chmod(data, 0o755))
	must(t, os.Mkdir(data+"/sub", 0o755))
	must(t, os.WriteFile(data+"/file", []byte("x"), 0o644))
	must(t, unix.Mount("tmpfs", data+"/sub", "tmpfs", 0, "mode=0755"))
	must(t, os.WriteFile(data+"/sub/file", []byte("x"), 0o644))
	return data
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRecursiveReadOnly(t *testing.T) {
	privately(t, func() {
		data := volumeWithMount(t)
		c := newContainer(t)
		c.service.UsernsMode = "host"
		c.service.Volumes = []definition.Volume{
			{Type: definition.VolumeBind, Source: data, Target: "/rro", ReadOnly: true, Recursive: "readonly"},
			{Type: definition.VolumeBind, Source: data, Target: "/ro", ReadOnly: true},
			{Type: definition.VolumeBind, Source: data, Target: "/alone", Recursive: "disabled"},
		}
		c.look(map[string]string{
			"create=/rro/x": "EROFS", "create=/rro/sub/x": "EROFS",
			"create=/ro/x": "EROFS", "create=/ro/sub/x": "ok",
			"list=/alone/sub": "",
		})
	})
}

// The recursive options reach what is mounted below also where nothing is mounted anew.
func TestRemountOfATree(t *testing.T) {
	privately(t, func() {
		data := volumeWithMount(t)
		c := newContainer(t)
		c.service.UsernsMode = "host"
		c.spec = func(p *plan.Plan) {
			for _, dst := range []string{"/alone", "/tree"} {
				p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: dst, Type: "bind", Source: data, Options: []string{"rbind"}})
			}
			p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: "/alone", Type: "none", Options: []string{"remount", "ro", "shared"}},
				specs.Mount{Destination: "/tree", Type: "none", Options: []string{"remount", "rro", "rshared", "noexec"}})
		}
		seen := c.look(map[string]string{
			"create=/alone/x": "EROFS", "create=/alone/sub/x": "ok", "create=/tree/x": "EROFS", "create=/tree/sub/x": "EROFS",
		})
		lines := mountLines(c.run("read=/proc/self/mountinfo")["read=/proc/self/mountinfo"])
		for dst, shared := range map[string]bool{"/alone": true, "/alone/sub": false, "/tree": true, "/tree/sub": true} {
			if got := strings.Contains(strings.Join(lines[dst].optional, " "), "shared:"); got != shared {
				t.Errorf("%s is shared: %t, %v", dst, got, seen)
			}
		}
		hasWords(t, "/tree", lines["/tree"].mount, "noexec")
		hasWords(t, "/tree/sub", lines["/tree/sub"].mount, "-noexec")
	})
}

// ridmap reaches what is mounted below, idmap does not (runtime-spec, config.md).
func TestIDMapOfATree(t *testing.T) {
	privately(t, func() {
		data := volumeWithMount(t)
		for option, sub := range map[string]string{"ridmap": "100644 0:0", "idmap": "100644 65534:65534"} {
			c := newContainer(t)
			c.spec = func(p *plan.Plan) {
				p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: "/vol", Type: "bind", Source: data, Options: []string{"rbind", option}})
			}
			c.look(map[string]string{"stat=/vol/file": "100644 0:0", "stat=/vol/sub/file": sub})
		}
	})
}

func TestMountsWithMappingsOfTheirOwn(t *testing.T) {
	data := t.TempDir()
	must(t, os.Chmod(data, 0o777))
	must(t, os.WriteFile(data+"/file", []byte("x"), 0o644))
	must(t, os.Chown(data+"/file", 1000, 2000))
	for _, userns := range []string{"", "host"} {
		base := uint32(0)
		if userns == "" {
			base = 1 << 30
		}
		c := newContainer(t)
		c.service.UsernsMode = userns
		c.spec = func(p *plan.Plan) {
			p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{
				Destination: "/vol", Type: "bind", Source: data, Options: []string{"bind", "idmap"},
				UIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: base, Size: 1}, {ContainerID: 1000, HostID: base + 7, Size: 1}},
				GIDMappings: []specs.LinuxIDMapping{{ContainerID: 0, HostID: base, Size: 1}, {ContainerID: 2000, HostID: base + 8, Size: 1}},
			})
		}
		c.look(map[string]string{"stat=/vol/file": "100644 7:8", "create=/vol/made": "ok"})
		var st unix.Stat_t
		if err := unix.Stat(data+"/made", &st); err != nil || st.Uid != 0 || st.Gid != 0 {
			t.Errorf("the file made inside belongs to %d:%d on disk (%v)", st.Uid, st.Gid, err)
		}
		must(t, os.Remove(data+"/made"))
	}
}

func TestTmpcopyup(t *testing.T) {
	decoy := t.TempDir()
	must(t, os.WriteFile(decoy+"/secret", []byte("of the host"), 0o644))
	c := newContainer(t)
	must(t, os.MkdirAll(c.root+"/srv/dir", 0o750))
	c.write("srv/file", "from the image")
	c.write("srv/dir/deep", "too")
	must(t, os.Lchown(c.root+"/srv/file", 5, 6))
	must(t, os.Chmod(c.root+"/srv/file", os.ModeSetuid|0o640))
	must(t, os.Symlink(decoy+"/secret", c.root+"/srv/link"))
	must(t, unix.Mkfifo(c.root+"/srv/pipe", 0o644))
	must(t, os.Symlink(decoy, c.root+"/out"))
	c.spec = func(p *plan.Plan) {
		for _, dst := range []string{"/srv", "/absent"} {
			p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: dst, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "tmpcopyup", "size=1m"}})
		}
	}
	c.look(map[string]string{
		"read=/srv/file": "from the image", "stat=/srv/file": "100640 5:6", "read=/srv/dir/deep": "too", "stat=/srv/dir": "40750 0:0",
		"link=/srv/link": decoy + "/secret", "read=/srv/link": "ENOENT", "stat=/srv/pipe": "ENOENT", "create=/srv/new": "ok", "list=/absent": "",
	})
	if _, err := os.Lstat(c.root + "/srv/new"); err == nil {
		t.Error("what was written into the tmpfs is in the root file system")
	}
	// A destination that is a link out of the root is none.
	c.spec = func(p *plan.Plan) {
		p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: "/out", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
	}
	c.service.Command = []string{"/payload", "payload", "list=/out"}
	if out, err := c.exec(); err == nil && strings.Contains(string(out), "secret") {
		t.Errorf("the host's directory was copied: %s", out)
	}
}

// Out of an image: what its layers are together, of which the topmost is what the
// container has written before. The definition asks for it by `tmpfs:`.
func TestTmpcopyupOutOfAnImage(t *testing.T) {
	for _, userns := range []string{"", "host"} {
		c := newContainer(t)
		c.service.UsernsMode = userns
		c.write("srv/low", "low")
		c.write("srv/gone", "gone")
		c.write("srv/changed", "low")
		i := image(t, c, map[string]string{"srv/middle": "middle", "srv/changed": "middle"}, map[string]string{"srv/gone": "gone"})
		must(t, os.Lchown(c.root+"/srv/low", 5, 6))
		must(t, os.MkdirAll(i.Upper+"/srv", 0o755))
		must(t, os.WriteFile(i.Upper+"/srv/written", []byte("before"), 0o644))
		c.service.Volumes = []definition.Volume{
			{Type: definition.VolumeTmpfs, Target: "/srv", CopyUp: true, Size: 1 << 20},
			{Type: definition.VolumeTmpfs, Target: "/etc", CopyUp: true, ReadOnly: true},
		}
		c.look(map[string]string{
			"list=/srv": "changed low middle new written", "read=/srv/low": "low", "stat=/srv/low": "100644 5:6", "read=/srv/changed": "middle", "read=/srv/written": "before",
			"create=/srv/new": "ok", "create=/etc/x": "EROFS", "stat=/srv": "40755 0:0",
		})
		if _, err := os.Lstat(i.Upper + "/srv/new"); err == nil {
			t.Error("what was written into the tmpfs is kept")
		}
		// Without a place to write in, of one layer alone.
		i.Upper, i.Work = "", ""
		i.Lowers = i.Lowers[len(i.Lowers)-1:]
		c.service.ReadOnly = true
		c.look(map[string]string{"list=/srv": "changed gone low new", "create=/srv/new": "ok"})
	}
}

// What only a bind mount can have is an error on another.
func TestMappingsOfOtherMounts(t *testing.T) {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1 << 30, Size: 1}}
	for want, m := range map[string]specs.Mount{
		"id mappings of a mount that is no bind mount": {Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", UIDMappings: ids, GIDMappings: ids},
		"idmap of a mount that is no bind mount":       {Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"idmap"}},
		"uidMappings and gidMappings go together":      {Destination: "/tmp", Type: "bind", Source: "/tmp", Options: []string{"bind"}, UIDMappings: ids},
		"tmpcopyup of what is mounted already":         {Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "tmpcopyup"}},
		"tmpcopyup of a bind":                          {Destination: "/tmp", Type: "bind", Source: "/tmp", Options: []string{"bind", "tmpcopyup"}},
	} {
		c := newContainer(t)
		c.service.Command = []string{"/payload", "payload"}
		c.spec = func(p *plan.Plan) { p.Spec.Mounts = append(p.Spec.Mounts, m) }
		if out, err := c.exec(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v %s", want, err, out)
		}
	}
}

// A volume's content is the payload's: links in it decide nothing outside.
func TestSubpathIsResolvedInsideTheVolume(t *testing.T) {
	data := t.TempDir()
	must(t, os.Chmod(data, 0o755))
	must(t, os.MkdirAll(data+"/etc/inner", 0o755))
	must(t, os.Symlink("/etc", data+"/absolute"))
	must(t, os.Symlink("../../../../../../../../etc", data+"/upwards"))
	must(t, os.Symlink("/proc/self/root/etc", data+"/magic"))
	for subpath, want := range map[string]string{"etc": "inner", "absolute": "inner", "upwards": "inner", "../../etc": "inner", "magic": "", "absolute/inner": "-"} {
		c := newContainer(t)
		c.service.Volumes = []definition.Volume{{Type: definition.VolumeBind, Source: data, Target: "/vol", Subpath: subpath}}
		c.service.Command = []string{"/payload", "payload", "list=/vol"}
		out, err := c.exec()
		switch {
		case want == "":
			if err == nil {
				t.Errorf("%s: mounted: %s", subpath, out)
			}
		case err != nil:
			t.Errorf("%s: %v", subpath, err)
		case want == "-":
			want = ""
			fallthrough
		default:
			if !strings.Contains(string(out), `"list=/vol":"`+want+`"`) {
				t.Errorf("%s: inside is %s", subpath, out)
			}
		}
	}
}

// Namespaces of another process, its user namespace among them.
func TestJoiningByPath(t *testing.T) {
	holder := exec.Command("sleep", "60")
	maps := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 1 << 29, Size: 65536}}
	holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP,
		UidMappings: maps, GidMappings: maps, GidMappingsEnableSetgroups: true,
	}
	must(t, holder.Start())
	defer func() { _ = holder.Process.Kill(); _ = holder.Wait() }()
	dir := "/proc/" + strconv.Itoa(holder.Process.Pid) + "/ns/"
	files := map[specs.LinuxNamespaceType]string{
		specs.UserNamespace: "user", specs.PIDNamespace: "pid", specs.NetworkNamespace: "net", specs.UTSNamespace: "uts",
		specs.IPCNamespace: "ipc", specs.CgroupNamespace: "cgroup",
	}
	for _, joined := range [][]specs.LinuxNamespaceType{
		{specs.UserNamespace},
		{specs.UserNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace},
		{specs.PIDNamespace},
		{specs.UserNamespace, specs.PIDNamespace, specs.NetworkNamespace, specs.CgroupNamespace},
	} {
		c := newContainer(t)
		c.spec = func(p *plan.Plan) {
			for i := range p.Spec.Linux.Namespaces {
				n := &p.Spec.Linux.Namespaces[i]
				if !slices.Contains(joined, n.Type) {
					continue
				}
				n.Path = dir + files[n.Type]
				if n.Type == specs.UserNamespace {
					p.Spec.Linux.UIDMappings, p.Spec.Linux.GIDMappings = nil, nil
				}
				if n.Type == specs.NetworkNamespace {
					p.Spec.Linux.Sysctl = nil
				}
			}
		}
		want := map[string]string{"status=CapEff": "00000000000004fb", "stat=/payload": "100755 0:0"}
		for _, kind := range joined {
			link, err := os.Readlink(dir + files[kind])
			must(t, err)
			want["link=/proc/self/ns/"+files[kind]] = link
		}
		c.look(want)
	}
	// The caller's own namespace is what it was.
	own, err := os.Readlink("/proc/thread-self/ns/pid_for_children")
	must(t, err)
	if now, err := os.Readlink("/proc/self/ns/pid"); err != nil || now != own {
		t.Errorf("children would be born in %s, this process lives in %s (%v)", own, now, err)
	}
}

// Nothing mounted for a container is seen outside, also where the host's mounts
// are shared, as they are under systemd.
func TestPropagationBeforeAndAfter(t *testing.T) {
	privately(t, func() {
		data := volumeWithMount(t)
		must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""))
		mounts := func() string {
			b, err := os.ReadFile("/proc/thread-self/mountinfo")
			must(t, err)
			return string(b)
		}
		before := mounts()
		c := newContainer(t)
		c.service.Volumes = []definition.Volume{
			{Type: definition.VolumeBind, Source: data, Target: "/vol"},
			{Type: definition.VolumeBind, Source: data, Target: "/slave", Propagation: "rslave"},
			{Type: definition.VolumeTmpfs, Target: "/vol/sub/deep"},
		}
		c.service.UsernsMode = "host"
		c.service.CapAdd, c.service.SecurityOpt = []string{"CAP_SYS_ADMIN"}, []string{"seccomp=unconfined"}
		c.look(map[string]string{"mount=/vol": "ok", "mount=/slave/sub": "ok", "create=/vol/x": "ok"})
		if after := mounts(); before != after {
			t.Errorf("mounts before:\n%s\nafter:\n%s", before, after)
		}
		if entries, _ := filepath.Glob(data + "/sub/*"); len(entries) != 2 { // file, and the mount point deep
			t.Errorf("the volume has %q", entries)
		}
	})
}
