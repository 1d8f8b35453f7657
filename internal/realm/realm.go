// SPDX-License-Identifier: Apache-2.0

// Package realm says where things are: the system's, or those of one user whose
// own systemd runs their containers. The values are the system's until a program
// that works for a user says so first of all (Begin); nothing else may change them.
package realm

import "path/filepath"

// Places of the system. Each is a directory without a slash at its end.
var (
	// Run has a directory for each container that runs.
	Run = "/run/unitc"
	// Store has images and volumes.
	Store = "/var/lib/unitc"
	// Config has definitions, and the files beside them.
	Config = "/etc/unitc"
	// Systemd is where systemd keeps what is gone with it.
	Systemd = "/run/systemd"
)

// StateDir is that of one.
func StateDir(name string) string { return filepath.Join(Run, filepath.Base(name)) }

// Definitions are searched in this order; the first file of a name wins.
func Definitions() []string {
	if own == nil {
		return []string{"/etc/unitc", "/run/unitc/definitions", "/usr/lib/unitc/definitions"}
	}
	return []string{Config, "/etc/unitc/user", "/usr/lib/unitc/user"}
}

// Configs are files, or directories, that say something of registries: a user's own in
// front of the host's, as other engines have them.
func Configs(name string, hosts []string) []string {
	if own == nil {
		return hosts
	}
	return append([]string{Config + "/" + name, own.configHome + "/containers/" + name}, hosts...)
}

// Credentials is systemd's store of encrypted ones (systemd.exec(5)).
func Credentials() string {
	if own == nil {
		return "/etc/credstore.encrypted"
	}
	return own.configHome + "/credstore.encrypted"
}

// Units is where the generator has written.
func Units() string { return Systemd + "/generator.late" }

// NativeUnits hold the units of administrators and of packages, which win over
// generated ones (systemd.unit(5)).
func NativeUnits() []string {
	if own == nil {
		return []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"}
	}
	return []string{own.configHome + "/systemd/user", "/etc/systemd/user", RuntimeUnits(), "/run/systemd/user", own.dataHome + "/systemd/user",
		"/usr/local/share/systemd/user", "/usr/share/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"}
}

// RuntimeUnits is where systemd finds a new unit without a reload, and where nothing
// outlives it.
func RuntimeUnits() string {
	if own == nil {
		return "/run/systemd/system"
	}
	return own.Runtime + "/systemd/user"
}

// Kind is systemd's word for whose units they are.
func Kind() string {
	if own == nil {
		return "system"
	}
	return "user"
}

// BootTarget is what starts at boot, or with the user's systemd.
func BootTarget() string {
	if own == nil {
		return "multi-user.target"
	}
	return "default.target"
}
