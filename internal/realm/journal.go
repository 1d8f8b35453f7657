// SPDX-License-Identifier: Apache-2.0

package realm

import (
	"strconv"
)

// ManagerMatch selects systemd's own entries in the journal (systemd.journal-fields(7)).
func ManagerMatch() string {
	if u := own; u != nil {
		return "_SYSTEMD_UNIT=user@" + strconv.Itoa(u.UID) + ".service" // and its user unit is init.scope
	}
	return "_PID=1"
}

// UnitField has the unit that systemd speaks of.
func UnitField() string {
	if own != nil {
		return "USER_UNIT"
	}
	return "UNIT"
}

// InvocationField has the unit's invocation of which systemd speaks.
func InvocationField() string {
	if own != nil {
		return "USER_INVOCATION_ID"
	}
	return "INVOCATION_ID"
}

// ObjectUnitField has the unit of which somebody else speaks.
func ObjectUnitField() string {
	if own != nil {
		return "OBJECT_SYSTEMD_USER_UNIT"
	}
	return "OBJECT_SYSTEMD_UNIT"
}

// SystemdUnitField has the unit of who wrote a line, as journald knows it.
func SystemdUnitField() string {
	if own != nil {
		return "_SYSTEMD_USER_UNIT"
	}
	return "_SYSTEMD_UNIT"
}

// HelperMatch selects entries that nobody else can have written for unitc's helper.
func HelperMatch() string {
	if u := own; u != nil {
		return "_UID=" + strconv.Itoa(u.UID)
	}
	return "_UID=0"
}
