// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// job is one run, as it travels from the lab's parent process to its stages.
type job struct {
	Suite string
	// Root is the unpacked tree; a run boots a copy of it.
	Root string
	// Source is the checkout whose `make install` is run into that copy, or
	// empty for a bare tree.
	Source   string
	checkout string
	// Copies are SRC:DST pairs; each SRC is a file or a directory here.
	Copies  []string
	Command []string
	Env     []string
	// Dir is the command's working directory, or empty for /root.
	Dir string
	// Terminal asks for a pseudo-terminal inside, in a VM of that size.
	Terminal bool
	Winsize  *unix.Winsize
	// Timeout bounds the run; 0 is no bound, or in a VM vmTimeout.
	Timeout time.Duration
	// VM asks for the faithful lane, and Agent is the lab's binary to put into it.
	VM    bool
	Agent string
	// Instructions has a VM's clock count instructions, a nanosecond each: what else
	// the machine here does, and what emulation is slow at, is not measured inside.
	Instructions bool
	// Console shows the VM's console as it goes.
	Console bool
	// cpu is what the machine has used, known after run.
	cpu time.Duration
	// Cgroup is the directory that becomes the machine's root cgroup.
	Cgroup string
}

func cmdRun(args []string) error { return runJob(args, false) }
func cmdVM(args []string) error  { return runJob(args, true) }

func runJob(args []string, vm bool) error {
	j, err := parseJob(args, vm)
	if err != nil {
		return err
	}
	if err := j.prepare(); err != nil {
		return err
	}
	return j.run(os.Stdin, os.Stdout, os.Stderr)
}

// prepare builds what is tested and makes the tree it is tested in.
func (j *job) prepare() error {
	if os.Geteuid() != 0 {
		return errors.New("booting a machine: needs root, for its namespaces and device nodes")
	}
	if err := enterScope(); err != nil {
		return fmt.Errorf("entering a delegated scope: %w", err)
	}
	s, err := findSuite(j.Suite)
	if err != nil {
		return err
	}
	if j.Root, err = s.tree(); err != nil {
		return err
	}
	j.Root += "/root"
	if j.VM {
		if err := ensurePackages(vmPackages); err != nil {
			return err
		}
		if s.isForeign() {
			if err := ensurePackages(foreignPackages); err != nil {
				return err
			}
		}
		if err := unlessBuilt("lab", func() error { return quietly(nil, "make", "-s", "-C", j.checkout, "lab") }); err != nil {
			return err
		}
		j.Agent = j.checkout + "/bin/lab"
		if s.isForeign() {
			if j.Agent, err = s.buildAgent(j.checkout); err != nil {
				return err
			}
		}
	}
	if j.Source == "" {
		return nil
	}
	return unlessBuilt(s.bin(), func() error {
		return quietly(nil, "make", append([]string{"-s", "-C", j.Source, "build"}, s.makeVariables()...)...)
	})
}

// run boots the machine, runs the command in it and removes everything. The
// stage is PID 1 of a PID namespace of its own and dies with this thread
// (prctl(2), PR_SET_PDEATHSIG), so even SIGKILL here leaves neither process nor
// mount; only an empty cgroup may stay, and the next run sweeps that.
func (j *job) run(stdin io.Reader, stdout, stderr io.Writer) error {
	cgroup, err := newCgroup()
	if err != nil {
		return err
	}
	defer func() {
		j.cpu = cgroupCPU(cgroup)
		removeCgroup(cgroup)
	}()
	j.Cgroup = cgroup
	verb := "stage"
	if j.VM {
		verb = "vmstage"
	}
	if j.Terminal {
		defer keepTerminal(os.Stdin)()
		j.Winsize, _ = unix.IoctlGetWinsize(int(os.Stdin.Fd()), unix.TIOCGWINSZ)
	}
	config, err := json.Marshal(j)
	if err != nil {
		return err
	}
	stage := exec.Command("/proc/self/exe", verb, string(config))
	stage.Stdin, stage.Stdout, stage.Stderr = stdin, stdout, stderr
	stage.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(interrupts)
	if err := stage.Start(); err != nil {
		return fmt.Errorf("starting stage: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- stage.Wait() }()
	var late <-chan time.Time
	if j.Timeout > 0 && !j.VM {
		late = time.After(j.Timeout)
	}
	select {
	case err = <-done:
	case <-late:
		stage.Process.Kill()
		<-done
		return fmt.Errorf("the machine was not done after %v", j.Timeout)
	case sig := <-interrupts:
		stage.Process.Kill()
		<-done
		return &statusError{128 + int(sig.(syscall.Signal))}
	}
	var status *exec.ExitError
	if errors.As(err, &status) && status.ExitCode() >= 0 {
		return &statusError{status.ExitCode()}
	}
	return err
}

// parseJob reads [-bare] [-copy SRC:DST]... [-tty] SUITE -- CMD...
func parseJob(args []string, vm bool) (*job, error) {
	j := &job{VM: vm}
	bare := false
	for len(args) > 0 && args[0][0] == '-' {
		switch {
		case args[0] == "-bare":
			bare = true
		case args[0] == "-console":
			j.Console = true
		case args[0] == "-instructions" && vm:
			j.Instructions = true
		case args[0] == "-tty":
			j.Terminal = true
		case args[0] == "-copy" && len(args) > 1:
			j.Copies = append(j.Copies, args[1])
			args = args[1:]
		case args[0] == "-timeout" && len(args) > 1:
			var err error
			if j.Timeout, err = time.ParseDuration(args[1]); err != nil {
				return nil, err
			}
			args = args[1:]
		case args[0] == "-env" && len(args) > 1:
			j.Env = append(j.Env, args[1])
			args = args[1:]
		default:
			return nil, fmt.Errorf("option %s: not known; see lab without arguments", args[0])
		}
		args = args[1:]
	}
	if len(args) < 3 || args[1] != "--" {
		return nil, errors.New("arguments: want [OPTION] SUITE -- CMD [ARG]")
	}
	if !bare || vm {
		var err error
		if j.checkout, err = sourceDir(); err != nil {
			return nil, err
		}
	}
	if !bare {
		j.Source = j.checkout
	}
	j.Suite, j.Command = args[0], slices.Clone(args[2:])
	j.setEnv()
	return j, nil
}

// setEnv tells the command where it is.
func (j *job) setEnv() {
	kind := "fast"
	if j.VM {
		kind = "vm"
	}
	j.Env = append(j.Env, "UNITC_LAB="+kind, "UNITC_LAB_SUITE="+j.Suite)
}

// sourceDir is the root of the module the lab was called in.
func sourceDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = parentDir(dir) {
		if _, err := os.Stat(dir + "/go.mod"); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("finding the checkout: no go.mod here or above")
}
