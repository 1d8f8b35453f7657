// SPDX-License-Identifier: Apache-2.0

// Package invocation tells whether a unit's last invocation is over, from what
// systemd leaves below /run: nobody is asked, so that it may be looked at for each
// container. It changes nothing.
package invocation

import (
	"os"
	"strings"

	"github.com/unitc/unitc/internal/realm"
)

// root is "" but in tests.
var root = ""

// Over tells whether systemd has done with a service of that name. It keeps a link
// for each unit that is neither inactive nor failed, from before its first process
// until its state changes (unit_export_invocation_id and unit_unlink_state_files in
// its src/core/unit.c), through reloads and re-executions, and a container's
// directory (RuntimeDirectory=) as long. What has either runs or is about to:
// nobody's hand in one place makes a container look as if it had ended. While
// systemd waits to start one again (RestartSec=) it is over.
func Over(unit string) bool {
	links := root + realm.Systemd + "/units/invocation:"
	// A systemd that keeps no links would have none for its journal either. A user's
	// runs no journal.
	if realm.Own() == nil && !isThere(links+"systemd-journald.service") {
		return false
	}
	return !isThere(links+unit) && !isThere(root+realm.Run+"/"+strings.TrimSuffix(unit, ".service"))
}

// ID is the invocation of a service that systemd has by now: 32 hexadecimal digits, "" =
// none, or one that cannot be known.
func ID(unit string) string {
	id, err := os.Readlink(root + realm.Systemd + "/units/invocation:" + unit)
	if err != nil {
		return "" // what is not known is not compared
	}
	return id
}

// IsOver tells whether one invocation of a service is over, as ID gave it: systemd has
// done with it, or has begun another. "" stands for whichever is the last.
func IsOver(unit, id string) bool {
	if now := ID(unit); id != "" && now != "" {
		return now != id
	}
	return Over(unit)
}

// isThere tells whether anything has that path. What cannot be seen may be there.
func isThere(path string) bool {
	_, err := os.Lstat(path)
	return !os.IsNotExist(err)
}
