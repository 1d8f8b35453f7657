// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
)

// Barrier is a chain of somebody else's that drops what containers send or are
// sent: of all chains at a hook each has to accept, whatever unitc's own says
// (nft(8), verdict statements).
type Barrier struct {
	Chain string   // "ip filter FORWARD"
	Owner string   // who is known to make it, "" = unknown
	Names bool     // it drops questions for names; else what is forwarded
	Ports bool     // it lets published ports pass all the same
	Links []string // bridges that it has no rule for
	Cure  string
}

// String is the barrier in a sentence without its cure.
func (b *Barrier) String() string {
	what := b.Chain
	if b.Owner != "" {
		what += " (" + b.Owner + "'s)"
	}
	if b.Names {
		return what + " drops what containers ask the host: they find no names"
	}
	if b.Ports {
		return what + " drops what is forwarded: the way out of networks does not work"
	}
	return what + " drops what is forwarded: published ports and the way out of networks do not work"
}

// owners are the programs whose tables are known by a chain, where they leave
// room for rules of others, and how such rules are made. unitc makes none of
// them itself: what another firewall forbids is for its administrator to allow.
var owners = []struct {
	name  string
	names bool // the chain is on the way of questions for names
	ports bool // it accepts whatever has been translated by a rule
	room  string
	cure  func(link string) string
}{
	{"Docker", false, false, "DOCKER-USER", func(l string) string {
		return fmt.Sprintf("iptables -I DOCKER-USER -i %[1]s -j ACCEPT && iptables -I DOCKER-USER -o %[1]s -j ACCEPT", l)
	}},
	{"ufw", false, false, "ufw-user-forward", ufwCure},
	{"ufw", false, false, "ufw6-user-forward", ufwCure},
	{"ufw", true, false, "ufw-user-input", ufwNamesCure},
	{"ufw", true, false, "ufw6-user-input", ufwNamesCure},
	{"firewalld", false, true, "filter_FORWARD", firewalldCure},
	{"firewalld", true, false, "filter_INPUT", firewalldCure},
}

func ufwCure(l string) string {
	return fmt.Sprintf("ufw route allow in on %[1]s && ufw route allow out on %[1]s", l)
}

func ufwNamesCure(l string) string { return "ufw allow in on " + l + " to any port 53" }

func firewalldCure(l string) string {
	return "firewall-cmd --permanent --zone=trusted --add-interface=" + l + " && firewall-cmd --reload"
}

// path is a bridge and what passes it.
type path struct {
	link      string
	v6, leads bool // it has IPv6, it leads out
}

// Barriers lists the chains that drop by default what passes unitc's bridges,
// or the bridge of lone containers where there is none yet. A chain is taken to
// let a bridge pass if a rule on its way names it.
func Barriers() ([]Barrier, error) {
	networks, err := lease.Store{}.Networks()
	if err != nil {
		return nil, err
	}
	var paths []path
	for i := range networks {
		if n := &networks[i]; n.Driver == lease.Bridge {
			paths = append(paths, pathOf(n))
		}
	}
	if len(paths) == 0 {
		paths = []path{{link: bridgeName(definition.LoneNetwork), leads: true}}
	}
	return barriers(paths)
}

// Barriers are those on the way of the container's own networks.
func (c *Claim) Barriers() ([]Barrier, error) {
	var paths []path
	if c.usersBridges() {
		return nil, nil // no firewall of the host's stands between them
	}
	for _, p := range c.places {
		if p.network.Driver == lease.Bridge {
			paths = append(paths, pathOf(p.network))
		}
	}
	if len(paths) == 0 {
		return nil, nil
	}
	return barriers(paths)
}

func pathOf(n *lease.Network) path {
	_, v6 := families(n)
	return path{n.Link, v6, !n.Internal}
}

func barriers(paths []path) ([]Barrier, error) {
	c := &nftables.Conn{}
	chains, err := c.ListChains()
	if err != nil {
		return nil, ignoreMissing(fmt.Errorf("listing chains: %w", err))
	}
	var list []Barrier
	for _, ch := range chains {
		names, ok := onTheWay(ch)
		if !ok || !drops(ch) {
			continue
		}
		named, err := namedLinks(c, chains, ch)
		if err != nil {
			return nil, err
		}
		var missing []string
		for _, p := range paths {
			concerned := (names || p.leads) && (p.v6 || ch.Table.Family != nftables.TableFamilyIPv6)
			if concerned && !isNamed(named, p.link) {
				missing = append(missing, p.link)
			}
		}
		if len(missing) > 0 {
			list = append(list, barrier(chains, ch, names, missing))
		}
	}
	return list, nil
}

// onTheWay tells whether a chain of somebody else's sees what is forwarded, or
// what the host itself is asked.
func onTheWay(ch *nftables.Chain) (names, ok bool) {
	if ch.Table.Name == table.Name || ch.Hooknum == nil || !slices.Contains([]nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6, nftables.TableFamilyINet}, ch.Table.Family) {
		return false, false
	}
	names = *ch.Hooknum == *nftables.ChainHookInput
	return names, names || *ch.Hooknum == *nftables.ChainHookForward
}

// drops: firewalld's chains accept by policy, and reject by their last rules.
func drops(ch *nftables.Chain) bool {
	return ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop || ch.Table.Name == "firewalld" && (ch.Name == "filter_FORWARD" || ch.Name == "filter_INPUT")
}

func barrier(chains []*nftables.Chain, ch *nftables.Chain, names bool, missing []string) Barrier {
	family := map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet"}[ch.Table.Family]
	b := Barrier{Chain: family + " " + ch.Table.Name + " " + ch.Name, Names: names, Links: missing}
	cure := func(l string) string {
		if names {
			return fmt.Sprintf("nft insert rule %s iifname %s meta l4proto { tcp, udp } th dport 53 accept", b.Chain, l)
		}
		return fmt.Sprintf("nft insert rule %[1]s iifname %[2]s accept && nft insert rule %[1]s oifname %[2]s accept", b.Chain, l)
	}
	for _, o := range owners {
		if o.names == names && slices.ContainsFunc(chains, func(other *nftables.Chain) bool { return sameTable(other.Table, ch.Table) && other.Name == o.room }) {
			b.Owner, b.Ports, cure = o.name, o.ports, o.cure
			if family == "ip6" {
				cure = func(l string) string { return strings.ReplaceAll(o.cure(l), "iptables ", "ip6tables ") }
			}
			break
		}
	}
	var cures []string
	for _, l := range missing {
		cures = append(cures, cure(l))
	}
	b.Cure = strings.Join(cures, "; ")
	return b
}

func sameTable(a, b *nftables.Table) bool { return a.Name == b.Name && a.Family == b.Family }

// namedLinks are the names that rules compare interfaces with, in a chain and in
// those that it leads to.
func namedLinks(c *nftables.Conn, chains []*nftables.Chain, base *nftables.Chain) ([][]byte, error) {
	var names [][]byte
	queue, seen := []string{base.Name}, map[string]bool{base.Name: true}
	for len(queue) > 0 {
		i := slices.IndexFunc(chains, func(ch *nftables.Chain) bool { return sameTable(ch.Table, base.Table) && ch.Name == queue[0] })
		queue = queue[1:]
		if i < 0 {
			continue // it has gone meanwhile
		}
		rules, err := c.GetRules(chains[i].Table, chains[i])
		if err != nil {
			return nil, fmt.Errorf("listing the rules of %s: %w", chains[i].Name, err)
		}
		for _, r := range rules {
			links, jumps := readRule(r)
			names = append(names, links...)
			for _, to := range jumps {
				if !seen[to] {
					queue, seen[to] = append(queue, to), true
				}
			}
		}
	}
	return names, nil
}

// readRule finds the interfaces that a rule names, and the chains that it leads to.
func readRule(r *nftables.Rule) (links [][]byte, jumps []string) {
	for i, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Verdict:
			if e.Chain != "" {
				jumps = append(jumps, e.Chain)
			}
		case *expr.Cmp:
			if i == 0 {
				continue
			}
			if m, ok := r.Exprs[i-1].(*expr.Meta); ok && (m.Key == expr.MetaKeyIIFNAME || m.Key == expr.MetaKeyOIFNAME) {
				links = append(links, e.Data)
			}
		}
	}
	return links, jumps
}

// isNamed: a name ends with a NUL, unless it is the beginning of others.
func isNamed(names [][]byte, link string) bool {
	return slices.ContainsFunc(names, func(n []byte) bool {
		if i := bytes.IndexByte(n, 0); i >= 0 {
			return string(n[:i]) == link
		}
		return len(n) > 0 && strings.HasPrefix(link, string(n))
	})
}
