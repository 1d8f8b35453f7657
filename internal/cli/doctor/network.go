// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/network/lease"
)

// inNetwork runs what makes links in a network namespace that ends with it: the
// thread is locked and never given back. It may be the first thread, which Go
// parks for good instead of ending it.
func inNetwork(do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("unshare with CLONE_NEWNET: %w", err)
			return
		}
		result <- do()
	}()
	return <-result
}

func links(m Machine) result {
	if !isRoot() {
		return asRoot("networks can be made")
	}
	var missing string
	err := inNetwork(func() error {
		for _, kind := range []string{"bridge", "veth"} {
			if err := m.addLink(kind); err != nil {
				missing = kind
				return fmt.Errorf("a link of kind %s: %w", kind, err)
			}
		}
		return nil
	})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return warn("modprobe "+missing+", or build the kernel with it", "the kernel has no %s: `network_mode: none` and `host` work, networks do not", missing)
	}
	if err != nil {
		return warn("`network_mode: none` and `host` do without; in a container, give CAP_NET_ADMIN", "networks cannot be made: %v", err)
	}
	return good("bridge and veth")
}

func nftables(m Machine) result {
	if !isRoot() {
		return asRoot("nftables answers")
	}
	err := inNetwork(func() error {
		// NFT_MSG_GETGEN asks for the generation of the rules (linux/netfilter/
		// nf_tables.h); struct nfgenmsg is the family, the version, a resource id.
		return m.ask(unix.NETLINK_NETFILTER, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, unix.NLM_F_REQUEST|unix.NLM_F_ACK, []byte{unix.AF_UNSPEC, 0, 0, 0})
	})
	if err != nil {
		return warn("modprobe nf_tables, or build the kernel with CONFIG_NF_TABLES", "nftables does not answer (%v): published ports do not work", err)
	}
	return good("answers")
}

// firewalls looks for chains of others that would drop what containers send or
// are sent.
func firewalls(Machine) result {
	if !isRoot() {
		return asRoot("another firewall drops what containers send")
	}
	list, err := network.Barriers()
	if err != nil {
		return warn("`nft list ruleset` as root tells whether the kernel answers", "the rules of other firewalls cannot be read: %v", err)
	}
	if len(list) == 0 {
		return good("none drops what containers send")
	}
	var faults, cures []string
	for _, b := range list {
		faults = append(faults, b.String())
		if !slices.Contains(cures, b.Cure) {
			cures = append(cures, b.Cure)
		}
	}
	return warn(strings.Join(cures, "; "), "%s", strings.Join(faults, "; "))
}

// ownRules looks for what others have flushed while containers run.
func ownRules(Machine) result {
	if !isRoot() {
		return asRoot("the rules of networks are all there")
	}
	missing, err := network.Missing()
	if err != nil {
		return warn("`nft list ruleset` as root tells whether the kernel answers", "the rules of networks cannot be read: %v", err)
	}
	if missing != "" {
		return warn("unitc network reload", "%s", missing)
	}
	return good("as networks need them")
}

// parents looks for interfaces of the host that containers have theirs on.
func parents(Machine) result {
	if !isRoot() {
		return asRoot("the interfaces that networks are on are there")
	}
	gone, err := network.Cut()
	if err != nil {
		return warn("`unitc network ls` as root tells which there are", "the networks cannot be read: %v", err)
	}
	if gone != "" {
		return warn("bring the interface back, or correct parent: in the network's definition; then restart them", "%s", gone)
	}
	return good("there, as far as networks are on any")
}

// forwarding tells what networks have made of the host: a router.
func forwarding(m Machine) result {
	changed := (lease.Store{Root: m.Run + strings.TrimPrefix(lease.Root(), "/run")}).Sysctls()
	var list []string
	for _, path := range slices.Sorted(maps.Keys(changed)) {
		name := strings.ReplaceAll(strings.TrimPrefix(path, m.Proc+"/sys/"), "/", ".")
		list = append(list, fmt.Sprintf("%s was %s", name, changed[path]))
	}
	if len(list) == 0 {
		return good("networks have changed no sysctl of this host")
	}
	return good("changed while networks are there: %s", strings.Join(list, ", "))
}

// addLink makes a link: struct ifinfomsg and the attribute IFLA_LINKINFO with
// IFLA_INFO_KIND in it (rtnetlink(7)).
func (m Machine) addLink(kind string) error {
	body := make([]byte, sizeof[unix.IfInfomsg]())
	body = append(body, attribute(unix.IFLA_LINKINFO, attribute(unix.IFLA_INFO_KIND, []byte(kind)))...)
	return m.ask(unix.NETLINK_ROUTE, unix.RTM_NEWLINK, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
}

func attribute(kind uint16, data []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(data)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), data...)
	for len(b)%unix.NLA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

// ask has the machine's kernel heed a message.
func (m Machine) ask(protocol int, kind, flags uint16, body []byte) error {
	if m.Netlink != nil {
		return m.Netlink(protocol, kind, flags, body)
	}
	return netlink(protocol, kind, flags, body)
}

// netlink sends one message and reads whether it was heeded.
func netlink(protocol int, kind, flags uint16, body []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	defer unix.Close(fd)
	timeout := unix.Timeval{Sec: 5}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = append(b, make([]byte, 8)...) // sequence and port: one message, one answer
	if err := unix.Sendto(fd, append(b, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 8192)
	for {
		n, _, err := unix.Recvfrom(fd, answer, 0)
		if err != nil {
			return err
		}
		for rest := answer[:n]; len(rest) >= unix.SizeofNlMsghdr+4; {
			length := int(binary.NativeEndian.Uint32(rest))
			if binary.NativeEndian.Uint16(rest[4:]) == unix.NLMSG_ERROR {
				if errno := int32(binary.NativeEndian.Uint32(rest[unix.SizeofNlMsghdr:])); errno != 0 {
					return unix.Errno(-errno)
				}
				return nil
			}
			if length < unix.SizeofNlMsghdr || length > len(rest) {
				break
			}
			rest = rest[min((length+3)&^3, len(rest)):]
		}
	}
}
