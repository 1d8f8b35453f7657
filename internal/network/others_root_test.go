// SPDX-License-Identifier: Apache-2.0

package network

import (
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/unitc/unitc/internal/definition"
)

// Docker's FORWARD chain, as iptables-nft makes it, drops what unitc's bridges
// forward: it is found, and what is said to cure it does.
func TestBarriers(t *testing.T) {
	if !alone(t) {
		return
	}
	client := outside(t)
	d := &definition.Network{Key: "front", Name: "front"}
	web, _ := connect(t, "web", d, definition.Port{Published: 8080, Target: 80, Protocol: "tcp"})
	serve(t, web, ":80")
	answers := func() bool { _, err := ask(t, client, "192.0.2.1:8080"); return err == nil }
	for deadline := time.Now().Add(30 * time.Second); !answers(); {
		if time.Now().After(deadline) {
			t.Fatal("the port does not answer without a barrier")
		}
	}
	if list, err := Barriers(); err != nil || len(list) != 0 {
		t.Errorf("without a barrier: %v, %v", list, err)
	}
	c := &nftables.Conn{}
	filter := c.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4})
	policy := nftables.ChainPolicyDrop
	forward := c.AddChain(&nftables.Chain{Name: "FORWARD", Table: filter, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &policy})
	user := c.AddChain(&nftables.Chain{Name: "DOCKER-USER", Table: filter})
	c.AddRule(&nftables.Rule{Table: filter, Chain: forward, Exprs: jump("DOCKER-USER")})
	must(t, c.Flush())
	if answers() {
		t.Error("the port answers behind a chain that drops")
	}
	list, err := Barriers()
	if err != nil || len(list) != 1 {
		t.Fatalf("behind a barrier: %v, %v", list, err)
	}
	link := bridgeName("front")
	if b := list[0]; b.Names || b.Chain != "ip filter FORWARD" || b.Owner != "Docker" || !strings.Contains(b.Cure, "iptables -I DOCKER-USER -i "+link+" -j ACCEPT") {
		t.Errorf("the barrier is %+v", b)
	}
	for _, load := range []match{iif(), oif()} {
		c.InsertRule(&nftables.Rule{Table: filter, Chain: user, Exprs: join(load, match{
			&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: append([]byte(link), 0)}, &expr.Counter{}}, accept)})
	}
	must(t, c.Flush())
	if !answers() {
		t.Error("the cure is none")
	}
	if list, err := Barriers(); err != nil || len(list) != 0 {
		t.Errorf("after the cure: %v, %v", list, err)
	}
	// Their flush is not ours: it takes the barrier away and nothing else.
	c.DelTable(filter)
	must(t, c.Flush())
	if !answers() {
		t.Error("the port does not answer after the other table has gone")
	}
	must(t, releaseAll("web"))
}

// A firewall that drops what the host is asked drops questions for names: that
// is another barrier with another cure, whatever it forwards.
func TestBarriersOfNames(t *testing.T) {
	if !alone(t) {
		return
	}
	d := &definition.Network{Key: "front", Name: "front"}
	connect(t, "web", d)
	link := bridgeName("front")
	for _, test := range []struct{ family, room, owner, cure string }{
		{"ip", "ufw-user-input", "ufw", "ufw allow in on " + link + " to any port 53"},
		{"inet", "elsewhere", "", "nft insert rule inet filter INPUT iifname " + link + " meta l4proto { tcp, udp } th dport 53 accept"},
	} {
		c := &nftables.Conn{}
		family := map[string]nftables.TableFamily{"ip": nftables.TableFamilyIPv4, "inet": nftables.TableFamilyINet}[test.family]
		filter := c.AddTable(&nftables.Table{Name: "filter", Family: family})
		policy := nftables.ChainPolicyDrop
		input := c.AddChain(&nftables.Chain{Name: "INPUT", Table: filter, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &policy})
		room := c.AddChain(&nftables.Chain{Name: test.room, Table: filter})
		aside := c.AddChain(&nftables.Chain{Name: "aside", Table: filter})
		named := func(ch *nftables.Chain) *nftables.Rule {
			return &nftables.Rule{Table: filter, Chain: ch, Exprs: join(iif(), match{&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: append([]byte(link), 0)}}, accept)}
		}
		c.AddRule(&nftables.Rule{Table: filter, Chain: input, Exprs: jump(test.room)})
		c.AddRule(named(aside)) // nothing leads there
		must(t, c.Flush())
		list, err := Barriers()
		if err != nil || len(list) != 1 || !list[0].Names || list[0].Owner != test.owner || list[0].Cure != test.cure {
			t.Errorf("%s: %+v, %v", test.room, list, err)
		}
		c.AddRule(named(room))
		must(t, c.Flush())
		if list, err := Barriers(); err != nil || len(list) != 0 {
			t.Errorf("%s, after the cure: %v, %v", test.room, list, err)
		}
		c.DelTable(filter)
		must(t, c.Flush())
	}
	must(t, releaseAll("web"))
}

// A chain for IPv6 is in the way of networks that have it.
func TestBarriersOfOtherFamilies(t *testing.T) {
	if !alone(t) {
		return
	}
	c := &nftables.Conn{}
	policy := nftables.ChainPolicyDrop
	c.AddChain(&nftables.Chain{Name: "FORWARD", Table: c.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv6}), Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &policy})
	must(t, c.Flush())
	connect(t, "four", &definition.Network{Key: "four", Name: "four"})
	connect(t, "six", &definition.Network{Key: "six", Name: "six", IPv6: true})
	connect(t, "inner", &definition.Network{Key: "inner", Name: "inner", IPv6: true, Internal: true})
	list, err := Barriers()
	if err != nil || len(list) != 1 || len(list[0].Links) != 1 || list[0].Links[0] != bridgeName("six") {
		t.Errorf("%+v, %v", list, err)
	}
	for _, name := range []string{"four", "six", "inner"} {
		must(t, releaseAll(name))
	}
}
