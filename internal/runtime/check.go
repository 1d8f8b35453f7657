// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"

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
	refuse(s.Process.Terminal, "process.terminal")
	refuse(s.Process.ExecCPUAffinity != nil, "process.execCPUAffinity")
	refuse(s.Linux.IntelRdt != nil, "linux.intelRdt")
	refuse(len(s.Linux.NetDevices) > 0, "linux.netDevices")
	refuse(s.Linux.Resources != nil, "linux.resources (limits are on the systemd scope)")
	for i, n := range s.Linux.Namespaces {
		refuse(n.Type == specs.UserNamespace && n.Path != "", fmt.Sprintf("linux.namespaces[%d]: joining a user namespace by path", i))
	}
	for i, m := range s.Mounts {
		refuse(len(m.UIDMappings)+len(m.GIDMappings) > 0, fmt.Sprintf("mounts[%d]: id mappings of its own", i))
		if err := refuseDestination(m); err != nil {
			errs = append(errs, fmt.Errorf("mounts[%d] %s: %w", i, m.Destination, err))
		}
		o, err := parseOptions(m.Options)
		if err != nil {
			errs = append(errs, fmt.Errorf("mounts[%d]: %w", i, err))
		}
		refuse(o.copyUp, fmt.Sprintf("mounts[%d]: tmpcopyup", i))
	}
	seen := map[specs.LinuxNamespaceType]bool{}
	for i, n := range s.Linux.Namespaces {
		if seen[n.Type] {
			errs = append(errs, fmt.Errorf("linux.namespaces[%d]: %s is there twice", i, n.Type))
		}
		seen[n.Type] = true
	}
	return errors.Join(errs...)
}
