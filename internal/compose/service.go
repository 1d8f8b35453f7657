// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

func itoa(i int) string { return strconv.Itoa(i) }

// checkService finds what no single key is guilty of.
func (r *reader) checkService(s *definition.Service, n *node) {
	r.checkRoot(s, n)
	r.checkMemory(s, n)
	r.conflict(n, "cpus", "cpu_quota", "both limit processor time")
	r.conflict(n, "systemd", "x-systemd", "both are the same block")
	r.conflict(n, "rootfs", "x-update", "only an image can be newer")
	r.conflict(n, "rootfs", "x-persist", "what is written to a directory stays in it")
	if s.ReadOnly && s.Persist {
		r.conflict(n, "read_only", "x-persist", "nothing can be written")
	}
	r.checkCompletion(s, n)
	r.checkChecks(s, n)
	r.checkPorts(s, n)
	r.checkIdle(s, n)
	r.checkRules(s, n)
	r.checkNetDevices(s, n)
	r.checkRuntime(s, n)
	r.conflict(n, "network_mode", "networks", "the first replaces the second")
	if scale, deploy := findPair(n, "scale"), n.get("deploy").get("replicas"); scale != nil && deploy != nil && scale.value.str() != deploy.str() {
		r.faultKey(n, scale, "keep one of the two", "deploy.replicas at %s says %s", r.where(scale.place, deploy.place), quote(deploy.str())).Rule = diag.RuleConflict
	}
	if n.get("restart") != nil {
		for _, block := range []string{"systemd", "x-systemd"} {
			if p := findPair(n.get(block).get("service"), "Restart"); p != nil {
				r.report(diag.Error, p.place, join(r.pathOf(n), block)+".service.Restart", "keep one of the two", "restart: at %s says it too", r.where(p.place, findPair(n, "restart").place))
			}
		}
	}
}

// checkRuntime: nvidia is Docker's name for a wrapper that passes the devices in.
func (r *reader) checkRuntime(s *definition.Service, n *node) {
	const what = "the Container Device Interface does its work"
	if s.Runtime != "nvidia" {
		return
	}
	if s.Runtime = ""; len(s.CDI) > 0 {
		r.warn(n.get("runtime"), "remove it", "the runtime nvidia is not needed: "+what)
		return
	}
	r.fault(n.get("runtime"), "write gpus: all in its place", unsupported+"the runtime nvidia; "+what).Rule = diag.RuleUnsupported
}

// checkCompletion: what is started again whenever it ends never completes.
func (r *reader) checkCompletion(s *definition.Service, n *node) {
	policy := s.Restart.Policy
	if s.System.Notify != definition.NotifyCompleted || policy != definition.RestartAlways && policy != definition.RestartUnlessStopped {
		return
	}
	restart := findPair(n, "restart")
	if deploy := n.get("deploy"); deploy.get("restart_policy") != nil {
		restart = findPair(deploy, "restart_policy")
	}
	for _, block := range []string{"systemd", "x-systemd"} {
		if p := findPair(n.get(block), "notify"); p != nil && restart != nil {
			r.report(diag.Error, p.place, join(r.pathOf(n), block)+".notify", "write restart: no or on-failure", "conflicts with %s at %s: it is started again whenever it ends, so it never completes",
				restart.key, r.where(p.place, restart.place)).Rule = diag.RuleConflict
		}
	}
}

// checkChecks: a service has one check, or none of which nothing is asked.
func (r *reader) checkChecks(s *definition.Service, n *node) {
	h, health := s.Healthcheck, findPair(n, "healthcheck")
	if h == nil || health == nil {
		return
	}
	for _, block := range []string{"systemd", "x-systemd"} {
		probe := findPair(n.get(block), "probe")
		if probe == nil || !h.Disable && h.Test == nil {
			continue
		}
		r.report(diag.Error, probe.place, join(r.pathOf(n), block)+".probe", "keep one of the two, the times of healthcheck: aside",
			"conflicts with healthcheck at %s: a service has one check", r.where(probe.place, health.place)).Rule = diag.RuleConflict
	}
}

// checkIdle: only a socket of systemd's brings the container back.
func (r *reader) checkIdle(s *definition.Service, n *node) {
	if s.IdleTimeout == 0 || slices.ContainsFunc(s.Ports, func(p definition.Port) bool { return p.Activation }) {
		return
	}
	p := findPair(n, "x-idle-timeout")
	r.faultKey(n, p, "write a port in its long form, as in {target: 80, published: 8080, x-activation: true}",
		"nothing would start the container again: none of its ports has x-activation").Rule = diag.RuleConflict
}

// checkPorts: ports are published on a network of the container's own.
func (r *reader) checkPorts(s *definition.Service, n *node) {
	ports := n.get("ports")
	if ports == nil {
		return
	}
	for i, p := range s.Ports {
		// One of a range of ports is enough.
		if s.NetworkMode == "" && !p.Activation && isLoopback6(p.HostIP) && (i == 0 || s.Ports[i-1].Item != p.Item) {
			r.fault(ports.items[p.Item], "publish the port on 127.0.0.1, or write x-activation: true: a process forwards then", "the kernel leads nothing from ::1 to a container")
		}
		if a, err := netip.ParseAddr(p.HostIP); err == nil && a.Is6() && a.IsLinkLocalUnicast() && s.NetworkMode == "" && (i == 0 || s.Ports[i-1].Item != p.Item) {
			r.fault(ports.items[p.Item], "publish the port on another address, or on all", "%s is another machine's on every other link", p.HostIP)
		}
	}
	mode := n.get("network_mode")
	if mode == nil {
		return
	}
	if s.NetworkMode != "" && slices.ContainsFunc(s.Ports, func(p definition.Port) bool { return p.Activation }) {
		why := "x-activation leads to a container on a bridge"
		if s.NetworkMode == "pasta" {
			why += ", and to one of a user's without this line: pasta is what that has"
		}
		r.conflict(n, "network_mode", "ports", why)
		return
	}
	switch kind, _, _ := strings.Cut(mode.text, ":"); kind {
	case "none":
		r.conflict(n, "network_mode", "ports", "a container without a network has no ports")
	case "service", "container", "ns":
		r.conflict(n, "network_mode", "ports", "publish the ports where the network is from")
	case "host":
		p := findPair(n, "ports")
		r.report(diag.Warning, p.place, join(r.pathOf(n), "ports"), "remove it", "with network_mode: host the container's ports are the host's already")
	}
}

func isLoopback6(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a == netip.IPv6Loopback()
}

// checkRules: rules are for a network of the container's own. Elsewhere they
// would bind others, the host among them, and outlive the container.
func (r *reader) checkRules(s *definition.Service, n *node) {
	rules := findPair(n, "x-nftables")
	if rules == nil {
		return
	}
	r.wantsOwnNetwork(s, n, "x-nftables", "the rules would be the host's", "write the rules where the network is from")
	for _, c := range []string{"CAP_NET_ADMIN", "ALL"} {
		if slices.Contains(s.CapAdd, c) {
			r.report(diag.Warning, rules.place, join(r.pathOf(n), "x-nftables"), "remove it from cap_add", "with cap_add: [%s] the payload can change the rules", strings.TrimPrefix(c, "CAP_"))
			return
		}
	}
	if s.Privileged {
		r.report(diag.Warning, rules.place, join(r.pathOf(n), "x-nftables"), "remove privileged", "with privileged: true the payload can change the rules")
	}
}

// checkNetDevices: a device is moved into a network of the container's own, and
// comes back when that ends.
func (r *reader) checkNetDevices(s *definition.Service, n *node) {
	if findPair(n, "x-net-devices") == nil {
		return
	}
	r.wantsOwnNetwork(s, n, "x-net-devices", "the host has them already", "write the devices where the network is from")
	r.conflict(n, "runtime", "x-net-devices", "other runtimes pass over it")
}

// wantsOwnNetwork reports a key that means nothing in the host's network or in
// another container's.
func (r *reader) wantsOwnNetwork(s *definition.Service, n *node, key, host, joined string) {
	switch kind, _, _ := strings.Cut(s.NetworkMode, ":"); kind {
	case "host":
		r.conflict(n, "network_mode", key, host)
	case "service", "container", "ns":
		r.conflict(n, "network_mode", key, joined)
	}
}

// conflict reports two keys that can't stand together; both lines are named.
func (r *reader) conflict(n *node, one, other, why string) {
	first, second := findPair(n, one), findPair(n, other)
	if first == nil || second == nil {
		return
	}
	if second.place.layer < first.place.layer || second.place.layer == first.place.layer && second.place.line < first.place.line {
		first, second = second, first
	}
	r.faultKey(n, second, "keep one of the two", "conflicts with %s at %s: %s", first.key, r.where(second.place, first.place), why).Rule = diag.RuleConflict
}

func findPair(n *node, key string) *pair {
	if n == nil {
		return nil
	}
	for i := range n.pairs {
		if n.pairs[i].key == key {
			return &n.pairs[i]
		}
	}
	return nil
}

// checkRoot demands exactly one source of the root file system. An image that is
// built and has no name is called as Compose calls it, and is not fetched.
func (r *reader) checkRoot(s *definition.Service, n *node) {
	r.conflict(n, "rootfs", "image", "each is a root file system")
	r.conflict(n, "rootfs", "build", "each is a root file system")
	r.checkBundle(n)
	if s.PullPolicy == "build" {
		if s.Build == nil {
			r.fault(n.get("pull_policy"), "write build:, or remove the key", "pull_policy is build, and nothing says how")
		} else {
			s.Build.Always = true
		}
		s.PullPolicy = definition.PullNever
	}
	switch {
	case n.get("rootfs") != nil || n.get("image") != nil || n.get("bundle") != nil || n.get("provider") != nil || n.get("extends") != nil:
	case s.Build != nil:
		s.Image, s.PullPolicy = definition.BuiltImage(s.Name), definition.PullNever
	default:
		r.fault(n, "write rootfs: (a directory, or host), image: or bundle:", "the service has no root file system").Rule = diag.RuleMissing
	}
}

func (r *reader) checkMemory(s *definition.Service, n *node) {
	res := &s.Resources
	if res.MemLimit > 0 && res.MemReservation > res.MemLimit {
		limit, reservation := findPair(n, "mem_limit"), findPair(n, "mem_reservation")
		r.faultKey(n, reservation, "lower it, or raise mem_limit", "more is kept than mem_limit at %s allows", r.where(reservation.place, limit.place)).Rule = diag.RuleConflict
	}
	if swap := findPair(n, "memswap_limit"); swap != nil && res.MemswapLimit > 0 {
		switch limit := findPair(n, "mem_limit"); {
		case limit == nil:
			r.faultKey(n, swap, "add mem_limit:", "memswap_limit is memory and swap together, and mem_limit is missing").Rule = diag.RuleConflict
		case res.MemswapLimit < res.MemLimit:
			r.faultKey(n, swap, "raise it to mem_limit or more", "memory and swap together are less than mem_limit at %s", r.where(swap.place, limit.place)).Rule = diag.RuleConflict
		}
	}
}
