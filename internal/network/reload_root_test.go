// SPDX-License-Identifier: Apache-2.0

package network

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
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
		must(t, releaseAll(name))
	}
	if names, err := Reload(); len(names) != 0 || err != nil {
		t.Errorf("without networks: %q, %v", names, err)
	}
	if n := rules(t); n != 0 {
		t.Errorf("%d tables are left", n)
	}
}

// Records that somebody has removed (rm -rf /run/unitc) leave rules that nobody
// takes away: they are in the way of no start, of the same ports neither.
func TestRecordsRemoved(t *testing.T) {
	if !alone(t) {
		return
	}
	client := outside(t)
	port := definition.Port{Published: 8080, Target: 80, Protocol: "tcp"}
	for name, forget := range map[string]string{"all": lease.Root(), "of one network": lease.Root() + "/front"} {
		other := &definition.Network{Key: "other", Name: "other"}
		connect(t, "other", other)
		d := &definition.Network{Key: "front", Name: "front"}
		connect(t, "web", d, port)
		must(t, os.RemoveAll(forget))
		must(t, os.RemoveAll(lease.Root()+"/.ports"))
		web, _ := connect(t, "again", &definition.Network{Key: "back", Name: "back"}, port)
		serve(t, web, ":80")
		var err error
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
			if _, err = ask(t, client, "192.0.2.1:8080"); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("%s: the port does not answer: %v", name, err)
		}
		for _, c := range []string{"again", "web", "other"} {
			must(t, releaseAll(c))
		}
		must(t, Sweep())
		for _, n := range []string{"front", "other"} {
			must(t, deleteLink(bridgeName(n)))
		}
		if n := rules(t); n != 0 {
			t.Errorf("%s: %d tables are left", name, n)
		}
	}
}

func BenchmarkBarriers(b *testing.B) {
	for b.Loop() {
		if _, err := barriers([]path{{link: "unitc0", leads: true}}); err != nil {
			b.Fatal(err)
		}
	}
}
