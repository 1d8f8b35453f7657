// SPDX-License-Identifier: Apache-2.0

package network

import (
	"net"
	"net/netip"
	"testing"
)

// Who listens at the very address counts, and nobody who listens at all of them or
// is connected from it.
func TestListens(t *testing.T) {
	at := func(l net.Addr) netip.AddrPort { return l.(*net.TCPAddr).AddrPort() }
	one, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	all, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	c, err := net.Dial("tcp4", one.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !listens(at(one.Addr())) {
		t.Errorf("nobody listens at %s", one.Addr())
	}
	for what, a := range map[string]netip.AddrPort{
		"a listener at all addresses": netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at(all.Addr()).Port()),
		"a client":                    at(c.LocalAddr()),
		"another address":             netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), at(one.Addr()).Port()),
	} {
		if listens(a) {
			t.Errorf("%s is taken for a listener at %s", what, a)
		}
	}
	one.Close()
	if listens(at(one.Addr())) {
		t.Errorf("somebody listens at %s, which is closed", one.Addr())
	}
}
