// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// checkPlan refuses the parts of the OCI configuration that this runtime does
// not carry out, all at once. A part that is passed over in silence would be a
// protection that somebody believes in.
func checkPlan(l *Launch) error {
	s := l.spec
	if s.Process == nil || s.Root == nil || s.Linux == nil {
		return errors.New("the specification needs process, root and linux")
	}
	var errs []error
	refuse := func(unsupported bool, what string) {
		if unsupported {
			errs = append(errs, fmt.Errorf("%s is not supported by unitc's runtime", what))
		}
	}
	if r := s.Linux.IntelRdt; r != nil {
		_, err := resctrlOf(r, l.opt.ID)
		errs = append(errs, err)
	}
	refuse(movesDevices(l) && l.opt.MoveDevices == nil, "linux.netDevices without a caller who moves them")
	refuse(s.Linux.Resources != nil, "linux.resources (limits are on the systemd scope)")
	for i, m := range s.Mounts {
		if len(m.UIDMappings) > 0 != (len(m.GIDMappings) > 0) {
			errs = append(errs, fmt.Errorf("mounts[%d] %s: uidMappings and gidMappings go together", i, m.Destination))
		}
		refuse(len(m.UIDMappings) > 0 && m.Type != "bind" && !isBind(m.Options), fmt.Sprintf("mounts[%d]: id mappings of a mount that is no bind mount", i))
		if err := refuseDestination(m); err != nil {
			errs = append(errs, fmt.Errorf("mounts[%d] %s: %w", i, m.Destination, err))
		}
		o, err := parseOptions(m.Options)
		if err != nil {
			errs = append(errs, fmt.Errorf("mounts[%d]: %w", i, err))
		}
		refuse(o.idmap && m.Type != "bind" && !isBind(m.Options), fmt.Sprintf("mounts[%d]: idmap of a mount that is no bind mount", i))
		refuse(o.copyUp && m.Type != "tmpfs", fmt.Sprintf("mounts[%d]: tmpcopyup of a %s", i, m.Type))
		refuse(o.copyUp && o.remount, fmt.Sprintf("mounts[%d]: tmpcopyup of what is mounted already", i))
	}
	seen := map[specs.LinuxNamespaceType]bool{}
	for i, n := range s.Linux.Namespaces {
		if seen[n.Type] {
			errs = append(errs, fmt.Errorf("linux.namespaces[%d]: %s is there twice", i, n.Type))
		}
		seen[n.Type] = true
	}
	errs = append(errs, checkScheduler(s.Process.Scheduler), checkAffinity(s.Process.ExecCPUAffinity), checkPropagation(l))
	l.lateCgroups = findLateCgroups(l)
	errs = append(errs, checkCgroups(l)...)
	return errors.Join(errs...)
}

// noChange are options of a file system that say what a mount is anyway.
var noChange = []string{"async", "nolazytime", "nomand"}

// IgnoredOptions are options of file systems on bind mounts: the superblock is
// another mount's and stays as it is. mount(2), which the specification has them
// passed to, does not look at them either.
func IgnoredOptions(s *specs.Spec) (list []string) {
	for i, m := range s.Mounts {
		o, err := parseOptions(m.Options)
		if err != nil || m.Type != "bind" && !o.bind {
			continue
		}
		for _, word := range o.data {
			if !slices.Contains(noChange, word) {
				list = append(list, fmt.Sprintf("mounts[%d] %s: %s", i, m.Destination, word))
			}
		}
	}
	return list
}

// checkAffinity reads the lists of who joins later: the container would be there
// by then.
func checkAffinity(a *specs.CPUAffinity) error {
	if a == nil {
		return nil
	}
	_, _, initial := bitmap("process.execCPUAffinity.initial", a.Initial)
	_, _, final := bitmap("process.execCPUAffinity.final", a.Final)
	return errors.Join(initial, final)
}
