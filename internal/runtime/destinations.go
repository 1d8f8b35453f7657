// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/protection"
)

// refuseDestination keeps mounts out of /proc: writes to labels and sysctls
// would land in a file of the attacker's (CVE-2019-16884, CVE-2023-27561).
func refuseDestination(m specs.Mount) error {
	if len(m.Destination) >= unix.PathMax {
		return fmt.Errorf("the destination has %d bytes, the kernel takes %d", len(m.Destination), unix.PathMax-1)
	}
	d := path.Clean("/" + m.Destination)
	if d == "/" {
		return fmt.Errorf("a mount on / is refused; use the rootfs for that")
	}
	if protection.Off("refuse-proc") {
		return nil
	}
	if (d == "/proc" && m.Type != "proc" && !(m.Type == "bind" && m.Source == "/proc")) || (strings.HasPrefix(d, "/proc/") && !lxcfs[d]) {
		return fmt.Errorf("a mount on or below /proc is refused")
	}
	return nil
}

// lxcfs are the files below /proc that LXCFS replaces; they hold figures only.
var lxcfs = map[string]bool{
	"/proc/cpuinfo": true, "/proc/diskstats": true, "/proc/loadavg": true, "/proc/meminfo": true, "/proc/stat": true,
	"/proc/swaps": true, "/proc/uptime": true, "/proc/slabinfo": true,
}
