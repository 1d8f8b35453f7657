// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"path"
	"strings"

	"github.com/unitc/unitc/internal/cdi"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// fileKeys say what the payload finds in its file system.
var fileKeys = []field{
	{name: "device_cgroup_rules", shape: &shape{kinds: list, item: &shape{kinds: text, format: &deviceRuleFormat}}, example: "[c 1:3 rw]",
		doc:    "Rules for device nodes that the payload may use, as TYPE MAJOR:MINOR ACCESS.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.DeviceCgroupRules = texts(n) }},
	{name: "devices", shape: &devicesShape, example: "[/dev/fuse]",
		doc:    "Host device nodes that appear in the container, as SOURCE:TARGET:PERMISSIONS, directories for the nodes below them, or devices by their names in the Container Device Interface, as vendor.com/class=name.",
		decode: decodeDevices},
	{name: "read_only", shape: &boolShape, example: "true",
		doc:    "Mount the root file system read-only.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.ReadOnly = n.truth() }},
	{name: "shm_size", shape: &memoryShape, example: "64m",
		doc:    "The size of /dev/shm.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.ShmSize, _ = ParseBytes(n.text) }},
	{name: "tmpfs", shape: &shape{kinds: text | list, format: &tmpfsFormat, item: &shape{kinds: text, format: &tmpfsFormat}, merge: mergeAppend, identity: identifyTmpfs, last: true}, example: "/run:size=16m",
		doc:    "Directories that are empty and in memory, as TARGET:OPTIONS; with tmpcopyup they begin with what the root file system has there.",
		decode: decodeTmpfs},
	{name: "volumes", shape: &volumesShape, example: "[/srv/data:/data:ro]",
		doc:    "Host directories, named volumes and tmpfs mounts, as SOURCE:TARGET:OPTIONS or as mappings.",
		decode: decodeVolumes},
}

var deviceRuleFormat = format{
	name:    "device-rule",
	pattern: `^[abc] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$`,
	check: func(s string) (string, string) {
		parts := strings.Split(s, " ")
		if len(parts) == 3 && len(parts[0]) == 1 && strings.Contains("abc", parts[0]) && isAccess(parts[2]) {
			major, minor, ok := strings.Cut(parts[1], ":")
			if ok && (major == "*" || isDigits(major)) && (minor == "*" || isDigits(minor)) {
				return "", ""
			}
		}
		return quote(s) + " is no device rule", "write for example c 1:3 rw"
	},
}

// isAccess tells whether s is made of r, w and m, none of them twice.
func isAccess(s string) bool {
	return s != "" && strings.Trim(s, "rwm") == "" && strings.Count(s, "r") < 2 && strings.Count(s, "w") < 2 && strings.Count(s, "m") < 2
}

var devicesShape = shape{kinds: list, last: true, identity: identifyTarget, item: &shape{kinds: text | mapping, format: &deviceFormat, keys: []field{
	{name: "permissions", shape: &shape{kinds: text, format: &format{name: "access", pattern: `^(r?w?m?|r?m?w?|w?r?m?|w?m?r?|m?r?w?|m?w?r?)$`}}, example: "rw", doc: "What may be done: r, w and m (mknod)."},
	{name: "source", shape: &shape{kinds: text, format: &absoluteFormat}, example: "/dev/fuse", required: true, doc: "The node on the host."},
	{name: "target", shape: &shape{kinds: text, format: &format{name: "device-target", pattern: `^(/.*[^/.].*)?$`}}, example: "/dev/fuse", doc: "The node in the container; the source's path if left out."},
}}}

func decodeDevices(r *reader, s *definition.Service, n *node) {
	for i, item := range n.items {
		if _, ok := cdi.ParseName(item.text); ok && item.kind == text {
			s.CDI = append(s.CDI, definition.CDIDevice{Name: item.text, Key: "devices[" + itoa(i) + "]"})
			continue
		}
		d := definition.Device{Source: item.get("source").str(), Target: item.get("target").str(), Permissions: item.get("permissions").str()}
		if item.kind == text {
			parts := append(strings.SplitN(item.text, ":", 3), "", "")
			d = definition.Device{Source: parts[0], Target: parts[1], Permissions: parts[2]}
			if d.Permissions == "" && isAccess(d.Target) {
				d.Target, d.Permissions = "", d.Target
			}
		}
		if d.Permissions == "" {
			d.Permissions = "rwm"
		}
		if d.Target == "" {
			d.Target = d.Source
		}
		if r.checkDevice(item, d) {
			d.Source, d.Target = path.Clean(d.Source), path.Clean(d.Target)
			s.Devices = append(s.Devices, d)
		}
	}
}

func (r *reader) checkDevice(n *node, d definition.Device) bool {
	switch {
	case !isAccess(d.Permissions):
		r.fault(n, "write r, w and m, each at most once", "%s is no device access", quote(d.Permissions))
	case !path.IsAbs(d.Source) && strings.Contains(d.Source, "="):
		r.fault(n, "write for example vendor.com/class=name", "%s is no CDI name", quote(n.text))
	case !path.IsAbs(d.Source) || hasDotDot(d.Source):
		r.fault(n, "write for example /dev/fuse:/dev/fuse:rw", "%s is no absolute path of a device", quote(d.Source))
	case !path.IsAbs(d.Target) || hasDotDot(d.Target) || path.Clean(d.Target) == "/":
		r.fault(n, "write for example /dev/fuse:/dev/fuse:rw", "%s is no absolute path of a device", quote(d.Target))
	default:
		return true
	}
	return false
}

// cleanTarget checks where a mount may be put; "" if it may not. The kernel's
// own file systems are the runtime's to mount: over them a payload could be
// shown false facts, or find its protections covered.
func (r *reader) cleanTarget(n *node, target string) string {
	clean := path.Clean(target)
	switch {
	case target == "":
		r.fault(n, "write for example /srv/data:/data", "the path inside the container is missing")
	case len(target) >= maxPath:
		r.fault(n, "write a shorter path", "a path of %d bytes", len(target))
	case !path.IsAbs(target):
		r.fault(n, "write an absolute path", "%s is no absolute path inside the container", quote(target))
	case hasDotDot(target):
		r.fault(n, "write the path without ..", "%s goes upwards", quote(target))
	case clean == "/":
		r.fault(n, "write rootfs: or image: for the root file system", "a volume can't be the container's root")
	case clean == "/proc" || strings.HasPrefix(clean, "/proc/"):
		r.fault(n, "write sysctls: for values under /proc/sys; nothing else can be mounted there", "%s is the kernel's: unitc mounts /proc itself", clean).Rule = diag.RuleUnsupported
	case clean == "/sys":
		r.fault(n, "name the directory below /sys that is needed, or mount it elsewhere, as in /sys:/host/sys:ro; with privileged: true /sys:/sys is the host's own", "unitc mounts /sys itself").Rule = diag.RuleUnsupported
	case clean == "/dev":
		r.fault(n, "write devices: for device nodes or directories of them; with privileged: true all that the host has are there", "unitc mounts /dev itself").Rule = diag.RuleUnsupported
	default:
		return clean
	}
	return ""
}

// noDevices are directories of /dev in which people look for no device.
var noDevices = []string{"hugepages", "log", "mqueue", "pts", "shm"}

// volumeTarget is cleanTarget for a volume, "" if it is left out. The host's own /sys
// may be mounted at /sys, cgroups and all, where no protection is covered by that: what
// is privileged has none there, and the devices of /dev without such a mount.
func (r *reader) volumeTarget(n *node, target string, bind bool, source string) string {
	source = path.Clean(source)
	if p := r.service.get("privileged"); bind && p != nil && p.truth() && path.Clean(target) == source {
		switch source {
		case "/sys":
			return source
		case "/dev":
			r.warn(n, "remove it", "with privileged: true all devices are there that the host has at the start; what comes later takes a restart")
			return ""
		}
	}
	if bind && source == "/proc" && path.Clean(target) == source {
		r.fault(n, "write pid: host for the host's processes, or mount it elsewhere, as in /proc:/host/proc:ro", "unitc mounts /proc itself").Rule = diag.RuleUnsupported
		return ""
	}
	if name, ok := strings.CutPrefix(source, "/dev/"); bind && ok {
		if name, _, _ = strings.Cut(name, "/"); !contains(noDevices, name) {
			r.warn(n, "write it under devices:, where a directory stands for the devices below it", "no device in a volume can be opened (nodev)")
		}
	}
	return r.cleanTarget(n, target)
}

// isSocket: a directory that is made in the place of a socket which is not there yet keeps
// its daemon from starting, and whoever has it mounted from finding out.
func isSocket(source string) bool { return strings.HasSuffix(source, ".sock") }

// warnEngine tells of a socket by which a payload would look for containers, unless it
// is written with the knowledge that it is there.
func (r *reader) warnEngine(n *node, v definition.Volume) {
	if name := path.Base(v.Source); name != "docker.sock" && name != "podman.sock" || n.get("bind").get("create_host_path") != nil {
		return
	}
	r.warn(n, "give the payload what it needs by other means; where that engine is meant, write the long form with bind: {create_host_path: false}",
		"the engine that listens there knows nothing of unitc's containers").Rule = diag.RuleUnsupported
}

// addVolume keeps a volume unless its target has one already.
func (r *reader) addVolume(s *definition.Service, n *node, v definition.Volume) {
	for i := range s.Volumes {
		if s.Volumes[i].Target != v.Target {
			continue
		}
		first := r.targets[i]
		r.fault(n, "keep one of the two", "%s is mounted twice: first at %s", v.Target, r.where(n.place, first)).Rule = diag.RuleDuplicate
		return
	}
	r.targets = append(r.targets, n.place)
	s.Volumes = append(s.Volumes, v)
}
