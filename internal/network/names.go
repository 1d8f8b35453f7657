// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/plan"
)

// Hosts is a container's /etc/hosts: itself and what the definition adds. Its
// neighbours come and go, so that their names are asked for. With the host's
// network it begins as the host's own file does.
func Hosts(names *plan.Names, hostname string, c *Claim, hostsNetwork bool) []byte {
	var b bytes.Buffer
	if hostsNetwork {
		data, _ := os.ReadFile("/etc/hosts")
		b.Write(append(bytes.TrimRight(data, "\n"), '\n'))
	} else {
		b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	}
	gateway := netip.MustParseAddr("127.0.0.1")
	if c != nil && !c.IsPasta() {
		for _, p := range c.places {
			for _, a := range p.record.Addresses() {
				fmt.Fprintf(&b, "%s\t%s\n", a, hostname)
			}
		}
		if !c.usersBridges() { // whose gateway is nobody
			gateway = c.hostAddress()
		}
	} else if hostname != "" && !hostsNetwork { // pasta's addresses are the host's, whatever they are
		fmt.Fprintf(&b, "127.0.1.1\t%s\n", hostname)
	}
	for _, h := range names.Hosts {
		address := h.Address
		if address == hostGateway {
			if !gateway.IsValid() {
				continue // WithoutHost tells of it
			}
			address = gateway.String()
		}
		fmt.Fprintf(&b, "%s\t%s\n", address, h.Name)
	}
	return b.Bytes()
}

// hostGateway stands for the host's own address in extra_hosts.
const hostGateway = "host-gateway"

// hostAddress is the host's on a bridge that leads out: on an internal one the host does
// not answer, and behind macvlan and ipvlan the gateway is another machine.
func (c *Claim) hostAddress() (at netip.Addr) {
	for _, p := range c.places {
		if p.network.Driver == lease.Bridge && !p.network.Internal && len(p.network.Subnets) > 0 {
			return p.network.Subnets[0].Gateway
		}
	}
	return at
}

// WithoutHost gives the names of extra_hosts that stand for the host, where none of the
// networks leads to it.
func (c *Claim) WithoutHost(hosts []definition.Host) (names []string) {
	if c == nil || c.IsPasta() || c.usersBridges() || c.hostAddress().IsValid() {
		return nil
	}
	for _, h := range hosts {
		if h.Address == hostGateway {
			names = append(names, h.Name)
		}
	}
	return names
}

// Resolv is a container's /etc/resolv.conf. On a bridge unitc's resolver
// answers, that forwards to the servers of the definition or of the host.
func Resolv(names *plan.Names, c *Claim, ownNetwork bool) []byte {
	servers, search, options := hostResolver(ownNetwork)
	if c.IsPasta() {
		servers = []string{lease.Resolver.String()} // pasta passes them to the host's
	}
	if len(names.DNS) > 0 {
		servers = names.DNS
	}
	if len(names.Search) > 0 {
		search = names.Search
	}
	if resolver := c.resolver(); resolver.IsValid() {
		servers = []string{resolver.String()}
		// The name of a neighbour has no dot, and is to be asked for as it is first,
		// whatever the host does; what the definition says comes later and counts.
		isNdots := func(o string) bool { return strings.HasPrefix(o, "ndots:") }
		options = slices.DeleteFunc(options, isNdots)
		if !slices.ContainsFunc(names.Options, isNdots) {
			options = append(options, "ndots:0")
		}
	}
	options = append(options, names.Options...)
	var b bytes.Buffer
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if search = slices.DeleteFunc(search, func(s string) bool { return s == "." }); len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	if len(options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(options, " "))
	}
	return b.Bytes()
}

// resolver is where the container asks for names; the zero address where it is
// on no bridge.
func (c *Claim) resolver() (at netip.Addr) {
	if c == nil {
		return at
	}
	for _, p := range c.places {
		switch {
		case p.network.Driver != lease.Bridge:
		case p.record.IPv4.IsValid():
			return lease.Resolver
		case p.record.IPv6.IsValid():
			at = lease.Resolver6
		}
	}
	return at
}

// resolvFiles are the host's, and systemd-resolved's list of the servers that
// it asks itself.
var resolvFiles = struct{ host, resolved string }{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}

// hostResolver reads the host's name servers. systemd-resolved's stub on
// 127.0.0.53 cannot be reached from another network: those that it asks can.
// Where the administrator has written other servers, resolved's do not count.
func hostResolver(ownNetwork bool) (servers, search, options []string) {
	data, _ := os.ReadFile(resolvFiles.host) // without a file nothing is said
	servers, search, options = lease.ParseResolv(string(data))
	if !ownNetwork || !slices.ContainsFunc(servers, isLoopback) {
		return servers, search, options
	}
	if data, err := os.ReadFile(resolvFiles.resolved); err == nil {
		servers, search, options = lease.ParseResolv(string(data))
	}
	return slices.DeleteFunc(servers, isLoopback), search, options
}

func isLoopback(server string) bool {
	a, err := netip.ParseAddr(server)
	return err == nil && a.IsLoopback()
}
