// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"math"
	"os"

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
	systemd, err := openSystemd()
	if err != nil {
		return err
	}
	defer systemd.Close()
	if k.NewDoor {
		if err := systemd.say("FDSTOREREMOVE=1\nFDNAME=" + usernet.DoorName); err != nil {
			return err
		}
	}
	for name, files := range k.Stored() {
		// What is there already systemd passes over. It need not watch them.
		if err := systemd.say("FDSTORE=1\nFDNAME="+name+"\nFDPOLL=0", files...); err != nil {
			return err
		}
	}
	return systemd.say("READY=1\nSTATUS=")
}
