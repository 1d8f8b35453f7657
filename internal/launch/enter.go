// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/enter"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/postmortem"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/relay/order"
	"github.com/unitc/unitc/internal/store"
	"github.com/unitc/unitc/internal/usernet"
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
	switch args[0] {
	case SweepVerb:
		return sweepUser(u, self)
	case PostMortemVerb:
		return postmortem.Run(Plan) // it reads, and what it reads is the user's own
	case "idle":
		return Idle()
	case "drain":
		if len(args) == 2 {
			return Drain(args[1])
		}
	case "forward":
		if len(args) == 3 {
			return forwardUser(u, self, args[1], args[2])
		}
	}
	words := append([]string{self}, args...)
	var opt enter.Options
	onNetworks := args[0] == NetworksVerb && len(args) > 1
	switch {
	case args[0] == usernet.Verb:
		words = []string{filepath.Dir(self) + "/unitc-resolver", "keep"}
		opt = enter.Options{Sibling: true, Into: keptNamespace()}
	case args[0] == BesideVerb && len(args) > 2:
		// One that does not run is told at its line, by the start itself.
		opt = enter.Options{Sibling: true}
		opt.Of, _ = neighbourPID("", args[0]+":"+args[1])
		args = args[2:]
		words = append([]string{self}, args...)
	case onNetworks:
		// All that concerns networks is done in the namespace that these belong to.
		room, err := usernet.Ask()
		switch {
		case err == nil:
			opt.Into = room.User
			defer room.Close()
		case args[1] != "clean":
			notify, _ := openNotifier()
			return enterFailed(notify, keeperGone(err))
		case !errors.Is(err, usernet.ErrGone):
			fmt.Fprintf(journal.Stderr, "<4>%v\n", err)
		}
		if args = args[1:]; args[0] == "start" {
			opt.Sibling = true
			words = append([]string{self, NestVerb}, args...)
		} else {
			words = append([]string{self}, args...)
		}
	default:
		opt.Sibling = args[0] == "start"
	}
	if slices.Contains(joiners, args[0]) {
		// A namespace of its own would have no power over the container's. A payload
		// that has ended by itself needs none.
		opt.Of, _ = strconv.Atoi(os.Getenv("MAINPID"))
	}
	if opt.Sibling {
		passSockets()
	}
	notify, notifyErr := shareNotifier()
	if args[0] == "clean" && notifyErr == nil {
		// As Clean does, which comes a while later: stop_grace_period bounds both.
		signal.Ignore(order.StopSignals()...)
		notifyErr = notify.send(extension())
	}
	if args[0] == "clean" && len(args) > 1 && !onNetworks && releaseImage(args[1]+".service") == nil {
		// Nothing of other ids was left: a namespace takes longer than all else.
		return Clean(args[1], false)
	}
	child, err := enter.Fork(u, words, opt)
	if err != nil {
		status := enterFailed(notify, err)
		if args[0] == "clean" && len(args) > 1 {
			// What files the user has, the user can remove.
			os.Unsetenv("NOTIFY_SOCKET") // what has been said stays
			return Clean(args[1], false)
		}
		return status
	}
	defer child.Close()
	if !opt.Sibling {
		return awaitEntered(child)
	}
	if err = notifyErr; err == nil {
		err = release(notify, child)
	}
	if err != nil {
		_ = child.Kill()
		return enterFailed(notify, err)
	}
	return 0
}

// release makes a child the main process of the unit, and lets it go on.
func release(notify *notifier, child *enter.Child) error {
	// A child of systemd's own, in the service's cgroup: it is taken.
	err := notify.send(fmt.Sprintf("MAINPID=%d", child.PID), status("entering the user's namespace"))
	if err == nil {
		err = notify.barrierFor(statePatience)
	}
	if err == nil {
		err = child.Release()
	}
	return err
}

// joiners are verbs that work in a container that runs.
var joiners = []string{"post-start", "pre-stop"}

// listenEntered stands in LISTEN_PID= for the process that is about to be.
const listenEntered = "entered"

// passSockets leaves what systemd has passed to this process to its child.
func passSockets() {
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		os.Setenv("LISTEN_PID", listenEntered)
	}
}

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
	if err := child.Release(); err != nil {
		_ = child.Kill()
		return enterFailed(nil, err)
	}
	return enter.Await(child.PID)
}

// BesideVerb stands in front of the start of a container in another's network, with the
// name of that one: their user namespace is the same.
const BesideVerb = "beside"

// NetworksVerb stands in front of the verbs of a container on networks of the user's.
const NetworksVerb = "networks"

// NestVerb has the helper enter one more namespace, the container's.
const NestVerb = "nest"

// Nest runs a start in a namespace within that of the user's networks, where the
// container has power over nothing but itself, and stays until its interfaces are made,
// which only who has power over both sides can do.
func Nest(args []string) int {
	u := realm.Own()
	if u == nil || !u.Entered {
		fmt.Fprintln(journal.Stderr, "<3>nest is for units of a user's systemd, not for root's")
		return exitUser
	}
	notify, err := shareNotifier()
	if err != nil {
		return enterFailed(nil, err)
	}
	ours, err := nest(u, notify, args)
	if err == nil {
		defer ours.Close()
		err = network.ServeLinks(ours)
	}
	if err != nil {
		return enterFailed(notify, err)
	}
	return 0
}

func nest(u *realm.User, notify *notifier, args []string) (*os.File, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	images, err := store.Open("")
	if err == nil {
		err = images.SameIDs()
	}
	if err != nil {
		return nil, err
	}
	ours, theirs, err := network.LinkSockets()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	child, err := enter.Fork(u, append([]string{self}, args...), enter.Options{Sibling: true})
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer child.Close()
	if err := release(notify, child); err != nil {
		_ = child.Kill()
		ours.Close()
		return nil, err
	}
	return ours, nil
}

// keptNamespace is the namespace that the keeper of networks before this one was in,
// nil = there was none.
func keptNamespace() *os.File {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil
	}
	for i, name := range strings.Split(os.Getenv("LISTEN_FDNAMES"), ":") {
		if name == usernet.UserName {
			return os.NewFile(uintptr(firstSocket+i), name)
		}
	}
	return nil
}

func keeperGone(err error) error {
	return fmt.Errorf("%w; `systemctl --user status %s` says why", err, usernet.Unit)
}
