// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/quickjson"
	"github.com/unitc/unitc/internal/realm"
)

const (
	forward4 = "/proc/sys/net/ipv4/ip_forward"
	forward6 = sysctls6 + "/conf/all/forwarding"
	sysctls6 = "/proc/sys/net/ipv6" // a kernel without IPv6 has none
)

// changedFile has what the sysctls of the host were that unitc has changed.
func changedFile() string { return lease.Root() + "/" + lease.SysctlsFile }

const newEnd = ".new"

// bridgeSysctls sets what only the bridge has, and lets the host forward
// packets where the network leads out of it.
func bridgeSysctls(n *lease.Network) error {
	v4, v6 := families(n)
	disabled := "1"
	if v6 {
		disabled = "0" // whatever the host's default for new interfaces is
	}
	set := []struct {
		path, value string
		wanted      bool
	}{
		// A container's router advertisements are none of the host's business
		// (CVE-2020-13401).
		{"/proc/sys/net/ipv6/conf/" + n.Link + "/accept_ra", "0", !protection.Off("no-routers")},
		{"/proc/sys/net/ipv6/conf/" + n.Link + "/disable_ipv6", disabled, true},
		// Published ports answer on 127.0.0.1 too: such packets may leave through
		// this bridge, and through no other interface. What comes in for 127.0.0.0/8
		// is dropped by a rule (CVE-2020-8558).
		{"/proc/sys/net/ipv4/conf/" + n.Link + "/route_localnet", "1", v4 && !n.Internal && realm.Own() == nil},
	}
	for _, s := range set {
		if !s.wanted {
			continue
		}
		if err := write(s.path, s.value); err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			return err
		}
	}
	if n.Internal || realm.Own() != nil {
		return nil
	}
	if v4 {
		if err := forward(forward4); err != nil {
			return err
		}
	}
	if v6 {
		// With forwarding on, an interface hears no router advertisements unless
		// told so: the host would lose its own address and route.
		if err := keepHearingRouters(); err != nil {
			return err
		}
		return forward(forward6)
	}
	return nil
}

func families(n *lease.Network) (v4, v6 bool) {
	for _, s := range n.Subnets {
		v4, v6 = v4 || s.Prefix.Addr().Is4(), v6 || s.Prefix.Addr().Is6()
	}
	return v4, v6
}

func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func read(path string) string {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data))
}

// forward switches forwarding on. It makes a router of the host, which
// `unitc network inspect` tells.
func forward(path string) error { return change(path, "1") }

// change sets a sysctl of the host and remembers what it was, before.
func change(path, value string) error {
	// What is not there is not remembered: it could never be put back.
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	old := strings.TrimSpace(string(text))
	if old == value {
		return nil
	}
	changed := map[string]string{}
	if data, err := os.ReadFile(changedFile()); err == nil {
		_ = quickjson.Parse(data, &changed) // what cannot be read is not restored
	}
	if _, known := changed[path]; !known {
		changed[path] = old
	}
	if _, known := changed[lease.VirtualLinks]; !known {
		links, err := virtualLinks()
		if err != nil {
			return err
		}
		changed[lease.VirtualLinks] = strings.Join(links, " ")
	}
	// A helper that is killed while it writes must not lose what it read.
	if err := os.WriteFile(changedFile()+newEnd, quickjson.Append(nil, changed), 0o644); err != nil {
		return err
	}
	if err := os.Rename(changedFile()+newEnd, changedFile()); err != nil {
		return err
	}
	return write(path, value)
}

func keepHearingRouters() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing interfaces: %w", err)
	}
	for _, l := range links {
		path := "/proc/sys/net/ipv6/conf/" + l.Attrs().Name + "/accept_ra"
		if l.Attrs().Flags&net.FlagLoopback != 0 {
			continue
		}
		if read(path) == "1" && read("/proc/sys/net/ipv6/conf/"+l.Attrs().Name+"/forwarding") == "0" {
			if err := change(path, "2"); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// restoreSysctls puts back what unitc has changed. Where another program has
// made virtual interfaces meanwhile it may rely on forwarding, so that stays.
func restoreSysctls() error {
	_ = os.Remove(changedFile() + newEnd)
	data, err := os.ReadFile(changedFile())
	if err != nil {
		return nil
	}
	changed := map[string]string{}
	if quickjson.Parse(data, &changed) == nil && !othersForward(strings.Fields(changed[lease.VirtualLinks])) {
		delete(changed, lease.VirtualLinks)
		// accept_ra of an interface goes by whether it forwards: forwarding first.
		for _, path := range []string{forward4, forward6} {
			if old, ok := changed[path]; ok {
				if err := write(path, old); err != nil {
					return err
				}
				delete(changed, path)
			}
		}
		for path, old := range changed {
			if err := write(path, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return os.Remove(changedFile())
}

// othersForward tells whether there are virtual links that were not there
// before unitc came.
func othersForward(before []string) bool {
	links, err := virtualLinks()
	return err != nil || slices.ContainsFunc(links, func(name string) bool { return !slices.Contains(before, name) })
}

// virtualLinks are the host's interfaces of the kinds that engines and VPNs
// make; unitc's own are not among them.
func virtualLinks() ([]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	var names []string
	for _, l := range links {
		switch l.Type() {
		case "bridge", "veth", "tun", "tuntap", "wireguard", "macvlan", "ipvlan":
			if !strings.HasPrefix(l.Attrs().Alias, ownAlias) {
				names = append(names, l.Attrs().Name)
			}
		}
	}
	return names, nil
}

// ownAlias is how the alias of each of unitc's links begins.
const ownAlias = "unitc "
