// SPDX-License-Identifier: Apache-2.0

package network

import (
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/unitc/unitc/internal/definition"
)

// Whatever others take away of networks while containers run is found, and put
// back by Reload: their table, its rules alone, forwarding, the bridge itself.
func TestReload(t *testing.T) {
	if !alone(t) {
		return
	}
	client := outside(t)
	d := &definition.Network{Key: "front", Name: "front"}
	web, _ := connect(t, "web", d, definition.Port{Published: 8080, Target: 80, Protocol: "tcp"})
	_, idle := connect(t, "idle", d)
	serve(t, web, ":80")
	answers := func() bool { _, err := ask(t, client, "192.0.2.1:8080"); return err == nil }
	for deadline := time.Now().Add(30 * time.Second); !answers(); {
		if time.Now().After(deadline) {
			t.Fatal("the port does not answer")
		}
	}
	if what, err := Missing(); what != "" || err != nil {
		t.Errorf("of a whole network is missing: %q, %v", what, err)
	}
	for name, break_ := range map[string]func() error{
		"nft flush ruleset":            func() error { c := &nftables.Conn{}; c.FlushRuleset(); return c.Flush() },
		"nft flush table inet unitc":   func() error { c := &nftables.Conn{}; c.FlushTable(table); return c.Flush() },
		"sysctl net.ipv4.ip_forward=0": func() error { return write(forward4, "0") },
		"ip link set nomaster": func() error {
			l, err := netlink.LinkByName(idle.Link)
			must(t, err)
			return netlink.LinkSetNoMaster(l)
		},
		"ip link delete": func() error { return deleteLink(bridgeName("front")) },
	} {
		must(t, break_())
		what, err := Missing()
		if err != nil || (what == "") == (strings.HasPrefix(name, "nft") || strings.HasPrefix(name, "ip link")) {
			t.Errorf("after %s is missing: %q, %v", name, what, err)
		}
		names, err := Reload()
		if err != nil || len(names) != 1 || names[0] != "front" {
			t.Errorf("after %s: %q, %v", name, names, err)
		}
		if what, err := Missing(); what != "" || err != nil {
			t.Errorf("after %s and a reload is missing: %q, %v", name, what, err)
		}
		if !answers() {
			t.Errorf("after %s and a reload the port does not answer", name)
		}
		l, err := netlink.LinkByName(idle.Link)
		must(t, err)
		b, err := netlink.LinkByName(bridgeName("front"))
		must(t, err)
		if l.Attrs().MasterIndex != b.Attrs().Index {
			t.Errorf("after %s and a reload a container is on no bridge", name)
		}
	}
	// The next that comes brings those back who were on a bridge that was removed.
	must(t, deleteLink(bridgeName("front")))
	connect(t, "third", d)
	if !answers() {
		t.Error("with a bridge made anew by the next container the port does not answer")
	}
	if what, err := Missing(); what != "" || err != nil {
		t.Errorf("with a bridge made anew by the next container is missing: %q, %v", what, err)
	}
	for _, name := range []string{"web", "idle", "third"} {
		must(t, Release(name, nil))
	}
	if names, err := Reload(); len(names) != 0 || err != nil {
		t.Errorf("without networks: %q, %v", names, err)
	}
	if n := rules(t); n != 0 {
		t.Errorf("%d tables are left", n)
	}
}

func BenchmarkBarriers(b *testing.B) {
	for b.Loop() {
		if _, err := barriers([]path{{link: "unitc0", leads: true}}); err != nil {
			b.Fatal(err)
		}
	}
}
