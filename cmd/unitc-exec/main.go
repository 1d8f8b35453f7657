// SPDX-License-Identifier: Apache-2.0

// Command unitc-exec is the helper of generated units: `start` is ExecStart=,
// `clean` is ExecStopPost= of some, `sweep` comes behind the end of others. Operators
// do not run it; unitc(1) is for them.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	_ "github.com/unitc/unitc/internal/bigstack"
	_ "github.com/unitc/unitc/internal/entry" // where it begins
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/launch"
	"github.com/unitc/unitc/internal/postmortem"
	"github.com/unitc/unitc/internal/pump"
	"github.com/unitc/unitc/internal/realm"
)

// The program's own goroutine stays on its first thread. A start becomes the log relay
// right behind READY=1, and an exec on another thread moves the process id from one
// to the other (de_thread in the kernel's fs/exec.c): systemd 262, which knows senders
// by pidfd, finds no unit for a word that it reads at that moment, and waits for
// READY=1 until the start times out (of 40,000 words 67, and none from the first thread).
func init() { runtime.LockOSThread() }

func main() {
	status := run(os.Args[1:])
	if realm.Own() != nil {
		journal.Settle()
	}
	os.Exit(status)
}

func run(args []string) int {
	if len(args) > 0 && args[0] == "enter" || realm.Entered() {
		if err := realm.Begin(); err != nil {
			fmt.Fprintf(journal.Stderr, "<3>%v\n", err)
			return 1
		}
	}
	switch {
	case len(args) == 2 && args[0] == "start":
		return launch.Start(args[1], "")
	case len(args) > 1 && args[0] == "enter":
		return launch.Enter(args[1:])
	case len(args) > 1 && args[0] == launch.NestVerb:
		return launch.Nest(args[1:])
	case len(args) == 3 && args[0] == "start":
		return launch.Start(args[1], args[2])
	case len(args) == 2 && args[0] == "clean":
		return launch.Clean(args[1], false)
	case len(args) >= 3 && args[0] == "clean": // of an earlier version, with networks
		return launch.Clean(args[1], true)
	case len(args) == 1 && args[0] == launch.SweepVerb:
		return launch.Sweep()
	case len(args) == 1 && args[0] == "idle":
		return launch.Idle()
	case len(args) == 1 && args[0] == pump.Verb: // by the relay
		return launch.Log()
	case len(args) == 1 && args[0] == pump.LostVerb: // by who watches the relay
		return launch.RelayLost()
	case len(args) == 1 && args[0] == launch.PostMortemVerb:
		return postmortem.Run(launch.Plan)
	case len(args) == 3 && args[0] == "probe": // by unitc-relay
		return launch.Probe(args[1], args[2])
	case len(args) == 2 && args[0] == "post-start":
		return launch.PostStart(args[1], false)
	case len(args) == 3 && args[0] == "post-start" && args[2] == launch.ByRelay:
		return launch.PostStart(args[1], true)
	case len(args) == 2 && args[0] == "pre-stop":
		return launch.PreStop(args[1])
	case len(args) == 3 && args[0] == "forward":
		return launch.Forward(args[1], args[2])
	case len(args) == 2 && args[0] == "drain":
		return launch.Drain(args[1])
	case len(args) == 2 && args[0] == "network-up":
		return launch.NetworkUp(args[1])
	case len(args) == 2 && args[0] == "network-down":
		return launch.NetworkDown(args[1])
	case len(args) == 2 && args[0] == "network-idle": // of an earlier version, until systemd has reloaded
		return launch.Sweep()
	case len(args) == 1 && args[0] == "network-reload":
		return launch.NetworkReload()
	case len(args) == 2 && args[0] == "steps": // for the tests
		fmt.Println(strings.Join(launch.Steps(args[1] == "foreign"), "\n"))
		return 0
	}
	fmt.Fprintln(os.Stderr, usage)
	return 2
}

const usage = `usage: unitc-exec start RESOLVED.json [INSTANCE]
       unitc-exec enter [networks] VERB ARGUMENTS
       unitc-exec enter keep-network
       unitc-exec enter sweep
       unitc-exec enter postmortem
       unitc-exec enter idle
       unitc-exec enter forward NAME PORT
       unitc-exec enter drain NAME
       unitc-exec nest start RESOLVED.json [INSTANCE]
       unitc-exec clean NAME [swept]
       unitc-exec sweep
       unitc-exec idle
       unitc-exec postmortem
       unitc-exec post-start NAME
       unitc-exec pre-stop NAME
       unitc-exec forward NAME PORT
       unitc-exec drain NAME
       unitc-exec network-up RESOLVED.json
       unitc-exec network-down NAME
       unitc-exec network-reload
run by the units that unitc-generator writes`
