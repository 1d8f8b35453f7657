// SPDX-License-Identifier: Apache-2.0

// Package enter takes a program into the user's own namespace, in which the user is
// root and has the ids that /etc/subuid and /etc/subgid give them. There the program
// may mount, and do what else containers need, and the host's root is nobody.
//
// A process of several threads can neither make nor join a user namespace: a forked
// child does it and becomes the program.
package enter

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/realm"
)

// Child is a process that waits in the namespace for Release, and is the program then.
type Child struct{ *program.Child }

// Options are how a child is born.
type Options struct {
	// Sibling makes the child one of this process's parent.
	Sibling bool
	// Of is a process whose user namespace is joined; 0 = a new one is made.
	Of int
	// Into is a user namespace to be joined, in the place of a process's.
	Into *os.File
	// Before adds calls in front of the program.
	Before func(*program.Program)
}

// Fork makes the child. args are the program's own words, its path first.
func Fork(u *realm.User, args []string, opt Options) (*Child, error) {
	p := program.New()
	p.Step("enter-user-namespace", 1)
	flags := uint64(unix.CLONE_NEWUSER | unix.CLONE_NEWNS)
	ns := opt.Into
	if opt.Of != 0 {
		var err error
		if ns, err = os.Open("/proc/" + strconv.Itoa(opt.Of) + "/ns/user"); err != nil {
			return nil, err
		}
		defer ns.Close()
	}
	if ns != nil {
		p.Call("setns", "user", unix.SYS_SETNS, int(ns.Fd()), unix.CLONE_NEWUSER)
		p.Call("unshare", "CLONE_NEWNS", unix.SYS_UNSHARE, unix.CLONE_NEWNS)
		flags = 0
	}
	if opt.Sibling {
		flags |= unix.CLONE_PARENT
	}
	p.AwaitGate("read gate")
	// It changes nothing: a new namespace has nothing shared. But who may not, may
	// mount nothing else either.
	p.Call(mayMount, everywhere, unix.SYS_MOUNT, 0, p.Str("/"), 0, unix.MS_SLAVE|unix.MS_REC, 0)
	if opt.Before != nil {
		opt.Before(p)
	}
	p.Call("execve", args[0], unix.SYS_EXECVE, p.Str(args[0]), p.Strv(args), p.Strv(realm.Environ()))
	child, err := p.Fork(program.ForkOptions{Flags: flags, CgroupDir: -1})
	if err != nil {
		return nil, explain(err)
	}
	if ns == nil {
		if err := mapIDs(u, child.PID); err != nil {
			_ = child.Kill()
			child.Close()
			if !opt.Sibling {
				_, _ = unix.Wait4(child.PID, nil, 0, nil)
			}
			return nil, err
		}
	}
	return &Child{child}, nil
}

// mayMount is the call that shows whether the namespace is of use.
const mayMount, everywhere = "mount", "/"

// Release lets the child go on and waits until it is the program.
func (c *Child) Release() error {
	if err := c.Open(); err != nil {
		return err
	}
	err := c.AwaitExec()
	var op *program.OpError
	if errors.As(err, &op) && op.What == mayMount && op.Detail == everywhere {
		return explainMount(op.Err)
	}
	return err
}

// explain: some hosts keep user namespaces to root. The errno's own meaning would lead
// astray: no file is somebody else's, and no disk is full.
func explain(err error) error {
	cure := ""
	switch {
	case errors.Is(err, unix.ENOSPC):
		cure = "users may have no more of them: as root, raise user.max_user_namespaces (sysctl.d(5))"
	case errors.Is(err, unix.EPERM) && isZero("/proc/sys/kernel/unprivileged_userns_clone"):
		cure = "this host keeps them to root: as root, set kernel.unprivileged_userns_clone=1 (sysctl.d(5))"
	case (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) && restrictedByAppArmor():
		cure = forAppArmor
	case errors.Is(err, unix.EPERM):
		cure = "this host keeps them to root, or a security module does: its log says which (journalctl -k)"
	default:
		return fmt.Errorf("making a user namespace: %w", err)
	}
	return fmt.Errorf("making a user namespace: %v; %s", err, cure)
}

// explainMount: a namespace in which nothing may be mounted is of no use.
func explainMount(err error) error {
	if restrictedByAppArmor() {
		return fmt.Errorf("mounting in the user's namespace: %v; %s", err, forAppArmor)
	}
	return fmt.Errorf("mounting in the user's namespace: %v; a security module keeps it from users: its log says which (journalctl -k)", err)
}

const forAppArmor = "AppArmor keeps it from users: as root, set kernel.apparmor_restrict_unprivileged_userns=0 (sysctl.d(5)), or load a profile with `userns,` for unitc and unitc-exec (CONTAINERS OF USERS in unitc(1) has one)"

// restrictedByAppArmor: there a namespace may be made, and nothing done in it.
func restrictedByAppArmor() bool {
	data, err := os.ReadFile("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
	return err == nil && strings.TrimSpace(string(data)) != "0"
}

func isZero(path string) bool {
	data, err := os.ReadFile(path)
	return err == nil && strings.TrimSpace(string(data)) == "0"
}

// mapIDs gives a new namespace its ids: those of the user, or within the user's own
// namespace the same as there.
func mapIDs(u *realm.User, pid int) error {
	if !u.Entered {
		return writeMaps(u, pid)
	}
	for _, name := range []string{"/uid_map", "/gid_map"} {
		own, err := os.ReadFile("/proc/self" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile("/proc/"+strconv.Itoa(pid)+name, sameIDs(string(own)), 0); err != nil {
			return err
		}
	}
	return nil
}

// sameIDs maps the ids that a map of user_namespaces(7) gives to themselves.
func sameIDs(own string) (data []byte) {
	for line := range strings.Lines(own) {
		if f := strings.Fields(line); len(f) == 3 {
			data = fmt.Appendf(data, "%s %[1]s %s\n", f[0], f[2])
		}
	}
	return data
}

// writeMaps has the ids mapped by programs of the host's that may do so, by
// /etc/subuid and /etc/subgid.
func writeMaps(u *realm.User, pid int) error {
	ids, err := OwnIDs(u.UID)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		helper string
		own    int
		ranges []Range
	}{{"newuidmap", u.UID, ids.UIDs}, {"newgidmap", os.Getegid(), ids.GIDs}} {
		path, err := findHelper(part.helper)
		if err != nil {
			return err
		}
		args := append([]string{strconv.Itoa(pid)}, mapping(part.own, part.ranges)...)
		if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s%s", part.helper, err, strings.TrimSpace(string(out)), whyRefused(path))
		}
	}
	return nil
}

// whyRefused says what keeps a helper from being root, if that is seen.
func whyRefused(path string) string {
	if on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && on == 1 {
		return "; no program can get privilege here: take NoNewPrivileges= out of the drop-ins of user@.service (`systemctl cat user@.service` names them)"
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err == nil && fs.Flags&unix.ST_NOSUID != 0 {
		return "; " + path + " is on a file system that is mounted nosuid: mount it with suid"
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Mode&unix.S_ISUID != 0 && st.Uid == 0 {
		return ""
	}
	if _, err := unix.Getxattr(path, "security.capability", nil); err == nil {
		return ""
	}
	return "; " + path + " is neither set-user-ID root nor has it a capability: install its package anew (Debian's uidmap, Fedora's shadow-utils)"
}

// mapping puts the user to 0 and all else behind.
func mapping(own int, ranges []Range) []string {
	words := []string{"0", strconv.Itoa(own), "1"}
	next := 1
	for _, r := range ranges {
		words = append(words, strconv.Itoa(next), strconv.Itoa(r.Start), strconv.Itoa(r.Count))
		next += r.Count
	}
	return words
}

// helperDirs are the host's; what the user's PATH says may be anybody's.
var helperDirs = []string{"/usr/bin/", "/bin/", "/usr/sbin/", "/usr/local/bin/", "/run/wrappers/bin/"}

func findHelper(name string) (string, error) {
	for _, dir := range helperDirs {
		if unix.Access(dir+name, unix.X_OK) == nil {
			return dir + name, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: it maps the ids of /etc/subuid (Debian's package uidmap, Fedora's shadow-utils)", name)
}

// Await gives the status with which a child of this process has ended, a signal's as
// shells give it.
func Await(pid int) int {
	status, _ := await(pid)
	return status
}

// EndWith ends this process as a child has ended: systemd is to see that one was killed
// (Restart=on-abnormal).
func EndWith(pid int) {
	status, killed := await(pid)
	if killed {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	os.Exit(status)
}

func await(pid int) (status int, killed bool) {
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(pid, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1, false
		case ws.Signaled():
			return 128 + int(ws.Signal()), ws.Signal() == unix.SIGKILL
		default:
			return ws.ExitStatus(), false
		}
	}
}
