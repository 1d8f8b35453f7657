// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/resolver"
	"github.com/unitc/unitc/internal/usernet"
)

// keep is the main process of a user's unitc-network.service, root of a namespace of
// the user's.
func keep(stop <-chan os.Signal) error {
	if err := realm.Begin(); err != nil {
		return err
	}
	if u := realm.Own(); u == nil || !u.Entered {
		return errors.New("networks are kept in a user's own namespace: systemctl --user start " + usernet.Unit)
	}
	k, err := usernet.Keep(usernet.Passed())
	if err != nil {
		return err
	}
	if err := tell(k); err != nil {
		return err
	}
	if err := usernet.GiveUp(); err != nil {
		return err
	}
	go k.Serve()
	err = resolver.Serve(resolver.New("", "/etc/resolv.conf"), k.Names, math.MaxInt64, stop)
	k.Leave()
	return err
}

// tell has systemd keep what another one of this program goes on with, and says that
// all is there.
func tell(k *usernet.Keeper) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	at := &unix.SockaddrUnix{Name: strings.Replace(path, "@", "\x00", 1)}
	if k.NewDoor {
		if err := unix.Sendto(fd, []byte("FDSTOREREMOVE=1\nFDNAME="+usernet.DoorName), 0, at); err != nil {
			return fmt.Errorf("notifying systemd: %w", err)
		}
	}
	for name, files := range k.Stored() {
		var fds []int
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		// What is there already systemd passes over. It need not watch them.
		text := "FDSTORE=1\nFDNAME=" + name + "\nFDPOLL=0"
		if err := unix.Sendmsg(fd, []byte(text), unix.UnixRights(fds...), at, 0); err != nil {
			return fmt.Errorf("handing descriptors to systemd: %w", err)
		}
	}
	if err := unix.Sendto(fd, []byte("READY=1\nSTATUS="), 0, at); err != nil {
		return fmt.Errorf("notifying systemd: %w", err)
	}
	return nil
}
