// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

//go:embed try.sh
var tryScript string

// tryShell goes on with a shell where someone is there to use it.
const tryShell = `
printf '\n\033[1m# The machine is yours: /etc/unitc, systemctl, journalctl, unitc. It goes when you leave (exit, ^D).\033[0m\n'
cd /etc/unitc && bash -i
exit 0
`

func cmdTry(args []string) error {
	flags := flag.NewFlagSet("try", flag.ContinueOnError)
	vm := flags.Bool("vm", false, "boot a virtual machine, with memory limits that hold")
	suite := flags.String("suite", "trixie", "the Debian `suite` to boot")
	if err := flags.Parse(args); err != nil {
		return &statusError{2}
	}
	source, err := sourceDir()
	if err != nil {
		return err
	}
	script := tryScript
	j := &job{Suite: *suite, Source: source, checkout: source, VM: *vm}
	if isTerminal(os.Stdin) && isTerminal(os.Stdout) {
		j.Terminal = true
		script += tryShell
	}
	j.Copies = []string{filepath.Join(source, "examples") + ":/root/examples"}
	j.Command = []string{"sh", "-c", script}
	j.setEnv()
	fmt.Println("building unitc, and on the first time a Debian tree to boot (half a minute)")
	if err := j.prepare(); err != nil {
		return err
	}
	if *vm {
		fmt.Println("booting; under emulation that takes half a minute")
	}
	return j.run(os.Stdin, os.Stdout, os.Stderr)
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
