// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
)

// ExecConfig is one more process for a container that runs.
type ExecConfig struct {
	// PID is a process of the container, as a rule its first. StartTime guards
	// against another one that got its number: field 22 of proc_pid_stat(5), in
	// ticks; 0 = not compared.
	PID       int
	StartTime uint64
	// Spec is the container's own configuration. Its seccomp profile, personality
	// and memory policy hold for the new process too; nil = there are none.
	Spec *specs.Spec
	// Process is what runs. Its capabilities are taken as they stand: who must
	// not exceed the container's passes the container's.
	Process *specs.Process
	// User is "USER[:GROUP]", looked up in the container's own passwd and group,
	// Groups are added to it; "" without Groups = Process.User as it stands.
	User   string
	Groups []string
	// Stdio are descriptors 0 to 2. With Process.Terminal they are not used: the
	// process gets a terminal of the container's devpts, and Joined has the
	// other end.
	Stdio [3]*os.File
	// PreserveFDs is how many descriptors from 3 on the process gets.
	PreserveFDs int
	// OwnPID is that of Options.
	OwnPID []string
	// Cgroup is a directory of cgroup v2 to be born in; nil = that of PID.
	Cgroup *os.File
	// InUserNamespace is that of Options.
	InUserNamespace bool
	// KeepKeyring leaves the session keyring as it is; otherwise it is a new one.
	KeepKeyring bool
	// ID and Bundle name the container to the agent of its seccomp profile; ID is
	// also its resctrl group.
	ID, Bundle string
}

// Joined is a process that runs in a container by Exec. It is a child of this
// process, or of whom it is left to.
type Joined struct {
	PID int
	// Terminal is the terminal's other end, the caller's to close; nil without one.
	Terminal *os.File
}

// Exec runs a process in an existing container: born in its cgroup, in all of
// its namespaces, with the ids, capabilities, filter, labels and limits that
// the configuration gives it; each of them is read back before the exec.
//
// Until it is nothing but the payload, the payload's neighbours must not be
// able to look into it (CVE-2016-9962). It becomes visible to them only when it
// is born into the PID namespace, and everything of the host is closed by then;
// it is not dumpable from before that to its exec. Where the container has the
// host's user ids, this very program must have been sealed (SealFor) or Exec
// refuses (CVE-2019-5736).
//
// Errors of the process's own program are *program.OpError with the step
// "exec-payload" (ENOENT, EACCES, ...). When ctx ends before the exec, the
// process is killed.
func Exec(ctx context.Context, cfg ExecConfig) (*Joined, error) {
	j := &joiner{cfg: cfg, l: &Launch{plan: &plan.Plan{User: cfg.User, Groups: cfg.Groups}}}
	defer j.l.Close()
	for _, s := range joinSteps {
		if err := s.do(j); err != nil {
			return nil, &StepError{Step: s.name, Exit: s.exit, Err: err}
		}
	}
	return j.start(ctx)
}

// joiner is an Exec on its way.
type joiner struct {
	cfg    ExecConfig
	l      *Launch
	pidfd  *os.File
	proc   *os.File // the host's /proc
	dir    *os.File // /proc/PID
	root   *os.File // its root
	join   []joinedNamespace
	cgroup *os.File // nil = the caller's
}

// joinedNamespace is a namespace of the container that is not ours already.
type joinedNamespace struct {
	namespaceKind
	ns   *os.File
	name string // "net:[4026531840]"
}

// joinSteps are done here, on the host's side.
var joinSteps = []struct {
	name string
	exit int
	do   func(*joiner) error
}{
	{"open-process", exitNamespace, (*joiner).openProcess},
	{"open-namespaces", exitNamespace, (*joiner).openNamespaces},
	{"check-seal", exitNamespace, (*joiner).checkSeal},
	{"build-process", exitUser, (*joiner).buildProcess},
	{"open-cgroup", exitCgroup, (*joiner).openCgroup},
	// All that was opened is of this process only if it is still there.
	{"check-process", exitNamespace, (*joiner).checkAlive},
	{"compile-seccomp", exitSeccomp, func(j *joiner) error { return compileFilter(j.l) }},
	{"open-console-socket", exitStdout, func(j *joiner) error { return openConsole(j.l) }},
	{"compile-steps", exitNamespace, (*joiner).compile},
}

// ErrNotRunning is a container whose process is gone.
var ErrNotRunning = errors.New("the container's process has ended")

func (j *joiner) openProcess() error {
	fd, err := unix.PidfdOpen(j.cfg.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("pidfd_open %d: %w", j.cfg.PID, err)
	}
	j.pidfd = j.l.own(os.NewFile(uintptr(fd), "pidfd"))
	if j.proc, err = os.OpenFile("/proc", unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return err
	}
	j.l.own(j.proc)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(j.proc.Fd()), &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return fmt.Errorf("/proc is no procfs (%w)", err)
	}
	if j.dir, err = os.OpenFile("/proc/"+strconv.Itoa(j.cfg.PID), unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return ErrNotRunning
	}
	j.l.own(j.dir)
	if want := j.cfg.StartTime; want != 0 && !protection.Off("start-time") {
		if got, err := StartTime(j.cfg.PID); err != nil || got != want {
			return ErrNotRunning
		}
	}
	return nil
}

// StartTime is when a process began, in ticks since boot: with its number it
// names a process as long as the machine runs.
func StartTime(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields)+2)
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}

// joinOrder is how namespaces are entered; the user namespace is not among
// them, it comes when the host's privilege is no longer needed. The mount
// namespace is last: after it nothing of the host can be named.
var joinOrder = []namespaceKind{
	{specs.CgroupNamespace, unix.CLONE_NEWCGROUP, "cgroup"},
	{specs.TimeNamespace, unix.CLONE_NEWTIME, "time"},
	{specs.IPCNamespace, unix.CLONE_NEWIPC, "ipc"},
	{specs.UTSNamespace, unix.CLONE_NEWUTS, "uts"},
	{specs.NetworkNamespace, unix.CLONE_NEWNET, "net"},
	{specs.PIDNamespace, unix.CLONE_NEWPID, "pid"},
	{specs.MountNamespace, unix.CLONE_NEWNS, "mnt"},
}

func (j *joiner) openNamespaces() error {
	for _, n := range joinOrder {
		ns, err := j.openNamespace(n)
		if err != nil {
			return err
		}
		if ns != nil {
			j.join = append(j.join, *ns)
		}
	}
	// Unless its configuration puts it there: see joinContainer.
	shares := j.cfg.Spec != nil && j.cfg.Spec.Linux != nil && joinsMount(&Launch{spec: j.cfg.Spec})
	if !shares && (len(j.join) == 0 || j.join[len(j.join)-1].file != "mnt") {
		return fmt.Errorf("process %d is in this process's own mount namespace: it is in no container", j.cfg.PID)
	}
	user, err := j.openNamespace(namespaceKind{specs.UserNamespace, unix.CLONE_NEWUSER, "user"})
	if err != nil || user == nil {
		return err
	}
	j.l.anchor = &anchor{user: user.ns}
	return nil
}

// openNamespace gives nil for a namespace that is ours already, or that the
// kernel does not have.
func (j *joiner) openNamespace(n namespaceKind) (*joinedNamespace, error) {
	fd, err := unix.Openat(int(j.dir.Fd()), "ns/"+n.file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) && n.kind == specs.TimeNamespace {
		return nil, nil
	}
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("opening the %s namespace of process %d: %w", n.file, j.cfg.PID, err)
	}
	ns := &joinedNamespace{n, j.l.own(os.NewFile(uintptr(fd), n.file)), ""}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	ns.name = fmt.Sprintf("%s:[%d]", n.file, st.Ino)
	own, err := namespaceName(n.file, "")
	if err != nil || own == ns.name {
		return nil, err
	}
	return ns, nil
}

// mustSeal is off where the program under test is the payload as well.
var mustSeal = true

func (j *joiner) checkSeal() error {
	if j.l.anchor != nil || !mustSeal || protection.Off("seal") {
		return nil
	}
	if sealed, err := isSealed(); err != nil || !sealed {
		return errors.Join(errors.New("the container has the host's user ids, and this program is not sealed against it"), err)
	}
	return nil
}

// buildProcess makes the configuration that the steps of a launch understand:
// the container's, as far as it concerns one process, with the new process.
func (j *joiner) buildProcess() error {
	p := *j.cfg.Process
	spec := &specs.Spec{Process: &p, Linux: &specs.Linux{}, Root: &specs.Root{}}
	if c := j.cfg.Spec; c != nil && c.Linux != nil {
		spec.Linux.Seccomp, spec.Linux.Personality, spec.Annotations = c.Linux.Seccomp, c.Linux.Personality, c.Annotations
		spec.Linux.IntelRdt, spec.Linux.MemoryPolicy = c.Linux.IntelRdt, c.Linux.MemoryPolicy
	}
	if len(p.Args) == 0 || p.Args[0] == "" {
		return errors.New("process.args is empty")
	}
	for _, s := range slices.Concat(p.Args, p.Env, []string{p.Cwd, p.ApparmorProfile, p.SelinuxLabel}) {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("%q has a NUL byte", s)
		}
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	if !path.IsAbs(p.Cwd) {
		return fmt.Errorf("process.cwd %q is not absolute", p.Cwd)
	}
	l := j.l
	if err := checkLabels(&Launch{spec: spec}); err != nil {
		return err
	}
	l.spec, l.opt = spec, Options{Stdio: j.cfg.Stdio, ID: j.cfg.ID, Bundle: j.cfg.Bundle, InUserNamespace: j.cfg.InUserNamespace, OwnPID: j.cfg.OwnPID}
	if err := j.mapIDs(); err != nil {
		return err
	}
	return j.lookUpUser()
}

func (j *joiner) mapIDs() error {
	if j.l.anchor == nil {
		return nil
	}
	var err error
	linux := j.l.spec.Linux
	if linux.UIDMappings, err = readMap(j.cfg.PID, "uid_map"); err != nil {
		return err
	}
	if linux.GIDMappings, err = readMap(j.cfg.PID, "gid_map"); err != nil {
		return err
	}
	if j.l.anchor.base, err = hostID(linux.UIDMappings, 0); err != nil {
		return err
	}
	j.l.anchor.baseGID, err = hostID(linux.GIDMappings, 0)
	return err
}

func (j *joiner) lookUpUser() error {
	p := j.l.spec.Process
	fd, err := unix.Openat(int(j.dir.Fd()), "root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ErrNotRunning
	}
	j.root = j.l.own(os.NewFile(uintptr(fd), "root"))
	root := []*os.File{j.root}
	if j.cfg.User == "" && len(j.cfg.Groups) == 0 {
		j.l.user = User{UID: p.User.UID, GID: p.User.GID, Groups: p.User.AdditionalGids}
		return exactUser(j.l, root)
	}
	if j.l.user, err = resolveUser(root, j.l.plan); err != nil {
		return err
	}
	settleUser(j.l)
	return nil
}

func (j *joiner) checkAlive() error {
	if err := unix.PidfdSendSignal(int(j.pidfd.Fd()), 0, nil, 0); err != nil {
		return ErrNotRunning
	}
	return nil
}

func (j *joiner) start(ctx context.Context) (*Joined, error) {
	opt := program.ForkOptions{CgroupDir: -1}
	if j.cgroup != nil {
		opt.CgroupDir = int(j.cgroup.Fd())
	}
	var child *program.Child
	err := j.onProcessors(func() (err error) { child, err = j.l.prog.Fork(opt); return err })
	if err != nil {
		return nil, &StepError{Step: "clone", Exit: exitNamespace, Err: err}
	}
	// A process that is stopped in a frozen cgroup would be waited for for ever.
	stop := context.AfterFunc(ctx, func() { _ = child.Kill() })
	if err = j.placeByNumber(child); err == nil {
		err = child.AwaitExec()
	}
	if !stop() && err == nil {
		err = ctx.Err()
		_ = child.Kill()
	}
	child.Close()
	j.l.closeConsole()
	if err == nil {
		var terminal *os.File
		if terminal, err = j.l.Terminal(); err == nil {
			return &Joined{PID: child.PID, Terminal: terminal}, nil
		}
		_ = child.Kill()
	}
	_, _ = waitFor(child.PID)
	if (errors.Is(err, unix.ENOMEM) || errors.Is(err, program.ErrKilled)) && j.checkAlive() != nil {
		err = ErrNotRunning // no more processes in a PID namespace whose first has ended
	}
	return nil, err
}

// placeByNumber waits until the process has the number that it keeps, which
// goes to the agent of its filter and into its resctrl group.
func (j *joiner) placeByNumber(child *program.Child) error {
	if !needsNumber(j) {
		return nil
	}
	j.l.closeAgent()
	if err := child.AwaitSync(); err != nil {
		return err
	}
	if r := j.l.spec.Linux.IntelRdt; r != nil {
		g, err := resctrlOf(r, j.cfg.ID)
		if err == nil {
			err = g.enter(child.PID)
		}
		if err != nil {
			return err
		}
	}
	if err := j.l.tellAgent(child.PID, specs.StateRunning); err != nil {
		return err
	}
	return child.Open()
}

// Wait waits for the process and gives its status; it may be called once, by
// the process that called Exec.
func (j *Joined) Wait() (unix.WaitStatus, error) { return waitFor(j.PID) }

func waitFor(pid int) (unix.WaitStatus, error) {
	for {
		var ws unix.WaitStatus
		if _, err := unix.Wait4(pid, &ws, 0, nil); !errors.Is(err, unix.EINTR) {
			return ws, err
		}
	}
}
