// SPDX-License-Identifier: Apache-2.0

// Package lease is what unitc knows of its networks while they exist: which
// there are, who is in them with which addresses, and who has which of the
// host's ports. It is files below /run alone, so that a start killed at any
// point leaves what the next one, or the clean-up, can read; it makes no
// network. The order of writing is the argument: a container's record is there
// before anything is made in the kernel, and goes after it.
//
//	.networks/blog_default/.network.json     the network
//	.networks/blog_default/blog-web.json     a container in it
//	.networks/blog_default/.taken/10.208.0.2 -> blog-web
//	.networks/.ports/tcp:8080@0.0.0.0        -> blog-web
package lease

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/quickjson"
	"github.com/unitc/unitc/internal/realm"
)

// Root is where networks are kept.
func Root() string { return realm.Run + "/.networks" }

const (
	networkFile = ".network.json"
	takenDir    = ".taken"
	portsDir    = ".ports"
	recordEnd   = ".json"

	// unfinishedStart begins the name of a file that is being written.
	unfinishedStart = ".new"
)

// SysctlsFile has the sysctls of the host that networks have changed, by their
// paths, and what they were.
const SysctlsFile = ".sysctls"

// VirtualLinks stands in that file for the virtual links of others that were
// there at that time.
const VirtualLinks = "links"

// Sysctls reads it.
func (s Store) Sysctls() map[string]string {
	var changed map[string]string
	_ = readJSON(s.dir(SysctlsFile), &changed) // mostly it is not there
	delete(changed, VirtualLinks)
	return changed
}

// Drivers of networks.
const (
	Bridge  = "bridge"
	Macvlan = "macvlan"
	Ipvlan  = "ipvlan"
	// Pasta is no network: containers with it are listed to have their ports
	// known. No definition can make one of its name.
	Pasta     = "pasta"
	PastaName = "(pasta)"
)

// Network is a network that exists.
type Network struct {
	Name   string `json:"name"`
	Driver string `json:"driver"`
	// Link is the bridge, or the parent of macvlan and ipvlan.
	Link       string   `json:"link"`
	Mode       string   `json:"mode,omitempty"` // of macvlan and ipvlan
	Subnets    []Subnet `json:"subnets"`
	Internal   bool     `json:"internal,omitempty"`
	Masquerade bool     `json:"masquerade,omitempty"` // what leaves has an address of the host's
	MTU        int      `json:"mtu,omitempty"`
	// Ready: all of it has been made.
	Ready bool `json:"ready,omitempty"`
	// Foreign: the bridge was there before, and stays.
	Foreign bool `json:"foreign,omitempty"`
	// Held: its unit is active, so that it stays without a container.
	Held bool `json:"held,omitempty"`
}

// Subnet is one of a network's address ranges.
type Subnet struct {
	Prefix  netip.Prefix `json:"subnet"`
	Range   netip.Prefix `json:"range"` // the part that is given out
	Gateway netip.Addr   `json:"gateway"`
	Taken   []netip.Addr `json:"taken,omitempty"` // that are never given out
}

// Record is a container's place in a network.
type Record struct {
	Container string `json:"name"` // the unit's name without ".service"
	// Invocation is the container's by which it was written, "" = unknown.
	Invocation string     `json:"invocation,omitempty"`
	Network    string     `json:"network"`
	Aliases    []string   `json:"aliases,omitempty"` // further names by which it is found
	IPv4       netip.Addr `json:"ipv4,omitzero"`
	IPv6       netip.Addr `json:"ipv6,omitzero"`
	MAC        string     `json:"mac,omitempty"`
	Interface  string     `json:"interface"`      // inside
	Link       string     `json:"link,omitempty"` // the other end, on the host
	Ports      []Port     `json:"ports,omitempty"`
	// Links are other containers by names that only this one uses.
	Links map[string]string `json:"links,omitempty"`
	DNS   []string          `json:"dns,omitempty"` // asked in place of the host's servers
}

// Addresses are those that the record has.
func (r *Record) Addresses() []netip.Addr {
	var list []netip.Addr
	for _, a := range []netip.Addr{r.IPv4, r.IPv6} {
		if a.IsValid() {
			list = append(list, a)
		}
	}
	return list
}

// Port is a port of the host that leads to a container.
type Port struct {
	Protocol string     `json:"protocol"`
	Host     netip.Addr `json:"host"` // unspecified = all of its family
	Port     uint16     `json:"port"`
	Target   uint16     `json:"target"`
	// Activated: systemd listens there. It leads to the container by a rule only
	// while that one answers.
	Activated bool `json:"activated,omitempty"`
}

func (p Port) String() string {
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(p.Host, p.Port), p.Protocol)
}

// To is where the port leads: a container that has no address of the port's
// family has a socket before it all the same, and nothing leads from ::1.
func (r *Record) To(p Port) (to netip.Addr, ok bool) {
	if to = r.IPv4; p.Host.Is6() {
		to = r.IPv6
	}
	return to, to.IsValid() && p.Host != netip.IPv6Loopback()
}

// Store is the files below a directory; the zero value is Root's.
type Store struct{ Root string }

func (s Store) dir(parts ...string) string {
	root := s.Root
	if root == "" {
		root = Root()
	}
	return filepath.Join(append([]string{root}, parts...)...)
}

// Networks reads all networks, by name.
func (s Store) Networks() ([]Network, error) {
	var list []Network
	entries, err := os.ReadDir(s.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		n, err := s.Network(e.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist): // it is being made, or taken away
		case err != nil:
			return nil, err
		default:
			list = append(list, *n)
		}
	}
	return list, nil
}

// Network reads one.
func (s Store) Network(name string) (*Network, error) {
	n := &Network{}
	return n, readJSON(s.dir(name, networkFile), n)
}

// Records reads who is in a network, by name.
func (s Store) Records(network string) ([]Record, error) {
	entries, err := os.ReadDir(s.dir(network))
	if err != nil {
		return nil, err
	}
	var list []Record
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), recordEnd) {
			continue
		}
		var r Record
		switch err := readJSON(s.dir(network, e.Name()), &r); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		default:
			list = append(list, r)
		}
	}
	return list, nil
}

// Containers are all of whom there is a record, whole or not.
func (s Store) Containers() ([]string, error) {
	networks, err := os.ReadDir(s.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, n := range networks {
		if strings.HasPrefix(n.Name(), ".") {
			continue
		}
		entries, err := os.ReadDir(s.dir(n.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if e.Name() == networkFile {
				continue
			}
			name, isRecord := strings.CutSuffix(strings.TrimPrefix(e.Name(), unfinishedStart), recordEnd)
			if isRecord && name != "" && name[0] != '.' {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// RecordsOf reads a container's places in all networks.
func (s Store) RecordsOf(container string) ([]Record, error) {
	entries, err := os.ReadDir(s.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []Record
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		var r Record
		switch err := readJSON(s.dir(e.Name(), container+recordEnd), &r); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		default:
			list = append(list, r)
		}
	}
	return list, nil
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := quickjson.Parse(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, value any) error {
	tmp := unfinished(path)
	if err := os.WriteFile(tmp, append(quickjson.Append(nil, value), '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// unfinished is the name of a file that is being written.
func unfinished(path string) string {
	return filepath.Join(filepath.Dir(path), unfinishedStart+filepath.Base(path))
}

// PortHolders are who has which ports of the host.
func (s Store) PortHolders() (map[Port]string, error) {
	entries, err := os.ReadDir(s.dir(portsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	holders := map[Port]string{}
	for _, e := range entries {
		holder, err := os.Readlink(s.dir(portsDir, e.Name()))
		if p, ok := parsePortName(e.Name()); ok && err == nil {
			holders[p] = holder
		}
	}
	return holders, nil
}

func portName(p Port) string { return fmt.Sprintf("%s:%d@%s", p.Protocol, p.Port, p.Host) }

func parsePortName(name string) (Port, bool) {
	var p Port
	protocol, rest, ok1 := strings.Cut(name, ":")
	number, host, ok2 := strings.Cut(rest, "@")
	address, err := netip.ParseAddr(host)
	if _, scan := fmt.Sscanf(number, "%d", &p.Port); !ok1 || !ok2 || err != nil || scan != nil {
		return p, false
	}
	p.Protocol, p.Host = protocol, address
	return p, true
}

// Overlaps tells whether two of the host's ports are one: the unspecified
// address stands for all of its family.
func (p Port) Overlaps(q Port) bool {
	return p.Protocol == q.Protocol && p.Port == q.Port && p.Host.Is4() == q.Host.Is4() &&
		(p.Host == q.Host || p.Host.IsUnspecified() || q.Host.IsUnspecified())
}

// Taken are a network's addresses that are given out, with their holders.
func (s Store) Taken(network string) (map[netip.Addr]string, error) {
	entries, err := os.ReadDir(s.dir(network, takenDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	taken := make(map[netip.Addr]string, len(entries))
	for _, e := range entries {
		address, err := netip.ParseAddr(e.Name())
		if err != nil {
			continue
		}
		taken[address], _ = os.Readlink(s.dir(network, takenDir, e.Name()))
	}
	return taken, nil
}

// Names of all that a query may ask for, without duplicates.
func (r *Record) Names() []string {
	names := append([]string{r.Container}, r.Aliases...)
	slices.Sort(names)
	return slices.Compact(names)
}
