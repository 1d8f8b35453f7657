// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network/device"
	"github.com/unitc/unitc/internal/oci/bundle"
	"github.com/unitc/unitc/internal/oci/cgroup"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/runtime"
)

var createOptions = []option{
	{"bundle", "b", "DIR", "directory of the bundle; the current one"},
	{"console-socket", "", "SOCKET", "unix socket that gets the terminal's other end"},
	{"pidfd-socket", "", "SOCKET", "unix socket that gets a pidfd of the first process"},
	{"pid-file", "", "FILE", "file to write the process id to"},
	{"no-pivot", "", "", "do not pivot into the root: for a host on an initramfs"},
	{"no-new-keyring", "", "", "keep the session keyring"},
	{"preserve-fds", "", "N", "pass N more descriptors"},
}

// creation is a container on its way.
type creation struct {
	c        *call
	k        *container
	spec     *specs.Spec
	process  *specs.Process
	bundle   string
	inherit  inheritance
	detached bool
	console  string
	notify   string // where the caller hears of the payload; see notify.go
	to       receivers
	terminal *os.File // the other end; nil without one, or after it was sent
	launch   *runtime.Launch
	child    *program.Child
	scope    *plan.Scope
	cgroup   *os.File
}

func create(c *call) error {
	m, err := c.create(c.args[0], true)
	if err != nil {
		return failed("create", err)
	}
	m.k.unlock()
	return nil
}

// failed names the verb, unless another process has said already what happened.
func failed(verb string, err error) error {
	var status exitStatus
	if errors.As(err, &status) {
		return err
	}
	return fmt.Errorf("%s %s failed: %w", runtimeName, verb, err)
}

// runtimeName stands in messages where runc has its own.
const runtimeName = "unitc-runtime"

// create makes the container and leaves its first process at the FIFO.
func (c *call) create(id string, detached bool) (*creation, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	m := &creation{c: c, detached: detached, console: c.get("console-socket")}
	var err error
	if m.bundle, err = filepath.Abs(c.get("bundle")); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 && !isReborn() {
		return nil, c.intoNew(m.bundle)
	}
	if m.spec, err = bundle.ReadToCreate(m.bundle, func() error { return runtime.Seal() }); err != nil {
		return nil, err
	}
	if m.process = m.spec.Process; m.process == nil {
		m.process = placeholder()
	}
	if isReborn() {
		if err := m.alreadyInside(); err != nil {
			return nil, err
		}
	}
	c.grantable(m.process, bundle.HasNamespace(m.spec, specs.UserNamespace))
	if list := runtime.IgnoredOptions(m.spec); len(list) > 0 {
		c.log.warn("options of file systems count for nothing on bind mounts: %.200s", strings.Join(list, ", "))
	}
	inheritMount(m.spec)
	showCgroups(m.spec)
	if m.inherit, err = c.inherited(); err != nil {
		return nil, err
	}
	switch {
	case m.process.Terminal && detached && m.console == "":
		return nil, errors.New("cannot allocate tty if " + runtimeName + " will detach without setting console socket")
	case m.console != "" && !(m.process.Terminal && detached):
		return nil, errors.New("cannot use console socket if " + runtimeName + " will not detach or allocate tty")
	}
	if m.notify, err = notifyAddress(); err != nil {
		return nil, err
	}
	if m.to, err = c.findReceivers(); err != nil {
		return nil, err
	}
	defer m.to.close()
	if m.k, err = c.newContainer(id); err != nil {
		return nil, err
	}
	m.k.Bundle, m.k.RootFS, m.k.spec = m.bundle, m.spec.Root.Path, m.spec
	for _, step := range []func() error{m.place, m.writeDown, m.makeCgroup, m.prepare, m.fork, m.finish} {
		if err := step(); err != nil {
			m.undo()
			return nil, err
		}
	}
	return m, nil
}

// grantable takes out the capabilities that cannot be had, with a warning and no
// more: so has it the specification (config.md, "Linux Process").
func (c *call) grantable(p *specs.Process, own bool) {
	if left := runtime.GrantableCapabilities(p, own); len(left) > 0 {
		c.log.warn("process.capabilities: %.200s cannot be given here, and the process goes without", strings.Join(left, ", "))
	}
}

// placeholder is what the first process of a container without a process waits
// to become. It never does: start is an error. The root directory is there in
// any case, and is no program.
func placeholder() *specs.Process { return &specs.Process{Args: []string{"/"}, Cwd: "/"} }

// alreadyInside takes the user namespace out of the configuration: this process
// is in it.
func (m *creation) alreadyInside() error {
	m.spec.Linux.Namespaces = slices.DeleteFunc(m.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	m.spec.Linux.UIDMappings, m.spec.Linux.GIDMappings = nil, nil
	return runtime.Seal()
}

func (m *creation) writeDown() error {
	if err := m.k.saveConfig(); err != nil {
		return err
	}
	return m.k.save()
}

func (m *creation) prepare() error {
	if err := unix.Mkfifo(m.k.dir+startFIFO, 0o622); err != nil {
		return fmt.Errorf("making the start FIFO: %w", err)
	}
	// Whatever the umask: the payload's user opens it, and none else can get here.
	if err := os.Chmod(m.k.dir+startFIFO, 0o622); err != nil {
		return err
	}
	fifo, err := os.OpenFile(m.k.dir+startFIFO, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	if err := m.k.makeAttachPoint(m.spec); err != nil {
		return err
	}
	// Limits are ours to set; the runtime takes what concerns the process.
	spec, linux := *m.spec, *m.spec.Linux
	linux.Resources, linux.CgroupsPath = nil, ""
	spec.Linux = &linux
	process := *m.process
	spec.Process = &process
	// Behind saveConfig: what this call was given is nothing to those who join later.
	if m.notify != "" {
		if spec.Mounts, err = m.k.showNotifyDir(spec.Mounts); err != nil {
			return err
		}
		m.inherit.addNotify(!m.detached)
	}
	process.Env = m.inherit.environment(process.Env)
	m.launch, err = runtime.Prepare(&plan.Plan{Spec: &spec, Root: plan.Root{Kind: plan.RootBundle, Path: m.spec.Root.Path}}, runtime.Options{
		Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, AttachPoint: m.k.dir + attachDir,
		ID: m.k.ID, Bundle: m.bundle, CgroupDir: m.cgroup, Gated: m.scope != nil,
		StopAt:    os.Getenv(stopAt),
		StartFIFO: fifo, PreserveFDs: m.inherit.descriptors, OwnPID: m.inherit.ownPID, Sibling: m.becomesService(), NoPivot: m.c.has("no-pivot"), InUserNamespace: rootless(), KeepKeyring: m.c.has("no-new-keyring"),
		MoveDevices: device.Move,
	})
	if err != nil {
		fifo.Close()
	}
	return err
}

// stopAt is a variable that tests set: the step at which this process ends as
// no clean-up code survives it.
const stopAt = "UNITC_STOP_AT"

func (m *creation) fork() error {
	var err error
	if m.child, err = m.launch.Start(); err != nil {
		return explain(err, m.process)
	}
	m.k.PID = m.child.PID
	if m.k.StartTime, err = runtime.StartTime(m.k.PID); err != nil {
		return err
	}
	if m.scope != nil {
		if err := m.joinScope(); err != nil {
			return err
		}
	}
	if err := m.k.save(); err != nil { // hooks may ask
		return err
	}
	if err := m.launch.RunHooks(m.child); err != nil {
		return m.ended(err)
	}
	if m.scope != nil {
		if err := m.child.Open(); err != nil {
			return err
		}
	}
	if err := m.launch.AwaitCreated(m.child); err != nil {
		return m.ended(err)
	}
	return nil
}

// ended explains why the first process is no more. Where the tests have stopped
// it, this process ends with it.
func (m *creation) ended(err error) error {
	if errors.Is(err, program.ErrStopped) {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	return explain(err, m.process)
}

// finish hands out what the caller asked for and lets the first process wait
// on its own.
func (m *creation) finish() error {
	var err error
	if m.terminal, err = m.launch.Terminal(); err != nil {
		return err
	}
	if m.console != "" && m.terminal != nil {
		if err := m.to.sendConsole(m.terminal); err != nil {
			return err
		}
		m.terminal.Close()
		m.terminal = nil
	}
	if err := m.to.sendPIDFD(m.k.PID); err != nil {
		return err
	}
	if err := writePIDFile(m.c.get("pid-file"), m.k.PID); err != nil {
		return err
	}
	m.k.Made = true
	if err := m.k.save(); err != nil {
		return err
	}
	if err := m.child.Open(); err != nil {
		return err
	}
	m.child.Close()
	m.launch.Close()
	if m.cgroup != nil {
		m.cgroup.Close()
	}
	return nil
}

// writePIDFile writes it by rename: an engine reads it as soon as it is there.
func writePIDFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return replace(path, []byte(strconv.Itoa(pid)))
}

// undo leaves nothing of a creation that failed.
func (m *creation) undo() {
	var group cgroup.Group
	if m.k.Cgroup != "" {
		group = m.k.group()
	}
	if m.child != nil {
		_ = m.child.Kill()
		m.child.Close()
		for {
			if _, err := unix.Wait4(m.child.PID, nil, 0, nil); !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
	if m.launch != nil {
		m.launch.Close()
	}
	if m.terminal != nil {
		m.terminal.Close()
	}
	if group != "" {
		_ = group.Kill()
		if err := m.k.leave(group); err != nil {
			m.c.log.warn("%v", err)
		}
	}
	if m.child != nil {
		// The lifecycle goes on with the deletion (runtime-spec runtime.md).
		if err := runtime.PostStop(m.spec, m.k.ID, m.bundle); err != nil {
			m.c.log.warn("%v", err)
		}
	}
	if err := m.k.remove(); err != nil {
		m.c.log.warn("%v", err)
	}
	m.k.unlock()
}
