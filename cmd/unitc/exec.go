// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/files"
	"github.com/unitc/unitc/internal/cli/live"
	"github.com/unitc/unitc/internal/cli/session"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/runtime"
)

// execOptions are what a process in a container gets that the container's own
// has not.
type execOptions struct {
	interactive, tty, detach bool
	user, dir                string
	env                      []string
}

func (a *app) exec() *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use:   "exec [OPTION…] NAME COMMAND [ARGUMENT…]",
		Short: "run a program in a running container",
		Long: `Run a program in a running container, confined as its payload is: in all of its
namespaces, its cgroup and its limits, with its user ids, capabilities and seccomp
filter. The exit status is the program's; 127 if there is no such program, 126 if it
cannot be run, 125 if the container cannot be joined.`,
		Example:           "  unitc exec -it web sh\n  unitc exec db pg_dump shop > shop.sql",
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && args[1] == "--" {
				// Options have ended at the name already; many write it all the same.
				args = slices.Delete(args, 1, 2)
			}
			if len(args) < 2 {
				return usagef("exec: want a container and a program; usage: %s", cmd.UseLine())
			}
			if err := o.check(a); err != nil {
				return err
			}
			status, err := a.execIn(cmd, args[0], args[1:], o)
			if errors.Is(err, session.ErrHangup) {
				return statusError(128 + int(unix.SIGHUP))
			}
			if err != nil {
				a.complain(err)
				return statusError(joinStatus(err))
			}
			if status != 0 {
				return statusError(status)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.BoolVarP(&o.interactive, "interactive", "i", false, "pass standard input on")
	f.BoolVarP(&o.tty, "tty", "t", false, "give the program a terminal")
	f.BoolVarP(&o.detach, "detach", "d", false, "leave the program running, and print nothing of it")
	f.StringVarP(&o.user, "user", "u", "", "run it as `USER[:GROUP]`, as the container knows them")
	f.StringVarP(&o.dir, "workdir", "w", "", "run it in `DIR`")
	f.StringArrayVarP(&o.env, "env", "e", nil, "set `NAME=VALUE`, or NAME as it is here")
	return cmd
}

func (o *execOptions) check(a *app) error {
	if o.detach && (o.interactive || o.tty) {
		return usagef("exec: --detach does not go with --interactive and --tty")
	}
	if in, ok := a.stdin.(*os.File); o.tty && o.interactive && (!ok || !session.IsTerminal(in)) {
		return usagef("exec: --tty with --interactive, and standard input is no terminal; drop -t")
	}
	if o.dir != "" && !strings.HasPrefix(o.dir, "/") {
		return usagef("exec: --workdir %s: want an absolute path", o.dir)
	}
	return nil
}

// Exit statuses of docker's and of a shell's, so that none is taken for the
// program's own by accident.
const (
	exitCannotJoin = 125
	exitCannotRun  = 126
	exitNoProgram  = 127
)

func joinStatus(err error) int {
	if step, ok := ofProgram(err); ok {
		if errors.Is(step, unix.ENOENT) {
			return exitNoProgram
		}
		return exitCannotRun
	}
	return exitCannotJoin
}

// ofProgram tells a program that cannot be run from a container that cannot be
// joined.
func ofProgram(err error) (*program.OpError, bool) {
	var op *program.OpError
	if errors.As(err, &op) && op.Step == "exec-payload" {
		return op, true
	}
	return nil, false
}

func (a *app) execIn(cmd *cobra.Command, word string, argv []string, o execOptions) (int, error) {
	name, cfg, err := a.joinable(cmd, word)
	if err != nil {
		return 0, err
	}
	// A user has power over it in its own namespace alone.
	if err := a.enter(cfg.PID); err != nil {
		return 0, err
	}
	cfg.InUserNamespace = realm.Own() != nil
	// Before anything is read from standard input: it may start this program
	// once more (CVE-2019-5736).
	if err := runtime.SealFor(cfg.PID); err != nil {
		return 0, err
	}
	if err := o.adorn(&cfg, argv); err != nil {
		return 0, err
	}
	own := session.Streams{Out: a.stdout, Err: a.stderr}
	if in, ok := a.stdin.(*os.File); ok && o.interactive {
		own.In = in
		columns, rows := session.Size(in)
		cfg.Process.ConsoleSize = &specs.Box{Width: columns, Height: rows}
	}
	signals := session.Catch()
	defer signals.Release()
	status, err := startIn(signals, cfg, own, o)
	var step *runtime.StepError
	if errors.Is(err, unix.ENOENT) && errors.As(err, &step) && step.Step == "clone" {
		err = runtime.ErrNotRunning // the cgroup to be born in is gone
	}
	if errors.Is(err, runtime.ErrNotRunning) {
		return 0, fmt.Errorf("%s ended before the program was started: %w", name, err)
	}
	switch op, ok := ofProgram(err); {
	case ok && errors.Is(op, unix.ENOENT):
		err = fmt.Errorf("%s has no program %q; an image without a shell may have others, and `unitc cp` brings files in: %w", name, argv[0], op)
	case ok && errors.Is(op, unix.EACCES):
		err = fmt.Errorf("%s may not run %q: it is a directory, may not be executed by this user, or lies on a mount with noexec: %w", name, argv[0], op)
	}
	return status, err
}

// withoutRecord says why it is not known what a container is: clean-up was quicker,
// or somebody else.
func (a *app) withoutRecord(cmd *cobra.Command, name string) error {
	err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) error { return a.notRunning(ctx, bus, name) })
	var lost *units.LostError
	if errors.As(err, &lost) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	return runtime.ErrNotRunning
}

// joinable is a running container's process and configuration. The plan is read
// after the process: where that lives still when it is joined, the plan is its
// own and not that of a later start.
func (a *app) joinable(cmd *cobra.Command, word string) (string, runtime.ExecConfig, error) {
	var cfg runtime.ExecConfig
	name := ""
	err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) (err error) {
		name, cfg.PID, err = a.running(ctx, bus, word)
		return err
	})
	if err != nil {
		return "", cfg, err
	}
	if cfg.StartTime, err = runtime.StartTime(cfg.PID); err != nil {
		return "", cfg, runtime.ErrNotRunning
	}
	p, err := a.host.Plan(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = a.withoutRecord(cmd, name)
	}
	if err != nil {
		return "", cfg, err
	}
	if group := a.host.Payloads([]string{name}, units.ScopeOf)[name]; group != "" && live.Frozen(group) {
		return "", cfg, fmt.Errorf("%s is paused; unitc unpause %s", name, name)
	}
	if err = pivoted(cfg.PID); err == nil {
		err = entered(cfg.PID, p.Spec.Linux.Namespaces)
	}
	if err != nil {
		return "", cfg, fmt.Errorf("%s: %w", name, err)
	}
	process := *p.Spec.Process
	cfg.Spec, cfg.Process, cfg.User, cfg.Groups = p.Spec, &process, p.User, p.Groups
	cfg.ID, cfg.Bundle = name, realm.Run+"/"+name
	return name, cfg, nil
}

// pivoted makes sure that a process has left the host's root: systemd knows the
// main process of a start before that is in its container.
func pivoted(pid int) error {
	root, err := files.OwnRoot(pid)
	switch {
	case err == nil:
		return root.Close()
	case errors.Is(err, files.ErrBeingSetUp), errors.Is(err, unix.EACCES):
		return err
	}
	return runtime.ErrNotRunning
}

// entered makes sure that a process is in the namespaces that were planned for it: what
// joined it before would be in those of the host, as root there.
func entered(pid int, planned []specs.LinuxNamespace) error {
	for _, n := range planned {
		file := map[specs.LinuxNamespaceType]string{specs.UserNamespace: "user", specs.CgroupNamespace: "cgroup"}[n.Type] // the last ones
		if file == "" || n.Path != "" && n.Type == specs.CgroupNamespace {
			continue
		}
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, file))
		if errors.Is(err, fs.ErrNotExist) {
			return runtime.ErrNotRunning
		}
		own, ownErr := os.Readlink("/proc/self/ns/" + file)
		if err := errors.Join(err, ownErr); err != nil {
			return err
		}
		if its == own && !protection.Off("own-namespaces") {
			return files.ErrBeingSetUp
		}
	}
	return nil
}

// adorn puts the options into the process.
func (o *execOptions) adorn(cfg *runtime.ExecConfig, argv []string) error {
	p := cfg.Process
	p.Args, p.Terminal = argv, o.tty
	p.Env = plan.WithoutSockets(p.Env)
	if o.tty {
		// What the terminal understands is the operator's to say.
		if term := os.Getenv("TERM"); term != "" {
			p.Env = setEnv(p.Env, "TERM", term)
		}
	}
	for _, e := range o.env {
		name, value, ok := strings.Cut(e, "=")
		if name == "" {
			return usagef("exec: --env %q has no name", e)
		}
		if !ok {
			if value, ok = os.LookupEnv(name); !ok {
				continue
			}
		}
		p.Env = setEnv(p.Env, name, value)
	}
	if o.dir != "" {
		p.Cwd = o.dir
	}
	if o.user != "" {
		cfg.User = o.user
	}
	return nil
}

func setEnv(env []string, name, value string) []string {
	env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
	return append(env, name+"="+value)
}

// joined is a process that was started, as a session sees it. The descriptor
// names it also after it was waited for, when its number may be another's.
type joined struct {
	*runtime.Joined
	fd int
}

func (j *joined) Signal(sig unix.Signal) error { return unix.PidfdSendSignal(j.fd, sig, nil, 0) }

// startIn starts the process and stays until it has ended.
func startIn(signals *session.Signals, cfg runtime.ExecConfig, own session.Streams, o execOptions) (int, error) {
	s, err := openStreams(own, o)
	if err != nil {
		return 0, err
	}
	defer s.close()
	for _, f := range s.stdio {
		runtime.LabelPipe(f, cfg.Spec.Linux.MountLabel)
	}
	cfg.Stdio = s.stdio
	// A container that is frozen meanwhile must not hold this program.
	ctx, done := signals.Starting()
	process, err := runtime.Exec(ctx, cfg)
	done()
	s.closeTheirs()
	if err != nil {
		return interrupted(signals, err)
	}
	if o.detach {
		return 0, nil // PID 1 adopts it
	}
	fd, err := unix.PidfdOpen(process.PID, 0)
	if err != nil {
		return 0, fmt.Errorf("pidfd_open %d: %w", process.PID, err)
	}
	defer unix.Close(fd)
	j := &joined{process, fd}
	var status unix.WaitStatus
	if process.Terminal != nil {
		defer process.Terminal.Close()
		status, err = session.Terminal(j, signals, own, process.Terminal)
	} else {
		status, err = session.Pipes(j, signals, own, s.in, s.out, s.err)
	}
	if err != nil {
		return 0, err
	}
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// streams are the pipes of a process; ours are in, out and err.
type streams struct {
	in, out, err *os.File
	stdio        [3]*os.File // the process's
	theirs       []*os.File
}

func openStreams(own session.Streams, o execOptions) (*streams, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s := &streams{theirs: []*os.File{null}}
	s.stdio = [3]*os.File{null, null, null}
	if o.detach || o.tty {
		return s, nil
	}
	for i, ours := range []**os.File{&s.in, &s.out, &s.err} {
		if i == 0 && own.In == nil {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			s.closeTheirs()
			s.close()
			return nil, err
		}
		if i == 0 {
			*ours, s.stdio[0] = w, r
		} else {
			*ours, s.stdio[i] = r, w
		}
		s.theirs = append(s.theirs, s.stdio[i])
	}
	return s, nil
}

func (s *streams) closeTheirs() {
	for _, f := range s.theirs {
		f.Close()
	}
}

func (s *streams) close() {
	for _, f := range []*os.File{s.in, s.out, s.err} {
		if f != nil {
			f.Close()
		}
	}
}
