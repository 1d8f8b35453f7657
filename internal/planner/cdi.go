// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/cdi"
	"github.com/unitc/unitc/internal/definition"
)

// cdi does what the specifications of devices say. It comes after all that the
// definition says, as they expect, and after the scope, which gets their rules.
func (b *builder) cdi() error {
	e := b.f.CDI
	if e == nil {
		return nil
	}
	key := b.s.CDI[0].Key
	if len(e.Unsupported) > 0 {
		return &KeyError{key, "the specification of the device asks for " + strings.Join(e.Unsupported, " and ") + ", which unitc does not support", "use a specification without it"}
	}
	if b.plan.Scope == nil && !b.s.Privileged && len(e.Nodes) > 0 {
		return &KeyError{key, "the unit was written before the numbers of the device were known", "drop `systemd: cgroup: service`"}
	}
	for _, v := range e.Env {
		name, _, _ := strings.Cut(v, "=")
		p := b.spec.Process
		p.Env = append(slices.DeleteFunc(p.Env, func(old string) bool { return strings.HasPrefix(old, name+"=") }), v)
	}
	for i := range e.Nodes {
		if err := b.cdiNode(key, &e.Nodes[i]); err != nil {
			return err
		}
	}
	for _, m := range e.Mounts {
		b.spec.Mounts = append(b.spec.Mounts, cdiMount(m))
	}
	for _, gid := range e.GIDs {
		b.plan.Groups = append(slices.Clone(b.plan.Groups), strconv.FormatUint(uint64(gid), 10))
	}
	b.cdiHooks(e.Hooks)
	return nil
}

// cdiNode makes a device node; what the specification leaves open is as the host
// has it.
func (b *builder) cdiNode(key string, n *cdi.DeviceNode) error {
	d := specs.LinuxDevice{Path: n.Path, Type: n.Type, Major: n.Major, Minor: n.Minor, UID: n.UID, GID: n.GID}
	host, there := b.f.Devices[n.Source()]
	switch {
	case there:
		mode := os.FileMode(host.Mode)
		d.Type, d.Major, d.Minor, d.FileMode = host.Type, host.Major, host.Minor, &mode
		if d.UID == nil {
			d.UID = &host.UID
		}
		if d.GID == nil {
			d.GID = &host.GID
		}
	case n.Type == "" || n.Major == 0:
		return &KeyError{key, n.Source() + ", which the specification of the device names, is not on this host", "look whether its driver is loaded, and have the vendor's tool write the specification again"}
	}
	if n.FileMode != nil {
		mode := os.FileMode(*n.FileMode).Perm()
		d.FileMode = &mode
	}
	b.spec.Linux.Devices = append(b.spec.Linux.Devices, d)
	if b.plan.Scope != nil && !b.s.Privileged && d.Type != "p" {
		kind := map[string]string{"b": "block"}[d.Type]
		if kind == "" {
			kind = "char"
		}
		access := n.Permissions
		if access == "" {
			access = "rwm"
		}
		b.plan.Scope.Properties = append(b.plan.Scope.Properties, definition.Directive{
			Name: "DeviceAllow", Value: fmt.Sprintf("/dev/%s/%d:%d %s", kind, d.Major, d.Minor, access),
		})
	}
	return nil
}

// cdiMount is a bind mount where nothing else is said. Its files are the host's:
// libraries and sockets, which all may read.
func cdiMount(m cdi.Mount) specs.Mount {
	out := specs.Mount{Destination: m.ContainerPath, Source: m.HostPath, Type: m.Type, Options: slices.Clone(m.Options)}
	if out.Type != "" && out.Type != "bind" {
		return out
	}
	out.Type = "bind"
	if !slices.Contains(out.Options, "bind") && !slices.Contains(out.Options, "rbind") {
		out.Options = append([]string{"rbind"}, out.Options...)
	}
	return out
}

func (b *builder) cdiHooks(hooks []cdi.Hook) {
	for _, h := range hooks {
		if b.spec.Hooks == nil {
			b.spec.Hooks = &specs.Hooks{}
		}
		all := b.spec.Hooks
		list := map[string]*[]specs.Hook{
			//lint:ignore SA1019 deprecated and not gone: CDI files name it
			"prestart": &all.Prestart, "createRuntime": &all.CreateRuntime, "createContainer": &all.CreateContainer,
			"startContainer": &all.StartContainer, "poststart": &all.Poststart, "poststop": &all.Poststop,
		}[h.Name]
		*list = append(*list, specs.Hook{Path: h.Path, Args: h.Args, Env: h.Env, Timeout: h.Timeout})
	}
}
