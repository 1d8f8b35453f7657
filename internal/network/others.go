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

// Barrier is a chain of somebody else's that drops what is forwarded, unitc's
// packets too: of all chains at a hook each has to accept, whatever unitc's own
// says (nft(8), verdict statements).
type Barrier struct {
	Chain string   // "ip filter FORWARD"
	Owner string   // who is known to make it, "" = unknown
	Links []string // bridges that it has no rule for
	Cure  string
}

// owners are the programs whose tables are known by a chain, where they leave
// room for rules of others, and how such rules are made.
var owners = []struct {
	name, room string
	cure       func(link string) string
}{
	{"Docker", "DOCKER-USER", func(l string) string {
		return fmt.Sprintf("iptables -I DOCKER-USER -i %[1]s -j ACCEPT && iptables -I DOCKER-USER -o %[1]s -j ACCEPT", l)
	}},
	{"ufw", "ufw-user-forward", ufwCure},
	{"ufw", "ufw6-user-forward", ufwCure},
	{"firewalld", "filter_FORWARD", func(l string) string {
		return "firewall-cmd --permanent --zone=trusted --add-interface=" + l + " && firewall-cmd --reload"
	}},
}

func ufwCure(l string) string {
	return fmt.Sprintf("ufw route allow in on %[1]s && ufw route allow out on %[1]s", l)
}

// Barriers lists the chains that drop by default what unitc's bridges forward,
// or the bridge of lone containers where there is none yet. A chain of a table
// that names a bridge in a rule is taken to let it pass.
func Barriers() ([]Barrier, error) {
	links, err := bridgeLinks()
	if err != nil {
		return nil, err
	}
	c := &nftables.Conn{}
	chains, err := c.ListChains()
	if err != nil {
		return nil, ignoreMissing(fmt.Errorf("listing chains: %w", err))
	}
	var list []Barrier
	for _, ch := range chains {
		if ch.Table.Name == table.Name || ch.Hooknum == nil || *ch.Hooknum != *nftables.ChainHookForward || !drops(ch) {
			continue
		}
		named, err := namedLinks(c, chains, ch.Table)
		if err != nil {
			return nil, err
		}
		missing := slices.DeleteFunc(slices.Clone(links), func(l string) bool { return isNamed(named, l) })
		if len(missing) > 0 {
			list = append(list, barrier(chains, ch, missing))
		}
	}
	return list, nil
}

// drops: firewalld's chain accepts by policy, and rejects by its last rule.
func drops(ch *nftables.Chain) bool {
	return ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop || ch.Table.Name == "firewalld" && ch.Name == "filter_FORWARD"
}

func barrier(chains []*nftables.Chain, ch *nftables.Chain, missing []string) Barrier {
	family := map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet"}[ch.Table.Family]
	b := Barrier{Chain: family + " " + ch.Table.Name + " " + ch.Name, Links: missing}
	cure := func(l string) string {
		return fmt.Sprintf("nft insert rule %[1]s iifname %[2]s accept && nft insert rule %[1]s oifname %[2]s accept", b.Chain, l)
	}
	for _, o := range owners {
		if slices.ContainsFunc(chains, func(other *nftables.Chain) bool { return sameTable(other.Table, ch.Table) && other.Name == o.room }) {
			b.Owner, cure = o.name, o.cure
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

func bridgeLinks() ([]string, error) {
	networks, err := lease.Store{}.Networks()
	if err != nil {
		return nil, err
	}
	var links []string
	for _, n := range networks {
		if n.Driver == lease.Bridge && !n.Internal {
			links = append(links, n.Link)
		}
	}
	if len(links) == 0 {
		links = []string{bridgeName(definition.LoneNetwork)}
	}
	return links, nil
}

// namedLinks are the names that a table's rules compare interfaces with.
func namedLinks(c *nftables.Conn, chains []*nftables.Chain, t *nftables.Table) ([][]byte, error) {
	var names [][]byte
	for _, ch := range chains {
		if !sameTable(ch.Table, t) {
			continue
		}
		rules, err := c.GetRules(ch.Table, ch)
		if err != nil {
			return nil, fmt.Errorf("listing the rules of %s: %w", ch.Name, err)
		}
		for _, r := range rules {
			for i, e := range r.Exprs {
				cmp, ok := e.(*expr.Cmp)
				if !ok || i == 0 {
					continue
				}
				if m, ok := r.Exprs[i-1].(*expr.Meta); ok && (m.Key == expr.MetaKeyIIFNAME || m.Key == expr.MetaKeyOIFNAME) {
					names = append(names, cmp.Data)
				}
			}
		}
	}
	return names, nil
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
