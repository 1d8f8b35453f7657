// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
)

// Bundle is a plan made ready for another OCI runtime: config.json in a
// directory, and the program of a child that attaches the root file system and
// the id-mapped volumes in a mount namespace of its own and becomes that
// runtime. The mounts are seen by nobody else and end with the container.
type Bundle struct {
	l   *Launch
	opt Options
}

// bundleSteps are the outer half for a foreign runtime; the inner half is its own.
var bundleSteps = []struct {
	name string
	exit int
	do   func(*Launch) error
}{
	{"create-user-namespace", exitUser, createUserNamespace},
	{"open-rootfs", exitNamespace, openRoot},
	{"look-up-user", exitUser, lookUpUser},
	{"fill-files", exitCredentials, fillFiles},
	{"open-mount-sources", exitNamespace, openSources},
	{"open-namespaces", exitUser, openAnchored},
}

// PrepareBundle writes dir/config.json and compiles the child that will run
// argv. opt.Stdio are the descriptors that the runtime passes to the payload.
func PrepareBundle(p *plan.Plan, opt Options, dir string, argv []string) (*Bundle, error) {
	l := &Launch{plan: p, spec: p.Spec, opt: opt}
	for _, s := range bundleSteps {
		if err := s.do(l); err != nil {
			l.Close()
			return nil, &StepError{Step: s.name, Exit: s.exit, Err: err}
		}
	}
	if err := l.writeBundle(dir, argv); err != nil {
		l.Close()
		return nil, &StepError{Step: "write-bundle", Exit: exitNamespace, Err: err}
	}
	l.anchor.end()
	return &Bundle{l, opt}, nil
}

// writeBundle points the configuration at the places where the child attaches
// what was opened, and writes it by rename.
func (l *Launch) writeBundle(dir string, argv []string) error {
	c := &compiler{Launch: l, p: program.New()}
	l.prog = c.p
	c.p.Step("make-root-private", exitNamespace)
	makeRootPrivate(c)
	c.p.Step("attach-mounts", exitNamespace)
	places := c.newMount("places", "tmpfs", mountOptions{
		set:  unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		data: []string{"mode=0711", "size=64k"},
	})
	c.p.Call("move_mount", "dst="+foreignPlaces, unix.SYS_MOVE_MOUNT, places, c.p.Str(""), unix.AT_FDCWD, c.p.Str(foreignPlaces), unix.MOVE_MOUNT_F_EMPTY_PATH)
	spec := *l.spec
	// crun of Debian 12 refuses every version but 1.0; what it does not know of
	// the later ones it passes over.
	spec.Version = "1.0.2"
	spec.Root = &specs.Root{Path: c.placeRoot(places), Readonly: l.spec.Root.Readonly}
	spec.Mounts = slices.Clone(l.spec.Mounts)
	for i, f := range l.sources {
		if f == nil {
			continue
		}
		m := &spec.Mounts[i]
		m.Source = c.place(places, strconv.Itoa(i), f)
		m.Type, m.UIDMappings, m.GIDMappings = "bind", nil, nil
		if !isBind(m.Options) { // a tmpfs that was filled here
			m.Options = []string{"rbind"}
		}
		m.Options = slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return o == "idmap" || o == "ridmap" })
	}
	spec.Mounts = append(spec.Mounts, c.placeFiles(places)...)
	spec.Linux = l.foreignLinux()
	c.p.Step("redirect-stdio", exitStdout)
	redirectStreams(c)
	c.p.Step("reset-signals", exitExec)
	resetSignals(c)
	c.p.Step("close-descriptors", exitExec)
	closeDescriptors(c)
	c.p.Step("exec-runtime", exitExec)
	c.p.Call("execve", argv[0], unix.SYS_EXECVE, c.p.Str(argv[0]), c.p.Strv(argv), c.p.Strv([]string{defaultPath}))
	if c.err != nil {
		return c.err
	}
	data, err := json.MarshalIndent(&spec, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(dir+"/.config.json", data, 0o600); err != nil {
		return err
	}
	return os.Rename(dir+"/.config.json", dir+"/config.json")
}

// defaultPath is where another runtime finds its helpers.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// foreignPlaces is covered by a tmpfs in the runtime's own mount namespace. The
// container's root, whom the host does not know, must be able to walk there,
// which it cannot below /run/unitc.
const foreignPlaces = "/tmp"

// placeRoot attaches the root file system and gives its path.
func (c *compiler) placeRoot(places program.Reg) string {
	if !isOverlay(c.Launch) {
		return c.place(places, "root", c.root)
	}
	c.opt.AttachPoint = foreignPlaces + "/image"
	c.p.Call("mkdirat", c.opt.AttachPoint, unix.SYS_MKDIRAT, places, c.p.Str("image"), 0o755)
	mountOverlay(c)
	return c.opt.AttachPoint + "/root"
}

// place makes a mount point and attaches f there.
func (c *compiler) place(places program.Reg, name string, f *os.File) string {
	path := foreignPlaces + "/" + name
	if isDir(f) {
		c.p.Call("mkdirat", path, unix.SYS_MKDIRAT, places, c.p.Str(name), 0o755)
	} else {
		c.p.Call("mknodat", path, unix.SYS_MKNODAT, places, c.p.Str(name), unix.S_IFREG|0o644, 0)
	}
	c.p.Call("move_mount", "dst="+path, unix.SYS_MOVE_MOUNT, int(f.Fd()), c.p.Str(""), unix.AT_FDCWD, c.p.Str(path), unix.MOVE_MOUNT_F_EMPTY_PATH)
	return path
}

// placeFiles attaches secrets and configs where only the runtime sees them, and
// gives the mounts that it is to make of them.
func (c *compiler) placeFiles(places program.Reg) []specs.Mount {
	if !hasFiles(c.Launch) {
		return nil
	}
	dir := c.place(places, "files", c.filesDir)
	var mounts []specs.Mount
	for _, m := range fileMounts(c.plan.Files) {
		mounts = append(mounts, specs.Mount{
			Destination: m.destination, Type: "bind", Source: dir + "/" + m.place, Options: []string{"bind", "ro", "nosuid", "nodev", "noexec", "private"},
		})
	}
	return mounts
}

// foreignLinux is the Linux part as other runtimes read it.
func (l *Launch) foreignLinux() *specs.Linux {
	linux := *l.spec.Linux
	// Next to the leaf that the runtime is born in, below our own scope.
	linux.CgroupsPath = "container"
	if _, ok := linux.Sysctl["net.ipv4.ping_group_range"]; ok && l.anchor != nil {
		// Written from inside, where only mapped groups exist.
		linux.Sysctl = maps.Clone(linux.Sysctl)
		linux.Sysctl["net.ipv4.ping_group_range"] = fmt.Sprintf("0 %d", linux.GIDMappings[0].Size-1)
	}
	if linux.Seccomp != nil {
		// runc before 1.2 refuses any flag; the others choose well without.
		filter := *linux.Seccomp
		filter.Flags = nil
		linux.Seccomp = &filter
	}
	return &linux
}

// Run forks the child inside a cgroup, nil = the caller's, and waits for the
// runtime's command to end.
func (b *Bundle) Run(cgroup *os.File) error {
	opt := program.ForkOptions{Flags: unix.CLONE_NEWNS, CgroupDir: -1}
	if cgroup != nil {
		opt.CgroupDir = int(cgroup.Fd())
	}
	child, err := b.l.prog.Fork(opt)
	if err != nil {
		return &StepError{Step: "clone-runtime", Exit: exitNamespace, Err: err}
	}
	err = child.AwaitExec()
	child.Close()
	var ws unix.WaitStatus
	for {
		if _, werr := unix.Wait4(child.PID, &ws, 0, nil); !errors.Is(werr, unix.EINTR) {
			break
		}
	}
	if err == nil && ws != 0 {
		err = fmt.Errorf("ended with status %d", ws.ExitStatus())
	}
	return err
}

// Close frees what PrepareBundle opened.
func (b *Bundle) Close() { b.l.Close() }
