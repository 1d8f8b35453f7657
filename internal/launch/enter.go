// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/enter"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/realm"
)

// Enter runs one of the helper's verbs in the user's own namespace: it is how a unit
// of a user's systemd calls the helper. The process of a start is handed over to
// systemd as the service's main one, so that the payload becomes its child as it
// becomes PID 1's elsewhere; the others are waited for.
func Enter(args []string) int {
	u := realm.Own()
	if u == nil || u.Entered || len(args) == 0 {
		fmt.Fprintln(journal.Stderr, "<3>enter is for units of a user's systemd, not for root's")
		return exitUser
	}
	self, err := os.Executable()
	if err != nil {
		return enterFailed(nil, err)
	}
	opt := enter.Options{Sibling: args[0] == "start"}
	if slices.Contains(joiners, args[0]) {
		// A namespace of its own would have no power over the container's. A payload
		// that has ended by itself needs none.
		opt.Of, _ = strconv.Atoi(os.Getenv("MAINPID"))
	}
	if opt.Sibling && os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		os.Setenv("LISTEN_PID", listenEntered)
	}
	child, err := enter.Fork(u, append([]string{self}, args...), opt)
	notify, notifyErr := openNotifier()
	if err != nil {
		status := enterFailed(notify, err)
		if args[0] == "clean" && len(args) > 1 {
			// What files the user has, the user can remove.
			return Clean(args[1], false)
		}
		return status
	}
	defer child.Close()
	if !opt.Sibling {
		return awaitEntered(child)
	}
	err = notifyErr
	if err == nil {
		// A child of systemd's own, in the service's cgroup: it is taken.
		err = notify.send(fmt.Sprintf("MAINPID=%d", child.PID), status("entering the user's namespace"))
	}
	if err == nil {
		err = notify.barrierFor(statePatience)
	}
	if err == nil {
		err = child.Open()
	}
	if err == nil {
		err = child.AwaitExec()
	}
	if err != nil {
		_ = child.Kill()
		return enterFailed(notify, err)
	}
	return 0
}

// joiners are verbs that work in a container that runs.
var joiners = []string{"post-start", "pre-stop"}

// listenEntered stands in LISTEN_PID= for the process that is about to be.
const listenEntered = "entered"

func enterFailed(notify *notifier, err error) int {
	fmt.Fprintf(journal.Stderr, "<3>%v\n", err)
	if notify != nil {
		_ = notify.send(status(err.Error()))
		_ = notify.barrier()
	}
	return exitUser
}

// awaitEntered lets the child go on and passes its end on.
func awaitEntered(child *enter.Child) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	go func() {
		for s := range signals {
			_ = unix.Kill(child.PID, s.(unix.Signal))
		}
	}()
	if err := child.Open(); err != nil {
		return enterFailed(nil, err)
	}
	return enter.Await(child.PID)
}
