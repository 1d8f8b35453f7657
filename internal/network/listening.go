// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bufio"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/network/lease"
)

// AsksResolver tells whether the container's questions for names go to unitc's
// resolver.
func (c *Claim) AsksResolver() bool { return c.resolver().IsValid() }

// ResolverListens tells whether the resolver's sockets are open: the last one of
// unitc-resolver.socket is.
func ResolverListens() bool {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return false // a drop-in of the unit hides it (ProcSubset=)
	}
	defer f.Close()
	return resolverListens(f)
}

// resolverListens reads the table no further than it must: the kernel lists who
// listens first, then a hundred thousand connections, may be.
func resolverListens(table io.Reader) bool {
	lines := bufio.NewScanner(table)
	lines.Scan() // the heading
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || f[3] != listening {
			return false
		}
		here := socketsOf(lines.Text(), lease.Port{Protocol: "tcp", Port: resolverPort})
		if slices.ContainsFunc(here, func(s socket) bool { return s.address == lease.Resolver }) {
			return true
		}
	}
	return false
}
