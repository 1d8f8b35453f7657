// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"fmt"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// refusal is something that a user's container cannot have, as the user has no
// privilege over the host: where the definition asks for it, and what to do.
type refusal struct {
	key  string
	asks func(*Service) string // the key's path, "" = it does not
	what string
	cure string
}

func whole(key string, asks func(*Service) bool) refusal {
	return refusal{key: key, asks: func(s *Service) string {
		if asks(s) {
			return key
		}
		return ""
	}}
}

func (r refusal) because(what, cure string) refusal {
	r.what, r.cure = what, cure
	return r
}

const asRoot = "have root run this container: put the definition in /etc/unitc"

// refusals is the policy: what would do nothing, or something else than it says, is an
// error at its line.
var refusals = []refusal{
	whole("network_mode", func(s *Service) bool { return strings.HasPrefix(s.NetworkMode, "ns:") }).
		because("a user has no right to the host's network namespaces", "write `network_mode: pasta`, `none`, `host` or another container's: `service:NAME`"),
	whole("pid", func(s *Service) bool { return s.PID != "" }).because("a user's container has processes of its own", "drop `pid:`, or "+asRoot),
	whole("ipc", func(s *Service) bool { return s.IPC != "" && s.IPC != "private" && s.IPC != "shareable" }).
		because("a user's container has memory of its own", "drop `ipc:`, or "+asRoot),
	whole("cgroup", func(s *Service) bool { return s.Cgroup == "host" }).because("the host's cgroups are not a user's", "drop `cgroup:`"),
	whole("privileged", func(s *Service) bool { return s.Privileged }).because("a user has no privilege to give", "drop it, and write `cap_add:` for capabilities within the container, or "+asRoot),
	whole("devices", func(s *Service) bool { return len(s.Devices) > 0 }).because("device rules are root's to make", asRoot),
	whole("devices", func(s *Service) bool { return len(s.CDI) > 0 }).because("device rules are root's to make", asRoot),
	whole("device_cgroup_rules", func(s *Service) bool { return len(s.DeviceCgroupRules) > 0 }).because("device rules are root's to make", asRoot),
	whole("bundle", func(s *Service) bool { return s.Bundle != "" }).because("bundles are root's", "write `rootfs:` and `command:`, or "+asRoot),
	whole("runtime", func(s *Service) bool { return s.Runtime != "" }).because("other runtimes are root's to use", "drop `runtime:`"),
	whole("links", func(s *Service) bool { return len(s.Links) > 0 && !s.onNetworks() }).because("it is on no network", "drop `links:`, or join one with `networks:`"),
	whole("mac_address", func(s *Service) bool { return s.MACAddress != "" && !s.onNetworks() }).because("it is on no network", "drop it, or join one with `networks:`"),
	whole("x-net-devices", func(s *Service) bool { return len(s.NetDevices) > 0 }).because("interfaces of the host are root's to move", asRoot),
	whole("x-nftables", func(s *Service) bool { return s.NFTables != "" }).because("rules for packets are root's to load", asRoot),
	whole("x-time-offsets", func(s *Service) bool { return s.TimeOffsets != nil }).because("clocks are root's to set", "drop it, or "+asRoot),
	whole("oom_score_adj", func(s *Service) bool { return s.OOMScoreAdj != nil && *s.OOMScoreAdj < 0 }).because("lowering it is root's", "write 0 or more"),
	whole("security_opt", func(s *Service) bool {
		return slices.ContainsFunc(s.SecurityOpt, func(o string) bool { return strings.HasPrefix(o, "apparmor=") && o != "apparmor=unconfined" })
	}).because("AppArmor's profiles are root's to give", "drop `apparmor=`"),
	{"volumes", (*Service).rootsVolume, "this kind of volume is root's to mount", "bind a directory of the user's, or write a named volume without driver_opts"},
	{"systemd", (*Service).rootsDirective, "a user's systemd does nothing with it", "drop it, or " + asRoot},
	{"systemd.install", (*Service).systemsTarget, "a user's systemd has no such target, and would never start it", "write default.target"},
	{"systemd.unit", (*Service).systemsUnit, "a user's systemd does not know the system's unit, and would wait for nothing", "wait for what it stands for with `x-wait-for:`, or drop it"},
}

// onNetworks tells whether it joins any.
func (s *Service) onNetworks() bool { return s.NetworkMode == "" && len(s.Networks) > 0 }

// implied tells whether its networks are those that every service of a project has.
func (s *Service) implied() bool {
	return s.Project != "" && len(s.Networks) == 1 && s.Networks[0].Network == s.Project+"_default"
}

// JoinsContainer tells whether the value of a namespace key names another container.
func JoinsContainer(mode string) bool {
	return strings.HasPrefix(mode, "service:") || strings.HasPrefix(mode, "container:")
}

func (s *Service) rootsVolume() string {
	for i, v := range s.Volumes {
		d := v.Declared
		switch {
		case v.Type == VolumeNamed && d != nil && len(d.Options) > 0,
			v.IDMap != nil && *v.IDMap,
			v.Propagation == "shared" || v.Propagation == "rshared":
			return fmt.Sprintf("volumes[%d]", i)
		}
	}
	return ""
}

// rootsDirectives are those that a user's systemd takes and passes over
// (systemd.resource-control(5), systemd.exec(5)).
var rootsDirectives = []string{"DeviceAllow", "DevicePolicy", "IPAddressAllow", "IPAddressDeny", "IPIngressFilterPath", "IPEgressFilterPath", "IPAccounting",
	"BPFProgram", "SocketBindAllow", "SocketBindDeny", "RestrictNetworkInterfaces", "NFTSet", "DynamicUser", "User", "Group"}

func (s *Service) rootsDirective() string {
	for _, part := range []struct {
		name string
		list []Directive
	}{{"scope", s.System.Scope}, {"service", s.System.Service}} {
		for _, d := range part.list {
			if slices.Contains(rootsDirectives, d.Name) {
				return "systemd." + part.name + "." + d.Name
			}
		}
	}
	return ""
}

// systemsUnits are those of systemd.special(7) that only the system's systemd has.
var systemsUnits = []string{"multi-user.target", "graphical.target", "rescue.target", "sysinit.target", "local-fs.target", "remote-fs.target", "network.target", "network-online.target",
	"network-pre.target", "nss-lookup.target", "nss-user-lookup.target", "time-sync.target", "time-set.target", "getty.target"}

// ordering are the directives by which a unit asks for another one.
var ordering = []string{"After", "Before", "Wants", "Requires", "Requisite", "BindsTo", "PartOf", "Upholds"}

func (s *Service) systemsTarget() string {
	return named("systemd.install", s.System.Install, []string{"WantedBy", "RequiredBy", "UpheldBy"})
}

func (s *Service) systemsUnit() string { return named("systemd.unit", s.System.Unit, ordering) }

// named finds a directive that names a unit of the system's alone.
func named(key string, list []Directive, names []string) string {
	for _, d := range list {
		if !slices.Contains(names, d.Name) {
			continue
		}
		for word := range strings.FieldsSeq(d.Value) {
			if slices.Contains(systemsUnits, word) {
				return key + "." + d.Name
			}
		}
	}
	return ""
}

// ForUser makes a file one of a user's: what root's containers have otherwise, and
// nothing says otherwise, becomes what a user's have; what a user cannot have is a
// problem.
func (f *File) ForUser() {
	if f.SharedProblems().HasErrors() {
		return
	}
	for i := range f.Services {
		s := &f.Services[i]
		if f.ProblemsOf(s).HasErrors() {
			continue
		}
		if len(f.Services) == 1 && s.NetworkMode == "" && s.implied() && !f.declares(s.Networks[0].Network) {
			s.Networks, f.Networks = nil, f.without(s.Networks[0].Network) // there is nobody to be reached by it
		}
		for _, r := range refusals {
			if path := r.asks(s); path != "" {
				p := s.Problem(path, r.what, r.cure)
				p.Severity = diag.Error
				if p.Of = nil; s.Project != "" {
					p.Of = []string{s.Key}
				}
				f.Problems = append(f.Problems, p)
			}
		}
		if !s.onNetworks() && s.NetworkMode == "" {
			s.NetworkMode = NetworkPasta
		}
		s.UsernsMode = "host" // the user's own namespace, in which the helper is
		s.OfUser = true
	}
	for i := range f.Networks {
		f.Problems = append(f.Problems, f.Networks[i].forUser()...)
	}
}

// declares tells whether the file says anything of a network of its own.
func (f *File) declares(name string) bool {
	return slices.ContainsFunc(f.Networks, func(n Network) bool { return n.Name == name && n.Source.Line > 0 })
}

func (f *File) without(network string) []Network {
	return slices.DeleteFunc(slices.Clone(f.Networks), func(n Network) bool { return n.Name == network })
}

// forUser tells what a network of a user's cannot have: it is a bridge in a network
// namespace of theirs, and the way out of a container is its own.
func (n *Network) forUser() (problems diag.List) {
	refuse := func(key, what, cure string) {
		path := "networks." + n.Key + "." + key
		problems = append(problems, diag.Problem{Severity: diag.Error, File: n.Source.File, Line: n.Source.Line, Col: n.Source.Col, Path: path, What: what, Cure: cure})
	}
	if n.Driver != "" && n.Driver != "bridge" {
		refuse("driver", "the host's interfaces are root's to share", "drop it: a user's networks are bridges of their own")
	}
	for _, o := range n.Options {
		switch OptionName(o.Key) {
		case "masquerade":
			refuse("driver_opts."+o.Key, "what leaves always has an address of the host's", "drop it, or write `internal: true`, with which nothing leaves")
		case "bridge", "parent", "mode":
			refuse("driver_opts."+o.Key, "no interface of the host's is one of a user's networks", "drop it")
		}
	}
	return problems
}

// NetworkPasta is the network mode by pasta(1).
const NetworkPasta = "pasta"
