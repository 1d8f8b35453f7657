// SPDX-License-Identifier: Apache-2.0

// Package plan is a launch as a value: what will be confined, by what, and
// where its cgroup will be. The planner makes it from a definition; the
// runtime and cgroupsd carry it out. It is data only, so it can be printed,
// compared and handed to another OCI runtime.
package plan

import (
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
)

// Plan is one launch.
type Plan struct {
	// Unit is the service that runs the payload: "web.service".
	Unit string `json:"unit"`
	// Spec is the OCI runtime-spec configuration: all that the payload is
	// confined by. Whoever has it and Root can run the same container.
	Spec *specs.Spec `json:"spec"`
	// Bundle is the OCI bundle that Spec is from; "" = it was made here.
	Bundle string `json:"bundle,omitempty"`
	// Root is where the root file system comes from.
	Root Root `json:"root"`
	// User is `user:` as written, looked up inside the root file system at
	// start ("" = 0:0); Groups likewise.
	User   string   `json:"user,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Runtime is the name or path of another OCI runtime; "" = unitc's own.
	Runtime string `json:"runtime,omitempty"`
	// Init puts a reaping first process in front of the payload.
	Init bool `json:"init,omitempty"`
	// StopSignal is what Init passes on in the place of SIGTERM; 0 = SIGTERM.
	StopSignal int `json:"stop_signal,omitempty"`
	// OwnPID are variables that the payload gets with its own process id as it sees that.
	OwnPID []string `json:"own_pid,omitempty"`
	// ScopeSockets keeps the payload from abstract sockets of others (landlock(7)).
	ScopeSockets bool `json:"scope_sockets,omitempty"`
	// CreateSources are bind sources that are made when they are missing.
	CreateSources []string `json:"create_sources,omitempty"`
	// Subpaths are the places in the sources of bind mounts that are mounted in
	// their stead, by destination; they are resolved inside the source.
	Subpaths map[string]string `json:"subpaths,omitempty"`
	// Images are the layers of images that are mounted, topmost first, by
	// destination; the mounts of Spec say the same for another reader.
	Images map[string][]string `json:"images,omitempty"`
	// Relabel are the SELinux labels that sources of bind mounts get, by
	// destination.
	Relabel map[string]string `json:"relabel,omitempty"`
	// LabelNew is the same of sources that are left alone when they have the
	// label already.
	LabelNew map[string]string `json:"label_new,omitempty"`
	// SharedShm is the process whose /dev/shm the payload has too; 0 = its own.
	SharedShm int `json:"shared_shm,omitempty"`
	// Files are secrets and configs; what is in them is in no plan.
	Files []File `json:"files,omitempty"`
	// Network connects the payload's own network namespace; nil leaves it as it
	// is: with its loopback alone, or the one that was joined.
	Network *Network `json:"network,omitempty"`
	// Rules is a file of nft(8) that is loaded in the payload's own network
	// namespace before the payload runs; "" = none.
	Rules string `json:"rules,omitempty"`
	// Names are the files below /etc by which the payload finds others; nil =
	// those of its root file system.
	Names *Names `json:"names,omitempty"`
	// Optional are destinations of mounts that are left out where the root file
	// system has no place for them and cannot get one.
	Optional []string `json:"optional,omitempty"`
	// Copies are destinations of bind mounts of files of which the payload gets a copy
	// in memory, its root's, that ends with it.
	Copies []string `json:"copies,omitempty"`
	// Scope is the transient scope of the payload; nil places it in the
	// service's own delegated cgroup.
	Scope *Scope `json:"scope,omitempty"`
	// Ready is what makes the unit active; "" = the payload's first instruction.
	Ready string `json:"ready,omitempty"`
	// Health is how to find out whether the payload is well; nil = not at all.
	Health *Health `json:"health,omitempty"`
	// PostStart and PreStop are run inside beside the payload, one after the other.
	PostStart []Hook `json:"post_start,omitempty"`
	PreStop   []Hook `json:"pre_stop,omitempty"`
	// StopGrace bounds PreStop, in nanoseconds.
	StopGrace time.Duration `json:"stop_grace,omitempty"`
	// Logging is a driver of the definition: journald, direct or none.
	Logging string `json:"logging"`
	// LogFormat is "json" where lines become fields; Tag is the
	// SYSLOG_IDENTIFIER of all lines, "" = the unit's name.
	LogFormat string `json:"log_format,omitempty"`
	Tag       string `json:"tag,omitempty"`
}

// CgroupOwner tells whether the payload may write to its own cgroup, and the host's ids
// of its root, -1 where it has the host's. Who brings a bundle has said all there is to say.
func (p *Plan) CgroupOwner() (uid, gid int, writable bool) {
	uid, gid = -1, -1
	if p.Bundle != "" || p.Runtime != "" || p.Spec.Linux == nil ||
		!slices.ContainsFunc(p.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace && n.Path == "" }) {
		return uid, gid, false
	}
	for _, m := range p.Spec.Mounts {
		writable = writable || m.Type == "cgroup" && !slices.Contains(m.Options, "ro")
	}
	for _, m := range p.Spec.Linux.UIDMappings {
		if m.ContainerID == 0 {
			uid = int(m.HostID)
		}
	}
	for _, m := range p.Spec.Linux.GIDMappings {
		if m.ContainerID == 0 {
			gid = int(m.HostID)
		}
	}
	return uid, gid, writable
}

// Hook is a command that runs in the container.
type Hook struct {
	Process *specs.Process `json:"process"`
	User    string         `json:"user,omitempty"` // as Plan.User
	// Unfiltered runs it without the payload's seccomp filter.
	Unfiltered bool `json:"unfiltered,omitempty"`
}

// File is a read-only file that is made at start.
type File struct {
	Destination string `json:"destination"` // absolute, inside
	UID         string `json:"uid"`         // name or number inside
	GID         string `json:"gid"`
	Mode        uint32 `json:"mode"`
}

// What Ready says beside "".
const (
	ReadyHealthy   = "healthy"   // the first check that succeeds
	ReadyContainer = "container" // the payload's own READY=1
	ReadyExit      = "exit"      // the payload's end with status 0
)

// Health is a check, complete: no value means a default any more.
type Health struct {
	Kind          string              `json:"kind"`              // a probe's kind of the definition
	Target        string              `json:"target,omitempty"`  // path, address, URL or expression
	Command       []string            `json:"command,omitempty"` // exec
	TLS           definition.ProbeTLS `json:"tls,omitzero"`
	Interval      time.Duration       `json:"interval"` // nanoseconds, as the others
	Timeout       time.Duration       `json:"timeout"`
	StartPeriod   time.Duration       `json:"start_period"`
	StartInterval time.Duration       `json:"start_interval"`
	Retries       int                 `json:"retries"`
	// Restart hands an unhealthy payload to systemd's Restart=.
	Restart bool `json:"restart,omitempty"`
	// OwnTimeout leaves TimeoutStartSec= as the operator has set it.
	OwnTimeout bool `json:"own_timeout,omitempty"`
}

// IsTLS tells whether the check speaks TLS.
func (h *Health) IsTLS() bool {
	return h.Kind == definition.ProbeHTTP && strings.HasPrefix(h.Target, "https://")
}

// Kinds of root file system.
const (
	RootDirectory = "directory" // Path as it is
	RootHost      = "host"      // the host's /usr, read-only, in a fresh tmpfs
	RootOverlay   = "overlay"   // Lowers under Upper
	RootBundle    = "bundle"    // Path of an OCI bundle: its owners are right already, and process.user stands as written
)

// RootAnnotation is where `unitc spec` says in config.json what root.path cannot:
// a Root. It is read again for `bundle:` alone. Engines let their users write
// annotations, so unitc-runtime must pass it over.
const RootAnnotation = "com.github.unitc.root"

// Root is where the root file system comes from.
type Root struct {
	Kind   string   `json:"kind"`
	Path   string   `json:"path,omitempty"`   // directory: absolute host path
	Lowers []string `json:"lowers,omitempty"` // overlay: absolute host paths, topmost first
	Upper  string   `json:"upper,omitempty"`  // overlay: "" = read-only
	Work   string   `json:"work,omitempty"`
}

// Scope is what systemd is asked for over the bus.
type Scope struct {
	Name        string `json:"name"` // unitc-web.scope
	Slice       string `json:"slice"`
	Description string `json:"description"`
	// BoundTo is the service whose end is the scope's end (S-8); "" = none.
	BoundTo string `json:"bound_to"`
	// Needs is a unit that stays while the scope does; "" = none.
	Needs string `json:"needs,omitempty"`
	// Properties are resource-control directives as a unit file spells them.
	Properties []definition.Directive `json:"properties,omitempty"`
}

// Network is what a start connects the payload to.
type Network struct {
	// Pasta connects by pasta(1), a process in the payload's cgroup, and not by
	// interfaces of the kernel's.
	Pasta       bool                    `json:"pasta,omitempty"`
	Attachments []definition.Attachment `json:"attachments"`
	Aliases     []string                `json:"aliases,omitempty"` // in all of them
	Links       []definition.Link       `json:"links,omitempty"`
	Ports       []definition.Port       `json:"ports,omitempty"`
	// Sysctls are those of single interfaces, which are there only once the
	// payload is connected; the others are in Spec.
	Sysctls []definition.KeyValue `json:"sysctls,omitempty"`
}

// Names are what is written to the payload's hosts and resolv.conf.
type Names struct {
	// From is the unit, without ".service", whose files are shown: the one whose
	// network is joined. "" = files of its own.
	From    string            `json:"from,omitempty"`
	Hosts   []definition.Host `json:"hosts,omitempty"`
	DNS     []string          `json:"dns,omitempty"`
	Search  []string          `json:"search,omitempty"`
	Options []string          `json:"options,omitempty"`
	// Files are the names below /etc that are made.
	Files []string `json:"files"`
}
