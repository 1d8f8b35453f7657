// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/cgroupfs"
	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/oci/bundle"
	"github.com/unitc/unitc/internal/oci/cgroup"
	"github.com/unitc/unitc/internal/plan"
)

// place decides where the cgroup is.
func (m *creation) place() error {
	path := m.spec.Linux.CgroupsPath
	manager := m.c.get("cgroup-manager")
	switch {
	case manager == "disabled":
		return nil
	case m.c.has("systemd-cgroup") || manager == "systemd":
		slice, unit, err := scopeName(path, m.k.ID)
		if err != nil {
			return err
		}
		m.k.Scope = unit
		m.scope = &plan.Scope{Name: unit, Slice: slice, Description: "container " + m.k.ID, Properties: bundle.AllScopeProperties(m.spec.Linux.Resources)}
		return nil
	}
	var err error
	m.k.Cgroup, err = cgroup.Locate(path, m.k.ID)
	return err
}

// scopeName reads "slice:prefix:name", as runc does.
func scopeName(cgroupsPath, id string) (slice, unit string, err error) {
	slice, prefix, name := "", runtimeName, id
	if cgroupsPath != "" {
		parts := strings.Split(cgroupsPath, ":")
		if len(parts) != 3 {
			return "", "", fmt.Errorf("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got %q instead", cgroupsPath)
		}
		slice, prefix, name = parts[0], parts[1], parts[2]
	}
	switch {
	case slice != "":
	case rootless():
		slice = "user.slice"
	default:
		slice = "system.slice"
	}
	if prefix != "" {
		prefix += "-"
	}
	return slice, prefix + name + ".scope", nil
}

func (m *creation) makeCgroup() error {
	if m.scope != nil {
		return nil
	}
	if m.k.Cgroup == "" {
		// Engines write rules for devices into every configuration.
		if r := m.spec.Linux.Resources; r != nil && len(r.Devices) > 0 {
			m.c.log.warn("linux.resources.devices: without a cgroup of its own no rule for devices holds, and only a missing CAP_MKNOD keeps the container from other ones")
		}
		return m.k.group().Apply(m.spec.Linux.Resources)
	}
	g := m.k.group()
	var err error
	if m.k.Found, err = g.Create(); err != nil {
		m.k.Cgroup = "" // it is another's: not ours to remove
		if denied(err) {
			// It stays where its caller is, as with runc and crun; limits are refused.
			return m.k.group().Apply(m.spec.Linux.Resources)
		}
		return err
	}
	if err := m.limit(); err != nil {
		return err
	}
	m.cgroup, err = g.Dir()
	return err
}

func (m *creation) limit() error {
	r := m.spec.Linux.Resources
	if r == nil {
		r = &specs.LinuxResources{}
	}
	if m.k.Scope != "" {
		m.k.group().Enable(r)
	}
	if err := m.k.group().Apply(r); err != nil {
		return err
	}
	err := m.k.group().ApplyDevices(r.Devices)
	if err != nil && !denied(err) { // its user namespace makes no device nodes, and opens only those that its owner could
		return err
	}
	uid, ok := cgroupOwner(m.spec)
	if !ok {
		return nil
	}
	if err := m.k.group().Own(uid); err != nil && !denied(err) {
		return err
	}
	return nil
}

// cgroupOwner is the host's id of the user to whom the container's cgroup is
// delegated: one who sees it as the root of all, and may write there
// (runtime-spec config-linux.md, "Cgroup ownership").
func cgroupOwner(s *specs.Spec) (uid int, ok bool) {
	own := slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace && n.Path == "" })
	writable := slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool {
		return m.Source == "cgroup" && m.Destination == "/sys/fs/cgroup" && !slices.Contains(m.Options, "ro")
	})
	if !own || !writable || s.Process == nil {
		return 0, false
	}
	id := s.Process.User.UID
	if !bundle.HasNamespace(s, specs.UserNamespace) {
		return int(id), true
	}
	for _, m := range s.Linux.UIDMappings {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return int(m.HostID + id - m.ContainerID), true
		}
	}
	return 0, false
}

// scopeTimeout bounds the wait for systemd.
const scopeTimeout = 60 * time.Second

func (m *creation) joinScope() error {
	ctx, cancel := context.WithTimeout(context.Background(), scopeTimeout)
	defer cancel()
	start, await := cgroupsd.StartScope, cgroupsd.AwaitScope
	if rootless() {
		start, await = cgroupsd.StartUserScope, cgroupsd.AwaitUserScope
	}
	asked := time.Now()
	if err := start(ctx, m.scope, m.child.PID); err != nil {
		return err
	}
	dir, err := await(ctx, m.scope, m.child.PID, time.Since(asked))
	if err != nil {
		return err
	}
	dir.Close()
	m.k.Cgroup = strings.TrimPrefix(dir.Name(), cgroupfs.Mount())
	return m.limit()
}
