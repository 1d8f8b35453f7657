// SPDX-License-Identifier: Apache-2.0

package network

import (
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

// options are what `driver_opts:` of a container's place on a network ask for.
type options struct {
	mtu     int
	sysctls []string // net.ipv4.conf.IFNAME.KEY=value, Docker's way to say it
}

func attachmentOptions(a Attachment) (o options, err error) {
	wrong := func(format string, args ...any) (options, error) {
		return o, &Fault{"networks." + a.Definition.Key + ".driver_opts", fmt.Sprintf(format, args...), "correct it, or remove it"}
	}
	for _, kv := range a.DriverOpts {
		switch kv.Key {
		case "mtu":
			if o.mtu, err = strconv.Atoi(kv.Value); err != nil || o.mtu < 68 || o.mtu > 65535 {
				return wrong("mtu %q is no number from 68 to 65535", kv.Value)
			}
		case definition.EndpointSysctls:
			for word := range strings.SplitSeq(kv.Value, ",") {
				key, _, ok := strings.Cut(word, "=")
				parts := strings.Split(key, ".")
				if !ok || len(parts) != 5 || parts[0] != "net" || parts[3] != "IFNAME" || strings.ContainsAny(key, "/ \x00") || strings.Contains(key, "..") {
					return wrong("%q is not of the form net.ipv4.conf.IFNAME.KEY=VALUE", word)
				}
				o.sysctls = append(o.sysctls, word)
			}
		default:
			what, cure := definition.PlaceOptionFault(kv.Key)
			return o, &Fault{"networks." + a.Definition.Key + ".driver_opts." + kv.Key, what, cure}
		}
	}
	return o, nil
}

// ownSysctls are unitc's for an interface in the container.
func (p *place) ownSysctls() error {
	conf := "/proc/sys/net/ipv6/conf/" + p.record.Interface
	set := [][2]string{{"/disable_ipv6", "1"}}
	if _, v6 := families(p.network); v6 || p.hasLinkLocal6() || p.network.Driver != lease.Bridge {
		// A host that has none by default may have its containers begin so too
		// (net.core.devconf_inherit_init_net).
		set = [][2]string{{"/accept_ra", "0"}, {"/disable_ipv6", "0"}}
	}
	for _, s := range set {
		if err := write(conf+s[0], s[1]); err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			return err
		}
	}
	return nil
}

// hasLinkLocal6 tells whether link_local_ips asks for IPv6 on a network without it.
func (p *place) hasLinkLocal6() bool {
	return slices.ContainsFunc(p.asked.LinkLocal, func(text string) bool {
		a, err := netip.ParseAddr(text)
		return err == nil && a.Is6()
	})
}

// askedSysctls writes the operator's, of interfaces that are there by now, and
// before they have addresses and are up.
func (c *Claim) askedSysctls() error {
	for _, p := range c.places {
		for _, word := range p.options.sysctls {
			key, value, _ := strings.Cut(word, "=")
			parts := strings.Split(key, ".")
			if err := interfaceSysctl(key, parts, p.record.Interface, parts[4], value); err != nil {
				return err
			}
		}
	}
	for _, kv := range c.request.Sysctls {
		// An interface's name may have dots of its own; the key has none.
		parts := strings.Split(kv.Key, ".")
		last := len(parts) - 1
		if err := interfaceSysctl("sysctls."+kv.Key, parts, strings.Join(parts[3:last], "."), parts[last], kv.Value); err != nil {
			return err
		}
	}
	return nil
}

func interfaceSysctl(at string, parts []string, link, key, value string) error {
	err := write(strings.Join([]string{"/proc/sys/net", parts[1], parts[2], link, key}, "/"), value)
	if errors.Is(err, fs.ErrNotExist) {
		return &Fault{at, "the container has no such interface, or the kernel no such key", "correct it; interfaces are eth0, eth1 and so on, or named by interface_name"}
	}
	if err != nil {
		return &Fault{at, err.Error(), "correct the value"}
	}
	return nil
}
