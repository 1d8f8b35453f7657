// SPDX-License-Identifier: Apache-2.0

// Package oci is the command line of an OCI runtime, as engines call it: what
// runc's users know, word for word where a caller could parse it. It keeps the
// state of containers below --root, makes their cgroups, and has the runtime
// package do the rest. cmd/unitc-runtime and `unitc oci` are both this.
//
// A container is made by one process and started, signalled and deleted by
// others, so nothing here stays: its first process waits at a FIFO (start), the
// caller is its parent, and a lock on the state's directory keeps calls apart.
package oci

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/buildinfo"
)

// verb is one command.
type verb struct {
	name, args, help string
	options          []option
	least, most      int // number of arguments; most < 0 = any
	// foreign: what follows the first argument belongs to another program.
	foreign bool
	// status is the exit status for errors.
	status int
	run    func(*call) error
}

// call is one run of the command line.
type call struct {
	options
	args   []string
	root   string // the containers' directory
	log    logger
	verb   *verb
	stdout io.Writer
}

// exitStatus is the status of a container's process, passed on.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

var globalOptions = []option{
	{"root", "", "DIR", "directory of the containers' state"},
	{"log", "", "FILE", "where errors are written besides standard error"},
	{"log-format", "", "FORMAT", "text or json"},
	{"log-level", "", "LEVEL", "accepted"},
	{"debug", "", "", "accepted"},
	{"systemd-cgroup", "", "", "have systemd make the cgroups: cgroupsPath is slice:prefix:name"},
	{"cgroup-manager", "", "MANAGER", "cgroupfs, systemd or disabled"},
	{"rootless", "", "BOOL", "accepted: what is possible is found out by doing"},
	{"criu", "", "PATH", "accepted"},
	{"help", "h", "", "show help"},
	{"version", "v", "", "print the version"},
}

// verbs in the order of the help.
var verbs []verb

func init() {
	verbs = slices.Concat(lifecycleVerbs, processVerbs, resourceVerbs, lookVerbs)
}

// Main runs the command line and gives the exit status.
func Main(name string, args []string) int {
	c := &call{stdout: os.Stdout}
	rest, err := c.parse(args, globalOptions, true)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	switch {
	case c.has("version"):
		fmt.Printf("%s version %s\nspec: %s\n", filepath.Base(name), buildinfo.Version, specs.Version)
		return 0
	case len(rest) == 0 || c.has("help") || rest[0] == "help" || rest[0] == "h":
		help(c.stdout, name)
		return 0
	}
	if err := c.settle(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == rest[0] })
	switch {
	case i < 0 && (rest[0] == "checkpoint" || rest[0] == "restore"):
		// Also for --help, by which Podman asks whether there are any.
		return c.fail(1, fmt.Errorf("%s: %s makes no checkpoints; use runc or crun for a container that needs them", rest[0], runtimeName))
	case i < 0:
		//lint:ignore ST1005 runc's words
		return c.fail(1, fmt.Errorf("No help topic for '%s'", rest[0]))
	}
	c.verb = &verbs[i]
	return c.do(name, rest[1:])
}

func (c *call) do(name string, args []string) int {
	v := c.verb
	rest, err := c.parse(args, append(v.options, option{"help", "h", "", "show help"}), v.foreign)
	if err != nil {
		return c.fail(1, err)
	}
	if c.has("help") {
		verbHelp(c.stdout, name, v)
		return 0
	}
	c.args = rest
	if len(rest) < v.least || v.most >= 0 && len(rest) > v.most {
		how, n := "exactly", v.least
		switch {
		case v.most < 0 || len(rest) < v.least && v.most != v.least:
			how = "a minimum of"
		case v.most != v.least:
			how, n = "a maximum of", v.most
		}
		return c.fail(1, fmt.Errorf("%s: %q requires %s %d argument(s)", name, v.name, how, n))
	}
	err = v.run(c)
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case v.status != 0:
		return c.fail(v.status, err)
	}
	return c.fail(1, err)
}

// settle checks the global options.
func (c *call) settle() error {
	c.log = logger{path: c.get("log"), json: c.get("log-format") == "json"}
	if f := c.get("log-format"); f != "" && f != "json" && f != "text" {
		return fmt.Errorf("invalid log-format: %s", f)
	}
	if m := c.get("cgroup-manager"); m != "" && m != "cgroupfs" && m != "systemd" && m != "disabled" {
		return fmt.Errorf("invalid cgroup-manager: %s", m)
	}
	c.root = c.get("root")
	if c.root == "" {
		c.root = "/run/unitc-runtime"
		if dir := os.Getenv("XDG_RUNTIME_DIR"); rootless() && dir != "" {
			c.root = dir + "/unitc-runtime"
		}
	}
	var err error
	c.root, err = filepath.Abs(c.root)
	return err
}

func (c *call) fail(status int, err error) int {
	c.log.error(err)
	return status
}

func help(w io.Writer, name string) {
	fmt.Fprintf(w, "NAME:\n   %s - OCI runtime of unitc\n\nUSAGE:\n   %s [global options] command [command options] [arguments...]\n\nCOMMANDS:\n", filepath.Base(name), filepath.Base(name))
	for _, v := range verbs {
		fmt.Fprintf(w, "   %-10s %s\n", v.name, v.help)
	}
	fmt.Fprintln(w, "\nGLOBAL OPTIONS:")
	printOptions(w, globalOptions)
}

func verbHelp(w io.Writer, name string, v *verb) {
	fmt.Fprintf(w, "NAME:\n   %s %s - %s\n\nUSAGE:\n   %s %s [command options] %s\n\nOPTIONS:\n", filepath.Base(name), v.name, v.help, filepath.Base(name), v.name, v.args)
	printOptions(w, v.options)
}

func printOptions(w io.Writer, list []option) {
	for _, o := range list {
		names := "--" + o.long
		if o.short != "" {
			names += ", -" + o.short
		}
		fmt.Fprintf(w, "   %-28s %s\n", strings.TrimSpace(names+" "+o.value), o.help)
	}
}
