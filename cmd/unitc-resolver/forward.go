// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/forward"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/usernet"
)

// forwardVerb has it take connections to a port of a user's container, in whose
// namespaces it is then: `forward PORT DESCRIPTOR`, where that is a pidfd of the payload.
const forwardVerb = "forward"

func forwardTo(port, payload string, stop <-chan os.Signal) error {
	if err := realm.Begin(); err != nil {
		return err
	}
	if u := realm.Own(); u == nil || !u.Entered {
		return errors.New("connections are forwarded by units of a user's systemd")
	}
	target, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return err
	}
	fd, err := strconv.Atoi(payload)
	if err != nil {
		return err
	}
	unix.CloseOnExec(fd)
	// It speaks with strangers, and needs no power over the container for that.
	if err := usernet.GiveUp(); err != nil {
		return err
	}
	list := passed() // to the process that this one follows
	if len(list) == 0 {
		return errors.New("systemd has passed no socket: start the .socket, not the .service")
	}
	systemd, err := openSystemd()
	if err != nil {
		return err
	}
	defer systemd.Close()
	if err := systemd.say("READY=1"); err != nil {
		return err
	}
	return forward.Serve(forward.Options{
		Sockets: list, Target: uint16(target), Payload: os.NewFile(uintptr(fd), "payload"), Stop: stop,
		Stopping: func() { _ = systemd.say("STOPPING=1") },
	})
}
