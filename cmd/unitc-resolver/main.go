// SPDX-License-Identifier: Apache-2.0

// Command unitc-resolver answers containers that ask for names. systemd starts
// it by unitc-resolver.socket and it ends when nobody asks any more. With "keep" it
// keeps a user's networks, as long as there are any, and answers there; with "forward" it
// takes connections to a user's container. With "host" it answers the host, by unitc-host-names.socket.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/unitc/unitc/internal/resolver"
)

func main() {
	// A restart loses no answer.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	var err error
	if len(os.Args) == 2 && os.Args[1] == "keep" {
		err = keep(stop)
	} else if len(os.Args) == 4 && os.Args[1] == forwardVerb {
		err = forwardTo(os.Args[2], os.Args[3], stop)
	} else if len(os.Args) == 2 && os.Args[1] == "host" {
		err = resolver.Serve(resolver.NewHost(""), sockets(), resolver.Idle, stop)
	} else if idle, idleErr := idleTime(); idleErr != nil {
		err = idleErr
	} else {
		err = resolver.Serve(resolver.New("", "/etc/resolv.conf"), sockets(), idle, stop)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "<3>%v\n", err)
		os.Exit(1)
	}
}

// idleTime is the one argument, which a drop-in of the unit may give.
func idleTime() (time.Duration, error) {
	if len(os.Args) < 2 {
		return resolver.Idle, nil
	}
	return time.ParseDuration(os.Args[1])
}

// sockets are those that systemd has passed (sd_listen_fds(3)).
func sockets() []*os.File {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil
	}
	return passed()
}

func passed() []*os.File {
	const first = 3
	count, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || count < 0 || count > 1<<10 {
		return nil
	}
	var list []*os.File
	for fd := first; fd < first+count; fd++ {
		syscall.CloseOnExec(fd)
		if err := syscall.SetNonblock(fd, true); err == nil {
			list = append(list, os.NewFile(uintptr(fd), strconv.Itoa(fd)))
		}
	}
	return list
}
