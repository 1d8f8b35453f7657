// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/realm"
)

// NamesDir is where a start writes a unit's names, below its state directory.
func NamesDir(unit string) string {
	return realm.Run + "/" + strings.TrimSuffix(unit, ".service") + "/"
}

// Files of names, below /etc and in the state directory.
const (
	HostsFile    = "hosts"
	ResolvFile   = "resolv.conf"
	HostnameFile = "hostname"
)

// network decides what the payload is connected to and by which names it finds
// others.
func (b *builder) network() error {
	kind, other, _ := strings.Cut(b.s.NetworkMode, ":")
	asked := len(b.s.ExtraHosts) > 0 || len(b.s.DNS)+len(b.s.DNSSearch)+len(b.s.DNSOpt) > 0
	names := &plan.Names{Hosts: b.s.ExtraHosts, DNS: b.s.DNS, Search: b.s.DNSSearch, Options: b.s.DNSOpt}
	switch kind {
	case "":
		b.plan.Network = b.connection()
		names.Files = []string{HostsFile, ResolvFile, HostnameFile}
	case "pasta":
		b.plan.Network = &plan.Network{Pasta: true, Ports: b.s.Ports}
		names.Files = []string{HostsFile, ResolvFile, HostnameFile}
	case "service", "container":
		names.From, names.Files = other, []string{HostsFile, ResolvFile}
	case "ns":
		names.Files = []string{HostsFile, ResolvFile}
	case "host":
		if asked || b.plan.Root.Kind == plan.RootOverlay {
			names.Files = []string{HostsFile, ResolvFile}
		}
	default: // none
		if asked {
			names.Files = []string{HostsFile, ResolvFile}
		}
	}
	b.showNames(names)
	return nil
}

func (b *builder) connection() *plan.Network {
	n := &plan.Network{Attachments: slices.Clone(b.s.Networks), Links: b.s.Links, Ports: b.s.Ports}
	if len(n.Attachments) == 0 {
		n.Attachments = []definition.Attachment{{Network: definition.LoneNetwork}}
	}
	if n.Attachments[0].MAC == "" {
		n.Attachments[0].MAC = b.s.MACAddress
	}
	for _, alias := range []string{b.s.Key, b.s.ContainerName, b.s.Hostname} {
		if alias != "" && alias != strings.TrimSuffix(b.plan.Unit, ".service") && !slices.Contains(n.Aliases, alias) {
			n.Aliases = append(n.Aliases, alias)
		}
	}
	return n
}

// netDevices are moved into a namespace that this start makes, and given back
// by the kernel when that ends. Where a bundle has some of its own, the
// definition's come beside them.
func (b *builder) netDevices() error {
	if len(b.s.NetDevices) == 0 {
		return nil
	}
	if !b.ownNetwork() {
		return &KeyError{"x-net-devices", "the container has no network of its own", "drop `x-net-devices:`, or write the devices where the network is from"}
	}
	if b.s.Runtime != "" {
		return &KeyError{"runtime", b.s.Runtime + " may pass over devices to be moved", "drop `runtime:`, or `x-net-devices:`"}
	}
	devices := map[string]specs.LinuxNetDevice{}
	maps.Copy(devices, b.spec.Linux.NetDevices)
	for _, d := range b.s.NetDevices {
		if b.plan.Network != nil && b.isAttachment(d.Value) {
			return &KeyError{"x-net-devices." + d.Key, d.Value + " is the container's interface on a network", "give the device another name: `x-net-devices: {" + d.Key + ": lan0}`"}
		}
		devices[d.Key] = specs.LinuxNetDevice{Name: d.Value}
	}
	b.spec.Linux.NetDevices = devices
	return nil
}

// isAttachment tells whether an interface of that name leads to a network.
func (b *builder) isAttachment(name string) bool {
	if b.plan.Network.Pasta {
		return name == "eth0"
	}
	// Numbers are given in the order of priorities, one to each that has no name.
	for i, a := range b.plan.Network.Attachments {
		if name == a.Interface || name == "eth"+strconv.Itoa(i) {
			return true
		}
	}
	return false
}

// rules are for a namespace that this start makes: in another one they would
// bind others, and stay when the container is gone.
func (b *builder) rules() error {
	if b.s.NFTables == "" {
		return nil
	}
	if !b.ownNetwork() {
		return &KeyError{"x-nftables", "the container has no network of its own", "drop `x-nftables:`, or write the rules where the network is from"}
	}
	b.plan.Rules = b.s.NFTables
	return noNUL("x-nftables", b.plan.Rules)
}

// ofInterface tells whether a sysctl is one of an interface that a start makes:
// net.FAMILY.conf.NAME.KEY. The loopback is there from the first moment on.
func ofInterface(key string) bool {
	p := strings.Split(key, ".")
	return len(p) >= 5 && p[0] == "net" && (p[2] == "conf" || p[2] == "neigh") && !slices.Contains([]string{"all", "default", "lo"}, p[3])
}

// showNames mounts the files behind all volumes, and leaves away those that a
// volume puts there. The payload's root may write to them, as some images do when they
// begin, but to copies: they lie on the host's /run, which a payload must not fill. With
// another runtime, and with read_only:, they are read-only.
func (b *builder) showNames(names *plan.Names) {
	names.Files = slices.DeleteFunc(names.Files, func(file string) bool {
		return slices.ContainsFunc(b.s.Volumes, func(v definition.Volume) bool { return path.Clean(v.Target) == "/etc/"+file })
	})
	if len(names.Files) == 0 {
		return
	}
	b.plan.Names = names
	access := "ro"
	if b.s.Runtime == "" && !b.s.ReadOnly {
		access = "rw"
	}
	for _, file := range names.Files {
		destination := "/etc/" + file
		if link := b.f.NameLinks[file]; link != "" {
			destination = link
		}
		b.plan.Optional = append(b.plan.Optional, destination)
		if access == "rw" {
			b.plan.Copies = append(b.plan.Copies, destination)
		}
		b.spec.Mounts = append(b.spec.Mounts, specs.Mount{
			Destination: destination, Type: "bind", Source: NamesDir(b.plan.Unit) + file,
			Options: []string{"bind", access, "nosuid", "nodev", "noexec", "rprivate"},
		})
	}
}
