// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
)

// An internal network truly has no way out: by no family, no address of the
// host's, no protocol, no route that the container makes for itself.
func TestInternalHasNoWayOut(t *testing.T) {
	if !alone(t) {
		return
	}
	client, here := outside(t), host(t)
	front := &definition.Network{Key: "front", Name: "front", IPv6: true}
	inner := &definition.Network{Key: "inner", Name: "inner", IPv6: true, Internal: true}
	web, webAt := connect(t, "web", front, definition.Port{Published: 8080, Target: 80, Protocol: "tcp"}, udpPort(5300, 53))
	closed, at := connect(t, "closed", inner)
	near, nearAt := connect(t, "near", inner)
	network, err := lease.Store{}.Network("inner")
	must(t, err)
	front0, err := lease.Store{}.Network("front")
	must(t, err)
	for _, ns := range []*os.File{here, client, web, near} {
		serve(t, ns, ":80")
		echo(t, ns, "somebody", "[::]:53")
	}
	// It may have CAP_NET_ADMIN in its own namespace, and make itself the routes
	// that it was not given.
	must(t, within(closed, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		for _, s := range network.Subnets {
			r := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: s.Gateway.AsSlice(), Dst: &net.IPNet{IP: zero(s.Gateway).AsSlice(), Mask: net.CIDRMask(0, s.Gateway.BitLen())}}
			if err := netlink.RouteAdd(r); err != nil {
				return err
			}
		}
		return nil
	}))
	addresses := []netip.Addr{
		netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2"), // outside
		netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), // the host
		webAt.IPv4, webAt.IPv6, // another network
	}
	for _, n := range []*lease.Network{network, front0} {
		for _, s := range n.Subnets {
			addresses = append(addresses, s.Gateway) // the host's ends of the bridges
		}
	}
	var all sync.WaitGroup // most of them wait in vain
	for _, a := range addresses {
		for _, port := range []uint16{80, 8080} {
			all.Go(func() {
				to := netip.AddrPortFrom(a, port).String()
				if got, err := ask(t, closed, to); err == nil {
					t.Errorf("%s answers %q", to, got)
				}
			})
		}
		for _, port := range []uint16{53, 5300} {
			to := netip.AddrPortFrom(a, port).String()
			c := sender(t, closed, to)
			all.Go(func() {
				if got := say(c); got != "" {
					t.Errorf("%s answers %q", to, got)
				}
			})
		}
	}
	all.Wait()
	// Nor by a protocol without ports: what arrives is of another network alone.
	to := netip.MustParseAddr("192.0.2.2").As4()
	for _, number := range []int{unix.IPPROTO_ICMP, 99} {
		seen := rawOf(t, client, number)
		for _, ns := range []*os.File{closed, web} {
			echoRequest := []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}
			must(t, unix.Sendto(rawOf(t, ns, number), echoRequest, 0, &unix.SockaddrInet4{Addr: to}))
		}
		b := make([]byte, 100)
		if n, err := unix.Read(seen, b); err != nil || n < 20 || netip.AddrFrom4([4]byte(b[12:16])).String() != "192.0.2.1" {
			t.Errorf("protocol %d: %x, %v", number, b[:max(n, 0)], err)
		}
	}
	// Its neighbours are there, and the host reaches it; nobody else does.
	for _, a := range nearAt.Addresses() {
		if got, err := ask(t, closed, netip.AddrPortFrom(a, 80).String()); err != nil {
			t.Errorf("its neighbour: %q, %v", got, err)
		}
	}
	serve(t, closed, ":81")
	for _, a := range at.Addresses() {
		to := netip.AddrPortFrom(a, 81).String()
		if got, err := ask(t, here, to); err != nil {
			t.Errorf("the host to %s: %q, %v", to, got, err)
		}
		if got, err := ask(t, web, to); err == nil {
			t.Errorf("another network to %s: %q", to, got)
		}
	}
	for _, name := range []string{"web", "closed", "near"} {
		must(t, releaseAll(name))
	}
}

// What the host forwards and trusts is changed as far as a network needs it,
// and is as before when the last one has gone.
func TestSysctlsAreNarrow(t *testing.T) {
	if !alone(t) {
		return
	}
	outside(t) // a virtual link that was there before keeps nothing on
	paths := []string{forward4, forward6}
	for _, conf := range []string{"all", "default", "wire", "lo"} {
		for _, key := range []string{"rp_filter", "route_localnet", "accept_local", "arp_ignore", "proxy_arp", "send_redirects"} {
			paths = append(paths, "/proc/sys/net/ipv4/conf/"+conf+"/"+key)
		}
		for _, key := range []string{"accept_ra", "proxy_ndp", "disable_ipv6"} {
			paths = append(paths, "/proc/sys/net/ipv6/conf/"+conf+"/"+key)
		}
	}
	values := func() (list []string) {
		for _, p := range paths {
			list = append(list, p+"="+read(p))
		}
		return list
	}
	changed := func(before []string) (list []string) {
		for _, line := range values() {
			if !slices.Contains(before, line) {
				list = append(list, line)
			}
		}
		return list
	}
	before := values()
	four := &definition.Network{Key: "four", Name: "four"}
	both := &definition.Network{Key: "both", Name: "both", IPv6: true}
	inner := &definition.Network{Key: "inner", Name: "inner", IPv6: true, Internal: true}
	connect(t, "inner", inner)
	if got := changed(before); len(got) != 0 {
		t.Errorf("an internal network changes %q", got)
	}
	connect(t, "four", four)
	if got := changed(before); !slices.Equal(got, []string{forward4 + "=1"}) {
		t.Errorf("a network of IPv4 changes %q", got)
	}
	connect(t, "both", both)
	// "all" forwarding is copied to each interface by the kernel, and with it
	// routers are heard only where that is asked for.
	if got := changed(before); !slices.Contains(got, forward6+"=1") || slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, "ipv4/conf") }) {
		t.Errorf("a network of both changes %q", got)
	}
	// It is what `unitc check` says.
	for d, want := range map[*definition.Network][2]bool{inner: {false, false}, four: {true, false}, both: {true, true}} {
		if v4, v6 := d.Forwards(); want != [2]bool{v4, v6} {
			t.Errorf("%s is said to forward %v, %v", d.Name, v4, v6)
		}
	}
	for name, want := range map[string]string{"four": "1", "inner": "0"} {
		n, err := lease.Store{}.Network(name)
		must(t, err)
		if got := read("/proc/sys/net/ipv4/conf/" + n.Link + "/route_localnet"); got != want {
			t.Errorf("route_localnet of %s's bridge is %s", name, got)
		}
		// What a container says of routers is none of the host's business, also where
		// the host itself does not forward (CVE-2020-13401).
		if got := read("/proc/sys/net/ipv6/conf/" + n.Link + "/accept_ra"); got != "0" {
			t.Errorf("accept_ra of %s's bridge is %s", name, got)
		}
	}
	for _, name := range []string{"inner", "both", "four"} {
		must(t, releaseAll(name))
	}
	if got := changed(before); len(got) != 0 {
		t.Errorf("afterwards %q differ", got)
	}
}

// With strict reverse path filters everything works as without.
func TestStrictReversePaths(t *testing.T) {
	if !alone(t) {
		return
	}
	for _, conf := range []string{"all", "default"} {
		must(t, write("/proc/sys/net/ipv4/conf/"+conf+"/rp_filter", "1"))
	}
	client, here := outside(t), host(t)
	front := &definition.Network{Key: "front", Name: "front"}
	web, _ := connect(t, "web", front, definition.Port{Published: 8080, Target: 80, Protocol: "tcp"}, udpPort(5300, 53))
	serve(t, web, ":80")
	serve(t, client, ":80")
	echo(t, web, "web", "[::]:53")
	for _, w := range []struct {
		from *os.File
		to   string
	}{{here, "127.0.0.1:8080"}, {here, "192.0.2.1:8080"}, {client, "192.0.2.1:8080"}, {web, "192.0.2.1:8080"}, {web, "192.0.2.2:80"}} {
		if got, err := ask(t, w.from, w.to); err != nil {
			t.Errorf("%s: %q, %v", w.to, got, err)
		}
	}
	hears(t, "the host over UDP", sender(t, here, "127.0.0.1:5300"), "web")
	hears(t, "outside over UDP", sender(t, client, "192.0.2.1:5300"), "web")
	must(t, releaseAll("web"))
}

// Ranges that the host has addresses in or routes to are left alone.
func TestRangesInUseAreSkipped(t *testing.T) {
	if !alone(t) {
		return
	}
	outside(t)
	wire, err := netlink.LinkByName("wire")
	must(t, err)
	wanted := func(name string) *lease.Network {
		t.Helper()
		d := &definition.Network{Key: name, Name: name, IPv6: true}
		connect(t, name, d)
		n, err := lease.Store{}.Network(name)
		must(t, err)
		must(t, releaseAll(name))
		return n
	}
	first := wanted("front")
	for _, s := range first.Subnets {
		// Another machine behind the wire has all of it.
		route := &netlink.Route{LinkIndex: wire.Attrs().Index, Scope: netlink.SCOPE_LINK,
			Dst: &net.IPNet{IP: s.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(s.Prefix.Bits(), s.Prefix.Addr().BitLen())}}
		must(t, netlink.RouteAdd(route))
	}
	second := wanted("front")
	must(t, addAddress(wire, netip.PrefixFrom(second.Subnets[0].Gateway.Next(), 24)))
	third := wanted("front")
	// A VPN's routes are in a table of its own.
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: wire.Attrs().Index, Scope: netlink.SCOPE_LINK, Table: 52,
		Dst: &net.IPNet{IP: third.Subnets[0].Prefix.Addr().AsSlice(), Mask: net.CIDRMask(third.Subnets[0].Prefix.Bits(), 32)}}))
	fourth := wanted("front")
	seen := []netip.Prefix{}
	for _, n := range []*lease.Network{first, second, third, fourth} {
		if overlapsAny(n.Subnets[0].Prefix, seen) {
			t.Errorf("%s is chosen beside %s", n.Subnets[0].Prefix, seen)
		}
		seen = append(seen, n.Subnets[0].Prefix)
	}
	if overlapsAny(second.Subnets[1].Prefix, []netip.Prefix{first.Subnets[1].Prefix}) {
		t.Errorf("%s is chosen, which has a route", second.Subnets[1].Prefix)
	}
	// What a definition asks for is not replaced in silence.
	d := &definition.Network{Key: "mine", Name: "mine", Subnets: []definition.Subnet{{Subnet: first.Subnets[0].Prefix.String()}}}
	if _, err := Take(Request{Container: "mine", Attachments: on(d)}); err == nil || !strings.Contains(err.Error(), "overlaps") {
		t.Errorf("a range in use gives %v", err)
	}
	must(t, releaseAll("mine"))
}

// Starts at one instant on networks that are made and removed meanwhile.
func TestAtOneInstant(t *testing.T) {
	if !alone(t) {
		return
	}
	before := links(t)
	const count = 12
	d := &definition.Network{Key: "front", Name: "front", IPv6: true}
	for range 5 {
		var all sync.WaitGroup
		claims := make([]*Claim, count)
		errs := make([]error, count)
		spaces := make([]*os.File, count)
		for i := range count {
			spaces[i] = newNamespace(t)
		}
		gate := make(chan struct{})
		for i := range count {
			all.Go(func() {
				<-gate
				if claims[i], errs[i] = Take(Request{Container: fmt.Sprint("c", i), Attachments: on(d), Ports: []definition.Port{{Target: 80, Protocol: "tcp"}}}); errs[i] == nil {
					errs[i] = claims[i].Connect(spaces[i])
				}
			})
		}
		close(gate)
		all.Wait()
		holders := map[any]int{}
		for i, c := range claims {
			must(t, errs[i])
			r := c.Records()[0]
			for _, key := range []any{r.IPv4, r.IPv6, r.MAC, r.Link, r.Ports[0].Port} {
				if other, taken := holders[key]; taken {
					t.Errorf("%v is of %d and %d", key, other, i)
				}
				holders[key] = i
			}
		}
		for i := range count {
			all.Go(func() { errs[i] = releaseAll(fmt.Sprint("c", i)) })
		}
		all.Wait()
		for _, err := range errs {
			must(t, err)
		}
		if after := links(t); after != before {
			t.Fatalf("links: before %s, after %s", before, after)
		}
		if n := rules(t); n != 0 {
			t.Fatalf("%d tables are left", n)
		}
	}
	if _, err := os.Stat(lease.Root()); !os.IsNotExist(err) {
		t.Errorf("files are left: %v", err)
	}
}

// SCTP where the kernel has it.
func TestSCTP(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		t.Skipf("this kernel has no SCTP: %v", err)
	}
	unix.Close(fd)
	if !alone(t) {
		return
	}
	client := outside(t)
	front := &definition.Network{Key: "front", Name: "front"}
	web, _ := connect(t, "web", front, definition.Port{Published: 8080, Target: 80, Protocol: "sctp"})
	var server int
	must(t, within(web, func() (err error) {
		if server, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP); err != nil {
			return err
		}
		if err = unix.Bind(server, &unix.SockaddrInet4{Port: 80}); err != nil {
			return err
		}
		return unix.Listen(server, 1)
	}))
	defer unix.Close(server)
	must(t, within(client, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Connect(fd, &unix.SockaddrInet4{Port: 8080, Addr: [4]byte{192, 0, 2, 1}})
	}))
	must(t, releaseAll("web"))
}
