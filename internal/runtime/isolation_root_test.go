// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
)

func expect(t *testing.T, seen map[string]string, want map[string]string) {
	t.Helper()
	for probe, w := range want {
		if got := seen[probe]; got != w {
			t.Errorf("%s: inside is %q, want %q", probe, got, w)
		}
	}
}

// keys are sorted: the probes of a test run in one order, "create" before "read".
func keys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// look runs the container and compares all probes of want.
func (c *container) look(want map[string]string) map[string]string {
	c.t.Helper()
	seen := c.run(keys(want)...)
	expect(c.t, seen, want)
	return seen
}

func TestDefaultsFromInside(t *testing.T) {
	c := newContainer(t)
	seen := c.look(map[string]string{
		"pid":                     "1",
		"ids":                     "0 0 []",
		"cwd":                     "/",
		"hostname":                "test",
		"fds":                     "0 1 2",
		"umask":                   "022",
		"status=NoNewPrivs":       "1",
		"status=CapEff":           "00000000000004fb",
		"status=CapPrm":           "00000000000004fb",
		"status=CapBnd":           "00000000000004fb",
		"status=CapInh":           "0000000000000000",
		"status=CapAmb":           "0000000000000000",
		"status=SigBlk":           "0000000000000000",
		"status=SigIgn":           "0000000000000000",
		"read=/proc/self/uid_map": fmt.Sprintf("%10d %10d %10d\n", 0, 1<<30, 65536),
		"read=/proc/sys/net/ipv4/ip_unprivileged_port_start": "0\n",
		"write=/proc/sys/kernel/core_pattern":                "EACCES",

		"read=/proc/keys":         "",
		"list=/sys/firmware":      "",
		"create=/sys/x":           "EROFS",
		"create=/sys/fs/cgroup/x": "EROFS",
		"create=/made":            "ok",
		"link=/dev/fd":            "/proc/self/fd",
		"stat=/dev/null":          "20666 0:0",
		"write=/dev/null":         "ok",
		"mount=/tmp":              "EPERM",
		"unshare":                 "EPERM",
		"status=Seccomp":          "2",
		"mknod=/tmp/sda":          "EPERM",
		"processes":               "1",
		"list=/sys/class/net":     "lo",
		"env":                     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\ncontainer=unitc\nHOME=/",
	})
	for _, line := range strings.Split(seen["mounts"], "\n") {
		if strings.Contains(line, c.root) {
			t.Errorf("a mount shows a path of the host: %s", line)
		}
	}
	for _, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		host, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.run("link=/proc/self/ns/" + ns)["link=/proc/self/ns/"+ns]; got == host || !strings.HasPrefix(got, ns) {
			t.Errorf("%s namespace inside is %q, the host's is %q", ns, got, host)
		}
	}
	// What root wrote inside is root's on disk: the mount was id-mapped.
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(c.root, "made"), &st); err != nil || st.Uid != 0 {
		t.Errorf("the file made inside belongs to %d on the host (%v)", st.Uid, err)
	}
}

// Namespaces that are begun before all else are the payload's as well, and go
// where no payload comes.
func TestNamespacesBegunFirst(t *testing.T) {
	c := newContainer(t)
	c.early = true
	for _, ns := range []string{"user", "net", "ipc", "uts"} {
		host, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.run("link=/proc/self/ns/" + ns)["link=/proc/self/ns/"+ns]; got == host || !strings.HasPrefix(got, ns) {
			t.Errorf("%s namespace inside is %q, the host's is %q", ns, got, host)
		}
	}
	c.service.RootFS = "/does/not/exist"
	if _, err := c.exec(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("missing rootfs: %v", err)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a child that nobody has waited for: %d (%v)", pid, err)
	}
}

func TestWithoutUserNamespace(t *testing.T) {
	c := newContainer(t)
	c.service.UsernsMode = "host"
	c.look(map[string]string{
		"read=/proc/self/uid_map":             fmt.Sprintf("%10d %10d %10d\n", 0, 0, uint32(1<<32-1)),
		"status=CapEff":                       "00000000000004fb",
		"write=/proc/sys/kernel/core_pattern": "EROFS",
		"mount=/tmp":                          "EPERM",
		"unshare":                             "EPERM",
		"create=/sys/fs/cgroup/x":             "EROFS",
		"stat=/payload":                       "100755 0:0",
	})
}

func TestUserIsLookedUpInsideTheRootfs(t *testing.T) {
	for user, want := range map[string]string{
		"web":       "1234 2345 [7000]",
		"web:staff": "1234 50 []",
		"1234":      "1234 2345 [7000]",
		"99:98":     "99 98 []",
		"5000":      "5000 0 []",
		"77":        "77 0 []", // CVE-2016-3697: a number is never a name
	} {
		c := newContainer(t)
		c.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n77:x:0:0::/:/bin/sh\nweb:x:1234:2345::/home/web:/bin/sh\n")
		c.write("etc/group", "root:x:0:\nstaff:x:50:\nextra:x:7000:web\n")
		c.service.User = user
		c.look(map[string]string{"ids": want, "status=CapEff": "0000000000000000", "status=CapPrm": "0000000000000000", "status=CapAmb": "0000000000000000"})
	}
}

func TestHostileNamesOfUsers(t *testing.T) {
	for user, etc := range map[string]string{
		"4294967296":  "4294967296:x:0:0::/:/bin/sh\n", // CVE-2024-40635
		"4294967295":  "",
		"nobody-here": "root:x:0:0::/:/bin/sh\n",
		"web":         "web:x:-1:0::/:/bin/sh\n",
		"web2":        "web2:x:5:99999999999::/:/bin/sh\n",
	} {
		c := newContainer(t)
		c.write("etc/passwd", etc)
		c.service.User, c.service.Command = user, []string{"/payload", "payload"}
		if _, err := c.exec(); err == nil {
			t.Errorf("user %q was accepted", user)
		}
	}
	// A FIFO in place of the file must not hang, a link must not lead out.
	c := newContainer(t)
	if err := unix.Mkfifo(filepath.Join(c.root, "etc/passwd"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.service.User, c.service.Command = "web", []string{"/payload", "payload"}
	if _, err := c.exec(); err == nil {
		t.Error("a FIFO was read as etc/passwd")
	}
	c = newContainer(t)
	if err := os.Symlink("/../../../../etc/passwd", filepath.Join(c.root, "etc/passwd")); err != nil {
		t.Fatal(err)
	}
	c.service.User, c.service.Command = "daemon", []string{"/payload", "payload"}
	if _, err := c.exec(); err == nil {
		t.Error("etc/passwd of the host was read through a link")
	}
}

func TestVolumes(t *testing.T) {
	c := newContainer(t)
	data := t.TempDir()
	os.Chmod(data, 0o755)
	if err := os.WriteFile(filepath.Join(data, "file"), []byte("from the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.service.Volumes = []definition.Volume{
		{Type: definition.VolumeBind, Source: data, Target: "/deep/er/data"},
		{Type: definition.VolumeBind, Source: data, Target: "/ro", ReadOnly: true},
		{Type: definition.VolumeBind, Source: filepath.Join(data, "file"), Target: "/etc/one-file", CreateHostPath: true},
		{Type: definition.VolumeTmpfs, Target: "/scratch", Size: 4 << 20},
		{Type: definition.VolumeBind, Source: filepath.Join(data, "new", "dir"), Target: "/made", CreateHostPath: true},
	}
	c.look(map[string]string{
		"read=/deep/er/data/file":   "from the host",
		"create=/deep/er/data/mine": "ok",
		"create=/ro/x":              "EROFS",
		"read=/etc/one-file":        "from the host",
		"create=/scratch/x":         "ok",
		"create=/made/x":            "ok",
		"stat=/deep/er/data/file":   "100644 0:0",
	})
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(data, "mine"), &st); err != nil || st.Uid != 0 {
		t.Errorf("the file made in a volume belongs to %d (%v)", st.Uid, err)
	}
}

// Without create_host_path what is missing on the host is an error, and stays
// missing.
func TestMissingHostPath(t *testing.T) {
	c := newContainer(t)
	missing := filepath.Join(t.TempDir(), "missing")
	c.service.Volumes = []definition.Volume{{Type: definition.VolumeBind, Source: missing, Target: "/data"}}
	c.service.Command = []string{"/payload", "payload"}
	if _, err := c.exec(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("the start says %v", err)
	}
	if _, err := os.Lstat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("on the host: %v", err)
	}
}

func TestReadOnlyRootfs(t *testing.T) {
	c := newContainer(t)
	c.service.ReadOnly = true
	c.look(map[string]string{"create=/x": "EROFS", "create=/tmp/x": "EROFS", "write=/dev/null": "ok", "create=/dev/shm/x": "ok"})
}

// Links in the rootfs lead to other places in the rootfs, never out.
func TestHostilePathsInTheRootfs(t *testing.T) {
	decoy := t.TempDir()
	for _, link := range []string{"/", decoy, "../../../../../../../../" + decoy} {
		c := newContainer(t)
		if err := os.Symlink(link, filepath.Join(c.root, "vol")); err != nil {
			t.Fatal(err)
		}
		c.service.Volumes = []definition.Volume{{Type: definition.VolumeTmpfs, Target: "/vol/sub"}}
		c.service.Command = []string{"/payload", "payload"}
		_, err := c.exec()
		if err != nil && !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.EEXIST) {
			t.Errorf("link to %s: %v", link, err)
		}
		if entries, _ := os.ReadDir(decoy); len(entries) > 0 {
			t.Fatalf("link to %s: %s appeared on the host", link, entries[0].Name())
		}
	}
}

func TestProcAsALinkIsRefusedOrContained(t *testing.T) {
	for _, name := range []string{"proc", "dev", "sys"} {
		c := newContainer(t)
		decoy := t.TempDir()
		if err := os.Symlink(decoy, filepath.Join(c.root, name)); err != nil {
			t.Fatal(err)
		}
		c.service.Command = []string{"/payload", "payload", "write=/proc/sys/kernel/core_pattern"}
		out, err := c.exec()
		if err == nil && !strings.Contains(string(out), "EROFS") && !strings.Contains(string(out), "ENOENT") {
			t.Errorf("/%s as a link: %s", name, out)
		}
		if entries, _ := os.ReadDir(decoy); len(entries) > 0 {
			t.Errorf("/%s as a link: %s appeared on the host", name, entries[0].Name())
		}
	}
}

func TestMountsBelowProcAreRefused(t *testing.T) {
	for _, target := range []string{"/proc", "/proc/self/attr", "/srv/../proc/sys"} {
		c := newContainer(t)
		c.service.Volumes = []definition.Volume{{Type: definition.VolumeBind, Source: "/tmp", Target: target}}
		c.service.Command = []string{"/payload", "payload"}
		if _, err := c.exec(); err == nil || !strings.Contains(err.Error(), "/proc is refused") {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// CVE-2024-21626: a working directory through a leaked descriptor.
func TestWorkingDirectoryThroughDescriptors(t *testing.T) {
	leak, err := os.Open("/sys/fs/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	for fd := 3; fd < 40; fd++ {
		c := newContainer(t)
		c.service.WorkingDir = fmt.Sprintf("/proc/self/fd/%d", fd)
		c.service.Command = []string{"/payload", "payload", "cwd", "list=."}
		out, err := c.exec()
		if err == nil && (!strings.Contains(string(out), `"cwd":"/"`) || !strings.Contains(string(out), "payload")) {
			t.Fatalf("fd %d as the working directory: %s", fd, out)
		}
	}
}

func TestFailuresNameStepAndErrno(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*container)
		step   string
		errno  error
		exit   int
	}{
		"missing program":   {func(c *container) { c.service.Command = []string{"/nope"} }, "exec-payload", unix.ENOENT, exitExec},
		"not executable":    {func(c *container) { c.write("tmp/x", "data"); c.service.Command = []string{"/tmp/x"} }, "exec-payload", unix.EACCES, exitExec},
		"missing directory": {func(c *container) { c.service.WorkingDir = "/nope" }, "change-directory", unix.ENOENT, exitChdir},
		"no interpreter": {func(c *container) {
			c.write("tmp/x", "#!/nope\n")
			os.Chmod(filepath.Join(c.root, "tmp/x"), 0o755)
			c.service.Command = []string{"/tmp/x"}
		}, "exec-payload", unix.ENOENT, exitExec},
		"not a program": {func(c *container) {
			c.write("tmp/x", "\x7fELFjunk")
			os.Chmod(filepath.Join(c.root, "tmp/x"), 0o755)
			c.service.Command = []string{"/tmp/x"}
		}, "exec-payload", unix.ENOEXEC, exitExec},
	} {
		c := newContainer(t)
		c.service.Command = []string{"/payload", "payload"}
		test.change(c)
		_, err := c.exec()
		var op *program.OpError
		if !errors.As(err, &op) || op.Step != test.step || !errors.Is(err, test.errno) || op.Exit != test.exit {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := newContainer(t)
	c.service.RootFS, c.service.Command = "/does/not/exist", []string{"/x"}
	_, err := c.exec()
	var step *StepError
	if !errors.As(err, &step) || step.Step != "open-rootfs" || !errors.Is(err, unix.ENOENT) {
		t.Errorf("missing rootfs: %v", err)
	}
}

// A protection that is not there stops the start.
func TestReadBackFailsClosed(t *testing.T) {
	c := newContainer(t)
	c.service.Command = []string{"/payload", "payload"}
	c.spec = func(p *plan.Plan) {
		// The plan asks for a set that capset(2) cannot give with this bounding
		// set emptied: effective without permitted.
		p.Spec.Process.Capabilities.Permitted = nil
	}
	if _, err := c.exec(); err == nil {
		t.Fatal("a payload started with capability sets that were not the plan's")
	}
}

func TestNothingIsLeftOnTheHost(t *testing.T) {
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	c := newContainer(t)
	c.service.Volumes = []definition.Volume{{Type: definition.VolumeTmpfs, Target: "/scratch"}}
	c.run("pid")
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Fatalf("mounts before:\n%s\nafter:\n%s", before, after)
	}
}

func TestTheRestOfTheLinuxConfiguration(t *testing.T) {
	c := newContainer(t)
	adj := 500
	c.service.OOMScoreAdj = &adj
	umask := uint32(0o027)
	c.spec = func(p *plan.Plan) {
		p.Spec.Process.User.Umask = &umask
		p.Spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}
		p.Spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
		p.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		p.Spec.Linux.Namespaces = append(p.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		p.Spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1 << 20}, "boottime": {Secs: 1 << 21, Nanosecs: 5}}
	}
	c.look(map[string]string{
		"umask":                          "027",
		"read=/proc/self/oom_score_adj":  "500\n",
		"scheduler":                      "3 5",
		"machine":                        machine32,
		"read=/proc/self/timens_offsets": fmt.Sprintf("monotonic  %10d %9d\nboottime   %10d %9d\n", 1<<20, 0, 1<<21, 5),
	})
}

func TestUnknownPartsOfTheSpecificationAreErrors(t *testing.T) {
	for name, change := range map[string]func(*specs.Spec){
		"scheduler":   func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: "SCHED_NEW"} },
		"io class":    func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{Class: "NEW"} },
		"personality": func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: "BSD"} },
		"memory mode": func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: "MPOL_NEW"} },
		"memory nodes": func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "5-1"}
		},
		"rlimit":      func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NEW"}} },
		"capability":  func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_NEW"} },
		"device":      func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "z"}} },
		"propagation": func(s *specs.Spec) { s.Linux.RootfsPropagation = "sideways" },
		"apparmor":    func(s *specs.Spec) { s.Process.ApparmorProfile = "no-such-profile" },
		"selinux":     func(s *specs.Spec) { s.Process.SelinuxLabel = "no:such:label" },
	} {
		c := newContainer(t)
		c.service.Command = []string{"/payload", "payload"}
		c.spec = func(p *plan.Plan) { change(p.Spec) }
		if out, err := c.exec(); err == nil {
			t.Errorf("%s: started: %s", name, out)
		}
	}
}
