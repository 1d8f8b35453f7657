// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/realm"
)

func (b *builder) mounts() error {
	if b.f.Joined.Shm > 0 && b.s.Runtime != "" {
		return &KeyError{"ipc", "another runtime cannot mount the /dev/shm of " + b.s.IPC, "drop `runtime:`, or `ipc:`"}
	}
	ownSys := slices.ContainsFunc(b.s.Volumes, func(v definition.Volume) bool { return v.Target == "/sys" })
	for _, m := range defaultMounts {
		if ownSys && strings.HasPrefix(m.Destination, "/sys") {
			continue // the host's, with the host's cgroups
		}
		m.Options = slices.Clone(m.Options)
		switch {
		case m.Destination == "/proc" && !b.has(specs.PIDNamespace):
			m = bindOf("/proc", "rbind", "nosuid", "noexec", "nodev")
		case m.Destination == "/sys" && !b.has(specs.NetworkNamespace) && realm.Own() != nil:
			// Who does not own the network may mount no sysfs.
			m = bindOf("/sys", "rbind", "rro", "nosuid", "noexec", "nodev", "rprivate")
		case m.Destination == "/sys" && !b.has(specs.NetworkNamespace):
			// A fresh sysfs shows the classes of the host's network; with the
			// host's own namespace it is the same view, still read-only.
		case m.Destination == "/dev/mqueue" && !b.has(specs.IPCNamespace):
			m = bindOf("/dev/mqueue", "rbind", "nosuid", "noexec", "nodev")
		case m.Destination == "/dev/shm" && !b.has(specs.IPCNamespace):
			m = bindOf("/dev/shm", "rbind", "nosuid", "noexec", "nodev")
		case m.Destination == "/dev/shm" && b.f.Joined.Shm > 0:
			m = bindOf("/dev/shm", "bind", "nosuid", "noexec", "nodev")
			m.Source = "/proc/" + strconv.Itoa(b.f.Joined.Shm) + "/root/dev/shm"
			b.plan.SharedShm = b.f.Joined.Shm
		case m.Destination == "/dev/shm" && b.s.ShmSize > 0:
			m.Options[len(m.Options)-1] = "size=" + strconv.FormatInt(b.s.ShmSize, 10)
		}
		if b.s.Privileged && strings.HasPrefix(m.Destination, "/sys") || m.Type == "cgroup" && b.writableCgroups() {
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "ro" })
		}
		b.spec.Mounts = append(b.spec.Mounts, m)
	}
	if b.plan.Root.Kind == plan.RootHost {
		for _, m := range hostMounts {
			m.Options = b.idmapped(slices.Clone(m.Options))
			b.spec.Mounts = append(b.spec.Mounts, m)
		}
		for _, path := range b.f.HostEtc {
			if slices.Contains(hostNames, path) && b.has(specs.NetworkNamespace) {
				continue // the names of the payload's own network
			}
			b.spec.Mounts = append(b.spec.Mounts, bindOf(path, b.idmapped([]string{"rbind", "ro", "nosuid", "nodev", "rprivate"})...))
		}
	}
	return nil
}

// idmapped adds the option by which what the host's root owns is the
// container's root's inside, where the container has ids of its own.
func (b *builder) idmapped(options []string) []string {
	if !b.has(specs.UserNamespace) {
		return options
	}
	if slices.Contains(options, "rbind") {
		return append(options, "ridmap")
	}
	return append(options, "idmap")
}

func bindOf(path string, options ...string) specs.Mount {
	return specs.Mount{Destination: path, Type: "bind", Source: path, Options: options}
}

// HostEtc lists the files below /etc that `rootfs: host` shows where the host
// has them; the helper asks which exist.
func HostEtc() []string { return hostEtc }

func (b *builder) volumes() error {
	for _, v := range Volumes(b.s, b.f.Image) {
		m := specs.Mount{Destination: v.Target}
		key := VolumeKey(b.s, v.Target)
		if err := noNUL(key, v.Source, v.Target, v.Subpath); err != nil {
			return err
		}
		switch v.Type {
		case definition.VolumeTmpfs:
			m.Type, m.Source, m.Options = "tmpfs", "tmpfs", tmpfsOptions(v)
			b.spec.Mounts = append(b.spec.Mounts, m)
			continue
		case definition.VolumeBind:
			m.Source, m.Options = v.Source, bindOptions(v)
			if v.CreateHostPath {
				b.plan.CreateSources = append(b.plan.CreateSources, v.Source)
			}
		case definition.VolumeImage:
			if err := b.imageMount(key, v); err != nil {
				return err
			}
			continue
		default:
			source, ok := b.f.Volumes[v.Target]
			if !ok {
				return &KeyError{key, "a volume that nobody has made", "report this as a bug of unitc"}
			}
			m.Source, m.Options = source.Path, append(bindOptions(v), source.Options...)
		}
		m.Type = "bind"
		if v.IDMap == nil || *v.IDMap {
			m.Options = b.idmapped(m.Options)
		}
		b.subpath(v)
		b.spec.Mounts = append(b.spec.Mounts, m)
	}
	return nil
}

// imageMount shows an image's files, read-only and from the same layers as the
// containers that run it.
func (b *builder) imageMount(key string, v definition.Volume) error {
	lowers := b.f.Volumes[v.Target].Layers
	switch {
	case len(lowers) == 0:
		return &KeyError{key, "the image " + v.Source + " is not on this host", "fetch it with `unitc pull " + v.Source + "`"}
	case b.s.Runtime != "":
		return &KeyError{key, "mounts of images do not go with another runtime", "drop `runtime:`, or copy the files to a volume"}
	}
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{
		Destination: v.Target, Type: "overlay", Source: "overlay", Options: []string{"ro", "nosuid", "nodev", "lowerdir=" + strings.Join(lowers, ":")},
	})
	if b.plan.Images == nil {
		b.plan.Images = map[string][]string{}
	}
	b.plan.Images[v.Target] = lowers
	b.subpath(v)
	return nil
}

func (b *builder) subpath(v definition.Volume) {
	if v.Subpath == "" {
		return
	}
	if b.plan.Subpaths == nil {
		b.plan.Subpaths = map[string]string{}
	}
	b.plan.Subpaths[v.Target] = v.Subpath
}

// Volumes lists what is mounted beside the root file system: the definition's
// volumes and those of the image that it does not replace, each after what it
// lies in.
func Volumes(s *definition.Service, i *Image) []definition.Volume {
	all := slices.Clone(s.Volumes)
	if i != nil {
		for _, target := range i.Volumes {
			if !slices.ContainsFunc(all, func(v definition.Volume) bool { return v.Target == target }) {
				all = append(all, definition.Volume{Type: definition.VolumeNamed, Target: target})
			}
		}
	}
	slices.SortStableFunc(all, func(x, y definition.Volume) int {
		return strings.Count(x.Target, "/") - strings.Count(y.Target, "/")
	})
	return all
}

// VolumeKey is where the definition has the volume: "image" if that brings it.
func VolumeKey(s *definition.Service, target string) string {
	for i, v := range s.Volumes {
		if v.Target == target {
			return fmt.Sprintf("volumes[%d]", i)
		}
	}
	return "image"
}

// bindOptions are the OCI names. nosuid and nodev always stand: set-id bits do
// nothing under no_new_privs, and devices come by `devices:` alone.
func bindOptions(v definition.Volume) []string {
	opts := []string{"rbind", "nosuid", "nodev"}
	if v.Recursive == "disabled" {
		opts[0] = "bind"
	}
	switch {
	case v.ReadOnly && v.Recursive == "readonly":
		opts = append(opts, "rro")
	case v.ReadOnly:
		opts = append(opts, "ro")
	}
	if v.NoExec {
		opts = append(opts, "noexec")
	}
	if v.Propagation == "" {
		return append(opts, "rprivate")
	}
	return append(opts, v.Propagation)
}

func tmpfsOptions(v definition.Volume) []string {
	opts := []string{"nosuid", "nodev"}
	if v.NoExec {
		opts = append(opts, "noexec")
	}
	if v.ReadOnly {
		opts = append(opts, "ro")
	}
	if v.CopyUp {
		opts = append(opts, "tmpcopyup")
	}
	mode := v.Mode
	if mode == 0 {
		mode = 0o1777
	}
	opts = append(opts, fmt.Sprintf("mode=%o", mode))
	if v.Size > 0 {
		opts = append(opts, "size="+strconv.FormatInt(v.Size, 10))
	}
	for _, owner := range []struct {
		key string
		id  int64
	}{{"uid=", v.UID}, {"gid=", v.GID}} {
		if owner.id > 0 {
			opts = append(opts, owner.key+strconv.FormatInt(owner.id, 10))
		}
	}
	return opts
}

// HostDevices is where all devices of a host are, which a privileged container gets.
const HostDevices = "/dev"

// deviceNodes are the devices with the nodes below a directory in its place, as
// in Docker: /dev/dri stands for all of a host's cards.
func (b *builder) deviceNodes() ([]definition.Device, error) {
	if len(b.f.DeviceDirs) == 0 {
		return b.s.Devices, nil
	}
	var all []definition.Device
	for i, d := range b.s.Devices {
		nodes, ok := b.f.DeviceDirs[d.Source]
		key := fmt.Sprintf("devices[%d]", i)
		switch {
		case !ok:
			all = append(all, d)
			continue
		case len(nodes) == 0:
			return nil, &KeyError{key, "there is no device in " + d.Source, "look with `ls -lR " + d.Source + "`, and whether the driver is loaded"}
		case b.s.System.Cgroup == definition.CgroupService && !b.s.Privileged:
			return nil, &KeyError{key, "the unit was written before the devices in " + d.Source + " were known", "name them, or drop `systemd: cgroup: service`"}
		}
		for _, node := range nodes {
			all = append(all, definition.Device{Source: node, Target: cmp.Or(d.Target, d.Source) + strings.TrimPrefix(node, d.Source), Permissions: d.Permissions})
		}
	}
	if !b.s.Privileged {
		return all, nil
	}
	for _, node := range b.f.DeviceDirs[HostDevices] {
		if !slices.ContainsFunc(all, func(d definition.Device) bool { return cmp.Or(d.Target, d.Source) == node }) {
			all = append(all, definition.Device{Source: node, Target: node, Permissions: "rwm"})
		}
	}
	return all, nil
}

func (b *builder) devices() error {
	list, err := b.deviceNodes()
	if err != nil {
		return err
	}
	with := *b.s
	with.Devices = list
	b.s = &with // the scope allows what is there
	for i, d := range list {
		node, ok := b.f.Devices[d.Source]
		if !ok {
			return &KeyError{fmt.Sprintf("devices[%d]", i), d.Source + " is not a device of this host", "look for the node with `ls -l /dev`"}
		}
		target := d.Target
		if target == "" {
			target = d.Source
		}
		mode, uid, gid := os.FileMode(node.Mode), node.UID, node.GID
		b.spec.Linux.Devices = append(b.spec.Linux.Devices, specs.LinuxDevice{
			Path: target, Type: node.Type, Major: node.Major, Minor: node.Minor, FileMode: &mode, UID: &uid, GID: &gid,
		})
	}
	return nil
}
