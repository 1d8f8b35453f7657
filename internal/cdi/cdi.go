// SPDX-License-Identifier: Apache-2.0

// Package cdi is the Container Device Interface of the CNCF as values: the name
// of a device, and what its specification has done to a container that gets it.
// The specifications themselves are read by the registry below, in a process
// that may link YAML; the launch helper gets the result.
package cdi

import "strings"

// Name is a device's full name, "vendor.com/class=name".
type Name struct{ Vendor, Class, Device string }

// Kind is what a specification is for, "vendor.com/class".
func (n Name) Kind() string { return n.Vendor + "/" + n.Class }

func (n Name) String() string { return n.Kind() + "=" + n.Device }

// NamePattern is what ParseName takes, as an ECMA-262 expression.
const NamePattern = `[a-zA-Z]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?/[a-zA-Z]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?=[a-zA-Z0-9]([a-zA-Z0-9_.:-]*[a-zA-Z0-9])?`

// ParseName reads a full name (SPEC.md of CDI 1.1, "Kind" and "CDI Devices").
func ParseName(s string) (n Name, ok bool) {
	kind, device, found := strings.Cut(s, "=")
	n.Vendor, n.Class, ok = strings.Cut(kind, "/")
	n.Device = device
	return n, found && ok && isWord(n.Vendor, "_.-", isLetter) && isWord(n.Class, "_.-", isLetter) && isWord(device, "_.:-", isAlnum)
}

// isWord holds for letters, digits and the special characters between a first
// character and a last one that is a letter or digit.
func isWord(s, special string, first func(byte) bool) bool {
	if s == "" || !first(s[0]) || !isAlnum(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte(special, s[i]) < 0 {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func isAlnum(c byte) bool { return isLetter(c) || c >= '0' && c <= '9' }

// Edits are what specifications do to a container, in their own words.
type Edits struct {
	Env   []string     `json:"env,omitempty"`
	Nodes []DeviceNode `json:"deviceNodes,omitempty"`
	// Mounts have the options of OCI mounts.
	Mounts []Mount  `json:"mounts,omitempty"`
	Hooks  []Hook   `json:"hooks,omitempty"`
	GIDs   []uint32 `json:"additionalGids,omitempty"`
	// Unsupported are parts of a specification that no other runtime than its
	// vendor's own could leave away: "intelRdt", "netDevices".
	Unsupported []string `json:"unsupported,omitempty"`
}

// DeviceNode is a node of the host; what is not given is as the host has it.
type DeviceNode struct {
	Path        string  `json:"path"`               // inside
	HostPath    string  `json:"hostPath,omitempty"` // "" = Path
	Type        string  `json:"type,omitempty"`     // c, u, b, p
	Major       int64   `json:"major,omitempty"`
	Minor       int64   `json:"minor,omitempty"`
	FileMode    *uint32 `json:"fileMode,omitempty"`
	Permissions string  `json:"permissions,omitempty"` // of "rwm", "" = all
	UID         *uint32 `json:"uid,omitempty"`
	GID         *uint32 `json:"gid,omitempty"`
}

// Source is the node's path on the host.
func (d *DeviceNode) Source() string {
	if d.HostPath != "" {
		return d.HostPath
	}
	return d.Path
}

// Mount is a path of the host that is seen inside.
type Mount struct {
	HostPath      string   `json:"hostPath"`
	ContainerPath string   `json:"containerPath"`
	Options       []string `json:"options,omitempty"`
	Type          string   `json:"type,omitempty"`
}

// Hook is a program of the host that runs at a point of the OCI runtime-spec.
type Hook struct {
	Name    string   `json:"hookName"`
	Path    string   `json:"path"`
	Args    []string `json:"args,omitempty"`
	Env     []string `json:"env,omitempty"`
	Timeout *int     `json:"timeout,omitempty"` // seconds
}
