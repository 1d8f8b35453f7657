// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/unitc/unitc/internal/network/lease"
)

// Reload puts back what somebody has taken away of networks while containers
// ran: rules that were flushed, forwarding, a bridge. It gives the networks'
// names. Connections that are open stay: the kernel knows them.
func Reload() ([]string, error) {
	locked, err := lockIfAny()
	if locked == nil || err != nil {
		return nil, err
	}
	defer locked.Unlock()
	networks, records, err := madeBridges(locked.Store)
	if err != nil || len(networks) == 0 {
		return nil, err
	}
	var names []string
	for i := range networks {
		n := &networks[i]
		if err := makeBridge(n); err != nil {
			return nil, fmt.Errorf("network %s: %w", n.Name, err)
		}
		names = append(names, n.Name)
	}
	for i := range records {
		if err := attach(&records[i], networks); err != nil {
			return nil, fmt.Errorf("network %s: %w", records[i].Network, err)
		}
	}
	return names, rebuild(networks, records)
}

// madeBridges are the networks that have been made, and who is in them.
func madeBridges(s lease.Store) (networks []lease.Network, records []lease.Record, err error) {
	all, err := s.Networks()
	if err != nil {
		return nil, nil, err
	}
	for _, n := range all {
		if n.Driver != lease.Bridge || !n.Ready {
			continue
		}
		list, err := s.Records(n.Name)
		if err != nil {
			return nil, nil, err
		}
		networks, records = append(networks, n), append(records, list...)
	}
	return networks, records, nil
}

// attach makes a container's link a port of its bridge again.
func attach(r *lease.Record, networks []lease.Network) error {
	link, err := netlink.LinkByName(r.Link)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil // its container is about to end, or is not connected yet
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.Link, err)
	}
	for _, n := range networks {
		if n.Name != r.Network {
			continue
		}
		bridge, err := netlink.LinkByName(n.Link)
		if err != nil {
			return fmt.Errorf("%s: %w", n.Link, err)
		}
		if link.Attrs().MasterIndex == bridge.Attrs().Index {
			return nil
		}
		if err := netlink.LinkSetMaster(link, bridge); err != nil {
			return fmt.Errorf("making %s a port of %s: %w", r.Link, n.Link, err)
		}
	}
	return nil
}

// Missing tells in words what somebody has taken away of networks; "" = nothing.
func Missing() (string, error) {
	networks, records, err := madeBridges(lease.Store{})
	if err != nil || len(networks) == 0 {
		return "", err
	}
	for _, n := range networks {
		bridge, err := netlink.LinkByName(n.Link)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return fmt.Sprintf("the bridge %s of the network %s has gone", n.Link, n.Name), nil
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", n.Link, err)
		}
		for _, r := range records {
			if r.Network != n.Name {
				continue
			}
			if link, err := netlink.LinkByName(r.Link); err == nil && link.Attrs().MasterIndex != bridge.Attrs().Index {
				return fmt.Sprintf("%s is not on the bridge %s of the network %s", r.Container, n.Link, n.Name), nil
			}
		}
	}
	whole, err := hasAllRules()
	if err != nil {
		return "", err
	}
	if !whole {
		return "somebody has flushed the rules of networks: published ports and the way out do not work", nil
	}
	return "", nil
}

// Cut tells in words of a network whose interface of the host has gone, and with it
// those that containers had of it; "" = none.
func Cut() (string, error) {
	store := lease.Store{}
	networks, err := store.Networks()
	if err != nil {
		return "", err
	}
	for _, n := range networks {
		if n.Driver != lease.Macvlan && n.Driver != lease.Ipvlan {
			continue
		}
		records, err := store.Records(n.Name)
		if err != nil || len(records) == 0 {
			continue
		}
		if _, err := netlink.LinkByName(n.Link); errors.As(err, new(netlink.LinkNotFoundError)) {
			return fmt.Sprintf("the interface %s of the network %s has gone, or has another name: a restart of %s would fail, and they may have no network now", n.Link, n.Name, strings.Join(containers(records), " ")), nil
		}
	}
	return "", nil
}

// hasAllRules counts: whoever flushes rules takes those of whole chains.
func hasAllRules() (bool, error) {
	if !hasRules() {
		return false, nil
	}
	c := &nftables.Conn{}
	for _, ch := range chains() {
		rules, err := c.GetRules(table, &nftables.Chain{Name: ch.name, Table: table})
		if err != nil {
			return false, ignoreMissing(fmt.Errorf("listing the rules of %s: %w", ch.name, err))
		}
		if len(rules) != len(ch.rules) {
			return false, nil
		}
	}
	return true, nil
}
