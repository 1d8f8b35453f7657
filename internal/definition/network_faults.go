// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// NetworkFault is something in a network's definition that no network can be made of.
type NetworkFault struct {
	Key        string // below the network, as ipam.config[0].gateway; "" = the network itself
	What, Cure string
	Unknown    bool // other engines may have it
}

const (
	bridge  = "bridge"
	macvlan = "macvlan"
	ipvlan  = "ipvlan"
)

// option is one of a network's driver_opts.
type option struct {
	drivers []string // nil = all
	check   func(value string) bool
	wanted  string // what check wants
	// cure is for values that other engines have, "" = none.
	cure string
}

// options are unitc's, under their own names and those of Docker.
var options = map[string]option{
	"mtu":        {check: isMTU, wanted: "a number from 68 to 65535"},
	"bridge":     {drivers: []string{bridge}, check: isLink, wanted: "a name of an interface"},
	"masquerade": {drivers: []string{bridge}, check: isBool, wanted: "true or false"},
	"parent":     {drivers: []string{macvlan, ipvlan}, check: isLink, wanted: "a name of an interface"},
	"mode":       {drivers: []string{macvlan, ipvlan}, check: func(string) bool { return true }},
	// What others have and is so here without a word.
	"com.docker.network.bridge.enable_icc": {drivers: []string{bridge}, check: func(v string) bool { on, err := strconv.ParseBool(v); return on && err == nil },
		wanted: "true: containers of one network reach each other", cure: "give each of them a network of its own"},
	"com.docker.network.bridge.gateway_mode_ipv4": {drivers: []string{bridge}, check: isNAT, wanted: "nat", cure: "write masquerade: false for routed"},
	"com.docker.network.bridge.gateway_mode_ipv6": {drivers: []string{bridge}, check: isNAT, wanted: "nat", cure: "write masquerade: false for routed"},
	"isolate": {drivers: []string{bridge}, check: func(v string) bool { return v == "true" || v == "strict" }, wanted: "true: networks do not see each other",
		cure: "put the containers that are to see each other on one more network"},
}

// dockers are Docker's names of options that unitc has.
var dockers = map[string]string{
	"com.docker.network.driver.mtu":                  "mtu",
	"com.docker.network.bridge.name":                 "bridge",
	"com.docker.network.bridge.enable_ip_masquerade": "masquerade",
	"macvlan_mode": "mode",
	"ipvlan_mode":  "mode",
}

// instead is what to write in the place of options of others.
var instead = map[string]string{
	"com.docker.network.bridge.host_binding_ipv4": "write the address at each port, as in 127.0.0.1:8080:80",
	"com.docker.network.container_iface_prefix":   "write interface_name: where services join the network",
	"com.docker.network.endpoint.ifname":          "write interface_name: where services join the network",
	"com.docker.network.enable_ipv4":              "write enable_ipv4:",
	"com.docker.network.enable_ipv6":              "write enable_ipv6:",
	"com.docker.network.bridge.inhibit_ipv4":      "remove it: the bridge has the gateway's address",
}

// modes are those of drivers that have some, the first being the default.
var modes = map[string][]string{macvlan: {"bridge", "private", "vepa", "passthru"}, ipvlan: {"l2", "l3", "l3s"}}

func isMTU(v string) bool {
	n, err := strconv.Atoi(v)
	return err == nil && n >= 68 && n <= 65535
}

// maxLink is IFNAMSIZ without the NUL, in bytes.
const maxLink = 15

func isLink(v string) bool { return v != "" && len(v) <= maxLink }

func isBool(v string) bool {
	_, err := strconv.ParseBool(v)
	return err == nil
}

func isNAT(v string) bool { return v == "nat" }

// OptionName is unitc's name of an option that may have Docker's.
func OptionName(key string) string {
	if own := dockers[key]; own != "" {
		return own
	}
	return key
}

// EndpointSysctls is Docker's option of sysctls of a container's interface.
const EndpointSysctls = "com.docker.network.endpoint.sysctls"

// PlaceOptionFault tells what is wrong with a name of driver_opts of a container's place
// on a network; "" = nothing.
func PlaceOptionFault(name string) (what, cure string) {
	if name == "mtu" || name == EndpointSysctls {
		return "", ""
	}
	if cure = instead[name]; cure == "" {
		cure = "remove it; there are mtu and " + EndpointSysctls
	}
	return "unitc has no option " + name + " for a container's place on a network", cure
}

// Faults finds what no start could make a network of, whatever the host is like.
func (n *Network) Faults() (list []NetworkFault) {
	add := func(key, what, cure string) { list = append(list, NetworkFault{Key: key, What: what, Cure: cure}) }
	unknown := func(key, what, cure string) {
		list = append(list, NetworkFault{Key: key, What: "unitc has no " + what, Cure: cure, Unknown: true})
	}
	driver := n.Driver
	switch driver {
	case "":
		driver = bridge
	case bridge, macvlan, ipvlan:
	case "host", "none":
		unknown("driver", "driver "+driver, "write network_mode: "+driver+" at the services")
		return list
	default:
		unknown("driver", "driver "+driver, "write bridge, macvlan or ipvlan")
		return list
	}
	parent := false
	for _, o := range n.Options {
		key, name := "driver_opts."+o.Key, OptionName(o.Key)
		known, ok := options[name]
		parent = parent || name == "parent"
		switch mode := modes[driver]; {
		case !ok && instead[name] != "":
			unknown(key, "option "+name, instead[name])
		case !ok:
			unknown(key, "option "+name, "remove it; there are mtu, bridge, masquerade, parent and mode")
		case known.drivers != nil && !slices.Contains(known.drivers, driver):
			add(key, "the driver "+driver+" has no option "+name, "remove it, or write driver: "+known.drivers[0])
		case !known.check(o.Value):
			cure := known.cure
			if cure == "" {
				cure = "correct it, or remove it"
			}
			add(key, fmt.Sprintf("%q is not %s", o.Value, known.wanted), cure)
		case name == "mode" && o.Value != "" && !slices.Contains(mode, o.Value):
			add(key, driver+" has no mode "+o.Value, "write "+strings.Join(mode[:len(mode)-1], ", ")+" or "+mode[len(mode)-1])
		}
	}
	if driver != bridge {
		if !parent {
			add("", "the driver "+driver+" needs an interface of the host", "write driver_opts: {parent: eth0}")
		}
		if n.Internal {
			add("internal", "the way out of a "+driver+" is the wire of its parent", "remove internal:, or write driver: bridge")
		}
		if len(n.Subnets) == 0 {
			add("", "the driver "+driver+" gives out addresses of a network that is there", "write ipam: {config: [{subnet: 192.0.2.0/24}]}")
		}
	}
	return append(list, n.rangeFaults(driver)...)
}

func (n *Network) rangeFaults(driver string) (list []NetworkFault) {
	var all []netip.Prefix
	v6 := n.IPv6
	for i, s := range n.Subnets {
		at := fmt.Sprintf("ipam.config[%d]", i)
		r, key, err := s.Parse()
		if err != nil {
			list = append(list, NetworkFault{Key: at + key, What: err.Error(), Cure: "correct the address range"})
			continue
		}
		if !r.Prefix.IsValid() {
			continue
		}
		for _, other := range all {
			if other.Overlaps(r.Prefix) {
				list = append(list, NetworkFault{Key: at + ".subnet", What: fmt.Sprintf("%s overlaps %s", r.Prefix, other), Cure: "keep one of the two"})
			}
		}
		if r.Prefix.Addr().Is4() && n.NoIPv4 {
			list = append(list, NetworkFault{Key: at + ".subnet", What: fmt.Sprintf("%s is a range of IPv4, and enable_ipv4: is false", r.Prefix), Cure: "remove one of the two"})
		}
		all, v6 = append(all, r.Prefix), v6 || r.Prefix.Addr().Is6()
	}
	if n.NoIPv4 && !v6 && driver == bridge && len(list) == 0 {
		list = append(list, NetworkFault{Key: "enable_ipv4", What: "a network without IPv4 and IPv6", Cure: "write enable_ipv6: true"})
	}
	return list
}

// Range is a Subnet in numbers.
type Range struct {
	Prefix  netip.Prefix // the zero value: none is written
	Part    netip.Prefix // what is given out of it
	Gateway netip.Addr
	Taken   []netip.Addr
}

// Parse reads a range; of what is wrong key is the key, with a dot in front.
func (s *Subnet) Parse() (r Range, key string, err error) {
	if s.Subnet == "" {
		return r, "", nil
	}
	prefix, err := netip.ParsePrefix(s.Subnet)
	if err != nil {
		return r, ".subnet", err
	}
	r.Prefix = prefix.Masked()
	r.Part, r.Gateway = r.Prefix, r.Prefix.Addr().Next()
	first := r.Prefix.Addr()
	switch {
	case r.Prefix.Bits() > first.BitLen()-2:
		return r, ".subnet", fmt.Errorf("%s has no room for a gateway and a container", r.Prefix)
	case first.IsLoopback() || first.IsMulticast() || first.IsUnspecified():
		return r, ".subnet", fmt.Errorf("%s are no addresses of machines", r.Prefix)
	}
	if s.Range != "" {
		if r.Part, err = netip.ParsePrefix(s.Range); err != nil {
			return r, ".ip_range", err
		}
		if r.Part = r.Part.Masked(); r.Part.Bits() < r.Prefix.Bits() || !r.Prefix.Overlaps(r.Part) {
			return r, ".ip_range", fmt.Errorf("the range %s is not in %s", r.Part, r.Prefix)
		}
	}
	if s.Gateway != "" {
		if r.Gateway, err = netip.ParseAddr(s.Gateway); err != nil {
			return r, ".gateway", err
		}
		switch {
		case !r.Prefix.Contains(r.Gateway):
			return r, ".gateway", fmt.Errorf("the gateway %s is not in %s", r.Gateway, r.Prefix)
		case r.Gateway.Is4() && (r.Gateway == first || !r.Prefix.Contains(r.Gateway.Next())):
			return r, ".gateway", fmt.Errorf("the gateway %s is the first or the last address of %s", r.Gateway, r.Prefix)
		}
	}
	for _, aux := range s.AuxAddresses {
		a, err := netip.ParseAddr(aux.Value)
		if err != nil {
			return r, ".aux_addresses", err
		}
		r.Taken = append(r.Taken, a)
	}
	return r, "", nil
}
