// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// joinNetworks makes network_mode or networks of all that was said of them.
func (d *def) joinNetworks() {
	if d.isInPod {
		for _, a := range d.networks {
			d.lost(a, "the network is the pod's", "write Network= in the .pod")
		}
		return
	}
	networks := &node{kind: mapping}
	for _, a := range d.networks {
		name, options := networkWords(a.text)
		switch name {
		case "host", "none":
			d.setText("network_mode", a, name)
		case "pasta", "slirp4netns":
			d.setText("network_mode", a, "pasta")
			if options != "" {
				d.lost(a, "options of "+name, "see pasta in unitc.yaml(5)")
			}
		case "container":
			d.setText("network_mode", a, "container:"+d.set.unitOfContainer(options))
		case "ns":
			d.setText("network_mode", a, a.text)
		case "bridge", "private", "default", "podman", "":
			if options != "" {
				d.lost(a, "addresses on the network of all containers", "write a network of its own, NAME.network.yaml with a range")
			}
			d.same(a, "it is so without a word")
		default:
			networks.put(name, d.attachment(a, options))
			d.set.needNetwork(d, name, a)
		}
	}
	if len(networks.pairs) == 0 {
		d.noNetworks()
		return
	}
	first := networks.pairs[0].value
	for _, a := range d.ips {
		first.put(addressKey(a.text), scalarOf(a, a.text))
	}
	if d.mac != nil {
		d.setText("mac_address", *d.mac, d.mac.text)
	}
	for i := range networks.pairs {
		n := networks.pairs[i].value
		for _, a := range d.aliases {
			n.child("aliases", list).flow = true
			n.get("aliases").items = append(n.get("aliases").items, scalarOf(a, a.text))
		}
	}
	for _, p := range networks.pairs {
		for _, key := range []string{"ipv4_address", "ipv6_address"} {
			if address := p.value.get(key); address != nil {
				d.set.makeRoom(p.key, arg{text: address.text, name: address.from, at: address.at})
			}
		}
	}
	d.root.put("networks", shortNetworks(networks))
}

// longNetwork is Docker's other form: name=web,alias=www,ip=192.0.2.7.
var longNetwork = regexp.MustCompile(`^\w[\w-]*=`)

// networkWords parts NAME:OPTION,… .
func networkWords(text string) (name, options string) {
	if !longNetwork.MatchString(text) {
		name, options, _ = strings.Cut(text, ":")
		return name, options
	}
	var others []string
	for word := range strings.SplitSeq(text, ",") {
		if value, ok := strings.CutPrefix(word, "name="); ok {
			name = value
			continue
		}
		others = append(others, word)
	}
	return name, strings.Join(others, ",")
}

// shortNetworks is a list of names where no more is said.
func shortNetworks(networks *node) *node {
	all := &node{kind: list, flow: true, at: networks.pairs[0].value.at, from: networks.pairs[0].value.from}
	for _, p := range networks.pairs {
		if len(p.value.pairs) > 0 {
			networks.at, networks.from = all.at, all.from
			return networks
		}
		all.items = append(all.items, &node{text: p.key})
	}
	return all
}

// noNetworks says what is lost without one.
func (d *def) noNetworks() {
	for _, a := range append(slices.Clone(d.ips), d.aliases...) {
		if a.name == memberName {
			continue
		}
		if d.root.get("container_name") == nil && a.name != "--ip" && a.name != "--ip6" && a.name != "IP=" && a.name != "IP6=" {
			d.setText("container_name", a, a.text)
			continue
		}
		d.lost(a, "it needs a network of its own", "write networks: with the name of a NAME.network.yaml")
	}
	if d.mac != nil {
		d.setText("mac_address", *d.mac, d.mac.text)
	}
}

// addressKey is the key of a static address.
func addressKey(address string) string {
	if strings.Contains(address, ":") {
		return "ipv6_address"
	}
	return "ipv4_address"
}

// attachment is what stands behind the name of a network: ip=…,alias=….
func (d *def) attachment(a arg, options string) *node {
	n := &node{kind: mapping, at: a.at, from: a.name}
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "":
		case "ip", "ip6":
			n.put(addressKey(value), scalarOf(a, value))
		case "mac", "mac-address":
			n.put("mac_address", scalarOf(a, value))
		case "interface_name":
			n.put("interface_name", scalarOf(a, value))
		case "alias":
			n.child("aliases", list).flow = true
			n.get("aliases").items = append(n.get("aliases").items, scalarOf(a, value))
		default:
			d.lost(a, "the option "+key+" of a network", "")
		}
	}
	return n
}

// needNetwork makes the file of a network that none of what is converted makes.
func (s *Set) needNetwork(by *def, name string, a arg) {
	file := name + ".network.yaml"
	if s.elsewhere[name] || slices.ContainsFunc(s.defs, func(d *def) bool { return d.file() == file }) || s.makesNetwork(name) {
		return
	}
	if !fileName.MatchString(name) {
		return // the check says so
	}
	d := s.newDef(name+".network", a.at)
	d.podman, d.isGuess = by.podman, true
	d.root.put("driver", scalarOf(a, "bridge"))
	engine := "docker"
	if d.podman {
		engine = "podman"
	}
	d.changed(a, "what else there is to the network "+name+" is not known here", engine+" network inspect "+shellWord(name)+" tells its range and options")
	s.defs = append(s.defs, d)
}

// makeRoom has a network that is not known have a range with an address that somebody
// asks for: without it no start of theirs could succeed.
func (s *Set) makeRoom(network string, a arg) {
	i := slices.IndexFunc(s.defs, func(d *def) bool { return d.name == network+".network" && d.isGuess })
	address, err := netip.ParseAddr(a.text)
	if i < 0 || err != nil {
		return
	}
	d, bits := s.defs[i], 64
	if address.Is4() {
		bits = 24
	}
	configs := d.root.child("ipam", mapping).child("config", list)
	for _, c := range configs.items {
		if prefix, err := netip.ParsePrefix(c.get("subnet").text); err == nil && prefix.Contains(address) {
			return
		}
	}
	subnet := netip.PrefixFrom(address, bits).Masked().String()
	d.changed(a, "the range "+subnet+" is a guess, of the address "+a.text, "correct it")
	configs.items = append(configs.items, &node{kind: mapping, at: a.at, from: a.name, pairs: []pair{{"subnet", scalarOf(a, subnet)}}})
}

func (s *Set) makesNetwork(name string) bool {
	return slices.ContainsFunc(s.quadlets, func(q *quadlet) bool { return q.kind == "network" && q.networkName() == name })
}

// networkName is what Podman calls it, without the prefix that it puts before names of
// its own.
func (q *quadlet) networkName() string {
	return cmp.Or(q.own().text("NetworkName"), q.stem())
}

// addNetwork also takes the names of files.
func (q *quadlet) addNetwork(d *def, a arg) {
	name, options, more := strings.Cut(a.text, ":")
	if !strings.HasSuffix(name, ".network") && !strings.HasSuffix(name, ".container") {
		d.networks = append(d.networks, a)
		return
	}
	other := q.file(d, a, name)
	if q.set.find(name) == nil {
		d.set.elsewhere[other.networkName()] = true
	}
	if other.kind == "container" {
		d.setText("network_mode", a, "container:"+other.unit())
		return
	}
	text := other.networkName()
	if strings.Contains(text, "%") {
		d.lost(a, "a network whose name has a specifier", "give it a name, and write networks:")
		return
	}
	if more {
		text += ":" + options
	}
	d.networks = append(d.networks, a.with(text))
}

// networkKeys are those of podman-network.unit(5).
var networkKeys = []key{
	gone("ContainersConfModule", noModule, ""),
	{name: "DNS", read: once, do: func(_ *quadlet, d *def, a arg) {
		d.lost(a, "name servers of a network", "write dns: in its containers")
	}, becomes: "lost: name servers of a network; write dns: in its containers"},
	{name: "DisableDNS", read: one, do: func(_ *quadlet, d *def, a arg) {
		if isTrue(a.text) {
			d.changed(a, "containers of a network know each other by name", "")
		}
	}, becomes: "lost: containers of a network know each other by name"},
	{name: "Driver", read: one, do: func(_ *quadlet, d *def, a arg) { d.setText("driver", a, a.text) }, becomes: "`driver`"},
	{name: "Gateway", read: each, do: func(_ *quadlet, d *def, a arg) { d.setRange("gateway", a) }, becomes: "`ipam: config: gateway`"},
	gone("GlobalArgs", noModule, ""),
	{name: "IPAMDriver", read: one, do: func(_ *quadlet, d *def, a arg) {
		if a.text != "host-local" {
			d.lost(a, "addresses by "+a.text, "write ranges under ipam:, or addresses at the containers")
		}
	}, becomes: "nothing: addresses are chosen by unitc; lost if it is dhcp or none"},
	{name: "IPRange", read: each, do: func(_ *quadlet, d *def, a arg) { d.setRange("ip_range", a) }, becomes: "`ipam: config: ip_range`"},
	{name: "IPv6", read: one, do: func(_ *quadlet, d *def, a arg) { d.setTrue("enable_ipv6", a) }, becomes: "`enable_ipv6`"},
	{name: "InterfaceName", read: one, do: func(_ *quadlet, d *def, a arg) {
		d.pair("driver_opts", "bridge", a, scalarOf(a, a.text))
	}, becomes: "`driver_opts: bridge`"},
	{name: "Internal", read: one, do: func(_ *quadlet, d *def, a arg) { d.setTrue("internal", a) }, becomes: "`internal`"},
	{name: "Label", read: split, do: func(_ *quadlet, d *def, a arg) { d.keyValue("labels", a) }, becomes: "`labels`"},
	needless("NetworkDeleteOnStop", "a network goes with its last container"),
	{name: "NetworkName", read: once, do: silent, becomes: "the file's name"},
	{name: "Options", read: split, do: (*quadlet).networkOption, becomes: "`driver_opts`: mtu, parent, mode"},
	gone("PodmanArgs", "options of podman network create", "write what they set in the network's file"),
	needless("ServiceName", "the unit of a network is unitc-network@NAME.service"),
	{name: "Subnet", read: each, do: func(_ *quadlet, d *def, a arg) { d.setRange("subnet", a) }, becomes: "`ipam: config: subnet`"},
}

// setRange sets a part of the first range that has none: Podman has lists of each.
func (d *def) setRange(key string, a arg) {
	configs := d.root.child("ipam", mapping).child("config", list)
	for _, c := range configs.items {
		if c.get(key) == nil {
			c.put(key, scalarOf(a, a.text))
			return
		}
	}
	configs.items = append(configs.items, &node{kind: mapping, at: a.at, from: a.name, pairs: []pair{{key, scalarOf(a, a.text)}}})
}

func (q *quadlet) networkOption(d *def, a arg) {
	for option := range strings.SplitSeq(a.text, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "mtu", "com.docker.network.driver.mtu", "parent", "mode":
			d.pair("driver_opts", strings.TrimPrefix(name, "com.docker.network.driver."), a, scalarOf(a, value))
		case "com.docker.network.bridge.name":
			d.pair("driver_opts", "bridge", a, scalarOf(a, value))
		case "isolate":
			d.same(a, "networks do not see each other")
		default:
			d.lost(a, "the option "+option+" of a network", "")
		}
	}
}

// network makes NAME.network.yaml.
func (q *quadlet) network() {
	name := q.networkName()
	if strings.ContainsAny(name, "%@") {
		q.set.fault(q.own().at, "", "a network that is a template", "write a NAME.network.yaml for each")
		return
	}
	d := q.start(name + ".network")
	q.each(networkKeys)
	if d.root.isEmpty() {
		d.root.put("driver", scalarOf(arg{at: q.at}, "bridge"))
	}
	q.set.add(d)
	q.leftUnit("a network has no unit of its own that must be started: the first container makes it")
}
