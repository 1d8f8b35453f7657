// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/quickjson"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/usernet"
)

// A user's bridges are in a network namespace of the user's own (package usernet), which
// has no way out: that is pasta's, of each container. So there are no rules, and a
// network that is not left by pasta is left by nothing.
//
// Interfaces between the two are made by who is root of the namespace that both belong
// to. The container's helper, which is not, asks a process in front of it over a socket.

// inRoom says that this process works where the user's bridges are.
var inRoom atomic.Bool

// roomState is what a user's process can do about bridges.
type roomState int

const (
	onHost   roomState = iota // they are root's, where all is
	inside                    // it is where they are
	outsider                  // others can
	nowhere                   // they have gone, with their namespace
)

// mayRemove tells whether this process can take a network away that nobody is in.
func (s roomState) mayRemove(n *lease.Network) bool { return s != outsider || n.Driver != lease.Bridge }

// withinRoom runs do where bridges are, as far as this process may go there.
func withinRoom(do func(roomState) error) error {
	if realm.Own() == nil {
		return do(onHost)
	}
	room, err := usernet.Ask()
	if errors.Is(err, usernet.ErrGone) {
		return do(nowhere)
	}
	if err != nil {
		return err
	}
	defer room.Close()
	entered := false
	err = usernet.Within(room.Net, func() error {
		entered = true
		inRoom.Store(true)
		defer inRoom.Store(false)
		return do(inside)
	})
	if !entered && errors.Is(err, unix.EPERM) {
		return do(outsider)
	}
	return err
}

// hasLinks tells whether the interfaces that this process sees may be unitc's: those of
// the host are root's, whatever their names.
func hasLinks() bool { return realm.Own() == nil || inRoom.Load() }

// linkRequest asks for a container's interfaces.
type linkRequest struct {
	Container string         `json:"container"`
	MTU       map[string]int `json:"mtu,omitempty"` // by networks, where it is not theirs
	Networks  []string       `json:"networks"`
}

// linkAnswer says how it went.
type linkAnswer struct {
	Error string `json:"error,omitempty"`
	Fault *Fault `json:"fault,omitempty"`
}

// linksEnv names the descriptor by which a helper asks.
const linksEnv = "_UNITC_NETWORK"

const maxLinkMessage = 64 << 10

// LinkSockets gives both ends, of which theirs goes to the next program that is started.
func LinkSockets() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	unix.CloseOnExec(fds[0])
	os.Setenv(linksEnv, strconv.Itoa(fds[1]))
	return os.NewFile(uintptr(fds[0]), "links"), os.NewFile(uintptr(fds[1]), "links"), nil
}

// ServeLinks makes what is asked for, until the other end is closed.
func ServeLinks(conn *os.File) error {
	text, rights := make([]byte, maxLinkMessage), make([]byte, unix.CmsgSpace(4))
	for {
		var n, rn int
		err := retry(func() (err error) {
			n, rn, _, _, err = unix.Recvmsg(int(conn.Fd()), text, rights, unix.MSG_CMSG_CLOEXEC)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
		var answer linkAnswer
		if err := makeLinks(text[:n], rights[:rn]); err != nil {
			if !errors.As(err, &answer.Fault) {
				answer.Error = err.Error()
			}
		}
		if err := retry(func() error {
			return unix.Sendto(int(conn.Fd()), quickjson.Append(nil, answer), unix.MSG_NOSIGNAL, nil)
		}); err != nil {
			return err
		}
	}
}

func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// makeLinks makes networks that are missing and a container's interfaces on them.
func makeLinks(text, rights []byte) error {
	var r linkRequest
	if err := quickjson.Parse(text, &r); err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("a request for interfaces without a namespace (%v)", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return fmt.Errorf("a request for interfaces without a namespace (%v)", err)
	}
	ns := os.NewFile(uintptr(fds[0]), "the container's network")
	defer ns.Close()
	return withinRoom(func(state roomState) error {
		if state != inside {
			return errors.New("the user's networks have gone while the container started")
		}
		locked, err := lease.Store{}.Lock()
		if err != nil {
			return err
		}
		defer locked.Unlock()
		records, err := locked.RecordsOf(r.Container)
		if err != nil {
			return err
		}
		for _, name := range r.Networks {
			if err := joinNetwork(locked, name, records, r.MTU[name], ns); err != nil {
				return fmt.Errorf("network %s: %w", name, err)
			}
		}
		return nil
	})
}

func joinNetwork(locked *lease.Locked, name string, records []lease.Record, mtu int, ns *os.File) error {
	n, err := locked.Network(name)
	if err != nil {
		return err
	}
	if !n.Ready {
		// Of one of that name that somebody without power over it has forgotten, or that
		// was half made.
		if err := deleteLink(n.Link); err != nil {
			return err
		}
	}
	if err := makeNetwork(locked, n, func(string) {}); err != nil {
		return err
	}
	for i := range records {
		if records[i].Network == name {
			p := place{network: n, record: &records[i], options: options{mtu: mtu}}
			return p.makeLink(ns)
		}
	}
	return errors.New("the container's record is missing")
}

// askLinks has the process in front of this helper make the container's interfaces.
func (c *Claim) askLinks(ns *os.File) error {
	fd, err := strconv.Atoi(os.Getenv(linksEnv))
	if err != nil || fd < 3 {
		return errors.New("nobody can make the container's interfaces; have systemd read the definition again: systemctl daemon-reload")
	}
	os.Unsetenv(linksEnv)
	unix.CloseOnExec(fd)
	defer unix.Close(fd)
	r := linkRequest{Container: c.request.Container, MTU: map[string]int{}}
	for _, p := range c.places {
		if p.network.Driver != lease.Bridge {
			continue
		}
		r.Networks = append(r.Networks, p.network.Name)
		if p.options.mtu != 0 {
			r.MTU[p.network.Name] = p.options.mtu
		}
	}
	if err := retry(func() error {
		return unix.Sendmsg(fd, quickjson.Append(nil, r), unix.UnixRights(int(ns.Fd())), nil, unix.MSG_NOSIGNAL)
	}); err != nil {
		return fmt.Errorf("asking for interfaces: %w", err)
	}
	text := make([]byte, maxLinkMessage)
	var n int
	err = retry(func() (err error) { n, _, err = unix.Recvfrom(fd, text, 0); return err })
	if err == nil && n == 0 {
		err = errors.New("who makes them has ended")
	}
	if err != nil {
		return fmt.Errorf("asking for interfaces: %w", err)
	}
	var answer linkAnswer
	switch err := quickjson.Parse(text[:n], &answer); {
	case err != nil:
		return err
	case answer.Fault != nil:
		return answer.Fault
	case answer.Error != "":
		return errors.New(answer.Error)
	}
	return nil
}

// pastaPlace is where pasta connects a container, nil = it does not.
func (c *Claim) pastaPlace() *place {
	if c == nil {
		return nil
	}
	for i := range c.places {
		if c.places[i].network.Driver == lease.Pasta {
			return &c.places[i]
		}
	}
	return nil
}

// HasPasta tells whether a process connects the container to the host, alone or beside
// networks.
func (c *Claim) HasPasta() bool { return c.pastaPlace() != nil }

// usersBridges tells whether the container is on networks of a user's.
func (c *Claim) usersBridges() bool { return realm.Own() != nil && !c.IsPasta() }

// PastaLink is the way out of a user's container that is on networks.
const PastaLink = "pasta0"

// OutPlace is pasta's beside networks of a user's: behind them, whatever their
// priority.
func OutPlace() Attachment {
	a := Attachment{Definition: PastaNetwork()}
	a.Interface, a.Priority = PastaLink, -1<<31
	return a
}

// LeavesByPasta tells whether a process is to connect the container to the host.
func (r *Request) LeavesByPasta() bool {
	return slices.ContainsFunc(r.Attachments, func(a Attachment) bool { return a.Definition.Driver == lease.Pasta })
}
