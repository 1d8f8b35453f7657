// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// networkKeys say how the payload is reached and whom it reaches.
var networkKeys = []field{
	{name: "dns", shape: &shape{kinds: text | list, merge: mergeAppend, format: &addressFormat, item: &shape{kinds: text, format: &addressFormat}}, example: "192.0.2.53",
		doc:    "The name servers to ask.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.DNS = texts(n.asList()) }},
	{name: "dns_opt", shape: &shape{kinds: list, item: &shape{kinds: text, format: &wordFormat}, last: true}, example: "[ndots:1]",
		doc:    "Options of the resolver.",
		decode: func(r *reader, s *definition.Service, n *node) { s.DNSOpt = r.resolverWords(n) }},
	{name: "dns_search", shape: &searchShape, example: "example.org",
		doc:    "The domains in which names are looked up.",
		decode: func(r *reader, s *definition.Service, n *node) { s.DNSSearch = r.searchDomains(n) }},
	{name: "expose", shape: &shape{kinds: list, item: &shape{kinds: integer | text, format: &exposeFormat}, last: true}, example: "[8080]", ignored: "services of one network reach each other on every port",
		doc:    "Ports that the service offers to its neighbours.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Expose = texts(n) }},
	{name: "extra_hosts", shape: &extraHostsShape, example: "{db: 192.0.2.7}",
		doc:    "Further names for /etc/hosts.",
		decode: decodeExtraHosts},
	{name: "links", shape: &shape{kinds: list, item: &shape{kinds: text, format: &linkFormat}, last: true}, example: "[\"db:database\"]",
		doc:    "Services of the same network, and further names for them. They are started before this one, unless depends_on says otherwise.",
		decode: decodeLinks},
	{name: "mac_address", shape: &shape{kinds: text, format: &macFormat}, example: "02:42:ac:11:65:43",
		doc:    "The MAC address on the first network.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.MACAddress = strings.ToLower(n.text) }},
	{name: "networks", shape: &attachmentsShape, example: "[front]",
		doc:    "The networks to join.",
		decode: decodeNetworks},
	{name: "ports", shape: &portsShape, example: "[\"8080:80\"]",
		doc:    "Ports of the host that lead into the container, as ADDRESS:PORT:TARGET/PROTOCOL.",
		decode: decodePorts},
	{name: "x-net-devices", shape: &netDevicesShape, example: "{enp3s0: lan0}",
		doc:    "Interfaces of the host that the container has for itself while it runs, with their names there.",
		decode: decodeNetDevices},
	{name: "x-nftables", shape: &hostPathShape, example: "/etc/unitc/web.nft",
		doc:    "A file of rules in nft(8)'s words that hold in the container's own network; read at each start.",
		decode: func(r *reader, s *definition.Service, n *node) { s.NFTables = r.hostPath(n, n.text) }},
}

const addressPattern = `[0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*`

var addressFormat = format{
	name:    "address",
	empty:   true,
	pattern: "^(" + addressPattern + `)(%[0-9A-Za-z_.-]+)?$`,
	check: func(s string) (string, string) {
		if _, err := netip.ParseAddr(s); err != nil {
			return quote(s) + " is no IP address", "write for example 192.0.2.53 or 2001:db8::1"
		}
		return "", ""
	},
}

var subnetFormat = format{
	name:    "subnet",
	pattern: "^(" + addressPattern + `)/[0-9]{1,3}$`,
	check: func(s string) (string, string) {
		if _, err := netip.ParsePrefix(s); err != nil {
			return quote(s) + " is no range of IP addresses", "write for example 192.0.2.0/24"
		}
		return "", ""
	},
}

var macFormat = format{
	name:    "mac-address",
	empty:   true,
	pattern: `^[0-9a-fA-F][02468aceACE]([:-][0-9a-fA-F]{2}){5}$`,
	check: func(s string) (string, string) {
		parts := strings.Split(strings.ReplaceAll(s, "-", ":"), ":")
		ok := len(parts) == 6
		for _, p := range parts {
			ok = ok && len(p) == 2 && strings.Trim(p, "0123456789abcdefABCDEF") == ""
		}
		if !ok {
			return quote(s) + " is no MAC address", "write for example 02:42:ac:11:65:43"
		}
		if strings.Contains("13579bdfBDF", parts[0][1:]) {
			return quote(s) + " is the MAC address of a group (multicast)", "write for example 02:42:ac:11:65:43"
		}
		return "", ""
	},
}

// resolverWords are single words of resolv.conf(5): a line break would add a
// line to that file.
func (r *reader) resolverWords(n *node) (all []string) {
	for _, item := range n.asList().items {
		if item.str() == "" || strings.ContainsAny(item.str(), " \t\r\n#;") {
			r.fault(item, "write one word", "%s is no word of resolv.conf", quote(item.str()))
			continue
		}
		all = append(all, item.text)
	}
	return all
}

// searchDomains are resolverWords of which an empty one, as in Docker, means none.
func (r *reader) searchDomains(n *node) (all []string) {
	for _, item := range n.asList().items {
		if item.kind == text && item.text == "" {
			item.text = "."
		}
	}
	return r.resolverWords(n)
}

var extraHostsShape = shape{kinds: list | mapping, merge: mergeAppend, item: &shape{kinds: text, format: &extraHostFormat}, name: &hostFormat,
	open: &shape{kinds: text | list, format: &hostAddressFormat, item: &shape{kinds: text, format: &hostAddressFormat}}}

// hostAddressFormat is an address, or Docker's word for the host's own.
var hostAddressFormat = format{
	name:    "host-address",
	pattern: `^(host-gateway|\[?(` + addressPattern + `)\]?)$`,
	check: func(s string) (string, string) {
		if s == "host-gateway" {
			return "", ""
		}
		return addressFormat.check(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	},
}

// decodeExtraHosts reads `NAME: ADDRESS`, NAME=ADDRESS and NAME:ADDRESS.
func decodeExtraHosts(r *reader, s *definition.Service, n *node) {
	add := func(name, address string) {
		address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
		s.ExtraHosts = append(s.ExtraHosts, definition.Host{Name: name, Address: address})
	}
	for i := range n.pairs {
		p := &n.pairs[i]
		for _, address := range p.value.asList().items {
			add(p.key, address.text)
		}
	}
	for _, item := range n.items {
		at := strings.IndexAny(item.text, "=:")
		if at < 0 {
			r.fault(item, "write NAME=ADDRESS", "%s has no address", quote(item.text))
			continue
		}
		what, cure := hostFormat.check(item.text[:at])
		if what == "" {
			what, cure = hostAddressFormat.check(item.text[at+1:])
		}
		if what != "" {
			r.fault(item, cure, "%s", what)
			continue
		}
		add(item.text[:at], item.text[at+1:])
	}
}

// decodeLinks reads SERVICE or SERVICE:ALIAS; a link implies a dependency, unless
// depends_on says which, as in Compose. There it has the service restarted, too, for links
// were lines of /etc/hosts once; here names are asked for, and a stop would come along.
func decodeLinks(r *reader, s *definition.Service, n *node) {
	given := r.service.get("depends_on").orEmpty().asMapping(mergeDependencies)
	for _, item := range n.items {
		key, alias, named := strings.Cut(item.text, ":")
		if !named {
			alias = key
		}
		if what, cure := hostFormat.check(alias); what != "" {
			r.fault(item, cure, "%s", what)
			continue
		}
		if given.get(key) == nil {
			r.depend(s, item.place, n, key, definition.Dependency{Condition: definition.ServiceStarted})
		}
		if unit, ok := r.serviceUnit(key); ok {
			s.Links = append(s.Links, definition.Link{Service: unit, Alias: alias})
		}
	}
}

var attachmentShape = shape{kinds: null | mapping, keys: []field{
	{name: "aliases", shape: &shape{kinds: list, item: &shape{kinds: text, format: &hostFormat}, last: true}, example: "[www]", doc: "Further names on this network."},
	{name: "driver_opts", shape: &shape{kinds: mapping, open: &shape{kinds: number | text}}, example: "{mtu: 1400}", doc: "Options of the network's driver."},
	{name: "gw_priority", shape: &intShape, example: "1", doc: "The network with the highest gives the default route."},
	{name: "interface_name", shape: &shape{kinds: text, format: &interfaceFormat}, example: "eth0", doc: "The interface's name in the container."},
	{name: "ipv4_address", shape: &shape{kinds: text, format: &addressFormat}, example: "192.0.2.7", doc: "A fixed IPv4 address."},
	{name: "ipv6_address", shape: &shape{kinds: text, format: &addressFormat}, example: "2001:db8::7", doc: "A fixed IPv6 address."},
	{name: "link_local_ips", shape: &shape{kinds: list, item: &shape{kinds: text, format: &linkLocalFormat}, last: true}, example: "[169.254.1.7]", doc: "Link-local addresses."},
	{name: "mac_address", shape: &shape{kinds: text, format: &macFormat}, example: "02:42:ac:11:65:43", doc: "The MAC address."},
	{name: "priority", shape: &floatShape, example: "100", doc: "Networks are joined from the highest to the lowest."},
}}

var attachmentsShape = shape{kinds: list | mapping, merge: mergeNames, item: &shape{kinds: text, format: &plainNameFormat}, unique: true, name: &plainNameFormat, open: &attachmentShape}

var interfaceFormat = format{
	name:    "interface",
	pattern: `^[^\s/:]{1,15}$`,
	check: func(s string) (string, string) {
		if s == "" || len(s) > 15 || strings.ContainsAny(s, "/: \t\r\n") || s == "." || s == ".." {
			return quote(s) + " is no name of an interface", "write at most 15 letters and digits"
		}
		return "", ""
	},
}

// linkLocalFormat is of addresses that hold on one link (RFC 3927, RFC 4291).
var linkLocalFormat = format{
	name:    "link-local",
	pattern: `^(169\.254\.[0-9]{1,3}\.[0-9]{1,3}|[fF][eE][89abAB][0-9a-fA-F]:[0-9a-fA-F:.]*)$`,
	check: func(s string) (string, string) {
		if a, err := netip.ParseAddr(s); err != nil || !a.IsLinkLocalUnicast() || a.Zone() != "" {
			return quote(s) + " is no link-local address", "write for example 169.254.1.7 or fe80::7"
		}
		return "", ""
	},
}

// checkStatic finds an address that is in none of the network's ranges, where those of its
// family are written in the same file.
func (r *reader) checkStatic(declared, address *node) {
	a, err := netip.ParseAddr(address.str())
	config := declared.get("ipam").get("config")
	if err != nil || config == nil {
		return
	}
	written := ""
	for _, item := range config.items {
		p, err := netip.ParsePrefix(item.get("subnet").str())
		if err != nil || p.Addr().Is4() != a.Is4() {
			continue
		}
		if p.Contains(a) {
			return
		}
		written = strings.TrimPrefix(written+" "+p.String(), " ")
	}
	if written != "" {
		r.fault(address, "choose an address of its range, or write the range below ipam:", "%s is not in %s", a, written)
	}
}

func decodeNetworks(r *reader, s *definition.Service, n *node) {
	byName := n.asMapping(mergeNames)
	for i := range byName.pairs {
		p := &byName.pairs[i]
		name, ok := r.networkName(p.value, p.key)
		if !ok {
			continue
		}
		a := definition.Attachment{
			Network: name, IPv4: p.value.get("ipv4_address").str(), IPv6: p.value.get("ipv6_address").str(),
			MAC: strings.ToLower(p.value.get("mac_address").str()), Interface: p.value.get("interface_name").str(),
		}
		if aliases := p.value.get("aliases"); aliases != nil {
			a.Aliases = texts(aliases)
		}
		if addresses := p.value.get("link_local_ips"); addresses != nil {
			a.LinkLocal = texts(addresses)
		}
		if priority := p.value.get("priority"); priority != nil {
			value, _ := parseFloat(priority.text)
			a.Priority = int(value)
		}
		if priority := p.value.get("gw_priority"); priority != nil {
			a.GWPriority = int(priority.int())
		}
		if options := p.value.get("driver_opts"); options != nil {
			a.DriverOpts = r.keyValues(options)
			r.checkPlaceOptions(options)
		}
		if a.Interface == "lo" || a.Interface != "" && slices.ContainsFunc(s.Networks, func(other definition.Attachment) bool { return other.Interface == a.Interface }) {
			r.fault(p.value.get("interface_name"), "choose another name", "the container has an interface %s already", a.Interface)
		}
		if r.services() != nil {
			for _, key := range []string{"ipv4_address", "ipv6_address"} {
				r.checkStatic(r.root.get("networks").get(p.key), p.value.get(key))
			}
		}
		s.Networks = append(s.Networks, a)
	}
}

// checkPlaceOptions finds options that a place on a network has not.
func (r *reader) checkPlaceOptions(options *node) {
	for i := range options.pairs {
		if what, cure := definition.PlaceOptionFault(options.pairs[i].key); what != "" {
			r.fault(options.pairs[i].value, cure, "%s", what)
		}
	}
}

var netDevicesShape = shape{kinds: list | mapping, merge: mergeNames, item: &shape{kinds: text, format: &interfaceFormat}, unique: true, name: &interfaceFormat,
	open: &shape{kinds: null | text, format: &interfaceFormat}}

// decodeNetDevices reads a list of interfaces, or their names in the container.
func decodeNetDevices(r *reader, s *definition.Service, n *node) {
	byName := n.asMapping(mergeNames)
	inside := map[string]*node{}
	for i := range byName.pairs {
		p := &byName.pairs[i]
		name := p.value.str()
		if name == "" {
			name = p.key
		}
		if other := inside[name]; other != nil {
			r.fault(p.value, "name one of them otherwise", "%s is another's name in the container already, at %s", quote(name), r.where(p.value.place, other.place))
			continue
		}
		inside[name] = p.value
		s.NetDevices = append(s.NetDevices, definition.KeyValue{Key: p.key, Value: name})
	}
}

// networkName is a network's own name; a project always has "default".
func (r *reader) networkName(n *node, key string) (string, bool) {
	if r.services() == nil {
		return key, true
	}
	if key != defaultNetwork && !r.declared(n, "networks", key) {
		return "", false
	}
	return r.ownName(r.root.get("networks").get(key), key), true
}

const defaultNetwork = "default"

// ownName is the name of what a project declares: `name:` says it, or else it
// is PROJECT_KEY, or KEY for what somebody else made.
func (r *reader) ownName(declared *node, key string) string {
	if name := declared.get("name"); name != nil {
		return name.str()
	}
	if external := declared.get("external"); external != nil {
		if old := external.get("name"); old != nil {
			return old.str()
		}
		if external.kind == mapping || external.truth() {
			return key
		}
	}
	return path.Base(r.in.Name) + "_" + key
}
