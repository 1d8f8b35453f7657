// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/quickjson"
)

// Bundle is what a start has read of an OCI bundle.
type Bundle struct {
	Spec *specs.Spec // checked, its paths absolute
	// Limits are linux.resources as directives of a scope, Devices its list of
	// allowed devices as rules of device_cgroup_rules.
	Limits  []definition.Directive
	Devices []string
	// Notes are what is passed over, for the log of a start.
	Notes []string
}

// bundle takes the configuration as it stands: unitc's own defaults are not
// added, and nothing is taken away. What the definition has beside it concerns
// the unit and its scope.
func (b *builder) bundle() error {
	in := b.f.Bundle
	if in == nil {
		return &KeyError{"bundle", b.s.Bundle + " was not read", "run `systemctl daemon-reload`"}
	}
	spec, linux, process := *in.Spec, *in.Spec.Linux, *in.Spec.Process
	linux.Resources = nil // they are on the scope
	spec.Linux, spec.Process = &linux, &process
	b.spec, b.plan.Spec = &spec, &spec
	b.plan.Bundle = b.s.Bundle
	if process.Terminal && !b.s.TTY {
		return &KeyError{"bundle", "process.terminal of its config.json is true, and nobody gives it one",
			"write `tty: true` (unitc run: -t), or set it to false"}
	}
	if err := b.foreignKnows(); err != nil {
		return err
	}
	process.Terminal = b.s.TTY
	if process.User.Umask == nil {
		process.User.Umask = b.umask()
	}
	b.plan.User = fmt.Sprintf("%d:%d", process.User.UID, process.User.GID) // a hook's, unless it says otherwise
	if err := b.bundleRoot(); err != nil {
		return err
	}
	b.annotations()
	return b.bundleLimits()
}

func (b *builder) bundleRoot() error {
	b.plan.Root = plan.Root{Kind: plan.RootBundle, Path: b.spec.Root.Path}
	root, ok := b.spec.Annotations[plan.RootAnnotation]
	if !ok {
		return nil
	}
	b.plan.Root = plan.Root{}
	if err := quickjson.Parse([]byte(root), &b.plan.Root); err != nil {
		return &KeyError{"bundle", "annotation " + plan.RootAnnotation + " of its config.json: " + err.Error(), "have `unitc spec` write it again"}
	}
	return nil
}

// bundleLimits puts the limits of config.json behind those of the definition,
// which win where both have one.
func (b *builder) bundleLimits() error {
	in := b.f.Bundle
	if b.s.System.Cgroup == definition.CgroupService && len(in.Limits)+len(in.Devices) > 0 {
		return &KeyError{"systemd.cgroup", "linux.resources of the bundle are limits of a scope, and this placement has none",
			"drop `cgroup: service`, or write the limits in the definition and not in config.json"}
	}
	s := *b.s
	s.DeviceCgroupRules = slices.Concat(in.Devices, s.DeviceCgroupRules)
	b.s = &s
	return nil
}

// bundleNetwork connects the namespace that config.json makes, where the
// definition asks for it.
func (b *builder) bundleNetwork() error {
	asked := len(b.s.ExtraHosts) + len(b.s.DNS) + len(b.s.DNSSearch) + len(b.s.DNSOpt) + len(b.s.Links)
	switch {
	case len(b.s.Networks)+len(b.s.Ports) > 0:
	case asked > 0:
		return &KeyError{"networks", "names are written for a container that is connected, and config.json connects this one",
			"write `networks:`, or drop `dns:`, `dns_search:`, `dns_opt:`, `extra_hosts:` and `links:`"}
	default:
		return nil
	}
	if !b.ownNetwork() {
		return &KeyError{"networks", "config.json of the bundle makes no network namespace that could be connected",
			"drop `networks:` and `ports:`, or add a namespace of type network, without a path, to linux.namespaces"}
	}
	return b.network()
}

// Export makes the plan's configuration one that can stand alone in a bundle: it
// says of the root file system what root.path cannot, and names no file that a
// start makes for this unit alone.
func Export(p *plan.Plan) error {
	if p.Bundle != "" && p.Root.Kind == plan.RootBundle {
		return nil
	}
	own := NamesDir(p.Unit)
	p.Spec.Mounts = slices.DeleteFunc(p.Spec.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Source, own) })
	notes := maps.Clone(p.Spec.Annotations)
	if notes == nil {
		notes = map[string]string{}
	}
	notes[plan.RootAnnotation] = string(quickjson.Append(nil, &p.Root))
	p.Spec.Annotations = notes
	return nil
}

// foreignKnows refuses what releases of other runtimes that Debian has had since 12
// pass over without a word: parts of the specification that are younger than they are.
func (b *builder) foreignKnows() error {
	s := b.spec
	crun := path.Base(b.s.Runtime) == "crun"
	for _, part := range []struct {
		given bool
		name  string
	}{
		{len(s.Linux.NetDevices) > 0, "linux.netDevices"}, {s.Linux.MemoryPolicy != nil, "linux.memoryPolicy"},
		{s.Domainname != "" && !crun, "domainname"}, {s.Process.Scheduler != nil, "process.scheduler"},
		{s.Process.IOPriority != nil, "process.ioPriority"}, {s.Linux.Personality != nil && !crun, "linux.personality"},
	} {
		if part.given && b.s.Runtime != "" {
			return &KeyError{"runtime", part.name + " of the bundle's config.json is passed over by releases of " + b.s.Runtime + " that do not know it",
				"drop `runtime:`, or " + part.name}
		}
	}
	return nil
}
