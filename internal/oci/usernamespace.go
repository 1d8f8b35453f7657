// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/oci/bundle"
	"github.com/unitc/unitc/internal/program"
)

// A user without privilege can do nothing that a container needs but to make a
// user namespace, and there everything. So the program runs once more in the
// namespace that config.json asks for, or in that of the container which it is
// called for; it finds nothing more to make there. The namespace can be neither
// made nor joined by a process of several threads, so a forked child does it and
// becomes the program.

// reborn says in the environment that this process is the one inside.
const reborn = "_UNITC_RUNTIME_IN_USERNS"

func isReborn() bool { return os.Getenv(reborn) != "" }

// intoNew runs the call again in a user namespace with the mappings of the
// configuration in bundle.
func (c *call) intoNew(dir string) error {
	spec, err := bundle.ReadToCreate(dir, nil)
	if err != nil {
		return err
	}
	if !bundle.HasNamespace(spec, specs.UserNamespace) {
		//lint:ignore ST1005 runc's words
		return errors.New("Rootless containers require user namespaces")
	}
	if m := spec.Linux.UIDMappings; len(m) == 0 || m[0].ContainerID != 0 || int(m[0].HostID) != os.Geteuid() {
		return fmt.Errorf("without privilege the first of linux.uidMappings has to put id 0 to the caller's own, %d", os.Geteuid())
	}
	p := program.New()
	p.Step("enter-user-namespace", 1)
	p.AwaitGate("read gate")
	return again(p, unix.CLONE_NEWUSER|unix.CLONE_NEWNS, func(pid int) error {
		return writeOwnMaps(pid, spec.Linux.UIDMappings, spec.Linux.GIDMappings)
	})
}

// intoOf runs the call again in the user namespace of the container.
func (c *call) intoOf(k *container) error {
	ns, err := os.Open("/proc/" + strconv.Itoa(k.PID) + "/ns/user")
	if err != nil {
		return err
	}
	defer ns.Close()
	p := program.New()
	p.Step("join-user-namespace", 1)
	p.Call("setns", "user", unix.SYS_SETNS, int(ns.Fd()), unix.CLONE_NEWUSER)
	p.Call("unshare", "CLONE_NEWNS", unix.SYS_UNSHARE, unix.CLONE_NEWNS)
	p.AwaitGate("read gate")
	return again(p, 0, func(int) error { return nil })
}

// again forks p, which ends in this very program, and passes its status on.
func again(p *program.Program, flags uint64, prepare func(pid int) error) error {
	in, err := speakForOneInside(p)
	if err != nil {
		return err
	}
	env := append(forOneInside(os.Environ()), reborn+"=1")
	if in != nil {
		env = append(env, mouthpiece+"="+strconv.Itoa(in.theirs))
		defer in.end()
	}
	// By its name: /proc/self/exe is of the mount namespace that is left.
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p.Call("execve", self, unix.SYS_EXECVE, p.Str(self), p.Strv(os.Args), p.Strv(env))
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	child, err := p.Fork(program.ForkOptions{Flags: flags, CgroupDir: -1})
	if err != nil {
		return fmt.Errorf("entering a user namespace: %w", err)
	}
	defer child.Close()
	in.begin()
	if err = prepare(child.PID); err == nil {
		err = child.Open()
	}
	if err != nil {
		_ = child.Kill()
		reap(child.PID)
		return err
	}
	go func() {
		for s := range signals {
			switch s {
			case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE:
			default:
				_ = unix.Kill(child.PID, s.(unix.Signal))
			}
		}
	}()
	if err := child.AwaitExec(); err != nil {
		reap(child.PID)
		return fmt.Errorf("entering a user namespace: %w", err)
	}
	return exitStatus(reap(child.PID))
}

// writeOwnMaps maps the caller's own id by itself, and more by the helpers that
// /etc/subuid allows (newuidmap(1)).
func writeOwnMaps(pid int, uids, gids []specs.LinuxIDMapping) error {
	own := func(m []specs.LinuxIDMapping, id int) bool {
		return len(m) == 1 && m[0].Size == 1 && int(m[0].HostID) == id
	}
	dir := "/proc/" + strconv.Itoa(pid)
	for _, part := range []struct {
		file, helper string
		maps         []specs.LinuxIDMapping
		own          bool
	}{
		{"/uid_map", "newuidmap", uids, own(uids, os.Geteuid())},
		{"/gid_map", "newgidmap", gids, own(gids, os.Getegid())},
	} {
		var words []string
		for _, m := range part.maps {
			words = append(words, fmt.Sprint(m.ContainerID), fmt.Sprint(m.HostID), fmt.Sprint(m.Size))
		}
		if !part.own {
			if out, err := exec.Command(part.helper, append([]string{strconv.Itoa(pid)}, words...)...).CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", part.helper, err, strings.TrimSpace(string(out)))
			}
			continue
		}
		if part.file == "/gid_map" {
			// Without it the kernel takes no map of a caller without privilege (user_namespaces(7)).
			if err := os.WriteFile(dir+"/setgroups", []byte("deny"), 0); err != nil {
				return fmt.Errorf("writing setgroups: %w", err)
			}
		}
		if err := os.WriteFile(dir+part.file, []byte(strings.Join(words, " ")), 0); err != nil {
			return fmt.Errorf("writing %s: %w", part.file[1:], err)
		}
	}
	return nil
}

// outside tells whether the call has to run in a container's user namespace.
func outside(k *container) bool {
	return os.Geteuid() != 0 && !isReborn() && alive(k.PID, k.StartTime)
}
