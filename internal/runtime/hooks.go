// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 prestart hooks are deprecated, not gone: the specification still has them run.

package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/slack"
)

// hooks are the plan's, never nil.
func (l *Launch) hooks() *specs.Hooks {
	if l.spec.Hooks == nil {
		return &specs.Hooks{}
	}
	return l.spec.Hooks
}

// hasRuntimeHooks tells whether the child must wait while the helper moves
// network devices, runs hooks, or writes the state that the child's own hooks read.
func hasRuntimeHooks(l *Launch) bool {
	h := l.hooks()
	return movesDevices(l) || len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer)+len(h.StartContainer) > 0
}

func movesDevices(l *Launch) bool { return len(l.spec.Linux.NetDevices) > 0 }

func hasCreateContainerHooks(l *Launch) bool { return len(l.hooks().CreateContainer) > 0 }
func hasStartContainerHooks(l *Launch) bool  { return len(l.hooks().StartContainer) > 0 }

func awaitRuntimeHooks(c *compiler) { c.p.Sync("runtime hooks") }

func createContainerHooks(c *compiler) {
	c.spawnHooks("createContainer", c.hooks().CreateContainer)
}

func startContainerHooks(c *compiler) {
	c.spawnHooks("startContainer", c.hooks().StartContainer)
}

// spawnHooks compiles hooks that the child runs in its own namespaces. They
// read the state from a file that RunHooks fills before the child goes on:
// the state has the process id, which nobody knows before the fork.
func (c *compiler) spawnHooks(point string, hooks []specs.Hook) {
	for i, h := range hooks {
		if err := checkHook(h); err != nil {
			c.err = fmt.Errorf("hooks.%s[%d]: %w", point, i, err)
			return
		}
		if err := c.openState(); err != nil {
			c.err = fmt.Errorf("hooks.%s[%d]: %w", point, i, err)
			return
		}
		fd := int(c.hookState.Fd())
		c.p.Call("lseek", "the state, for the next reader", unix.SYS_LSEEK, fd, 0, unix.SEEK_SET)
		c.p.Spawn(fmt.Sprintf("hooks.%s[%d]", point, i), h.Path, hookArgs(h), h.Env, fd, hookTimeout(h))
	}
}

// openState makes the file from which the child's hooks read.
func (l *Launch) openState() error {
	if l.hookState != nil {
		return nil
	}
	fd, err := unix.MemfdCreate("state", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	l.hookState = l.own(os.NewFile(uintptr(fd), "state"))
	return nil
}

func checkHook(h specs.Hook) error {
	if !filepath.IsAbs(h.Path) {
		return fmt.Errorf("path %q is not absolute", h.Path)
	}
	if h.Timeout != nil && *h.Timeout <= 0 {
		return fmt.Errorf("timeout %d is not above zero", *h.Timeout)
	}
	for _, s := range append(append([]string{h.Path}, h.Args...), h.Env...) {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("%q has a NUL byte", s)
		}
	}
	return nil
}

func hookArgs(h specs.Hook) []string {
	if len(h.Args) == 0 {
		return []string{h.Path}
	}
	return h.Args
}

func hookTimeout(h specs.Hook) time.Duration {
	if h.Timeout == nil {
		return 0
	}
	return time.Duration(*h.Timeout) * time.Second
}

// state is what hooks read (runtime-spec runtime.md, "State").
func (l *Launch) state(status specs.ContainerState, pid int) ([]byte, error) {
	return json.Marshal(specs.State{
		Version: specs.Version, ID: l.opt.ID, Status: status, Pid: pid, Bundle: l.opt.Bundle, Annotations: l.spec.Annotations,
	})
}

// RunHooks carries out what happens between the child's mounts and its
// pivot_root: network devices are moved, the hooks of the runtime's namespace
// run here, a failing one stops the start. Without any it returns at once.
func (l *Launch) RunHooks(child *program.Child) error {
	if !hasRuntimeHooks(l) {
		return nil
	}
	if err := child.AwaitSync(); err != nil {
		return err
	}
	if err := l.moveDevices(child); err != nil {
		return &StepError{Step: "move-network-devices", Exit: exitNetwork, Err: err}
	}
	creating, err := l.state(specs.StateCreating, child.PID)
	if err != nil {
		return err
	}
	created, err := l.state(specs.StateCreated, child.PID)
	if err != nil {
		return err
	}
	h := l.hooks()
	for _, point := range []struct {
		name  string
		hooks []specs.Hook
		state []byte
	}{
		// After step 2 of the lifecycle, so the container is created by the words of
		// the specification; runtime-tools and crun hold to them, runc does not.
		{"prestart", h.Prestart, created},
		{"createRuntime", h.CreateRuntime, creating},
	} {
		state := point.state
		if err := runHooks(point.name, point.hooks, state); err != nil {
			return &StepError{Step: "await-runtime-hooks", Exit: exitNamespace, Err: err}
		}
	}
	if l.hookState != nil {
		if _, err := l.hookState.WriteAt(created, 0); err != nil {
			return fmt.Errorf("passing the state to a hook: %w", err)
		}
	}
	return child.Open()
}

// moveDevices runs while the child waits in the network namespace that it was
// born into or has joined.
func (l *Launch) moveDevices(child *program.Child) error {
	if !movesDevices(l) {
		return nil
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", child.PID))
	if err != nil {
		return fmt.Errorf("opening the container's network namespace: %w", err)
	}
	defer ns.Close()
	return l.opt.MoveDevices(ns, l.spec.Linux.NetDevices)
}

// PostStart runs the poststart hooks. Of one that fails the rest is the caller's:
// by runtime-spec 1.1 and later the container is stopped (runtime.md, "Lifecycle", 9).
func (l *Launch) PostStart(pid int) error {
	return PostStart(l.spec, l.opt.ID, l.opt.Bundle, pid)
}

// PostStart is Launch.PostStart for who has no launch: start is a process of
// its own on the OCI command line.
func PostStart(spec *specs.Spec, id, bundle string, pid int) error {
	l := &Launch{spec: spec, opt: Options{ID: id, Bundle: bundle}}
	if len(l.hooks().Poststart) == 0 {
		return nil // encoding/json takes its time at the first call
	}
	state, err := l.state(specs.StateRunning, pid)
	if err != nil {
		return err
	}
	return runHooks("poststart", l.hooks().Poststart, state)
}

// PostStop removes the resctrl group of a container that has ended and runs its
// poststop hooks. All of them run; the errors are joined.
func PostStop(spec *specs.Spec, id, bundle string) error {
	l := &Launch{spec: spec, opt: Options{ID: id, Bundle: bundle}}
	errs := []error{removeResctrl(spec, id)}
	if len(l.hooks().Poststop) == 0 {
		return errs[0]
	}
	state, err := l.state(specs.StateStopped, 0)
	if err != nil {
		return err
	}
	for i, h := range l.hooks().Poststop {
		if err := runHook(h, state); err != nil {
			errs = append(errs, fmt.Errorf("hooks.poststop[%d]: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

func runHooks(point string, hooks []specs.Hook, state []byte) error {
	for i, h := range hooks {
		if err := runHook(h, state); err != nil {
			return fmt.Errorf("hooks.%s[%d]: %w", point, i, err)
		}
	}
	return nil
}

func runHook(h specs.Hook, state []byte) error {
	if err := checkHook(h); err != nil {
		return err
	}
	ctx := context.Background()
	if t := hookTimeout(h); t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, h.Path)
	cmd.Args, cmd.Env, cmd.Stdin = hookArgs(h), h.Env, bytes.NewReader(state)
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would pass ours on
	}
	// A hook that left a child behind must not hold the start up.
	cmd.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	cmd.Stderr = &output
	err := slack.Run(cmd.Run)
	if ctx.Err() != nil {
		return fmt.Errorf("%s did not end within %v: %w", h.Path, hookTimeout(h), ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", h.Path, err, strings.TrimSpace(output.String()))
	}
	return nil
}
