// SPDX-License-Identifier: Apache-2.0

// Package network connects containers: bridges and their rules on the host, an
// interface in the container's namespace, addresses, published ports. The
// helper calls it at start and at clean-up; there is no other process. All it
// does goes through netlink; nothing is started on the way.
//
// What exists is written down first (package lease) and made then, and goes in
// the other order, so that a helper that is killed anywhere leaves nothing
// that the next clean-up does not find.
package network

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
)

// Request is what a container asks for.
type Request struct {
	Container   string   // the unit's name without ".service"
	Aliases     []string // further names in all its networks
	Attachments []Attachment
	Links       []definition.Link // other containers by names that only this one uses
	Ports       []definition.Port
	DNS         []string
	// SocketUnit names the socket unit that listens on a port; nil, or "" = none.
	SocketUnit func(lease.Port) string
	// Before is called with each step's name.
	Before func(step string)
}

// Attachment is a place on a network, with the network's definition.
type Attachment struct {
	definition.Attachment
	Definition *definition.Network
}

// Fault is what cannot be had as the definition asks for it.
type Fault struct{ Key, What, Cure string }

func (f *Fault) Error() string { return f.Key + ": " + f.What + "; " + f.Cure }

// Claim is a container's place in its networks: written down, and with the
// networks there, but not yet connected.
type Claim struct {
	request Request
	places  []place
}

// place is one network with the container's record in it.
type place struct {
	network *lease.Network
	record  *lease.Record
	asked   Attachment
}

// Addresses are all that the container has, the first network's first.
func (c *Claim) Records() []*lease.Record {
	var list []*lease.Record
	for _, p := range c.places {
		list = append(list, p.record)
	}
	return list
}

// Take makes the networks that are missing, gives the container its addresses
// and reserves its ports.
func Take(r Request) (*Claim, error) {
	if r.Before == nil {
		r.Before = func(string) {}
	}
	locked, err := lease.Store{}.Lock()
	if err != nil {
		return nil, err
	}
	defer locked.Unlock()
	// What a start left that was killed, and whose clean-up was killed too.
	if _, err := forget(locked, r.Container, true); err != nil {
		return nil, err
	}
	c := &Claim{request: r}
	asked := slices.Clone(r.Attachments)
	slices.SortStableFunc(asked, func(a, b Attachment) int { return cmp.Compare(b.Priority, a.Priority) })
	for i, a := range asked {
		n, err := ensure(locked, a.Definition, r.Before)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", a.Definition.Name, err)
		}
		record, err := newRecord(locked, n, &r, a, i)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", n.Name, err)
		}
		c.places = append(c.places, place{n, record, a})
	}
	if len(r.Ports) > 0 {
		if err := c.reservePorts(locked); err != nil {
			return nil, err
		}
	}
	r.Before("write-lease")
	for _, p := range c.places {
		if err := locked.Put(p.record); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Release takes a container off its networks, and takes away the networks
// that nobody is in any more. It may run at any time and twice.
func Release(container string) error {
	store := lease.Store{}
	if _, err := os.Stat(lease.Root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	locked, err := store.Lock()
	if err != nil {
		return err
	}
	defer locked.Unlock()
	// Each change of the rules, and a bridge's end, waits for the kernel's RCU:
	// with the last container all rules go in one, while its bridge does.
	if isLast(locked, container) {
		rules := make(chan error, 1)
		go func() { rules <- removeRules() }()
		records, err := forget(locked, container, false)
		if err == nil {
			err = removeAll(locked)
		}
		err = errors.Join(err, <-rules)
		forgetFlows(records...)
		return errors.Join(err, restoreSysctls())
	}
	records, err := forget(locked, container, true)
	forgetFlows(records...)
	return errors.Join(err, sweep(locked))
}

// isLast tells whether nobody but the container is in any network, and no unit
// holds one.
func isLast(locked *lease.Locked, container string) bool {
	networks, err := locked.Networks()
	if err != nil {
		return false
	}
	for _, n := range networks {
		if n.Held || !locked.IsEmpty(n.Name, container) {
			return false
		}
	}
	return true
}

// removeAll takes away all networks, whose rules are going already.
func removeAll(locked *lease.Locked) error {
	networks, err := locked.Networks()
	if err != nil {
		return err
	}
	for i := range networks {
		if err := remove(locked, &networks[i], false); err != nil {
			return fmt.Errorf("network %s: %w", networks[i].Name, err)
		}
	}
	return nil
}

// forget takes one container off its networks, with its rules or without, and
// gives what it had there.
func forget(locked *lease.Locked, container string, rules bool) ([]lease.Record, error) {
	records, err := locked.RecordsOf(container)
	if err != nil {
		return nil, err
	}
	for i := range records {
		r := &records[i]
		if rules {
			if err := withdrawPorts(r); err != nil {
				return records, err
			}
		}
		if r.Link != "" {
			if err := deleteLink(r.Link); err != nil {
				return records, err
			}
		}
		if err := locked.Drop(r); err != nil {
			return records, err
		}
	}
	return records, nil
}

// sweep takes away networks without containers, and with the last one all that
// is unitc's.
func sweep(locked *lease.Locked) error {
	networks, err := locked.Networks()
	if err != nil {
		return err
	}
	left := 0
	for i := range networks {
		n := &networks[i]
		if n.Held || !locked.IsEmpty(n.Name) {
			left++
			continue
		}
		if err := remove(locked, n, true); err != nil {
			return fmt.Errorf("network %s: %w", n.Name, err)
		}
	}
	if left > 0 {
		return nil
	}
	return errors.Join(removeRules(), restoreSysctls())
}

// Sweep takes away networks that nobody is in and whose units are not active.
func Sweep() error {
	if _, err := os.Stat(lease.Root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	locked, err := lease.Store{}.Lock()
	if err != nil {
		return err
	}
	defer locked.Unlock()
	return sweep(locked)
}

// Up makes a network and keeps it without a container, for its unit.
func Up(d *definition.Network) error {
	locked, err := lease.Store{}.Lock()
	if err != nil {
		return err
	}
	defer locked.Unlock()
	n, err := ensure(locked, d, func(string) {})
	if err != nil {
		return fmt.Errorf("network %s: %w", d.Name, err)
	}
	n.Held = true
	return locked.PutNetwork(n)
}

// Down lets a network go as soon as nobody is in it.
func Down(name string) error {
	if _, err := os.Stat(lease.Root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	locked, err := lease.Store{}.Lock()
	if err != nil {
		return err
	}
	defer locked.Unlock()
	n, err := locked.Network(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case n.Held:
		n.Held = false
		if err := locked.PutNetwork(n); err != nil {
			return err
		}
	}
	return sweep(locked)
}
