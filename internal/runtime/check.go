// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// checkPlan refuses the parts of the OCI configuration that this runtime does
// not carry out, all at once. A part that is passed over in silence would be a
// protection that somebody believes in. process.execCPUAffinity is none of a
// container's first process (runtime-spec, config.md), so it is not looked at.
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
	}
	seen := map[specs.LinuxNamespaceType]bool{}
	for i, n := range s.Linux.Namespaces {
		if seen[n.Type] {
			errs = append(errs, fmt.Errorf("linux.namespaces[%d]: %s is there twice", i, n.Type))
		}
		seen[n.Type] = true
	}
	errs = append(errs, checkPropagation(l))
	return errors.Join(errs...)
}
