// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/runtime"
	"github.com/unitc/unitc/internal/slack"
)

// foreignSteps hand the container to another OCI runtime (`runtime: crun`).
// Unit, scope, logs, stop and limits are the same: systemd makes the scope
// around a holder process, the runtime is born in the payload's leaf, and what
// it creates is PID 1's child as soon as the runtime's command has ended.
var foreignSteps = []startStep{
	{"prepare-bundle", exitNamespace, (*starter).prepareBundle},
	{"clone-holder", exitNamespace, (*starter).cloneHolder},
	{"start-scope", exitCgroup, (*starter).startScope},
	{"join-scope", exitCgroup, (*starter).joinScope},
	{"create-container", exitExec, (*starter).createContainer},
	// Its payload is not held until READY=1, as our own is.
	{"guard-container", exitExec, (*starter).guardContainer},
	{"connect-network", exitNetwork, (*starter).connectNetwork},
	{"await-resolver", exitNetwork, (*starter).awaitResolver},
	{"start-pasta", exitNetwork, (*starter).startPasta},
	{"load-nftables", exitNetwork, (*starter).loadRules},
	{"send-mainpid", exitFailure, (*starter).sendMainPID},
	{"ignore-stop-signals", exitFailure, (*starter).ignoreStopSignals},
	{"start-container", exitExec, (*starter).startContainer},
}

// runtimeDirs are where a runtime is looked for by name.
var runtimeDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"}

// runtimePath finds the program of `runtime:`.
func runtimePath(name string) (string, error) {
	if filepath.IsAbs(name) {
		if err := unix.Access(name, unix.X_OK); err != nil {
			return "", &planner.KeyError{Key: "runtime", What: name + ": " + err.Error(), Cure: "correct the path"}
		}
		return name, nil
	}
	for _, dir := range runtimeDirs {
		if path := dir + "/" + name; unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", &planner.KeyError{
		Key: "runtime", What: fmt.Sprintf("%q is in none of %s", name, strings.Join(runtimeDirs, ", ")),
		Cure: "install it, write its absolute path, or drop the key to use unitc's own runtime",
	}
}

// runtimeCommand is a call of the runtime, with its state and its messages
// below the unit's own directory.
func runtimeCommand(p *plan.Plan, dir string, args ...string) ([]string, error) {
	path, err := runtimePath(p.Runtime)
	if err != nil {
		return nil, err
	}
	argv := []string{path, "--root", dir + "/runtime", "--log", dir + "/runtime.log", "--log-format", "json"}
	if filepath.Base(path) == "crun" {
		// systemd has made the cgroup; crun need not touch it.
		argv = append(argv, "--cgroup-manager", "disabled")
	}
	return append(argv, args...), nil
}

// containerID is what a runtime calls the container: the unit's name without
// what runc and crun refuse in it, such as an instance's "@". It need not be
// unique, the state directory is the unit's own.
func containerID(unit string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '.' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' {
			return r
		}
		return '-'
	}, strings.TrimSuffix(unit, ".service"))
}

func (s *starter) prepareBundle() error {
	create := []string{"create", "--bundle", s.stateDir, "--pid-file", s.stateDir + "/pid"}
	if s.hasTerminal() {
		path, err := s.stateDir+"/console", error(nil)
		if s.console, err = listenAt(path, unix.SOCK_STREAM); err != nil {
			return err
		}
		create = append(create, "--console-socket", path)
	}
	argv, err := runtimeCommand(s.plan, s.stateDir, append(create, containerID(s.plan.Unit))...)
	if err != nil {
		return err
	}
	// The state of an earlier start that was killed would be in the way.
	for _, name := range []string{"/runtime", "/pid", "/runtime.log"} {
		if err := os.RemoveAll(s.stateDir + name); err != nil {
			return err
		}
	}
	s.bundle, err = runtime.PrepareBundle(s.plan, runtime.Options{
		Stdio: s.stdio, AttachPoint: s.stateDir + "/root", ID: containerID(s.plan.Unit), Bundle: s.stateDir,
		Contents: s.contents,
	}, s.stateDir, argv)
	return err
}

// cloneHolder makes the process around which systemd makes the scope.
func (s *starter) cloneHolder() error {
	if s.plan.Scope == nil {
		return nil
	}
	p := program.New()
	p.Step("hold-scope", exitCgroup)
	p.AwaitGate("read gate")
	p.Call("exit", "", unix.SYS_EXIT_GROUP, 0)
	var err error
	s.child, err = p.Fork(program.ForkOptions{CgroupDir: -1})
	return err
}

// createContainer runs `RUNTIME create` inside the payload's cgroup. The
// holder is let go as soon as the container keeps the scope alive.
func (s *starter) createContainer() error {
	err := s.bundle.Run(s.cgroup)
	if s.child != nil {
		s.child.Close()
		awaitOwn(s.child)
		s.child = nil
	}
	if err != nil {
		return fmt.Errorf("%s create: %w%s", s.plan.Runtime, err, runtimeMessage(s.stateDir))
	}
	data, err := os.ReadFile(s.stateDir + "/pid")
	if err != nil {
		return err
	}
	s.payload, err = strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || s.payload < 2 {
		return fmt.Errorf("%s wrote %q as the process id", s.plan.Runtime, data)
	}
	return nil
}

// guardContainer makes a process that kills the container if this one ends before
// systemd has been told of it: the start would hang until its time-out.
func (s *starter) guardContainer() error {
	pidfd, err := unix.PidfdOpen(s.payload, 0)
	if err != nil {
		return fmt.Errorf("pidfd_open %d: %w", s.payload, err)
	}
	defer unix.Close(pidfd)
	p := program.New()
	p.Step("guard-container", exitExec)
	p.AwaitEnd("read gate")
	p.Call("pidfd_send_signal", "SIGKILL", unix.SYS_PIDFD_SEND_SIGNAL, pidfd, int(unix.SIGKILL), 0, 0).Ignore(unix.ESRCH)
	p.Call("exit", "", unix.SYS_EXIT_GROUP, 0)
	s.guard, err = p.Fork(program.ForkOptions{CgroupDir: -1})
	return err
}

// unguard is when systemd knows, or the relay will tell it.
func (s *starter) unguard() {
	if s.guard != nil {
		_ = s.guard.Kill()
		awaitOwn(s.guard)
		s.guard.Close()
		s.guard = nil
	}
}

// awaitOwn waits for a child of this process.
func awaitOwn(c *program.Child) {
	var ws unix.WaitStatus
	_ = retry(func() error { _, err := unix.Wait4(c.PID, &ws, 0, nil); return err })
}

func (s *starter) startContainer() error {
	if err := s.beside.stillRun(); err != nil {
		return err
	}
	if err := s.awaitMainPID(); err != nil {
		return err
	}
	return callRuntime(s.plan, s.stateDir, "start", containerID(s.plan.Unit))
}

// callRuntime runs a short command of the runtime.
func callRuntime(p *plan.Plan, dir string, args ...string) error {
	argv, err := runtimeCommand(p, dir, args...)
	if err != nil {
		return err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=" + strings.Join(runtimeDirs, ":")}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := slack.Run(cmd.Run); err != nil {
		return fmt.Errorf("%s %s: %w: %s%s", p.Runtime, args[0], err, bytes.TrimSpace(out.Bytes()), runtimeMessage(dir))
	}
	return nil
}

// runtimeMessage is the last error of the runtime's log.
func runtimeMessage(dir string) string {
	data, err := os.ReadFile(dir + "/runtime.log")
	if err != nil {
		return ""
	}
	last := ""
	for line := range strings.Lines(string(data)) {
		var m struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &m) == nil && m.Level == "error" {
			last = ": " + m.Msg
		}
	}
	return last
}

// deleteContainer removes what the runtime keeps of a container that has ended.
func deleteContainer(p *plan.Plan, dir string) error {
	if _, err := os.Stat(dir + "/runtime"); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return callRuntime(p, dir, "delete", "--force", containerID(p.Unit))
}
