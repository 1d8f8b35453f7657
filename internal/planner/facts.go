// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"github.com/unitc/unitc/internal/cdi"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/seccomp"
)

// Facts are what a plan needs to know of the host; the helper gathers them, so
// that Build itself stays a function of its arguments.
type Facts struct {
	// EnvFiles has the variables of each of the definition's env files, in order.
	EnvFiles [][]definition.Env
	// Devices has the node behind each of the definition's devices, by source.
	Devices map[string]Device
	// DeviceDirs are the nodes below each of the definition's devices that is a
	// directory, and for a privileged one below HostDevices; Devices has them too.
	DeviceDirs map[string][]string
	// CDI is what the definition's devices of the Container Device Interface do;
	// Devices has their nodes too.
	CDI *cdi.Edits
	// HostEtc are the members of the list of /etc files that exist (RootHost).
	HostEtc []string
	// HardLimits are the helper's own hard limits by RLIMIT_ name, as systemd set
	// them; the defaults stay below. Absent = no bound known.
	HardLimits map[string]uint64
	// SELinux is nil where the host runs without it, or no label is wanted.
	SELinux *SELinux
	// AppArmor says that the host has AppArmorProfile loaded.
	AppArmor bool
	// Landlock says that the kernel scopes abstract sockets.
	Landlock bool
	// Seccomp is the profile of SeccompFile, Kernel the version it is resolved for.
	Seccomp *seccomp.Profile
	Kernel  seccomp.Kernel
	// Volumes says what is mounted for each volume of Volumes() that is no path
	// of the host, by target.
	Volumes map[string]VolumeSource
	// Image is the local image of `image:`, nil where the definition has none.
	Image *Image
	// Bundle is what `bundle:` names, nil where the definition has none.
	Bundle *Bundle
	// WatchdogUSec is WATCHDOG_USEC= of the helper's environment (sd_watchdog_enabled(3)).
	WatchdogUSec string
	// Umask is the helper's own, as UMask= of its unit has it; nil = not known.
	Umask *uint32
	// Sockets is how many listening sockets systemd has passed, SocketNames what
	// LISTEN_FDNAMES= says of them (sd_listen_fds(3)).
	Sockets     int
	SocketNames string
	// Joined are the namespaces of others that `network_mode:`, `pid:` and `ipc:` ask for.
	Joined Joined
	// NameLinks are the files below /etc that are dangling links in the root file
	// system, by name, and where in it they lead.
	NameLinks map[string]string
	// IDStart is the first of the 65,536 user and group ids that are the unit's
	// own; 0 = the payload shares the host's ids.
	IDStart uint32
}

// Joined are paths of namespaces to be joined; "" = there is none.
type Joined struct {
	Network, PID, IPC string
	// HostNetwork says that Network is the host's: the joined container has no other.
	HostNetwork bool
	// User is that of the container whose processes or memory are shared: among
	// other ids they would be seen and not touched.
	User string
	// Shm is the process whose /dev/shm is shared; 0 = nobody's.
	Shm int
	// Level is that of the SELinux label of the container whose processes or
	// memory are shared; "" = there is none.
	Level string
}

// Device is a device node: "c" or "b", and its number.
type Device struct {
	Type         string
	Major, Minor int64
	Mode         uint32 // permission bits
	UID, GID     uint32
}

// Image is what a container takes from an image: the directories to mount and
// the defaults of its configuration, which come from a stranger.
type Image struct {
	Lowers     []string // topmost first
	Upper      string   // "" = read-only
	Work       string
	Entrypoint []string
	Cmd        []string
	Env        []string // NAME=value
	User       string
	WorkingDir string
	Volumes    []string // paths inside that are volumes
	StopSignal string
	// Healthcheck is the image's own check, nil if it has none.
	Healthcheck *definition.Healthcheck
	// Shell is what runs the CMD-SHELL of a check (Dockerfile's SHELL), empty = /bin/sh -c.
	Shell        []string
	ExposedPorts []string // "80/tcp"
	Labels       map[string]string
}

// VolumeSource is a directory of the host that stands for a volume.
type VolumeSource struct {
	Path    string
	Options []string // of its bind mount
	Layers  []string // of an image, topmost first
}
