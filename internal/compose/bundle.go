// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"path"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

func decodeBundle(r *reader, s *definition.Service, n *node) {
	switch {
	case !path.IsAbs(n.text):
		r.fault(n, "write an absolute path", "%s is no absolute path", quote(n.text))
	case hasDotDot(n.text):
		r.fault(n, "write the path without ..", "%s goes upwards", quote(n.text))
	case len(n.text) >= maxPath:
		r.fault(n, "write a shorter path", "a path of %d bytes", len(n.text))
	default:
		s.Bundle = path.Clean(n.text)
	}
}

// besideBundle are the keys that concern the unit, its scope and its network.
// All others say what config.json says already.
var besideBundle = []string{
	"annotations", "attach", "blkio_config", "bundle", "container_name", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime",
	"cpu_shares", "cpus", "cpuset", "depends_on", "deploy", "device_cgroup_rules", "dns", "dns_opt", "dns_search", "expose", "extends", "external_links", "extra_hosts",
	"healthcheck", "label_file", "labels", "links", "logging", "mac_address", "mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit", "net-devices", "networks", "nftables",
	"oom_kill_disable", "pids_limit", "ports", "post_start", "pre_stop", "profiles", "restart", "runtime", "scale", "stdin_open", "stop_grace_period", "stop_signal", "systemd", "tty",
}

// checkBundle refuses what stands beside `bundle:` and would change nothing.
func (r *reader) checkBundle(n *node) {
	bundle := findPair(n, "bundle")
	if bundle == nil {
		return
	}
	for i := range n.pairs {
		p := &n.pairs[i]
		name := strings.TrimPrefix(p.key, "x-")
		if findField(serviceKeys, p.key) == nil || slices.Contains(besideBundle, name) {
			continue
		}
		r.faultKey(n, p, "write it there, and remove the key", "config.json of the bundle at %s says it", r.where(p.place, bundle.place)).Rule = diag.RuleConflict
	}
}
