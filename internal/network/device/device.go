// SPDX-License-Identifier: Apache-2.0

// Package device moves network devices of the host's into a container
// (runtime-spec, config-linux.md, "Network Devices"). It is a room of its own so
// that the OCI command line links no firewall.
package device

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A move is one device on its way.
type move struct {
	from, to  string
	link      netlink.Link
	addresses []netlink.Addr
}

// template ends a name whose number the kernel chooses.
const template = "%d"

// arrival is the name of a device whose final one the kernel is about to choose:
// its index in the container may be another one, so that it is found by name.
const arrival = "unitc-arriving"

// Move takes devices out of this process's network namespace into ns, each with
// its permanent global addresses, and sets them up. All of them are looked at
// before the first one is moved. None is brought back, not by an error either:
// that is for the kernel to do when the namespace ends, as the specification has it.
func Move(ns *os.File, devices map[string]specs.LinuxNetDevice) error {
	if err := refuseOwn(ns); err != nil {
		return err
	}
	inside, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink in the container's network: %w", err)
	}
	defer inside.Close()
	var moves []*move
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		m := &move{from: name, to: devices[name].Name}
		if m.to == "" {
			m.to = name
		}
		errs = append(errs, m.look(inside))
		moves = append(moves, m)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, m := range moves {
		if err := m.carry(ns, inside); err != nil {
			return fmt.Errorf("network device %s: %w", m.from, err)
		}
	}
	return nil
}

// glance is how often Await looks.
const glance = 20 * time.Millisecond

// Await returns when all of the devices are in this process's network namespace,
// or when the time has passed.
func Await(devices map[string]specs.LinuxNetDevice, most time.Duration) {
	end := time.Now().Add(most)
	for name := range devices {
		for !exists(name) && time.Now().Before(end) {
			time.Sleep(glance)
		}
	}
}

func exists(name string) bool {
	_, err := netlink.LinkByName(name)
	return !errors.As(err, new(netlink.LinkNotFoundError))
}

// refuseOwn finds a namespace that is joined by a path and is the host's: there
// the devices are already.
func refuseOwn(ns *os.File) error {
	var own, target unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &own); err != nil {
		return fmt.Errorf("this thread's network namespace: %w", err)
	}
	if err := unix.Fstat(int(ns.Fd()), &target); err != nil {
		return fmt.Errorf("the container's network namespace: %w", err)
	}
	if own.Dev == target.Dev && own.Ino == target.Ino {
		return errors.New("linux.netDevices: the container's network namespace is the host's")
	}
	return nil
}

// look finds the device, what it has to keep, and whether its name is free.
func (m *move) look(inside *netlink.Handle) error {
	var err error
	if m.link, err = netlink.LinkByName(m.from); errors.As(err, new(netlink.LinkNotFoundError)) {
		err = unix.ENODEV
	}
	if err != nil {
		return fmt.Errorf("network device %s: %w", m.from, err)
	}
	if m.addresses, err = addresses(m.link); err != nil {
		return fmt.Errorf("addresses of network device %s: %w", m.from, err)
	}
	if strings.HasSuffix(m.to, template) {
		return nil
	}
	_, err = inside.LinkByName(m.to)
	switch {
	case errors.As(err, new(netlink.LinkNotFoundError)):
		return nil
	case err != nil:
		return fmt.Errorf("network device %s in the container: %w", m.to, err)
	}
	return fmt.Errorf("network device %s: the container has a device %s already", m.from, m.to)
}

// dumps bounds how often a list is asked for that changes while it is read.
const dumps = 5

// addresses are the permanent ones of global scope, which the kernel forgets
// when a device changes its namespace.
func addresses(link netlink.Link) ([]netlink.Addr, error) {
	var all []netlink.Addr
	var err error
	for range dumps {
		if all, err = netlink.AddrList(link, netlink.FAMILY_ALL); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return slices.DeleteFunc(all, func(a netlink.Addr) bool {
		return a.Scope != unix.RT_SCOPE_UNIVERSE || a.Flags&unix.IFA_F_PERMANENT == 0
	}), err
}

// carry moves the device and gives it back what it had.
func (m *move) carry(ns *os.File, inside *netlink.Handle) error {
	name := m.to
	chosen := strings.HasSuffix(name, template)
	if chosen {
		name = arrival
	}
	if err := send(m.link, ns, name); err != nil {
		return fmt.Errorf("moving it into the container: %w", err)
	}
	link, err := inside.LinkByName(name)
	if err != nil {
		return fmt.Errorf("looking for it in the container: %w", err)
	}
	if chosen {
		if err := inside.LinkSetName(link, m.to); err != nil {
			return fmt.Errorf("naming it %s: %w", m.to, err)
		}
		if link, err = inside.LinkByIndex(link.Attrs().Index); err != nil {
			return fmt.Errorf("looking for it in the container: %w", err)
		}
	}
	for _, a := range m.addresses {
		if err := inside.AddrAdd(link, m.again(a, link.Attrs().Name)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("adding its address %s in the container: %w", a.IPNet, err)
		}
	}
	if err := inside.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting it up: %w", err)
	}
	return nil
}

// send moves and names in one request, so that no name of the host's shows
// inside or is in the way there (rtnetlink(7), do_setlink in net/core/rtnetlink.c).
func send(link netlink.Link, ns *os.File, name string) error {
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(link.Attrs().Index)
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(ns.Fd()))))
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w (the kernel moves no loopback and no device that is bound to its namespace)", err)
	}
	return err
}

// asked are the flags that whoever added an address has chosen; the others tell
// what the kernel made of it.
const asked = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

// again is an address as it is added under the device's new name.
func (m *move) again(a netlink.Addr, name string) *netlink.Addr {
	a.Flags &= asked
	a.LinkIndex = 0
	if rest, ok := strings.CutPrefix(a.Label, m.from); ok && (rest == "" || rest[0] == ':') {
		a.Label = name + rest
	}
	if len(a.Label) >= unix.IFNAMSIZ {
		a.Label = ""
	}
	if a.IPNet.IP.To4() != nil && a.Broadcast == nil {
		// Without one the library adds what it calculates; zero is none.
		a.Broadcast = []byte{0, 0, 0, 0}
	}
	return &a
}
