// SPDX-License-Identifier: Apache-2.0

// Command lab is the testbed: it makes Debian trees, boots systemd over a copy
// of one in namespaces (the fast lane) or in QEMU (the faithful lane), runs a
// command inside and takes everything away again. See README.md beside it.
//
// It may use the standard library and x/sys only: it is built before anything
// else and must not break together with what it tests.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// Namespaces belong to threads: the verbs that enter some must stay on one.
func init() { runtime.LockOSThread() }

type verb struct {
	name, args, help string
	run              func(args []string) error
}

// Verbs without help are the lab's own stages, re-executed by itself.
var verbs []verb

func init() {
	verbs = []verb{
		{"install", "", "install the Debian packages the lab needs", cmdInstall},
		{"tree", "SUITE...", "make the trees of these suites", cmdTree},
		{"run", "[OPTION]... SUITE -- CMD...", "run CMD under a booted systemd, in namespaces", cmdRun},
		{"vm", "[OPTION]... SUITE -- CMD...", "run CMD in a virtual machine; -timeout DURATION", cmdVM},
		{"test", "[-lanes PATTERN,...] [-run REGEXP]", "all tests, in all lanes", cmdTest},
		{"gotest", "[-vm] SUITE PACKAGE [-test.FLAG]...", "the tests of one package, inside", cmdGotest},
		{"try", "[-vm] [-suite SUITE]", "show unitc on a throwaway machine", cmdTry},
		{"bench", "[-quick] [-rows RE] [-peers RE]", "unitc beside its peers, into bin/bench", cmdBench},
		{"lint", "", "gofmt, go vet, staticcheck, govulncheck", cmdLint},
		{"clean", "", "remove the cache", cmdClean},
		{"stage", "", "", cmdStage},
		{"vmstage", "", "", cmdVMStage},
		{"machine", "", "", cmdMachine},
		{"agent", "", "", cmdAgent},
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: lab VERB ...")
	for _, v := range verbs {
		if v.help != "" {
			fmt.Fprintf(os.Stderr, "  %-8s %-36s %s\n", v.name, v.args, v.help)
		}
	}
}

func main() {
	if len(os.Args) < 2 {
		usage()
		os.Exit(2)
	}
	shareCache()
	for _, v := range verbs {
		if v.name == os.Args[1] {
			exit(v.run(os.Args[2:]))
		}
	}
	usage()
	os.Exit(2)
}

// shareCache leaves the checkout's path out of all that is compiled, as `make
// build` does: go's cache is then one for vet, build and tests, and for every
// checkout on this machine.
func shareCache() {
	const trim = "-trimpath"
	out, _ := exec.Command("go", "env", "GOFLAGS").Output() // a machine may have set some for all
	flags := strings.TrimSpace(string(out))
	if !slices.Contains(strings.Fields(flags), trim) {
		os.Setenv("GOFLAGS", strings.TrimSpace(flags+" "+trim))
	}
}

// exit ends the lab with the status of the command it ran, where that is why.
func exit(err error) {
	var status *statusError
	var child *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &status):
		os.Exit(status.code)
	case errors.As(err, &child) && child.ExitCode() > 0:
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(child.ExitCode())
	}
	fmt.Fprintln(os.Stderr, "lab:", err)
	os.Exit(1)
}

// statusError is the exit status of the command inside, passed on in silence:
// what it had to say it has said.
type statusError struct{ code int }

func (e *statusError) Error() string { return fmt.Sprintf("exit status %d", e.code) }
