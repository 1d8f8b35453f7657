// SPDX-License-Identifier: Apache-2.0

package planner

import "github.com/unitc/unitc/internal/definition"

// Facts are what a plan needs to know of the host; the helper gathers them, so
// that Build itself stays a function of its arguments.
type Facts struct {
	// EnvFiles has the variables of each of the definition's env files, in order.
	EnvFiles [][]definition.Env
	// Devices has the node behind each of the definition's devices, by source.
	Devices map[string]Device
	// HostEtc are the members of the list of /etc files that exist (RootHost).
	HostEtc []string
	// HardLimits are the helper's own hard limits by RLIMIT_ name, as systemd set
	// them; the defaults stay below. Absent = no bound known.
	HardLimits map[string]uint64
	// IDRange is the private range of user and group ids; Size 0 = none.
	IDRange IDRange
}

// Device is a device node: "c" or "b", and its number.
type Device struct {
	Type         string
	Major, Minor int64
	Mode         uint32 // permission bits
	UID, GID     uint32
}

// IDRange is Size ids of the host, from Start.
type IDRange struct{ Start, Size uint32 }
