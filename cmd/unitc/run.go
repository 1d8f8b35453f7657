// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/adhoc"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/session"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/searchpath"
)

func (a *app) runVerb() *cobra.Command {
	var o adhoc.Options
	pull, file, remove := "missing", "", false
	cmd := &cobra.Command{
		Use:   "run [OPTION…] IMAGE|--file FILE [COMMAND [ARGUMENT…]]",
		Short: "run a container in the foreground, once",
		Long: `Run a container in the foreground, without a definition: a unit of systemd's like
any other while it runs (unitc ps, exec, stats; systemctl stop), and nothing once it
has ended. Options are docker run's; unitc attach joins one that was left running. With --rootfs DIR, --rootfs host
or --bundle DIR there is no
IMAGE. With --file there is neither: FILE is a definition, which is not installed,
and the options are laid over it as a drop-in is. The exit status is the container's; 125 if it does not start.`,
		Example: "  unitc run -it debian:13 bash\n  unitc run --rootfs host -m 64m sh -c 'echo hello'\n  unitc run -d --name web -p 8080:80 nginx\n  unitc run -it --file web.yaml sh",
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.root != "" {
				return usagef("run: nothing runs in --root %s", a.root)
			}
			switch {
			case file != "" && (o.RootFS != "" || o.Bundle != ""):
				return usagef("run: --file goes with neither --rootfs nor --bundle: the definition says what it runs in")
			case file != "":
				if !cmd.Flags().Changed("pull") {
					pull = ""
				}
			case o.Bundle != "" && (o.RootFS != "" || len(args) > 0):
				return usagef("run: --bundle goes with no image, no --rootfs and no command: config.json says what runs")
			case o.Bundle != "":
				dir, err := filepath.Abs(o.Bundle)
				if err != nil {
					return err
				}
				o.Bundle = dir
			case o.RootFS == "" && len(args) == 0:
				return usagef("run: want an image, --rootfs or --bundle; usage: %s", cmd.UseLine())
			case o.RootFS == "":
				o.Image, args = args[0], args[1:]
				if strings.HasSuffix(o.Image, ".yaml") || strings.HasSuffix(o.Image, ".yml") {
					if _, err := os.Stat(o.Image); err == nil {
						return usagef("run: %s is a file and no image; unitc run --file %[1]s runs the definition in it", o.Image)
					}
				}
			}
			o.Command = args
			in, ok := a.stdin.(*os.File)
			switch {
			case !o.Detach && o.TTY && o.Interactive && (!ok || !session.IsTerminal(in)):
				return usagef("run: --tty with --interactive, and standard input is no terminal; drop -t")
			}
			if err := a.booted(); err != nil {
				return err
			}
			if o.Name == "" {
				o.Name = "run-" + strings.ToLower(rand.Text()[:8])
			}
			var err error
			if file != "" {
				o.File, err = a.definitionToRun(file, o.Name)
			}
			status := 0
			if err == nil {
				status, err = a.runOnce(cmd, &o, pull)
			}
			if err != nil {
				return a.runError(err)
			}
			if status != 0 {
				return statusError(status)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	o.Flags(f)
	o.Remark = func(what string) { fmt.Fprintln(a.stderr, "unitc: "+terminal.Clean(what)) }
	f.StringVarP(&file, "file", "f", "", "run the definition in `FILE`")
	f.StringVar(&pull, "pull", pull, "fetch the image: `POLICY` missing, always or never")
	f.BoolVar(&remove, "rm", true, "is always so: nothing stays of a container that has ended")
	return cmd
}

// runError says what went wrong with the statuses of docker's.
func (a *app) runError(err error) error {
	var usage *usageError
	var status statusError
	switch {
	case errors.As(err, &usage), errors.As(err, &status):
		return err
	case errors.Is(err, session.ErrHangup):
		return statusError(128 + int(unix.SIGHUP))
	}
	a.complain(err)
	return statusError(exitCannotJoin)
}

// runOnce makes the unit, runs it, and takes it away again, also when somebody
// interrupts at any moment.
func (a *app) runOnce(cmd *cobra.Command, o *adhoc.Options, pull string) (int, error) {
	signals := session.Catch()
	defer signals.Release()
	ctx, done := signals.Starting()
	done = sync.OnceFunc(done)
	defer done()
	for _, w := range wantedImages(o, pull) {
		if err := a.pullFor(ctx, w); err != nil {
			done()
			return interrupted(signals, err)
		}
	}
	taken, err := a.isTaken(o.Name)
	if err != nil {
		return 0, err
	}
	if taken {
		return 0, usagef("run: there is a container %s already", o.Name)
	}
	adhoc.Sweep()
	unit, err := adhoc.Build(o)
	if err != nil {
		return 0, err
	}
	defer unit.Remove()
	own, streams, err := a.openRun(o)
	if err != nil {
		return 0, err
	}
	defer streams.close()
	defer streams.closeTheirs()
	var theirs []*os.File
	if !o.Detach && !o.TTY {
		theirs = streams.stdio[:]
	}
	c, err := session.Listen(unit.Socket, theirs, o.Detach)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := unit.Install(); err != nil {
		return 0, err
	}
	started, asked := a.startUnit(unit.Name)
	if err := c.AwaitStart(ctx, started); err != nil {
		a.stopUnit(unit.Name)
		// The start may have reached systemd behind the stop.
		<-asked
		a.stopUnit(unit.Name)
		var failed *session.ErrFailed
		if errors.As(err, &failed) {
			failed.Why = unit.Words(failed.Why)
		}
		done()
		return interrupted(signals, err)
	}
	if o.Detach {
		unit.Keep()
		fmt.Fprintln(a.stdout, o.Name)
		return 0, nil
	}
	streams.closeTheirs()
	done()
	status, err := a.follow(c, signals, own, streams)
	// It may be on its way out still; then the unit is gone.
	a.stopUnit(unit.Name)
	if err != nil {
		return 0, err
	}
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// interrupted gives the status of a start that did not come about: of the signal,
// where there was one.
func interrupted(signals *session.Signals, err error) (int, error) {
	if sig := signals.Ended(); sig != 0 {
		return 128 + int(sig), nil
	}
	return 0, err
}

func (a *app) follow(c *session.Container, signals *session.Signals, own session.Streams, s *streams) (unix.WaitStatus, error) {
	if c.Terminal != nil {
		defer c.Terminal.Close()
		return session.Terminal(c, signals, own, c.Terminal)
	}
	if s.out == nil {
		return c.Wait()
	}
	return session.Pipes(c, signals, own, s.in, s.out, s.err)
}

// openRun makes the payload's streams.
func (a *app) openRun(o *adhoc.Options) (session.Streams, *streams, error) {
	own := session.Streams{Out: a.stdout, Err: a.stderr}
	if in, ok := a.stdin.(*os.File); ok && o.Interactive {
		own.In = in
	}
	s, err := openStreams(own, execOptions{detach: o.Detach, tty: o.TTY})
	return own, s, err
}

// definitionToRun reads and checks a definition that is to run once, below the
// directory that is made for its container.
func (a *app) definitionToRun(path, name string) (*catalog.Candidate, error) {
	c, err := catalog.ReadCandidate(path, "", a.stdin)
	if err != nil {
		return nil, err
	}
	problems, err := c.Check(adhoc.Prefix() + name)
	switch {
	case problems.HasErrors():
		return nil, &catalog.BrokenError{Problems: problems}
	case err != nil:
		return nil, err
	case c.File.Project || len(c.File.Services) != 1:
		return nil, usagef("run: %s has services of a project; unitc up %s starts them", path, path)
	case strings.HasSuffix(c.Name, "@"):
		return nil, usagef("run: %s is a template; put it in %s and start an instance", path, searchpath.Dirs[0])
	}
	switch s := &c.File.Services[0]; {
	case len(s.System.Socket) > 0 || slices.ContainsFunc(s.Ports, func(p definition.Port) bool { return p.Activation }):
		return nil, usagef("run: %s is started by its socket; unitc up %s", path, path)
	case s.Persist:
		return nil, usagef("run: %s keeps its root file system (x-persist), and nothing stays of what runs once; unitc up %s", path, path)
	}
	return c, nil
}

// wantedImage is one that a container needs.
type wantedImage struct{ name, policy, platform string }

// wantedImages are those that are looked for before the start. policy "" is the
// definition's own.
func wantedImages(o *adhoc.Options, policy string) []wantedImage {
	var list []wantedImage
	add := func(name, policy, platform string) {
		if name != "" && policy != definition.PullNever {
			list = append(list, wantedImage{name, policy, platform})
		}
	}
	if o.File == nil {
		add(o.Image, policy, o.Platform())
		return list
	}
	s := &o.File.File.Services[0]
	add(s.Image, cmp.Or(policy, s.Pull()), cmp.Or(o.Platform(), s.Platform))
	for _, v := range s.Volumes {
		if v.Type == definition.VolumeImage {
			add(v.Source, cmp.Or(policy, definition.PullMissing), "")
		}
	}
	return list
}

// pullPatience is how long a pull that is interrupted has for its end.
const pullPatience = 5 * time.Second

// pullFor fetches the image with a progress on standard error, in a process of
// its own: its output is none of the container's.
func (a *app) pullFor(ctx context.Context, w wantedImage) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, ofSystemd([]string{"pull", "--policy", w.policy, "--platform", w.platform, "--", w.name})...)
	cmd.Stderr = a.stderr
	// A user's has a process of its own in their namespace, which it passes this on to.
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = pullPatience
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return statusError(exitCannotJoin) // it has said why
	}
	return err
}

// isTaken looks for definitions and containers of the name.
func (a *app) isTaken(name string) (bool, error) {
	if _, ok := a.host.Started(name); ok {
		return true, nil
	}
	_, err := catalog.Find("", name)
	var notFound *catalog.NotFoundError
	if errors.As(err, &notFound) {
		return false, nil
	}
	return true, err
}

// startUnit has systemd start it, tells how that went, and closes asked when
// there is no more to come.
func (a *app) startUnit(unit string) (done chan error, asked chan struct{}) {
	done, asked = make(chan error, 1), make(chan struct{})
	var said bytes.Buffer
	go func() {
		err := a.apart(&said, "start", "--quiet", "--", unit)
		if err != nil {
			err = fmt.Errorf("systemctl start %s: %w: %s", unit, err, bytes.TrimSpace(said.Bytes()))
		}
		done <- err
		close(asked)
	}()
	return done, asked
}

// stopUnit waits until nothing of it is left; a unit that is gone is fine.
func (a *app) stopUnit(unit string) {
	_ = a.apart(nil, "stop", "--quiet", "--", unit)
}
