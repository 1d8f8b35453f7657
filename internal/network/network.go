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
	Invocation  string   // the unit's, "" = unknown
	Aliases     []string // further names in all its networks
	Attachments []Attachment
	Links       []definition.Link // other containers by names that only this one uses
	Ports       []definition.Port
	DNS         []string
	Sysctls     []definition.KeyValue // of single interfaces
	// SocketUnit names the socket unit that listens on a port; nil, or "" = none.
	SocketUnit func(lease.Port) string
	// Over tells of others whether they have ended; nil = none has.
	Over Over
	// Before is called with each step's name.
	Before func(step string)
}

// Over tells of a container whether that invocation of it has ended; "" = its last.
type Over func(container, invocation string) bool

// Attachment is a place on a network, with the network's definition.
type Attachment struct {
	definition.Attachment
	Definition *definition.Network
}

// Fault is what cannot be had as the definition asks for it.
type Fault struct{ Key, What, Cure string }

func (f *Fault) Error() string { return f.Key + ": " + f.What + "; " + f.Cure }

// Claim is a container's place in its networks: written down, but not yet
// connected.
type Claim struct {
	request Request
	places  []place
	made    bool // the networks are there
}

// place is one network with the container's record in it.
type place struct {
	network *lease.Network
	record  *lease.Record
	asked   Attachment
	options options
}

// Addresses are all that the container has, the first network's first.
func (c *Claim) Records() []*lease.Record {
	var list []*lease.Record
	for _, p := range c.places {
		list = append(list, p.record)
	}
	return list
}

// Take gives the container its addresses and reserves its ports. The networks
// may be missing yet: Connect makes them.
func Take(r Request) (*Claim, error) {
	if r.Before == nil {
		r.Before = func(string) {}
	}
	locked, err := lease.Store{}.Lock()
	if err != nil {
		return nil, err
	}
	defer locked.Unlock()
	c, err := take(locked, r)
	if err != nil && r.Over != nil {
		// Who is in the way may have ended, and nobody has swept that up yet.
		if left, forgetErr := forgetOver(locked, r.Over); len(left) > 0 && forgetErr == nil {
			c, err = take(locked, r)
		}
	}
	return c, err
}

func take(locked *lease.Locked, r Request) (*Claim, error) {
	// What its last run left, if nobody has swept that up yet.
	if _, err := forget(locked, r.Container); err != nil {
		return nil, err
	}
	c := &Claim{request: r}
	asked := slices.Clone(r.Attachments)
	slices.SortStableFunc(asked, func(a, b Attachment) int { return cmp.Compare(b.Priority, a.Priority) })
	nameInterfaces(asked)
	for _, a := range asked {
		if err := removeOutdated(locked, a.Definition, r.Over); err != nil {
			return nil, fmt.Errorf("network %s: %w", a.Definition.Name, err)
		}
		n, err := arrange(locked, a.Definition)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", a.Definition.Name, err)
		}
		o, err := attachmentOptions(a)
		if err != nil {
			return nil, err
		}
		record, err := newRecord(locked, n, &r, a)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", n.Name, err)
		}
		c.places = append(c.places, place{n, record, a, o})
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

// Release takes a container off its networks, which are left to Sweep. It may run at
// any time and twice.
func Release(container string) error {
	locked, err := lockIfAny()
	if locked == nil || err != nil {
		return err
	}
	defer locked.Unlock()
	return withinRoom(func(roomState) error {
		records, err := forget(locked, container)
		forgetFlows(records...)
		return errors.Join(err, locked.DropUnfinished(container))
	})
}

// ReleaseOver is Release of all containers that have ended, and Sweep: who starts
// meanwhile has a record in its networks before it gives the lock back, and who was
// killed before it wrote that has left them empty.
func ReleaseOver(over Over) error {
	locked, err := lockIfAny()
	if locked == nil || err != nil {
		return err
	}
	defer locked.Unlock()
	return withinRoom(func(state roomState) error {
		_, err := forgetOver(locked, over)
		return errors.Join(err, removeIdle(locked, state.mayRemove))
	})
}

// forgetOver takes all containers off their networks that have ended, and gives the
// names of these networks. A container that starts meanwhile waits for the lock,
// and writes its records then: what there is of it is of an invocation before.
func forgetOver(locked *lease.Locked, over Over) (left map[string]bool, err error) {
	names, err := locked.Containers()
	if err != nil {
		return nil, err
	}
	left = map[string]bool{}
	for _, name := range names {
		records, readErr := locked.RecordsOf(name)
		invocation := ""
		if len(records) > 0 {
			invocation = records[0].Invocation // one start writes all of them
		}
		if readErr != nil || !over(name, invocation) {
			err = errors.Join(err, readErr)
			continue
		}
		records, forgetErr := forget(locked, name)
		forgetFlows(records...)
		for _, r := range records {
			left[r.Network] = true
		}
		err = errors.Join(err, forgetErr, locked.DropUnfinished(name))
	}
	return left, err
}

// lockIfAny is nil where no network is.
func lockIfAny() (*lease.Locked, error) {
	if _, err := os.Stat(lease.Root()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return lease.Store{}.Lock()
}

// forget takes one container off its networks, and gives what it had there.
func forget(locked *lease.Locked, container string) ([]lease.Record, error) {
	records, err := locked.RecordsOf(container)
	if err != nil {
		return nil, err
	}
	for i := range records {
		r := &records[i]
		closed := make(chan error, 1)
		go func() { closed <- withdrawPorts(r) }() // it waits for a grace period, as the link does
		var gone error
		if r.Link != "" {
			gone = deleteLink(r.Link)
		}
		if err := errors.Join(<-closed, gone); err != nil {
			return records, err
		}
		if err := locked.Drop(r); err != nil {
			return records, err
		}
	}
	return records, nil
}

// removeIdle removes those of the networks in question that nobody is in. Each
// change of the rules, and a bridge's end, waits for the kernel's RCU: with the
// last network all rules go in one, while its bridge does.
func removeIdle(locked *lease.Locked, asked func(*lease.Network) bool) error {
	networks, err := locked.Networks()
	if err != nil {
		return err
	}
	var idle []*lease.Network
	for i := range networks {
		if n := &networks[i]; asked(n) && !n.Held && locked.IsEmpty(n.Name) {
			idle = append(idle, n)
		}
	}
	if len(idle) == 0 && len(networks) > 0 {
		return nil
	}
	last := len(idle) == len(networks)
	rules := make(chan error, 1)
	if last {
		go func() { rules <- removeRules() }()
	} else {
		rules <- nil
	}
	for _, n := range idle {
		if removeErr := remove(locked, n, !last); removeErr != nil {
			err = fmt.Errorf("network %s: %w", n.Name, removeErr)
			break
		}
	}
	err = errors.Join(err, <-rules)
	if last {
		err = errors.Join(err, restoreSysctls())
	}
	return err
}

// Sweep takes away networks that nobody is in and whose units are not active.
func Sweep() error {
	locked, err := lockIfAny()
	if locked == nil || err != nil {
		return err
	}
	defer locked.Unlock()
	return withinRoom(func(state roomState) error { return removeIdle(locked, state.mayRemove) })
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
func Down(name string, over Over) error {
	locked, err := lockIfAny()
	if locked == nil || err != nil {
		return err
	}
	defer locked.Unlock()
	if _, err := forgetOver(locked, over); err != nil {
		return err
	}
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
	return removeIdle(locked, func(n *lease.Network) bool { return n.Name == name })
}
