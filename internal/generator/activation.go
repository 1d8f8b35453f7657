// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/unitfile"
)

// activated are a service's ports whose sockets systemd keeps, by the
// container's own numbers in the order of the definition.
func (t *translation) activated() (targets []int) {
	if t.service == nil || t.broken {
		return nil
	}
	for _, p := range t.service.Ports {
		if p.Activation && !slices.Contains(targets, p.Target) {
			targets = append(targets, p.Target)
		}
	}
	return targets
}

// portUnits are a socket for each such port, and the service that takes its
// connections to the container.
func (t *translation) portUnits() (units []unit) {
	for _, target := range t.activated() {
		name := definition.PortUnit(t.unit.stem(), target)
		socket := unit{name: name + socketSuffix, text: t.portSocket(target)}
		if t.service.StartsWithProject() {
			socket.links = []link{{dir: "sockets.target.wants", name: socket.name, unit: socket.name}}
		}
		units = append(units, socket, unit{name: name + serviceSuffix, text: t.portService(target)})
	}
	return units
}

func (t *translation) portHead(what string, target int) {
	t.w = unitfile.NewWriter(t.room.free())
	t.w.Comment(generatedFrom + t.source) // G-9
	t.w.Section("Unit")
	t.w.Set("Description", what+" port "+strconv.Itoa(target)+" of "+unitfile.EscapeSpecifiers(unitfile.Printable(t.service.Name)))
	if unitfile.Printable(t.source) == t.source {
		t.w.Set("SourcePath", unitfile.EscapeSpecifiers(t.source)) // G-10
	}
	// Each connection that comes while the container is away may start it.
	t.w.Set("StartLimitIntervalSec", "0")
}

func (t *translation) portSocket(target int) []byte {
	t.portHead("Socket of", target)
	if t.service.Project != "" {
		t.w.Set("PartOf", unitfile.MangleName(t.service.Project)+targetSuffix)
	}
	t.w.Section("Socket")
	var list []netip.AddrPort
	both := true // a port without an address is one socket of both families
	for _, p := range t.service.Ports {
		if p.Target == target && p.Activation && p.HostIP != "" {
			host, err := netip.ParseAddr(p.HostIP)
			if err != nil {
				continue // the parser has checked it
			}
			list = append(list, netip.AddrPortFrom(host, uint16(p.Published)))
			both = both && host != netip.IPv6Unspecified()
		}
	}
	for _, p := range t.service.Ports {
		switch {
		case p.Target != target || !p.Activation || p.HostIP != "":
		case both:
			t.w.Set("ListenStream", strconv.Itoa(p.Published))
		default:
			list = append(list, netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(p.Published)), netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(p.Published)))
		}
	}
	for _, l := range list {
		t.w.Set("ListenStream", l.String())
	}
	if !both {
		t.w.Set("BindIPv6Only", "ipv6-only")
	}
	t.w.Set("FreeBind", "yes")
	t.w.Set("TriggerLimitIntervalSec", "0")
	t.w.Set("Slice", defaultSlice)
	return t.finish()
}

func (t *translation) portService(target int) []byte {
	t.portHead("Connections to", target)
	t.w.Set("PartOf", definition.PortUnit(t.unit.stem(), target)+socketSuffix)
	t.w.Section("Service")
	// It ends its start as systemd-socket-proxyd.
	t.w.Set("Type", "notify")
	t.w.Set("ExecStart", execHelper(t.helper, "forward", t.unit.stem(), strconv.Itoa(target)))
	t.w.Set("TimeoutStartSec", "infinity") // of the container's start
	t.w.Set("Slice", defaultSlice)
	t.w.Set("Environment", "GOMAXPROCS=1")
	if realm.Own() == nil {
		t.w.Set("CapabilityBoundingSet", "CAP_NET_ADMIN") // for the rule past the socket
	}
	t.w.Set("NoNewPrivileges", "yes")
	if realm.Own() != nil {
		t.w.Set("NotifyAccess", "all") // a process in the container's namespaces follows
		// What goes through it has as long to end as the container, and its drain.
		t.w.Set("TimeoutStopSec", span(max(t.service.StopGracePeriod, defaultGrace)+15*time.Second))
	}
	return t.finish()
}

// portDependencies have the sockets there when the container is.
func (t *translation) portDependencies() {
	for _, target := range t.activated() {
		name := definition.PortUnit(t.unit.stem(), target) + socketSuffix
		t.w.Set("Wants", name)
		t.w.Set("After", name)
	}
	// Whoever starts the service by itself means it with its descriptors, and a socket
	// can't be started behind it.
	if t.service != nil && !t.broken && len(t.service.System.Socket) > 0 {
		t.w.Set("Wants", t.unit.stem()+socketSuffix)
		t.w.Set("After", t.unit.stem()+socketSuffix)
	}
}
