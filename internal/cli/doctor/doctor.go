// SPDX-License-Identifier: Apache-2.0

// Package doctor finds out what of this machine containers can use. Each check
// does, in small and leaving nothing behind, what a launch does, rather than
// ask for version numbers; a fault comes with its cure.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// State is what a check found.
type State string

// The states.
const (
	OK      State = "ok"
	Warning State = "warning" // something of unitc will not work
	Failed  State = "failed"  // containers will not work
	Unknown State = "unknown" // cannot be found out by this user
)

// Finding is the result of one check.
type Finding struct {
	Area  string `json:"area"`
	Check string `json:"check"`
	State State  `json:"state"`
	What  string `json:"what"`
	Cure  string `json:"cure,omitempty"`
}

// Machine is where to look.
type Machine struct {
	Proc, Sys, Run string
	Store          string // /var/lib/unitc
	Helper         string
	Relay          string
	Generators     []string
	Units          []string // directories of units, the first wins
	YAMLGenerator  string
	Systemd        func(ctx context.Context) (version string, err error)
	// Label is the SELinux label that the host's policy has for containers, "" =
	// none, and whether the kernel has that policy.
	Label func() (label string, loaded bool)
	// Enters gives the SELinux label of the helper and whether the policy lets that
	// begin a container with a label.
	Enters func(label string) (helper string, ok bool)
	// Landlock gives the kernel's version of it, 0 = none, and the first one that
	// scopes abstract sockets; nil = not asked.
	Landlock func() (version, scopes int, err error)
	// Netlink sends one message and gives the kernel's answer; nil = this kernel.
	Netlink func(protocol int, kind, flags uint16, body []byte) error
}

// check is a row of the table: what is looked at, and how.
type check struct {
	area, name string
	look       func(Machine) result
}

// result is a finding without its name.
type result struct {
	state State
	what  string
	cure  string
}

func good(format string, args ...any) result { return result{OK, fmt.Sprintf(format, args...), ""} }

func warn(cure, format string, args ...any) result {
	return result{Warning, fmt.Sprintf(format, args...), cure}
}

func bad(cure, format string, args ...any) result {
	return result{Failed, fmt.Sprintf(format, args...), cure}
}

// checks, in the order in which a launch meets what they look at.
var checks = []check{
	{"kernel", "version", kernelVersion},
	{"kernel", "seccomp", seccomp},
	{"kernel", "security module", securityModule},
	{"kernel", "landlock", landlock},
	{"cgroup", "hierarchy", hierarchy},
	{"cgroup", "controllers", controllers},
	{"cgroup", "pressure", pressure},
	{"systemd", "version", systemdVersion},
	{"systemd", "private socket", privateSocket},
	{"systemd", "generator", generator},
	{"systemd", "helper", helper},
	{"systemd", "sweep", sweep},
	{"systemd", "journal", journal},
	{"namespaces", "kinds", namespaces},
	{"namespaces", "user", userNamespace},
	{"files", "mounts", mountInterface},
	{"files", "id-mapped mounts", idMapped},
	{"files", "overlay", overlay},
	{"files", "store", store},
	{"network", "links", links},
	{"network", "nftables", nftables},
	{"network", "rules", ownRules},
	{"network", "interfaces", parents},
	{"network", "forwarding", forwarding},
	{"network", "other firewalls", firewalls},
}

// Examine runs all checks.
func Examine(m Machine) []Finding {
	var list []Finding
	for _, c := range checks {
		r := c.look(m)
		list = append(list, Finding{c.area, c.name, r.state, r.what, r.cure})
	}
	return list
}

// Worst is the worst state found.
func Worst(list []Finding) State {
	worst := OK
	for _, f := range list {
		switch {
		case f.State == Failed:
			return Failed
		case f.State == Warning:
			worst = Warning
		}
	}
	return worst
}

// asRoot is what somebody else gets to hear.
func asRoot(what string) result {
	return result{Unknown, "only root can find out whether " + what, "run unitc doctor as root"}
}

func isRoot() bool { return os.Geteuid() == 0 }

func isMissing(err error) bool { return errors.Is(err, os.ErrNotExist) }
