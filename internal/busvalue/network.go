// SPDX-License-Identifier: Apache-2.0

package busvalue

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// addressWords of systemd.resource-control(5), IPAddressAllow=.
var addressWords = map[string][]string{
	"any": {"0.0.0.0/0", "::/0"}, "localhost": {"127.0.0.0/8", "::1/128"},
	"link-local": {"169.254.0.0/16", "fe80::/64"}, "multicast": {"224.0.0.0/4", "ff00::/8"},
}

func addresses(value string) ([]Address, error) {
	list := []Address{}
	var words []string
	for _, w := range strings.Fields(value) {
		if expanded, ok := addressWords[w]; ok {
			words = append(words, expanded...)
			continue
		}
		words = append(words, w)
	}
	for _, w := range words {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			a, aerr := netip.ParseAddr(w)
			if aerr != nil {
				return nil, fmt.Errorf("%q is not an address or a prefix", w)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		family := int32(afINET)
		if p.Addr().Is6() {
			family = afINET6
		}
		list = append(list, Address{family, p.Masked().Addr().AsSlice(), uint32(p.Bits())})
	}
	return list, nil
}

// bind reads "tcp:80", "ipv4:udp:1000-2000" or "any" (systemd.resource-control(5),
// SocketBindAllow=).
func bind(value string) (b Bind, err error) {
	fail := fmt.Errorf("%q is no ports, as in tcp:80, ipv6:1000-2000 or any", value)
	rest := value
	if family, after, ok := strings.Cut(rest, ":"); ok && (family == "ipv4" || family == "ipv6") {
		if b.Family, rest = afINET, after; family == "ipv6" {
			b.Family = afINET6
		}
	}
	if protocol, after, ok := strings.Cut(rest, ":"); ok || rest == "tcp" || rest == "udp" {
		switch protocol {
		case "tcp":
			b.Protocol = 6
		case "udp":
			b.Protocol = 17
		default:
			return b, fail
		}
		if rest = after; !ok {
			return b, nil // all of its ports
		}
	}
	if rest == "any" || rest == "ipv4" || rest == "ipv6" {
		switch rest {
		case "ipv4":
			b.Family = afINET
		case "ipv6":
			b.Family = afINET6
		}
		return b, nil
	}
	first, last, isRange := strings.Cut(rest, "-")
	from, err := strconv.ParseUint(first, 10, 16)
	to := from
	if err == nil && isRange {
		to, err = strconv.ParseUint(last, 10, 16)
	}
	if err != nil || from == 0 || to < from {
		return b, fail
	}
	b.First, b.Ports = uint16(from), uint16(to-from+1)
	return b, nil
}

// Numbers of NFTSet=: where elements come from (nft_set_source of systemd) and the
// kernel's families (NFPROTO_*).
var (
	setSources  = map[string]int32{"address": 0, "prefix": 1, "ifindex": 2, "cgroup": 3, "user": 4, "group": 5}
	setFamilies = map[string]int32{"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}
)

func sets(value string) (list []Set, err error) {
	for _, word := range strings.Fields(value) {
		parts := strings.Split(word, ":")
		source, family := int32(-1), int32(-1)
		if len(parts) == 4 {
			if n, ok := setSources[parts[0]]; ok {
				source = n
			}
			if n, ok := setFamilies[parts[1]]; ok {
				family = n
			}
		}
		if source < 3 || family < 0 {
			return nil, fmt.Errorf("%q is not SOURCE:FAMILY:TABLE:SET, as in cgroup:inet:filter:web", word)
		}
		list = append(list, Set{source, family, parts[2], parts[3]})
	}
	return list, nil
}
