// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/oci/bundle"
	"github.com/unitc/unitc/internal/oci/cgroup"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/runtime"
)

var processVerbs = []verb{
	{name: "exec", args: "<container-id> <command> [command options]", help: "run another process in a container", least: 1, most: -1, foreign: true, status: 255, run: execProcess,
		options: []option{
			{"console-socket", "", "SOCKET", "unix socket that gets the terminal's other end"},
			{"pidfd-socket", "", "SOCKET", "unix socket that gets a pidfd of the process"},
			{"cwd", "", "DIR", "working directory"},
			{"env", "e", "NAME=VALUE", "environment variable"},
			{"tty", "t", "", "give it a terminal"},
			{"user", "u", "UID[:GID]", "user"},
			{"additional-gids", "g", "GID", "another group"},
			{"process", "p", "FILE", "the process as JSON"},
			{"detach", "d", "", "do not wait for it"},
			{"pid-file", "", "FILE", "file to write the process id to"},
			{"process-label", "", "LABEL", "SELinux label"},
			{"apparmor", "", "PROFILE", "AppArmor profile"},
			{"no-new-privs", "", "", "set no_new_privs"},
			{"cap", "c", "CAP", "another capability"},
			{"preserve-fds", "", "N", "pass N more descriptors"},
			{"cgroup", "", "PATH", "a cgroup below the container's"},
			{"ignore-paused", "", "", "also in a paused container"},
		}},
}

func execProcess(c *call) error {
	k, err := c.look(c.args[0])
	if err != nil {
		return err
	}
	switch status := k.status(); {
	case status == specs.StateStopped:
		return errors.New("cannot exec in a stopped container")
	case status == statePaused && !c.has("ignore-paused"):
		return errors.New("cannot exec in a paused container (use --ignore-paused to override)")
	}
	if outside(k) {
		return c.intoOf(k)
	}
	if err := runtime.SealFor(k.PID); err != nil {
		return fmt.Errorf("exec failed: %w", err)
	}
	spec, err := k.config()
	if err != nil {
		return err
	}
	p, err := c.process(spec)
	if err != nil {
		return err
	}
	detached := c.has("detach")
	socket := c.get("console-socket")
	switch {
	case p.Terminal && detached && socket == "":
		return errors.New("cannot allocate tty if " + runtimeName + " will detach without setting console socket")
	case socket != "" && !(p.Terminal && detached):
		return errors.New("cannot use console socket if " + runtimeName + " will not detach or allocate tty")
	}
	c.grantable(p, bundle.HasNamespace(spec, specs.UserNamespace))
	cfg := runtime.ExecConfig{
		PID: k.PID, StartTime: k.StartTime, Spec: spec, Process: p, Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr},
		ID: k.ID, Bundle: k.Bundle, InUserNamespace: rootless(),
	}
	inherit, err := c.inherited()
	if err != nil {
		return err
	}
	p.Env = inherit.environment(p.Env)
	cfg.PreserveFDs, cfg.OwnPID = inherit.descriptors, inherit.ownPID
	if cfg.Cgroup, err = c.subgroup(k); err != nil {
		return err
	}
	to, err := c.findReceivers()
	if err != nil {
		return err
	}
	defer to.close()
	j, err := runtime.Exec(context.Background(), cfg)
	if err != nil {
		return fmt.Errorf("exec failed: %w", explain(err, p))
	}
	return c.joined(j, to, detached)
}

// joined hands out what the caller asked for, and waits unless it is detached.
func (c *call) joined(j *runtime.Joined, to receivers, detached bool) error {
	err := writePIDFile(c.get("pid-file"), j.PID)
	if err == nil && c.given("console-socket") {
		err = to.sendConsole(j.Terminal)
	}
	if err == nil {
		err = to.sendPIDFD(j.PID)
	}
	to.close()
	if err != nil {
		// It is our child until we end, so its number is nobody else's.
		_ = unix.Kill(j.PID, unix.SIGKILL)
		reap(j.PID)
		return err
	}
	if detached {
		return nil
	}
	a := attach(j.Terminal, true)
	a.passSignals(j.PID)
	status := reap(j.PID)
	a.end()
	return exitStatus(status)
}

// process is what is to run: a file's, or the container's own with changes.
func (c *call) process(spec *specs.Spec) (*specs.Process, error) {
	var p specs.Process
	if path := c.get("process"); path != "" {
		b, err := bundle.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(b), `\u0000`) {
			return nil, errors.New("process: a string has a NUL byte")
		}
		if err := json.Unmarshal(b, &p); err != nil {
			return nil, fmt.Errorf("process: %w", err)
		}
		return &p, bundle.CheckProcess(&p)
	}
	if len(c.args) < 2 {
		return nil, errors.New("process args cannot be empty")
	}
	p = specs.Process{Cwd: "/"}
	if spec.Process != nil {
		p = *spec.Process
	}
	p.Args, p.Terminal, p.ConsoleSize = c.args[1:], c.has("tty"), nil
	p.Env = slices.Concat(p.Env, c.options["env"])
	if cwd := c.get("cwd"); cwd != "" {
		p.Cwd = cwd
	}
	if label := c.get("process-label"); label != "" {
		p.SelinuxLabel = label
	}
	if profile := c.get("apparmor"); profile != "" {
		p.ApparmorProfile = profile
	}
	if c.given("no-new-privs") {
		p.NoNewPrivileges = c.has("no-new-privs")
	}
	c.addCapabilities(&p)
	if err := c.changeUser(&p); err != nil {
		return nil, err
	}
	return &p, bundle.CheckProcess(&p)
}

func (c *call) addCapabilities(p *specs.Process) {
	more := c.options["cap"]
	if len(more) == 0 {
		return
	}
	var caps specs.LinuxCapabilities
	if p.Capabilities != nil {
		caps = *p.Capabilities
	}
	ambient := len(caps.Ambient) > 0
	for _, name := range more {
		name = strings.ToUpper(name)
		if !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		caps.Bounding = append(slices.Clone(caps.Bounding), name)
		caps.Effective = append(slices.Clone(caps.Effective), name)
		caps.Permitted = append(slices.Clone(caps.Permitted), name)
		if ambient {
			caps.Inheritable = append(slices.Clone(caps.Inheritable), name)
			caps.Ambient = append(slices.Clone(caps.Ambient), name)
		}
	}
	p.Capabilities = &caps
}

func (c *call) changeUser(p *specs.Process) error {
	id := func(s, what string) (uint32, error) {
		n, err := strconv.ParseUint(s, 10, 32)
		if protection.Off("numbers-are-ids") {
			long, _ := strconv.ParseUint(s, 10, 64)
			return uint32(long), nil
		}
		if err != nil || n == 1<<32-1 {
			return 0, fmt.Errorf("parsing %s as int for %s failed", s, what)
		}
		return uint32(n), nil
	}
	var err error
	if user := c.get("user"); user != "" {
		uid, gid, hasGroup := strings.Cut(user, ":")
		if hasGroup {
			if p.User.GID, err = id(gid, "gid"); err != nil {
				return err
			}
		}
		if p.User.UID, err = id(uid, "uid"); err != nil {
			return err
		}
	}
	for _, g := range c.options["additional-gids"] {
		gid, err := id(g, "gid")
		if err != nil {
			return err
		}
		p.User.AdditionalGids = append(slices.Clone(p.User.AdditionalGids), gid)
	}
	return nil
}

// subgroup is --cgroup: "[controllers:]path" below the container's cgroup.
func (c *call) subgroup(k *container) (*os.File, error) {
	path := c.get("cgroup")
	if path == "" {
		return nil, nil
	}
	if _, after, ok := strings.Cut(path, ":"); ok {
		path = after
	}
	if k.Cgroup == "" {
		return nil, errors.New("the container has no cgroup of its own")
	}
	// Cleaned as if it were absolute: it may not climb.
	group := cgroup.Group(filepath.Join(k.Cgroup, filepath.Clean("/"+path)))
	dir, err := group.Dir()
	if err != nil {
		return nil, fmt.Errorf("exec cgroup: %w", err)
	}
	return dir, nil
}
