// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// WantsLandlock tells whether the helper has to look for Facts.Landlock: where the
// network is not the container's own, abstract sockets in it are others' (unix(7)),
// and some daemons take whoever reaches theirs for a friend (CVE-2020-15257).
func WantsLandlock(s *definition.Service) bool {
	v, _ := securityOption(s, "landlock")
	return s.Bundle == "" && s.Runtime == "" && !s.Privileged && v != "unconfined" &&
		(s.NetworkMode == "host" || strings.HasPrefix(s.NetworkMode, "ns:") || definition.JoinsContainer(s.NetworkMode)) && !looksIntoOthers(s)
}

// looksIntoOthers tells whether the payload is to look into processes that are not its
// own, which a Landlock domain, whatever it scopes, keeps it from (landlock(7), ptrace
// restrictions). Processes of the host are named by ids that it does not have, unless
// it asks for CAP_SYS_PTRACE too.
func looksIntoOthers(s *definition.Service) bool {
	traces := slices.Contains(s.CapAdd, "CAP_SYS_PTRACE") || slices.Contains(s.CapAdd, "ALL")
	return definition.JoinsContainer(s.PID) || s.PID == "host" && traces
}

func (b *builder) scopeSockets() error {
	// Another container's sockets are there to be shared, as long as they are that one's.
	b.plan.ScopeSockets = b.f.Landlock && WantsLandlock(b.s) && (!definition.JoinsContainer(b.s.NetworkMode) || b.f.Joined.HostNetwork)
	return nil
}
