// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"path"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// securityKeys say what parts the payload from the host.
var securityKeys = []field{
	{name: "cap_add", shape: &capabilitiesShape, example: "[NET_ADMIN]",
		doc:    "Capabilities to add to the default set.",
		decode: func(r *reader, s *definition.Service, n *node) { s.CapAdd = r.capabilities(n) }},
	{name: "cap_drop", shape: &capabilitiesShape, example: "[ALL]",
		doc:    "Capabilities to take away.",
		decode: func(r *reader, s *definition.Service, n *node) { s.CapDrop = r.capabilities(n) }},
	{name: "cgroup", shape: &shape{kinds: text, words: []string{"host", "private"}}, example: "private",
		doc:    "The cgroup namespace: the container's own, or the host's.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Cgroup = n.text }},
	{name: "ipc", shape: &shape{kinds: text, format: &ipcFormat}, example: "private",
		doc:    "The IPC namespace: private, shareable (the same), host or another's (service:NAME, container:NAME), with its /dev/shm and user ids.",
		decode: func(r *reader, s *definition.Service, n *node) { s.IPC = r.neighbour(s, n) }},
	{name: "network_mode", shape: &shape{kinds: text, format: &networkModeFormat}, example: "none",
		doc:    "none, host, another service's (service:NAME, container:NAME), a namespace (ns:/run/netns/NAME), pasta, or bridge, the default.",
		decode: decodeNetworkMode},
	{name: "pid", shape: &shape{kinds: null | text, format: &pidFormat}, example: "host",
		doc:    "The process namespace: the container's own, host or another's (service:NAME, container:NAME), with its user ids.",
		decode: func(r *reader, s *definition.Service, n *node) { s.PID = r.neighbour(s, n) }},
	{name: "privileged", shape: &boolShape, example: "false",
		doc:    "Give up most of what parts the payload from the host; all devices that the host has at the start are in /dev.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Privileged = n.truth() }},
	{name: "security_opt", shape: &shape{kinds: list, item: &shape{kinds: text, format: &securityFormat}, unique: true}, example: "[no-new-privileges:true]",
		doc:    "Relax or tighten protections: no-new-privileges, seccomp, apparmor (unitc-default where it is loaded), label (that of the host's SELinux policy for containers; disable takes it away), landlock (unconfined lets a container in the host's network reach its abstract sockets), systempaths, mask, unmask, writable-cgroups (with it the payload makes cgroups of its own).",
		decode: decodeSecurityOpt},
	{name: "userns_mode", shape: &shape{kinds: text, words: []string{"auto", "host"}}, example: "auto",
		doc:    "The user namespace: auto (the container's own) or host.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.UsernsMode = n.text }},
	{name: "uts", shape: &shape{kinds: text, words: []string{"host", "private"}}, example: "host",
		doc:    "The host-name namespace: host, or the container's own.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.UTS = n.text }},
}

var capabilitiesShape = shape{kinds: list, item: &shape{kinds: text, format: &capabilityFormat}, last: true}

// capabilityNames are those of capabilities(7), kernel 5.9 and later, without CAP_.
var capabilityNames = []string{
	"AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN",
	"DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE",
	"MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON",
	"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE",
	"SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
}

func (r *reader) capabilities(n *node) []string {
	all := make([]string, 0, len(n.items))
	for _, item := range n.items {
		name := strings.TrimPrefix(strings.ToUpper(item.text), "CAP_")
		switch {
		case name == "ALL":
			all = append(all, name)
		case slices.Contains(capabilityNames, name):
			all = append(all, "CAP_"+name)
		default:
			cure := "see capabilities(7)"
			if near := nearest(name, capabilityNames); near != "" {
				cure = "did you mean " + near + "?"
			}
			r.fault(item, cure, "%s is no capability", quote(item.text))
		}
	}
	return all
}

// securityOptions are the words before = or :, sorted.
var securityOptions = []string{"apparmor", "label", "landlock", "mask", "no-new-privileges", "seccomp", "systempaths", "unmask", "writable-cgroups"}

func decodeSecurityOpt(r *reader, s *definition.Service, n *node) {
	for _, item := range n.items {
		at := strings.IndexAny(item.text, "=:")
		name, value := item.text, ""
		if at >= 0 {
			name, value = item.text[:at], item.text[at+1:]
		}
		if value, ok := r.securityOption(item, name, value); ok {
			s.SecurityOpt = append(s.SecurityOpt, name+"="+value)
		}
	}
}

// securityOption checks one option and gives its value in the one form that the
// planner knows.
func (r *reader) securityOption(n *node, name, value string) (string, bool) {
	switch {
	case name == "no-new-privileges" || name == definition.WritableCgroups:
		if value == "" {
			value = "true"
		}
		if value != "true" && value != "false" {
			r.fault(n, "write "+name+":true or "+name+":false", "%s is neither true nor false", quote(value))
			return "", false
		}
		return value, true
	case !slices.Contains(securityOptions, name):
		cure := "write one of " + strings.Join(securityOptions, ", ")
		if near := nearest(name, securityOptions); near != "" {
			cure = "did you mean " + near + "?"
		}
		r.fault(n, cure, "%s is no security option", quote(name))
		return "", false
	case value == "":
		r.fault(n, "write "+name+"=VALUE", "the option %s has no value", name)
		return "", false
	case (name == "systempaths" || name == "landlock") && value != "unconfined":
		r.fault(n, "write "+name+"=unconfined", "%s is unknown here", quote(value))
		return "", false
	case name == "seccomp" && value != "unconfined" && value != "builtin":
		value = r.hostPath(n, value)
		return value, value != ""
	case (name == "mask" || name == "unmask") && value != "ALL":
		for p := range strings.SplitSeq(value, ":") {
			if !path.IsAbs(p) || hasDotDot(p) {
				r.fault(n, "write absolute paths, parted by colons", "%s is no absolute path", quote(p))
				return "", false
			}
		}
	}
	return value, true
}

// badMode checks the value of a namespace key: some words, or another
// service's name after service: or container:.
func badMode(s string, words ...string) (string, string) {
	if slices.Contains(words, s) {
		return "", ""
	}
	kind, name, found := strings.Cut(s, ":")
	if found && (kind == "service" || kind == "container") {
		if isPlainName(name) {
			return "", ""
		}
		return quote(name) + " is no name of a " + kind, "write " + kind + ":NAME"
	}
	cure := "write " + strings.Join(words, ", ") + " or service:NAME"
	if near := nearest(s, words); near != "" {
		cure = "did you mean " + near + "?"
	}
	return quote(s) + " is unknown here", cure
}

// neighbour has the other service, or container, started first and this one
// restarted with it: its namespaces end with it.
func (r *reader) neighbour(s *definition.Service, n *node) string {
	kind, key, _ := strings.Cut(n.str(), ":")
	if kind == "container" {
		if own := r.serviceOfContainer(key); own != "" {
			kind, key = "service", own
		}
	}
	dependency := definition.Dependency{Condition: definition.ServiceStarted, Restart: true}
	switch kind {
	case "service":
		r.depend(s, n.place, n, key, dependency)
		unit, _ := r.serviceUnit(key)
		return "service:" + unit
	case "container":
		if key == s.Name {
			r.fault(n, "name another one", "the container joins itself").Rule = diag.RuleReference
			return n.str()
		}
		dependency.Service = key
		s.DependsOn = append(s.DependsOn, dependency)
	}
	return n.str()
}

// serviceOfContainer is the project's service with a container_name, "" without one.
func (r *reader) serviceOfContainer(name string) string {
	if services := r.services(); services != nil && name != "" {
		for i := range services.pairs {
			if services.pairs[i].value.get("container_name").str() == name {
				return services.pairs[i].key
			}
		}
	}
	return ""
}

func decodeNetworkMode(r *reader, s *definition.Service, n *node) {
	if s.NetworkMode = r.neighbour(s, n); s.NetworkMode == "bridge" || s.NetworkMode == "default" {
		s.NetworkMode = "" // Docker's words for the default
	}
}

var ipcFormat = format{
	name:    "ipc",
	empty:   true,
	pattern: `^(private|shareable|host|none|(service|container):[A-Za-z0-9][A-Za-z0-9_.-]*)$`,
	check:   func(s string) (string, string) { return badMode(s, "private", "shareable", "host", "none") },
}

var pidFormat = format{
	name:    "pid",
	empty:   true,
	pattern: `^(host|private|(service|container):[A-Za-z0-9][A-Za-z0-9_.-]*)$`,
	check:   func(s string) (string, string) { return badMode(s, "host", "private") },
}

var networkModeFormat = format{
	name:    "network-mode",
	empty:   true,
	pattern: `^(none|host|bridge|default|pasta|ns:/.+|(service|container):[A-Za-z0-9][A-Za-z0-9_.-]*)$`,
	check: func(s string) (string, string) {
		if file, ok := strings.CutPrefix(s, "ns:"); ok {
			if !path.IsAbs(file) || hasDotDot(file) {
				return quote(file) + " is no absolute path", "write for example ns:/run/netns/blue"
			}
			return "", ""
		}
		if s == "default" {
			return "", ""
		}
		return badMode(s, "none", "host", "bridge", "pasta")
	},
}
