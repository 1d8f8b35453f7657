// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
)

// Exit statuses of systemd.exec(5), "Process Exit Codes": systemctl status
// prints their names.
const (
	exitChdir        = 200
	exitExec         = 203
	exitLimits       = 205
	exitOOMAdjust    = 206
	exitStdout       = 209
	exitIOPrio       = 211
	exitScheduler    = 214
	exitCPUAffinity  = 215
	exitUser         = 217
	exitCapabilities = 218
	exitCgroup       = 219
	exitSetsid       = 220
	exitNetwork      = 225
	exitNamespace    = 226
	exitNoNewPrivs   = 227
	exitSeccomp      = 228
	exitSELinux      = 229
	exitPersonality  = 230
	exitAppArmor     = 231
	exitKeyring      = 237
	exitNUMAPolicy   = 242
	exitCredentials  = 243
)

// step is one named action of the inner half: when it applies and what it
// compiles to.
type step struct {
	name    string
	exit    int
	why     string
	when    func(*Launch) bool
	compile func(*compiler)
}

// innerSteps is the launch. The order is the security argument, so each place
// has its reason; nothing privileged happens in the child outside this table.
var innerSteps = []step{
	{"join-namespaces", exitNamespace, "before any mount: sysfs, mqueue and procfs show the namespaces that the mounter is in",
		joinsNamespaces, joinNamespaces},
	{"own-as-container-root", exitUser, "files made from here on belong to the container's root; idmapped mounts refuse ids they do not map (EOVERFLOW)",
		usesUserNamespace, ownAsContainerRoot},
	{"make-root-private", exitNamespace, "before any mount: propagation is per mount, and / is shared under systemd",
		ownMount, makeRootPrivate},
	{"open-procfs", exitNamespace, "writes to /proc go through a procfs that nobody else can mount over (CVE-2025-52881)",
		always, openProcfs},
	{"enter-time-namespace", exitNamespace, "offsets can be written only while the namespace is empty",
		newTime, enterTimeNamespace},
	{"bring-up-loopback", exitNetwork, "a new network namespace has its loopback down",
		newNetwork, bringUpLoopback},
	{"mount-scratch", exitNamespace, "before attach-rootfs, which covers the attach point",
		hasScratch, mountScratch},
	{"attach-files", exitCredentials, "before attach-rootfs, which covers the attach point",
		hasFiles, attachFiles},
	{"attach-images", exitNamespace, "before attach-rootfs, which covers the attach point",
		hasImages, attachImages},
	{"attach-sources", exitNamespace, "before attach-rootfs, which covers the attach point",
		hasLateSources, attachSources},
	{"attach-rootfs", exitNamespace, "pivot_root needs a mount of this namespace",
		always, attachRoot},
	{"mount", exitNamespace, "in the order of the specification, destinations resolved on descriptors inside the rootfs (CVE-2021-30465)",
		always, mountAll},
	{"mount-files", exitCredentials, "after mount: a file may be meant for a place in a volume",
		hasFiles, mountFiles},
	{"create-devices", exitNamespace, "after mount: /dev is a fresh tmpfs by now",
		ownDev, createDevices},
	{"find-devices", exitNamespace, "after mount: into a /dev that is not ours nothing is written (CVE-2026-41579)",
		listsDevices, findDevices},
	{"set-umask", exitExec, "create-devices needed none",
		always, func(c *compiler) { c.umask() }},
	{"open-terminal", exitStdout, "after mount: in the container's own devpts; it becomes /dev/console",
		hasTerminal, openOwnTerminal},
	{"await-runtime-hooks", exitNamespace, "network devices are moved; prestart and createRuntime hooks see the namespaces, but not yet the new root",
		hasRuntimeHooks, awaitRuntimeHooks},
	{"create-container-hooks", exitNamespace, "in the container's namespaces, with paths of the host",
		hasCreateContainerHooks, createContainerHooks},
	{"set-sysctls", exitNamespace, "before readonly-paths makes /proc/sys read-only",
		hasSysctls, setSysctls},
	{"mask-paths", exitNamespace, "with a null device of our own, never the container's /dev/null (CVE-2025-31133)",
		hasMaskedPaths, maskPaths},
	{"readonly-paths", exitNamespace, "after every write below /proc and /sys",
		always, readonlyPaths},
	{"pivot-root", exitNamespace, "after this no path of the host can be named",
		always, pivotRoot},
	{"set-rootfs-propagation", exitNamespace, "mounts made later inside must not travel to the host unless asked for",
		hasRootPropagation, setRootPropagation},
	{"set-rootfs-readonly", exitNamespace, "last of the mounts: mount points had to be made before",
		readonlyRoot, setRootReadonly},
	{"set-hostname", exitNamespace, "needs CAP_SYS_ADMIN over the new UTS namespace",
		hasHostname, setHostname},
	{"await-cgroup", exitCgroup, "the helper has systemd make the scope meanwhile, and moves this process into its leaf",
		gated, awaitCgroup},
	{"unshare-cgroup", exitNamespace, "the root of the namespace is the cgroup of this moment: the payload's leaf",
		newCgroup, unshareCgroup},
	{"mount-cgroup", exitNamespace, "after unshare-cgroup: the mount shows the namespace's root",
		mountsCgroup, mountCgroup},
	{"set-oom-score", exitOOMAdjust, "lowering it needs CAP_SYS_RESOURCE",
		hasOOMScore, setOOMScore},
	{"set-scheduler", exitScheduler, "real-time policies need CAP_SYS_NICE over the host",
		hasScheduler, setScheduler},
	{"set-io-priority", exitIOPrio, "the real-time class needs CAP_SYS_ADMIN",
		hasIOPriority, setIOPriority},
	{"set-memory-policy", exitNUMAPolicy, "before the payload allocates; the nodes of the cpuset cgroup bound it",
		hasMemoryPolicy, setMemoryPolicy},
	{"set-personality", exitPersonality, "read back, since the call takes anything",
		hasPersonality, setPersonality},
	{"scope-abstract-sockets", exitNetwork, "before set-rlimits, which may leave it no descriptor; without no_new_privs it needs CAP_SYS_ADMIN",
		scopesSockets, scopeSockets},
	{"set-rlimits", exitLimits, "raising hard limits needs CAP_SYS_RESOURCE",
		always, setRlimits},
	{"join-keyring", exitKeyring, "the helper's session keyring must not be seen",
		func(l *Launch) bool { return !l.opt.KeepKeyring }, joinKeyring},
	{"new-session", exitSetsid, "no controlling terminal of the host (TIOCSTI)",
		always, newSession},
	{"redirect-stdio", exitStdout, "descriptors 0 to 2, nothing else",
		always, redirectStdio},
	{"take-terminal", exitStdout, "a session's leader alone can",
		hasTerminal, takeTerminal},
	{"reset-signals", exitExec, "the helper's handlers and mask are not the payload's",
		always, resetSignals},
	{"enter-user-namespace", exitUser, "after the last step that needs the host's privilege",
		usesUserNamespace, enterUserNamespace},
	{"start-container-hooks", exitNamespace, "in the container, with paths of its root, before its privilege is reduced",
		func(l *Launch) bool { return hasStartContainerHooks(l) && !held(l) }, startContainerHooks},
	{"verify-namespaces", exitNamespace, "an isolation that is not there is an error, not a warning",
		always, verifyNamespaces},
	{"drop-bounding-set", exitCapabilities, "needs CAP_SETPCAP, which set-capabilities drops",
		always, dropBounding},
	{"load-seccomp-early", exitSeccomp, "an init may not keep the CAP_SYS_ADMIN that it needs without no_new_privs, so it precedes set-capabilities",
		seccompEarly, loadSeccomp},
	{"set-user", exitUser, "groups first: setgroups(2) needs the capability that setresuid(2) takes away",
		always, setUser},
	{"forbid-tracing", exitUser, "after set-user, which would allow it again; from set-capabilities on a neighbour in its PID namespace may have no less than it, and it has no filter yet (CVE-2016-9962)",
		watched, func(c *compiler) { c.forbidTracing() }},
	{"set-capabilities", exitCapabilities, "after set-user, which would clear them",
		always, setCapabilities},
	{"set-no-new-privs", exitNoNewPrivs, "after it no exec can gain privilege; seccomp(2) needs it or CAP_SYS_ADMIN",
		wantsNoNewPrivs, setNoNewPrivs},
	{"change-directory", exitChdir, "as the payload's user: what it may not enter it does not start in (CVE-2024-21626)",
		always, changeDirectory},
	{"set-selinux-label", exitSELinux, "takes effect at exec; the transition must precede no_new_privs' own check there",
		hasSELinuxLabel, setSELinuxLabel},
	{"set-apparmor-profile", exitAppArmor, "takes effect at exec",
		hasAppArmorProfile, setAppArmorProfile},
	{"verify-privileges", exitCapabilities, "every protection is read back; a difference stops the start",
		always, verifyPrivileges},
	{"close-descriptors", exitExec, "everything above 2 closes on exec",
		always, closeDescriptors},
	{"verify-descriptors", exitExec, "each one that this process can have is asked: what is left would be a way out (CVE-2024-21626)",
		always, verifyDescriptors},
	{"start-init", exitExec, "the init keeps what the process may do by now and runs no code of the payload",
		wantsInit, startInit},
	{"write-pid", exitExec, "in variables that are for the payload alone; it has the number that it keeps",
		hasOwnPID, writePID},
	{"find-program", exitExec, "while somebody waits who can be told",
		held, findProgram},
	{"await-start", exitExec, "an OCI runtime's create ends here, and its start goes on",
		held, awaitStart},
	{"start-container-hooks-held", exitNamespace, "at the start, and not when it is created",
		func(l *Launch) bool { return hasStartContainerHooks(l) && held(l) }, startContainerHooks},
	{"load-seccomp", exitSeccomp, "last: the filter need not allow what the steps above call",
		seccompLate, loadSeccomp},
	{"drop-admin", exitCapabilities, "under the filter, which only it could load without no_new_privs",
		keepsAdmin, dropAdmin},
	{"exec-payload", exitExec, "", always, execPayload},
}

func always(*Launch) bool { return true }

// compileSteps compiles all, or of a child that waits for its program what it
// does before its gate: the rest is compiled while it does that (Launch.Start).
func compileSteps(l *Launch) error {
	l.compiler = &compiler{Launch: l, p: program.New(), steps: innerSteps}
	l.prog = l.compiler.p
	l.prog.Grow(usualCalls)
	if l.begun() {
		l.compiler.highest = highestDescriptor() // the child has those of its start
		if hasStartContainerHooks(l) {
			if err := l.openState(); err != nil {
				return err
			}
		}
		return l.compiler.compile("await-cgroup")
	}
	return l.compiler.compile("")
}

// usualCalls is more than a container of an image with a handful of volumes makes.
const usualCalls = 1024

// compile goes on up to a step.
func (c *compiler) compile(last string) error {
	for len(c.steps) > 0 && c.err == nil {
		s := c.steps[0]
		c.steps = c.steps[1:]
		if s.when(c.Launch) && !protection.Off(s.name) {
			c.p.Step(s.name, s.exit)
			s.compile(c)
		}
		if s.name == last {
			break
		}
	}
	return c.err
}

// compiler is a launch being compiled.
type compiler struct {
	*Launch
	p     *program.Program
	steps []step // that are still to be compiled
	// highest is the largest number of a descriptor that the child may have got
	// before its program was whole; 0 = it gets them with that.
	highest int
	proc    program.Reg // the private procfs
	// rootReg is the root file system where the child itself has mounted it.
	rootReg program.Reg
	tty     program.Reg   // the terminal's slave
	cgroups []program.Reg // where those of lateCgroups will be mounted
	null    program.Reg   // a null device of our own
	empty   program.Reg   // an empty directory of our own
	ownPID  []program.Ptr // variables that writePID fills in
	// copied are the files of copies, by index of spec.Mounts.
	copied map[int]program.Reg
	// noPlace is where a mount goes on that may be left out; nil = it may not.
	noPlace *program.Label
	err     error
}

// hasNew tells whether the namespace is made for the payload.
func (l *Launch) hasNew(t specs.LinuxNamespaceType) bool {
	for _, n := range l.spec.Linux.Namespaces {
		if n.Type == t && n.Path == "" {
			return true
		}
	}
	return false
}

// how keeps the struct open_how of openat2(2) for paths inside the rootfs.
func (c *compiler) how(flags, resolve uint64) (program.Ptr, int) {
	return program.Keep(c.p, &unix.OpenHow{Flags: flags, Resolve: resolve}), unix.SizeofOpenHow
}

// inRoot resolves a hostile path as chroot(2) would, with no way out.
const inRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// resolve is how the inner half resolves destinations.
func resolve() uint64 {
	if protection.Off("in-root") {
		return 0
	}
	return inRoot
}

// resolveNoLinks is the same where no link is expected at all.
func resolveNoLinks() uint64 {
	if protection.Off("in-root") {
		return 0
	}
	return inRoot | unix.RESOLVE_NO_SYMLINKS
}
