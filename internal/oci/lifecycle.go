// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
	"github.com/unitc/unitc/internal/oci/bundle"
	"github.com/unitc/unitc/internal/oci/cgroup"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/runtime"
)

var lifecycleVerbs = []verb{
	{name: "create", args: "<container-id>", help: "create a container", least: 1, most: 1, options: createOptions, run: create},
	{name: "start", args: "<container-id>", help: "run the process of a created container", least: 1, most: 1, run: start},
	{name: "run", args: "<container-id>", help: "create and start a container", least: 1, most: 1, run: runContainer,
		options: append([]option{
			{"detach", "d", "", "do not wait for the container"},
			{"keep", "", "", "do not delete the container when it has ended"},
			{"no-subreaper", "", "", "do not become the parent of orphans"},
		}, createOptions...)},
	{name: "kill", args: "<container-id> [signal]", help: "send a signal, TERM as a rule, to the first process", least: 1, most: 2, run: kill,
		options: []option{{"all", "a", "", "to every process"}}},
	{name: "delete", args: "<container-id>", help: "delete what a container that has ended holds", least: 1, most: 1, run: deleteContainer,
		options: []option{{"force", "f", "", "kill it first; no error if there is none"}}},
}

func start(c *call) error {
	k, err := c.open(c.args[0])
	if err != nil {
		return err
	}
	defer k.unlock()
	if err := k.start(c); err != nil || k.ears == nil {
		return err
	}
	k.ears.pass(true)
	return nil
}

// start opens the FIFO at which the first process waits, and learns from the
// same FIFO whether the program runs.
func (k *container) start(c *call) error {
	switch status := k.status(); status {
	case specs.StateCreated:
	case specs.StateStopped:
		return errors.New("cannot start a container that has stopped")
	case specs.StateRunning, statePaused:
		return errors.New("cannot start an already running container")
	default:
		return fmt.Errorf("cannot start a container in the %s state", status)
	}
	spec, err := k.config()
	if err != nil {
		return err
	}
	if spec.Process == nil {
		return bundle.ErrNoProcess
	}
	if k.ears, err = k.listen(); err != nil {
		return err
	}
	if err := k.letGo(c, spec); err != nil {
		k.ears.close()
		k.ears = nil
		return err
	}
	return nil
}

// letGo is start when all is ready for the payload.
func (k *container) letGo(c *call, spec *specs.Spec) error {
	if err := k.passFIFO(spec); err != nil {
		if errors.Is(err, errStartHook) {
			// runtime-spec runtime.md, "Lifecycle", 7, 12 and 13.
			err = errors.Join(err, k.killAndWait(), k.destroy(c))
		}
		return err
	}
	k.unlock() // hooks may ask
	if err := runtime.PostStart(spec, k.ID, k.Bundle, k.PID); err != nil {
		// runtime-spec runtime.md, "Lifecycle", 9, 12 and 13: an error, the container is
		// stopped and undone, and its last hooks run.
		err = errors.Join(err, k.killAndWait(), k.relock())
		return errors.Join(err, k.destroy(c))
	}
	return nil
}

var errStartHook = errors.New("error running startContainer hook")

func (k *container) passFIFO(spec *specs.Spec) error {
	// Before the FIFO lets it go: it may end at once, and be reaped.
	pidfd, err := unix.PidfdOpen(k.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return errNotRunning
	} else if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(pidfd)
	fifo, err := k.takeFIFO()
	if err != nil {
		return err
	}
	defer unix.Close(fifo)
	fds := []unix.PollFd{{Fd: int32(fifo), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		b := make([]byte, 64)
		n := 0
		if fds[0].Revents&unix.POLLIN != 0 {
			n, _ = unix.Read(fifo, b)
		}
		errno := unix.Errno(0)
		if n > 0 {
			errno = program.FailureErrno(b[:n])
		}
		hooked := spec.Hooks != nil && len(spec.Hooks.StartContainer) > 0
		switch {
		// No other step reports these (program.Spawn).
		case hooked && errno == unix.ECANCELED:
			return errStartHook
		case hooked && errno == unix.ETIME:
			return fmt.Errorf("%w: it did not end within its timeout", errStartHook)
		case n > 0:
			return explain(&program.OpError{Step: "exec-payload", What: "execve", Err: errno}, spec.Process)
		case fds[0].Revents&unix.POLLHUP != 0:
			return nil // closed by its exec
		case fds[1].Revents != 0:
			return errors.New("container process is already dead")
		}
	}
}

// takeFIFO opens the FIFO for reading, which lets the first process go on. Its
// name goes first: were we killed between the two, the other way round, there
// would be a container that runs and is called created, which a plain delete
// may end and for whose start a second caller would wait for ever.
func (k *container) takeFIFO() (int, error) {
	path, err := unix.Open(k.dir+startFIFO, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening the start FIFO: %w", err)
	}
	defer unix.Close(path)
	if err := os.Remove(k.dir + startFIFO); err != nil {
		return -1, err
	}
	// Without O_NONBLOCK the open would wait for a process that may have died.
	fifo, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", path), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening the start FIFO: %w", err)
	}
	return fifo, nil
}

// signalNumber reads "TERM", "SIGTERM" and "15".
func signalNumber(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > 64 {
			return 0, fmt.Errorf("unknown signal %q", s)
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n := unix.SignalNum("SIG" + name); n != 0 {
		return n, nil
	}
	if rest, ok := strings.CutPrefix(name, "RTMIN"); ok {
		n, err := strconv.Atoi("0" + strings.TrimPrefix(rest, "+"))
		if err == nil && n <= 30 {
			return unix.Signal(34 + n), nil
		}
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}

func kill(c *call) error {
	name := "TERM"
	if len(c.args) > 1 {
		name = c.args[1]
	}
	signal, err := signalNumber(name)
	if err != nil {
		return err
	}
	k, err := c.look(c.args[0])
	if err != nil {
		return err
	}
	if outside(k) {
		return c.intoOf(k)
	}
	if c.has("all") && k.Cgroup != "" {
		return k.signalAll(signal)
	}
	return k.signal(signal)
}

func (k *container) signalAll(signal unix.Signal) error {
	switch {
	case !k.group().Exists() || !k.group().Populated():
		return nil // as runc: nothing is left to be signalled
	case signal == unix.SIGKILL:
		return k.group().Kill() // all at once: none can fork away
	}
	return k.group().Signal(signal)
}

func (k *container) signal(signal unix.Signal) error {
	pidfd, err := unix.PidfdOpen(max(k.PID, 1), 0)
	if err == nil {
		defer unix.Close(pidfd)
	}
	if errors.Is(err, unix.ESRCH) || !alive(k.PID, k.StartTime) {
		return errNotRunning
	}
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	if !k.Made && k.beingMade() {
		// Its creator undoes it by itself (runtime-spec runtime.md, "Kill").
		return fmt.Errorf("%w: it is being created", errNotRunning)
	}
	spec, err := k.config()
	if err == nil && signal == unix.SIGKILL && k.Cgroup != "" && !bundle.HasNamespace(spec, specs.PIDNamespace) {
		// The kernel ends no one else with the first process.
		return k.group().Kill()
	}
	if err := unix.PidfdSendSignal(pidfd, signal, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return errNotRunning
		}
		return fmt.Errorf("unable to signal init: %w", err) // runc's words; engines read them
	}
	if signal == unix.SIGKILL && k.Cgroup != "" && k.group().Frozen() {
		// Those beside it are to end too, and would stay frozen.
		if err := k.group().Freeze(false); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func deleteContainer(c *call) error {
	id, force := c.args[0], c.has("force")
	if k, err := c.look(id); err == nil && outside(k) {
		return c.intoOf(k)
	}
	k, err := c.load(id)
	defer k.unlock()
	var broken *damaged
	switch {
	case errors.Is(err, errNotExist) && force:
		return nil
	case errors.As(err, &broken) && force:
		return k.deleteDamaged()
	case err != nil:
		return err
	}
	switch status := k.status(); {
	case status == specs.StateStopped:
	case force || status == specs.StateCreated:
		if err := k.killAndWait(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", id, status)
	}
	return k.destroy(c)
}

// deleteDamaged is all that can be done without knowing the process: the
// configuration may still say where the cgroup is.
func (k *container) deleteDamaged() error {
	spec, err := k.config()
	if err != nil {
		return k.remove()
	}
	for _, group := range likelyGroups(spec.Linux.CgroupsPath, k.ID) {
		if group.Exists() {
			_ = group.Kill()
			_ = removeGroup(group, strings.HasSuffix(string(group), ".scope"))
		}
	}
	return k.remove()
}

// leave removes the container's cgroup, unless it was there before (runtime-spec
// runtime.md, "Delete").
func (k *container) leave(group cgroup.Group) error {
	if k.Found {
		return nil
	}
	return removeGroup(group, k.Scope != "")
}

// removeGroup leaves the cgroup of a scope to systemd, which removes it when it
// has seen that nothing is in it. Where the cgroup was removed first, scopes of
// Docker stayed "running" for good. The likely reason, read and not traced: the
// kernel tells nothing of a file that is gone by then (kernfs_notify_workfn in
// fs/kernfs/file.c).
func removeGroup(group cgroup.Group, scope bool) error {
	if scope && group.AwaitRemoval() {
		return nil
	}
	return group.Remove()
}

// likelyGroups are where a container's cgroup is, whoever made it, if this is
// called from where its creation was.
func likelyGroups(cgroupsPath, id string) (list []cgroup.Group) {
	if path, err := cgroup.Locate(cgroupsPath, id); err == nil && path != "/" {
		list = append(list, cgroup.Group(path))
	}
	if slice, unit, err := scopeName(cgroupsPath, id); err == nil {
		list = append(list, cgroup.Group(cgroupfs.SlicePath(slice)+"/"+unit))
	}
	return list
}

// killTimeout bounds the wait for a killed process.
const killTimeout = 10 * time.Second

func (k *container) killAndWait() error {
	if k.Cgroup != "" && k.group().Exists() {
		if err := k.group().Kill(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := k.signal(unix.SIGKILL); err != nil && !errors.Is(err, errNotRunning) {
		return err
	}
	for deadline := time.Now().Add(killTimeout); alive(k.PID, k.StartTime); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("container init still running")
		}
	}
	return nil
}

// destroy removes what a container that has ended holds, and runs its last hooks.
func (k *container) destroy(c *call) error {
	if k.Cgroup != "" && k.group().Exists() {
		// Without a PID namespace others live on.
		if k.group().Populated() {
			if err := k.group().Kill(); err != nil {
				return err
			}
		}
		if err := k.leave(k.group()); err != nil {
			return err
		}
	}
	spec, specErr := k.config()
	if err := k.remove(); err != nil {
		return err
	}
	k.unlock()
	if specErr == nil {
		if err := runtime.PostStop(spec, k.ID, k.Bundle); err != nil {
			c.log.warn("%v", err)
		}
	}
	return nil
}
