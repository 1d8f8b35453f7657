// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
)

// joinInner is what the forked process does: as innerSteps, but its container
// is there already, and is not to be trusted.
var joinInner = []struct {
	name    string
	exit    int
	why     string
	when    func(*joiner) bool
	compile func(*joiner, *compiler)
}{
	{"forbid-tracing", exitNamespace, "before it is seen: nobody inside may trace it or open what it holds (CVE-2016-9962)",
		anyJoin, forbidTracing},
	{"open-procfs", exitNamespace, "the container's own /proc is anything that it has mounted there",
		anyJoin, takeProcfs},
	{"set-oom-score", exitOOMAdjust, "lowering it needs CAP_SYS_RESOURCE", whenLaunch(hasOOMScore), step1(setOOMScore)},
	{"set-scheduler", exitScheduler, "real-time policies need CAP_SYS_NICE over the host", whenLaunch(hasScheduler), step1(setScheduler)},
	{"set-affinity", exitCPUAffinity, "it is in the container's cgroup, which bounds it", hasAffinity, setFinalAffinity},
	{"set-io-priority", exitIOPrio, "the real-time class needs CAP_SYS_ADMIN", whenLaunch(hasIOPriority), step1(setIOPriority)},
	{"set-memory-policy", exitNUMAPolicy, "it is in the container's cgroup, whose nodes bound it", whenLaunch(hasMemoryPolicy), step1(setMemoryPolicy)},
	{"set-personality", exitPersonality, "read back, since the call takes anything", whenLaunch(hasPersonality), step1(setPersonality)},
	{"set-rlimits", exitLimits, "raising hard limits needs CAP_SYS_RESOURCE", anyJoin, step1(setRlimits)},
	{"join-namespaces", exitNamespace, "with the host's privilege: some belong to its user namespace, some to the container's",
		anyJoin, joinContainer},
	{"own-as-container-root", exitUser, "the terminal belongs to the container's root, not to the host's",
		whenLaunch(usesUserNamespace), step1(ownAsContainerRoot)},
	{"open-terminal", exitStdout, "in the container's devpts, found on descriptors",
		whenLaunch(hasTerminal), openJoinTerminal},
	{"join-keyring", exitKeyring, "the caller's session keyring must not be seen", newKeyring, step1(joinKeyring)},
	{"redirect-stdio", exitStdout, "descriptors 0 to 2", anyJoin, step1(redirectStdio)},
	{"set-umask", exitExec, "the caller's is not the payload's", anyJoin, setUmask},
	{"reset-signals", exitExec, "the caller's handlers and mask are not the payload's", anyJoin, step1(resetSignals)},
	{"enter-user-namespace", exitUser, "after the last step that needs the host's privilege",
		whenLaunch(usesUserNamespace), step1(enterUserNamespace)},
	{"verify-namespaces", exitNamespace, "all of them, before anything of the payload's can run", anyJoin, verifyJoined},
	{"drop-bounding-set", exitCapabilities, "needs CAP_SETPCAP, which set-capabilities drops", anyJoin, step1(dropBounding)},
	{"close-descriptors", exitExec, "before the container sees it: now, not at exec (CVE-2024-21626)", anyJoin, closeForeign},
	{"enter-pid-namespace", exitNamespace, "last: from here on the container sees it", anyJoin, rebirth},
	{"new-session", exitSetsid, "no controlling terminal of the host (TIOCSTI)", anyJoin, step1(newSession)},
	{"take-terminal", exitStdout, "a session's leader alone can", whenLaunch(hasTerminal), step1(takeTerminal)},
	{"set-user", exitUser, "groups first: setgroups(2) needs the capability that setresuid(2) takes away", anyJoin, setUserUntraced},
	{"set-capabilities", exitCapabilities, "after set-user, which would clear them", anyJoin, step1(setCapabilities)},
	{"set-no-new-privs", exitNoNewPrivs, "after it no exec can gain privilege", whenLaunch(wantsNoNewPrivs), step1(setNoNewPrivs)},
	{"change-directory", exitChdir, "as the payload's user: what it may not enter it does not start in", anyJoin, step1(changeDirectory)},
	{"set-selinux-label", exitSELinux, "takes effect at exec", whenLaunch(hasSELinuxLabel), step1(setSELinuxLabel)},
	{"set-apparmor-profile", exitAppArmor, "takes effect at exec", whenLaunch(hasAppArmorProfile), step1(setAppArmorProfile)},
	{"verify-privileges", exitCapabilities, "every protection is read back; a difference stops the start", anyJoin, verifyUntraced},
	{"close-on-exec", exitExec, "what is left beside the preserved ones", anyJoin, closeRest},
	{"verify-descriptors", exitExec, "each one that this process can have is asked", anyJoin, verifyRest},
	{"write-pid", exitExec, "in variables that are for this process alone; it has the number that it keeps", whenLaunch(hasOwnPID), step1(writePID)},
	{"report-number", exitNamespace, "it goes to the agent of the filter, and into the resctrl group", needsNumber, reportNumber},
	{"load-seccomp", exitSeccomp, "last: the filter need not allow what the steps above call", whenLaunch(seccompLate), step1(loadSeccomp)},
	{"drop-admin", exitCapabilities, "under the filter, which only it could load without no_new_privs", whenLaunch(keepsAdmin), step1(dropAdmin)},
	{"exec-payload", exitExec, "", anyJoin, step1(execPayload)},
}

func anyJoin(*joiner) bool { return true }

func whenLaunch(when func(*Launch) bool) func(*joiner) bool {
	return func(j *joiner) bool { return when(j.l) }
}

// step1 is a step of a launch as it is.
func step1(compile func(*compiler)) func(*joiner, *compiler) {
	return func(_ *joiner, c *compiler) { compile(c) }
}

func newKeyring(j *joiner) bool { return !j.cfg.KeepKeyring }

func (j *joiner) compile() error {
	c := &compiler{Launch: j.l, p: program.New()}
	j.l.prog = c.p
	c.p.Grow(usualCalls)
	for _, s := range joinInner {
		if !s.when(j) || s.name != "forbid-tracing" && protection.Off(s.name) {
			continue
		}
		c.p.Step(s.name, s.exit)
		s.compile(j, c)
		if c.err != nil {
			return fmt.Errorf("%s: %w", s.name, c.err)
		}
	}
	return nil
}

func forbidTracing(_ *joiner, c *compiler) {
	if protection.Off("forbid-tracing") {
		c.p.Call("prctl", "PR_SET_DUMPABLE 1", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
		return
	}
	c.forbidTracing()
}

// forbidTracing keeps those out who have this process's ids and capabilities, until
// its exec.
func (c *compiler) forbidTracing() {
	c.p.Call("prctl", "PR_SET_DUMPABLE 0", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	c.verifyUntraced()
}

// watched tells whether others can be in the child's PID namespace before its exec,
// or stay there with its init.
func watched(l *Launch) bool { return !l.hasNew(specs.PIDNamespace) || wantsInit(l) || held(l) }

// verifyUntraced reads the flag back. A change of ids sets it to what
// fs.suid_dumpable says (proc_sys_fs(5)), so it is done again after each.
func (c *compiler) verifyUntraced() {
	if protection.Off("forbid-tracing") {
		return
	}
	c.p.Call("prctl", "PR_GET_DUMPABLE", unix.SYS_PRCTL, unix.PR_GET_DUMPABLE, 0, 0, 0, 0).Want(0)
}

// takeProcfs keeps the host's /proc, which the caller has opened.
func takeProcfs(j *joiner, c *compiler) {
	c.proc = c.p.Reg()
	c.p.Call("fcntl", "the host's /proc", unix.SYS_FCNTL, int(j.proc.Fd()), unix.F_DUPFD_CLOEXEC, 0).Into(c.proc)
}

func joinContainer(j *joiner, c *compiler) {
	for _, n := range j.join {
		c.setns(int(n.ns.Fd()), n.flag, n.name)
	}
	if s := j.cfg.Spec; s != nil && s.Linux != nil && joinsMount(&Launch{spec: s}) {
		// The root of that namespace is not the container's.
		c.p.Call("fchdir", "the container's root", unix.SYS_FCHDIR, int(j.root.Fd()))
		c.p.Call("chroot", ".", unix.SYS_CHROOT, c.p.Str("."))
	}
}

func openJoinTerminal(_ *joiner, c *compiler) {
	c.openTerminal(unix.AT_FDCWD, "/dev/pts", unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
}

func setUmask(_ *joiner, c *compiler) { c.umask() }

func verifyJoined(j *joiner, c *compiler) {
	check := func(file, name string) {
		got, want := make([]byte, 64), make([]byte, 64)
		copy(want, name)
		c.p.Call("readlinkat", "proc/self/ns/"+file, unix.SYS_READLINKAT, c.proc, c.p.Str("self/ns/"+file), c.p.Bytes(got), len(got))
		c.p.Compare("compare", file+" namespace with the container's", got, want)
	}
	for _, n := range j.join {
		if n.file == "pid" {
			check("pid_for_children", n.name)
		} else {
			check(n.file, n.name)
		}
	}
	if c.anchor != nil {
		var st unix.Stat_t
		if c.err = unix.Fstat(int(c.anchor.user.Fd()), &st); c.err == nil {
			check("user", fmt.Sprintf("user:[%d]", st.Ino))
		}
	}
}

// closeForeign keeps procfs where a label will be written to it, and the socket
// of an agent.
func closeForeign(j *joiner, c *compiler) {
	var keep []any
	if hasSELinuxLabel(j.l) || hasAppArmorProfile(j.l) {
		keep = append(keep, c.proc)
	}
	if hasAgent(j) {
		keep = append(keep, int(c.agent.socket.Fd()))
	}
	c.p.CloseFrom("close_range", 3+j.cfg.PreserveFDs, keep...)
	c.preserve(j.cfg.PreserveFDs)
}

// preserve lets n descriptors from 3 on pass the exec.
func (c *compiler) preserve(n int) {
	for fd := 3; fd < 3+n; fd++ {
		c.p.Call("fcntl", fmt.Sprintf("%d F_SETFD 0", fd), unix.SYS_FCNTL, fd, unix.F_SETFD, 0)
	}
}

func rebirth(_ *joiner, c *compiler) { c.p.Rebirth("clone") }

func setUserUntraced(j *joiner, c *compiler) {
	setUser(c)
	forbidTracing(j, c)
}

func verifyUntraced(_ *joiner, c *compiler) {
	verifyPrivileges(c)
	c.verifyUntraced()
}

func hasAgent(j *joiner) bool { return j.l.agent != nil }

func needsNumber(j *joiner) bool { return hasAgent(j) || j.l.spec.Linux.IntelRdt != nil }

func reportNumber(_ *joiner, c *compiler) { c.p.Sync("the number of the process") }

func closeRest(j *joiner, c *compiler) {
	c.p.Call("close_range", "CLOEXEC", unix.SYS_CLOSE_RANGE, 3+j.cfg.PreserveFDs, int(^uint32(0)), unix.CLOSE_RANGE_CLOEXEC)
}

func verifyRest(j *joiner, c *compiler) { c.mustCloseFrom(3 + j.cfg.PreserveFDs) }
