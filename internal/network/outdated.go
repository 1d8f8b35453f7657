// SPDX-License-Identifier: Apache-2.0

package network

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
)

// Difference is a field of a network that is there and its definition's.
type Difference struct {
	Field   string `json:"field"`
	Running string `json:"running"`
	File    string `json:"file"`
}

// Outdated compares a network that is there with its definition: what has
// changed in that counts when the last container has left and the next one
// makes the network anew.
func Outdated(n *lease.Network, d *definition.Network) (list []Difference) {
	wanted, err := settle(d)
	if err != nil || n.Driver == lease.Pasta {
		return nil // a start says what is wrong with it
	}
	add := func(field, is, wanted string) {
		if is != wanted {
			list = append(list, Difference{field, is, wanted})
		}
	}
	add("driver", n.Driver, wanted.Driver)
	add("link", n.Link, wanted.Link)
	add("mode", n.Mode, wanted.Mode)
	add("mtu", strconv.Itoa(n.MTU), strconv.Itoa(wanted.MTU))
	add("internal", strconv.FormatBool(n.Internal), strconv.FormatBool(wanted.Internal))
	add("masquerade", strconv.FormatBool(n.Masquerade), strconv.FormatBool(wanted.Masquerade))
	for _, family := range []struct {
		name string
		is   func(netip.Addr) bool
		open bool // a range of it is chosen where none is written
	}{{"ipv4", netip.Addr.Is4, !d.NoIPv4}, {"ipv6", netip.Addr.Is6, d.IPv6}} {
		is, written := rangesText(n.Subnets, family.is), rangesText(wanted.Subnets, family.is)
		if written == "" && family.open && wanted.Driver == lease.Bridge {
			if is != "" {
				continue // any will do
			}
			written = "a range of its own"
		}
		add(family.name, is, written)
	}
	return list
}

// removeOutdated takes a network away that is not as its definition says by now, if
// all that was in it has ended: who starts makes it anew. A sweep may be on its way
// that would do it, too, and may come behind the start.
func removeOutdated(locked *lease.Locked, d *definition.Network, over Over) error {
	n, err := locked.Network(d.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || n.Held || len(Outdated(n, d)) == 0 {
		return err
	}
	if over != nil {
		if _, err := forgetOver(locked, over); err != nil {
			return err
		}
	}
	return removeIdle(locked, func(idle *lease.Network) bool { return idle.Name == n.Name })
}

// staleCure says of a fault that the network's definition has mended it already.
func staleCure(locked *lease.Locked, n *lease.Network, d *definition.Network, err error) error {
	var fault *Fault
	if !errors.As(err, &fault) || len(Outdated(n, d)) == 0 {
		return err
	}
	records, _ := locked.Records(n.Name)
	return &Fault{fault.Key, fault.What + ", as the network was made before its definition changed", "stop all that is in it: systemctl stop " + strings.Join(containers(records), " ")}
}

// Outdated are warnings of networks that are not as their definitions say.
func (c *Claim) Outdated() (list []string) {
	for _, p := range c.places {
		for _, d := range Outdated(p.network, p.asked.Definition) {
			list = append(list, fmt.Sprintf("the network %s has %s %s, and not %s as its definition says by now; it is made anew when all that is in it has stopped: unitc network inspect %[1]s",
				p.network.Name, d.Field, cmp.Or(d.Running, "none"), cmp.Or(d.File, "none")))
		}
	}
	return list
}

func containers(records []lease.Record) (names []string) {
	for _, r := range records {
		names = append(names, r.Container)
	}
	return names
}

// Has tells whether a container of the network may have an address.
func Has(n *lease.Network, address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && slices.ContainsFunc(n.Subnets, func(s lease.Subnet) bool { return s.Claimable(a) })
}

func rangesText(subnets []lease.Subnet, is func(netip.Addr) bool) string {
	var list []string
	for _, s := range subnets {
		if !is(s.Prefix.Addr()) {
			continue
		}
		text := s.Prefix.String()
		if s.Range != s.Prefix {
			text += " ip_range " + s.Range.String()
		}
		if s.Gateway != lease.Nth(s.Prefix, 1) {
			text += " gateway " + s.Gateway.String()
		}
		for _, a := range s.Taken {
			text += " without " + a.String()
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}
