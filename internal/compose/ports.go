// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// maxPorts bounds what ranges expand to; more is a host's network.
const maxPorts = 1024

var protocols = []string{"tcp", "udp", "sctp"}

var portsShape = shape{kinds: list, last: true, item: &shape{kinds: integer | text | mapping, format: &portFormat, keys: []field{
	{name: "app_protocol", shape: &stringShape, example: "http", doc: "What is spoken there; a note."},
	{name: "host_ip", shape: &shape{kinds: text, format: &addressFormat}, example: "127.0.0.1", doc: "The host's address; all if left out."},
	{name: "mode", shape: &shape{kinds: text, words: []string{"host", "ingress"}}, example: "host", doc: "Swarm's; accepted and ignored."},
	{name: "name", shape: &stringShape, example: "web", doc: "A name; a note."},
	{name: "protocol", shape: &shape{kinds: text, format: &protocolFormat}, example: "udp", doc: "tcp (the default), udp or sctp."},
	{name: "published", shape: &shape{kinds: integer | text, format: &portRangeFormat}, example: "8080", doc: "The host's port, or a range to take a free one from."},
	{name: "target", shape: &shape{kinds: integer | text, format: &portRangeFormat}, example: "80", required: true, doc: "The container's port."},
	{name: "x-activation", shape: &boolShape, example: "true", doc: "systemd keeps the listening socket: connections wait while the container restarts, and the first one starts it."},
}}}

// protocolFormat takes capitals, as the short form does.
var protocolFormat = format{
	name:    "protocol",
	empty:   true,
	pattern: `^([tT][cC][pP]|[uU][dD][pP]|[sS][cC][tT][pP])$`,
	check: func(s string) (string, string) {
		if s = strings.ToLower(s); contains(protocols, s) {
			return "", ""
		}
		cure := "write tcp, udp or sctp"
		if near := nearest(s, protocols); near != "" {
			cure = "did you mean " + near + "?"
		}
		return quote(s) + " is no protocol of ports", cure
	},
}

// portRange is one port or several; an end of 0 is none.
type portRange struct{ first, last int }

func (p portRange) size() int { return p.last - p.first + 1 }

func parsePortRange(s string) (portRange, bool) {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	low, err := strconv.ParseUint(first, 10, 16)
	if err != nil || !isDigits(first) || !isDigits(last) {
		return portRange{}, false
	}
	high, err := strconv.ParseUint(last, 10, 16)
	return portRange{int(low), int(high)}, err == nil && low <= high
}

var portRangeFormat = format{
	name:    "port-range",
	pattern: `^[0-9]{1,5}(-[0-9]{1,5})?$`, bounds: &bounds{low: 1, high: 65535},
	check: func(s string) (string, string) {
		if _, ok := parsePortRange(s); !ok {
			return quote(s) + " is no port", "write a number up to 65535, or a range as in 8000-8010"
		}
		return "", ""
	},
}

var exposeFormat = format{
	name:    "expose",
	pattern: `^[0-9]{1,5}(-[0-9]{1,5})?(/([tT][cC][pP]|[uU][dD][pP]|[sS][cC][tT][pP]))?$`, bounds: &bounds{high: 65535},
	check: func(s string) (string, string) {
		ports, protocol, given := strings.Cut(s, "/")
		if given && !contains(protocols, strings.ToLower(protocol)) {
			return quote(protocol) + " is no protocol of ports", "write tcp, udp or sctp"
		}
		return portRangeFormat.check(ports)
	},
}

// shortPort is the parts of [[ADDRESS:][PUBLISHED]:]TARGET[/PROTOCOL].
type shortPort struct {
	address           string
	published, target string
	protocol          string
}

func splitPort(s string) shortPort {
	var p shortPort
	s, p.protocol, _ = strings.Cut(s, "/")
	at := strings.LastIndexByte(s, ':')
	p.target = s[at+1:]
	if at < 0 {
		return p
	}
	s = s[:at]
	at = strings.LastIndexByte(s, ':')
	if at < 0 || strings.HasSuffix(s, "]") {
		p.published = s
		if strings.HasSuffix(s, "]") {
			p.published, p.address = "", s
		}
	} else {
		p.address, p.published = s[:at], s[at+1:]
	}
	p.address = strings.TrimSuffix(strings.TrimPrefix(p.address, "["), "]")
	return p
}

var portFormat = format{
	name:    "port",
	pattern: `^((\[[0-9a-fA-F:.]*\]|[0-9a-fA-F:.]*):)?([0-9]*(-[0-9]+)?:)?[0-9]{1,5}(-[0-9]{1,5})?(/([tT][cC][pP]|[uU][dD][pP]|[sS][cC][tT][pP]))?$`, bounds: &bounds{low: 1, high: 65535},
	check: func(s string) (string, string) {
		const cure = "write for example 8080:80, 127.0.0.1:8080:80 or 53:53/udp"
		p := splitPort(s)
		if p.address != "" {
			if _, err := netip.ParseAddr(p.address); err != nil {
				return quote(p.address) + " is no IP address", cure
			}
		}
		for _, ports := range []string{p.published, p.target} {
			if _, ok := parsePortRange(ports); !ok && (ports != "" || p.target == "") {
				return quote(ports) + " is no port", cure
			}
		}
		if p.protocol != "" && !contains(protocols, strings.ToLower(p.protocol)) {
			return quote(p.protocol) + " is no protocol of ports", "write tcp, udp or sctp"
		}
		return "", ""
	},
}

func decodePorts(r *reader, s *definition.Service, n *node) {
	for i, item := range n.items {
		p := definition.Port{Protocol: "tcp", Item: i}
		short := splitPort(item.text)
		if item.kind == mapping {
			short = shortPort{
				address: item.get("host_ip").str(), published: item.get("published").str(),
				target: item.get("target").str(), protocol: item.get("protocol").str(),
			}
			p.Name, p.AppProtocol = item.get("name").str(), item.get("app_protocol").str()
			p.Activation = item.get("x-activation") != nil && item.get("x-activation").truth()
		}
		if p.HostIP = short.address; short.protocol != "" {
			p.Protocol = strings.ToLower(short.protocol)
		}
		if p.Activation && !r.canActivate(item, p, short) {
			continue
		}
		r.addPorts(s, item, p, short)
	}
}

// canActivate: a socket unit needs a number to listen on, and what forwards its
// connections knows nothing but connections.
func (r *reader) canActivate(n *node, p definition.Port, short shortPort) bool {
	published, given := parsePortRange(short.published)
	target, _ := parsePortRange(short.target)
	switch {
	case p.Protocol != "tcp":
		r.fault(n, "remove x-activation", "x-activation is for tcp, and this port is %s", p.Protocol).Rule = diag.RuleConflict
	case !given || published.first == 0 || published.size() != target.size():
		r.fault(n, "write for example published: 8080", "x-activation needs the host's port").Rule = diag.RuleConflict
	case strings.HasSuffix(r.in.Name, "@"):
		r.fault(n, "remove x-activation", "the instances of a template would share one socket").Rule = diag.RuleConflict
	default:
		return true
	}
	return false
}

// addPorts expands ranges: each target its own published port, or one target
// and a range to take a free port from.
func (r *reader) addPorts(s *definition.Service, n *node, p definition.Port, short shortPort) {
	target, _ := parsePortRange(short.target)
	published, given := parsePortRange(short.published)
	switch {
	case target.first == 0:
		r.fault(n, "write the container's port", "the container has no port 0")
		return
	case given && target.size() == 1 && published.size() > 1:
		p.Target, p.Published, p.PublishedEnd = target.first, published.first, published.last
		r.addPort(s, n, p)
		return
	case given && published.size() != target.size():
		r.fault(n, "make the ranges equally long", "%d ports lead to %d", published.size(), target.size())
		return
	case len(s.Ports)+target.size() > maxPorts:
		r.fault(n, "write network_mode: host to have all ports", "more than %d ports", maxPorts)
		return
	}
	for i := range target.size() {
		if p.Target = target.first + i; given {
			p.Published = published.first + i
		}
		r.addPort(s, n, p)
	}
}

// addPort refuses a port of the host that is published twice, for two ports.
func (r *reader) addPort(s *definition.Service, n *node, p definition.Port) {
	port := "|" + itoa(p.Published) + "|" + itoa(p.PublishedEnd) + "/" + p.Protocol
	key := p.HostIP + port
	if p.Published != 0 {
		first, again := r.published[key]
		if !again && (p.HostIP != "" || r.addressed) && r.service.get("network_mode").str() != "host" {
			key, first, again = r.overlapping(p.HostIP, port)
		}
		if again {
			same := p
			for _, other := range s.Ports {
				if same.Item = other.Item; same == other {
					r.warn(n, "keep one of the two", "the host's port %d is published twice: first at %s", p.Published, r.where(n.place, first.place)).Rule = diag.RuleDuplicate
					return
				}
			}
			if first.service != s {
				r.clashes = append(r.clashes, clash{s, n, p.Published, key})
				s.Ports = append(s.Ports, p)
				return
			}
			r.faultPublished(n, p.Published, first.place)
			return
		}
		if r.published == nil {
			r.published = map[string]publisher{}
		}
		r.published[key] = publisher{s, n.place}
		if p.HostIP != "" {
			r.addressed = true
			if !isAll(p.HostIP) {
				r.published[familyOf(p.HostIP)+port] = r.published[key]
			}
		}
	}
	s.Ports = append(s.Ports, p)
}

// Under these stands who publishes a port on a single address of a family.
const one4, one6 = "one of IPv4", "one of IPv6"

func familyOf(address string) string {
	if strings.Contains(address, ":") {
		return one6
	}
	return one4
}

// isAll: a port without an address is published on all of IPv4's, and of IPv6's where
// the container has one.
func isAll(address string) bool { return address == "" || address == "0.0.0.0" || address == "::" }

// overlapping finds who has a port on all addresses of which this is one, or on one of
// these; key is the port's own where nobody has.
func (r *reader) overlapping(address, port string) (key string, first publisher, found bool) {
	family := familyOf(address)
	others := []string{"", "0.0.0.0"}
	if family == one6 {
		others = []string{"::"}
	}
	if isAll(address) {
		others = append(others, family)
	}
	for _, other := range others {
		if first, found = r.published[other+port]; found && other != address {
			return other + port, first, true
		}
	}
	return address + port, first, false
}

// publisher is who publishes a port, and where that stands.
type publisher struct {
	service *definition.Service
	place   place
}

// clash is a port of the host that a second one publishes.
type clash struct {
	service *definition.Service
	node    *node
	port    int
	key     string // of published
}

func (r *reader) faultPublished(n *node, port int, first place) {
	r.fault(n, "keep one of the two", "the host's port %d is published twice: first at %s", port, r.where(n.place, first)).Rule = diag.RuleDuplicate
}

// checkPublished finds services that would be started together and take the same
// port. Of profiles, one may be there in the place of another.
func (r *reader) checkPublished() {
	for _, c := range r.clashes {
		switch first := r.published[c.key]; {
		case !c.service.StartsWithProject():
		case first.service.StartsWithProject():
			r.faultPublished(c.node, c.port, first.place)
		default:
			r.published[c.key] = publisher{c.service, c.node.place}
		}
	}
}
