// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/binary"
	"fmt"
	"os"

	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
)

// rlimits are the names of setrlimit(2).
var rlimits = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
	"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
	"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME": unix.RLIMIT_RTTIME, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

func setRlimits(c *compiler) {
	for _, r := range c.spec.Process.Rlimits {
		nr, ok := rlimits[r.Type]
		if !ok {
			c.err = fmt.Errorf("unknown resource limit %q", r.Type)
			return
		}
		limit := program.Keep(c.p, &unix.Rlimit{Cur: r.Soft, Max: r.Hard})
		c.p.Call("prlimit64", fmt.Sprintf("%s=%d:%d", r.Type, int64(r.Soft), int64(r.Hard)), unix.SYS_PRLIMIT64, 0, nr, limit, 0)
	}
}

// joinKeyring gives the payload an empty session keyring (keyrings(7)); a
// kernel without keyrings has nothing to hide.
func joinKeyring(c *compiler) {
	if hasSELinuxLabel(c.Launch) {
		// Keys are labelled as their maker, and the payload must reach its own
		// (proc_pid_attr(5), keycreate).
		c.writeProc(selinuxKeyFile, c.spec.Process.SelinuxLabel)
		defer c.writeProc(selinuxKeyFile, "\x00") // and those that it makes itself as it
	}
	c.p.Call("keyctl", "JOIN_SESSION_KEYRING", unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0).Ignore(unix.ENOSYS)
}

// hostUID is a container's user id as the host has it.
func (c *compiler) hostUID(uid uint32) uint32 {
	if c.anchor == nil {
		return uid
	}
	id, err := hostID(c.spec.Linux.UIDMappings, uid)
	if err != nil {
		c.err = fmt.Errorf("user %d: %w", uid, err)
	}
	return id
}

func newSession(c *compiler) { c.p.Call("setsid", "", unix.SYS_SETSID) }

func redirectStdio(c *compiler) {
	if !hasTerminal(c.Launch) {
		redirectStreams(c)
		return
	}
	for i := range 3 {
		c.p.Call("dup3", fmt.Sprintf("the terminal as %d", i), unix.SYS_DUP3, c.tty, i, 0)
	}
}

// redirectStreams is redirectStdio without a terminal, or where another runtime
// opens it.
func redirectStreams(c *compiler) {
	for i, f := range c.opt.Stdio {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeNamedPipe != 0 {
			// Programs open /dev/stdout by name (nginx); the pipe must be theirs.
			chown := c.p.Call("fchown", f.Name()+" to the payload's user", unix.SYS_FCHOWN, int(f.Fd()), int(c.hostUID(c.user.UID)), -1)
			if c.opt.InUserNamespace {
				chown.Ignore(unix.EPERM) // somebody else's, and stays so
			}
		}
		if int(f.Fd()) == i {
			c.p.Call("fcntl", fmt.Sprintf("%d F_SETFD 0", i), unix.SYS_FCNTL, i, unix.F_SETFD, 0)
			continue
		}
		c.p.Call("dup3", fmt.Sprintf("%s as %d", f.Name(), i), unix.SYS_DUP3, int(f.Fd()), i, 0)
	}
}

// resetSignals gives every signal its default action and unblocks it. The
// handlers of the helper's Go runtime must not run in this process.
func resetSignals(c *compiler) {
	const sigsetSize = 8
	action := c.p.Bytes(make([]byte, 32)) // struct sigaction: handler SIG_DFL, no flags, empty mask
	for sig := 1; sig <= 64; sig++ {
		if sig == int(unix.SIGKILL) || sig == int(unix.SIGSTOP) {
			continue
		}
		c.p.Call("rt_sigaction", fmt.Sprintf("%d SIG_DFL", sig), unix.SYS_RT_SIGACTION, sig, action, 0, sigsetSize)
	}
	c.p.Call("rt_sigprocmask", "none blocked", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, c.p.Bytes(make([]byte, sigsetSize)), 0, sigsetSize)
}

// ownAsContainerRoot makes this process create files as the container's root,
// while it keeps the host's privilege for mounts: SECBIT_NO_SETUID_FIXUP keeps
// the capabilities that a change of fsuid would clear (capabilities(7)).
func ownAsContainerRoot(c *compiler) {
	const noSetuidFixup = 1 << 2
	c.p.Call("prctl", "PR_SET_SECUREBITS SECBIT_NO_SETUID_FIXUP", unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, noSetuidFixup, 0, 0, 0)
	c.p.Call("setfsuid", fmt.Sprint(c.anchor.base), unix.SYS_SETFSUID, int(c.anchor.base))
	c.p.Call("setfsgid", fmt.Sprint(c.anchor.baseGID), unix.SYS_SETFSGID, int(c.anchor.baseGID))
	c.p.Call("setfsuid", "read back", unix.SYS_SETFSUID, -1).Want(uintptr(c.anchor.base))
	c.p.Call("setfsgid", "read back", unix.SYS_SETFSGID, -1).Want(uintptr(c.anchor.baseGID))
}

func enterUserNamespace(c *compiler) {
	c.setns(int(c.anchor.user.Fd()), unix.CLONE_NEWUSER, "user")
	// Joining resets the secure bits; root of the container from here on.
	c.p.Call("setgroups", "none", unix.SYS_SETGROUPS, 0, 0)
	c.p.Call("setresgid", "0", unix.SYS_SETRESGID, 0, 0, 0)
	c.p.Call("setresuid", "0", unix.SYS_SETRESUID, 0, 0, 0)
}

// keepsGroups tells whether this process's groups are the payload's too: a user
// who maps one group alone may drop none (user_namespaces(7)).
func keepsGroups(l *Launch) bool {
	if !l.opt.InUserNamespace {
		return false
	}
	b, err := os.ReadFile("/proc/self/setgroups")
	return err == nil && strings.TrimSpace(string(b)) == "deny"
}

func setUser(c *compiler) {
	u := c.user
	c.p.Call("prctl", "PR_SET_KEEPCAPS", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0, 0, 0)
	groups := make([]byte, 4*len(u.Groups)+4)
	for i, g := range u.Groups {
		binary.NativeEndian.PutUint32(groups[4*i:], g)
	}
	if (!keepsGroups(c.Launch) || len(u.Groups) > 0) && !protection.Off("drop-groups") {
		c.p.Call("setgroups", fmt.Sprint(u.Groups), unix.SYS_SETGROUPS, len(u.Groups), c.p.Bytes(groups))
	}
	c.p.Call("setresgid", fmt.Sprint(u.GID), unix.SYS_SETRESGID, int(u.GID), int(u.GID), int(u.GID))
	c.p.Call("setresuid", fmt.Sprint(u.UID), unix.SYS_SETRESUID, int(u.UID), int(u.UID), int(u.UID))
}

func wantsNoNewPrivs(l *Launch) bool { return l.spec.Process.NoNewPrivileges }

func setNoNewPrivs(c *compiler) {
	c.p.Call("prctl", "PR_SET_NO_NEW_PRIVS", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// changeDirectory enters the working directory and proves that it is below the
// root: getcwd(2) gives "(unreachable)" in front otherwise.
func changeDirectory(c *compiler) {
	cwd := c.spec.Process.Cwd
	c.p.Call("chdir", cwd, unix.SYS_CHDIR, c.p.Str(cwd))
	got := make([]byte, 4096)
	if protection.Off("directory-inside") {
		return
	}
	c.p.Call("getcwd", "", unix.SYS_GETCWD, c.p.Bytes(got), len(got))
	c.p.Compare("getcwd", "must begin with /", got[:1], []byte("/"))
}

// verifyPrivileges reads back who the process is and what it may do.
func verifyPrivileges(c *compiler) {
	ids := func(what string, nr uintptr, want uint32) {
		got := make([]byte, 12)
		w := make([]byte, 12)
		for i := range 3 {
			binary.NativeEndian.PutUint32(w[4*i:], want)
		}
		p := c.p.Bytes(got)
		c.p.Call(what, "", nr, p, p+4, p+8)
		c.p.Compare(what, fmt.Sprint(want), got, w)
	}
	ids("getresuid", unix.SYS_GETRESUID, c.user.UID)
	ids("getresgid", unix.SYS_GETRESGID, c.user.GID)
	if !keepsGroups(c.Launch) {
		c.p.Call("getgroups", "", unix.SYS_GETGROUPS, 0, 0).Want(uintptr(len(c.user.Groups)))
	}
	c.verifyCapabilities()
	nnp := uintptr(0)
	if c.spec.Process.NoNewPrivileges {
		nnp = 1
	}
	c.p.Call("prctl", "PR_GET_NO_NEW_PRIVS", unix.SYS_PRCTL, unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0).Want(nnp)
	for _, path := range c.spec.Linux.ReadonlyPaths {
		if path == "/proc/sys" {
			c.mustBeReadonly(path)
		}
	}
}

func wantsInit(l *Launch) bool { return l.plan.Init }

func startInit(c *compiler) { c.p.Init("init", c.plan.StopSignal) }

func hasOwnPID(l *Launch) bool { return len(l.opt.OwnPID) > 0 }

// writePID completes variables with the number that this process has for itself.
func writePID(c *compiler) {
	mark := c.p.Mark()
	pid := c.p.Reg()
	c.p.Call("getpid", "", unix.SYS_GETPID).Into(pid)
	for _, name := range c.opt.OwnPID {
		b := make([]byte, len(name)+1+program.MaxDigits)
		copy(b, name+"=")
		c.p.Digits(pid, b[len(name)+1:])
		c.ownPID = append(c.ownPID, c.p.Bytes(b))
	}
	c.p.Release(mark)
}

// execPayload tries the search path as execvp(3) does: a directory without the
// program is passed over, and so is one that may not be entered, unless
// nothing else is found.
func execPayload(c *compiler) {
	argv, envp := c.p.Strv(c.spec.Process.Args), c.p.Strv(c.spec.Process.Env, c.ownPID...)
	name := c.spec.Process.Args[0]
	candidates := execCandidates(name, c.spec.Process.Env)
	for i, path := range candidates {
		call := c.p.Call("execve", path, unix.SYS_EXECVE, c.p.Str(path), argv, envp)
		if i < len(candidates)-1 {
			call.Ignore(unix.ENOENT, unix.ENOTDIR, unix.EACCES)
		}
	}
	if len(candidates) == 0 {
		c.p.Fail("execve", name+": PATH has no absolute directory", unix.ENOENT)
	}
}

// execCandidates are the files that a program's name may mean, in order.
func execCandidates(name string, env []string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	var candidates []string
	for _, dir := range strings.Split(pathOf(env), ":") {
		if strings.HasPrefix(dir, "/") {
			candidates = append(candidates, strings.TrimSuffix(dir, "/")+"/"+name)
		}
	}
	return candidates
}

func pathOf(env []string) string {
	path := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	return path
}
