// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"net/netip"
	"strconv"
)

// NetworkUnit begins the name of a network's unit; the network's name follows.
const NetworkUnit = "unitc-network@"

// NetworkFile ends the name of a file that defines one network, before its
// extension.
const NetworkFile = ".network"

// LoneNetwork is the network of containers that belong to no project and name
// none.
const LoneNetwork = "unitc0"

// Network is one entry of a project's `networks:`, or the project's default.
type Network struct {
	// Key is the name in the file; Name is the network's own, PROJECT_KEY
	// unless the file says else.
	Key      string     `json:"key"`
	Name     string     `json:"name"`
	Source   Position   `json:"source"`
	External bool       `json:"external,omitempty"` // made by somebody else
	Driver   string     `json:"driver,omitempty"`   // "" = bridge
	Options  []KeyValue `json:"driver_opts,omitempty"`
	Subnets  []Subnet   `json:"subnets,omitempty"`
	Internal bool       `json:"internal,omitempty"` // no way out
	NoIPv4   bool       `json:"no_ipv4,omitempty"`
	IPv6     bool       `json:"ipv6,omitempty"`
	Labels   []KeyValue `json:"labels,omitempty"`
	// Reserved are the addresses that services of the file have for themselves, so that
	// nobody is given one of them who starts before.
	Reserved []string `json:"reserved,omitempty"`
}

// Forwards tells for which families the host has to forward packets while the
// network is there.
func (n *Network) Forwards() (v4, v6 bool) {
	if n.External || n.Internal || n.Driver != "" && n.Driver != "bridge" {
		return false, false
	}
	v4, v6 = !n.NoIPv4, n.IPv6
	for _, s := range n.Subnets {
		if p, err := netip.ParsePrefix(s.Subnet); err == nil {
			v4, v6 = v4 || p.Addr().Is4(), v6 || p.Addr().Is6()
		}
	}
	return v4, v6
}

// Subnet is one address range of a network.
type Subnet struct {
	Subnet       string     `json:"subnet,omitempty"` // CIDR
	Range        string     `json:"ip_range,omitempty"`
	Gateway      string     `json:"gateway,omitempty"`
	AuxAddresses []KeyValue `json:"aux_addresses,omitempty"`
}

// Attachment is a service's place on a network.
type Attachment struct {
	Network    string     `json:"network"` // Network.Name
	Aliases    []string   `json:"aliases,omitempty"`
	IPv4       string     `json:"ipv4_address,omitempty"`
	IPv6       string     `json:"ipv6_address,omitempty"`
	LinkLocal  []string   `json:"link_local_ips,omitempty"`
	MAC        string     `json:"mac_address,omitempty"`
	Interface  string     `json:"interface_name,omitempty"`
	Priority   int        `json:"priority,omitempty"`    // the order of attaching
	GWPriority int        `json:"gw_priority,omitempty"` // who gives the default route
	DriverOpts []KeyValue `json:"driver_opts,omitempty"`
}

// Port is one published port; ranges are expanded.
type Port struct {
	HostIP    string `json:"host_ip,omitempty"` // "" = all addresses
	Published int    `json:"published,omitempty"`
	// PublishedEnd, if not 0, ends the range from which one free port is taken.
	PublishedEnd int    `json:"published_end,omitempty"`
	Target       int    `json:"target"`
	Protocol     string `json:"protocol"` // "tcp", "udp", "sctp"
	Name         string `json:"name,omitempty"`
	AppProtocol  string `json:"app_protocol,omitempty"`
	// Activation has systemd keep the listening socket.
	Activation bool `json:"activation,omitempty"`
	// Item is the place in the list as it is written: a range is one item.
	Item int `json:"item,omitempty"`
}

// PortUnit is the name, without ".socket" or ".service", of the units that keep
// the sockets of a container's port. A port's number ends it.
func PortUnit(container string, target int) string {
	return "unitc-port@" + container + ":" + strconv.Itoa(target)
}

// Link gives another service of the project a further name.
type Link struct {
	Service string `json:"service"` // the unit's name without ".service"
	Alias   string `json:"alias"`
}

// Host is a line of /etc/hosts. Address is an IP address or "host-gateway".
type Host struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}
