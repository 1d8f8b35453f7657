// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/realm"
)

// The rules stand in a table of unitc's own, so that no other program flushes
// them and none of its are touched. They are the same for any number of
// networks and ports: what differs are elements of sets and maps.
var table = &nftables.Table{Name: "unitc", Family: nftables.TableFamilyINet}

var (
	portKey  = nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
	portKey4 = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	portKey6 = nftables.MustConcatSetType(nftables.TypeIP6Addr, nftables.TypeInetProto, nftables.TypeInetService)
	target4  = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	target6  = nftables.MustConcatSetType(nftables.TypeIP6Addr, nftables.TypeInetService)
	twoLinks = nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIFName)
	two4     = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeIPAddr)
	two6     = nftables.MustConcatSetType(nftables.TypeIP6Addr, nftables.TypeIP6Addr)
)

func set(name string, key nftables.SetDatatype) *nftables.Set {
	s := &nftables.Set{Table: table, Name: name, KeyType: key, Concatenation: strings.Contains(key.Name, " . ")}
	if !s.Concatenation {
		s.KeyByteOrder = binaryutil.NativeEndian // for those who print it
	}
	return s
}

// asking are the bridges that somebody asks for names by, each with how often of late. It
// is the kernel's own: an entry comes with a packet, and goes with the time.
func asking() *nftables.Set {
	s := set("asking", nftables.TypeIFName)
	s.Dynamic, s.HasTimeout, s.Timeout = true, true, time.Minute
	return s
}

// mostAsked are packets to the resolver from one network, at once and in a second. It
// has one queue for all, which one container could keep full: it answers some tens of
// thousands in a second, and one processor sends several times that.
const mostAsked = 6000

// tooMany: more packets by the bridge that this one came by.
func tooMany() match {
	return join(iif(), match{&expr.Dynset{SrcRegKey: reg1, SetName: asking().Name, Operation: unix.NFT_DYNSET_OP_ADD,
		Exprs: []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: mostAsked, Unit: expr.LimitTimeSecond, Burst: mostAsked, Over: true}}}})
}

func mapping(name string, key, value nftables.SetDatatype) *nftables.Set {
	return &nftables.Set{Table: table, Name: name, KeyType: key, DataType: value, IsMap: true, Concatenation: true}
}

func bridges() *nftables.Set    { return set("bridges", nftables.TypeIFName) }
func internals() *nftables.Set  { return set("internal", nftables.TypeIFName) } // without a way out
func masquerade() *nftables.Set { return set("masquerade", nftables.TypeIFName) }
func same() *nftables.Set       { return set("same", twoLinks) } // in and out by the same bridge

// itself has (address, address) for each container with ports.
func itself(v6 bool) *nftables.Set {
	if v6 {
		return set("itself6", two6)
	}
	return set("itself4", two4)
}

func ports(v6, anyHost bool) *nftables.Set {
	switch {
	case v6 && anyHost:
		return mapping("ports6", portKey, target6)
	case v6:
		return mapping("hostports6", portKey6, target6)
	case anyHost:
		return mapping("ports4", portKey, target4)
	}
	return mapping("hostports4", portKey4, target4)
}

func allSets() []*nftables.Set {
	return []*nftables.Set{bridges(), internals(), masquerade(), same(), asking(), itself(false), itself(true), ports(false, true), ports(false, false), ports(true, true), ports(true, false)}
}

// lookUp finds a port: the map gives address and port.
func lookUp(v6, anyHost bool) match {
	proto, load := byte(unix.NFPROTO_IPV4), match{}
	next := uint32(word0)
	if v6 {
		proto = unix.NFPROTO_IPV6
	}
	switch {
	case anyHost && v6:
		load = notLoopback6()
	case anyHost:
	case v6:
		load, next = match{ip6(daddr6, reg1)}, word0+4
	default:
		load, next = match{ip4(daddr4, reg1)}, word0+1
	}
	load = append(load, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: next}, dport(next+1))
	return join(family(proto), load, match{&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: ports(v6, anyHost).Name}})
}

// translate leads to where the port leads.
func translate(v6, anyHost bool) match {
	number, portWord := uint32(unix.NFPROTO_IPV4), uint32(word0+1)
	if v6 {
		number, portWord = unix.NFPROTO_IPV6, word0+4
	}
	return join(lookUp(v6, anyHost), match{&expr.NAT{Type: expr.NATTypeDestNAT, Family: number, RegAddrMin: reg1, RegProtoMin: portWord, Specified: true}})
}

// chain is one chain of the table with its rules in order, each with its reason.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	rules    []rule
}

type rule struct {
	why   string
	match match
}

// transported are the protocols that have ports.
const tcp, udp, icmp6 = unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMPV6

func chains() []chain {
	return []chain{
		// A chain of its own: all other packets of the host look up one set.
		{name: "guard-bridge", rules: []rule{
			{"route_localnet opens the host's loopback to the bridge (CVE-2020-8558)", join(loopback4(daddr4), drop)},
			{"a container speaks for itself only", join(spoofed(), drop)},
			{"who asks for names without end leaves other networks' questions room", join(toResolver(), tooMany(), drop)},
			{"", join(toResolver6(), tooMany(), drop)},
			{"", accept},
		}},
		{name: "guard", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookPrerouting, priority: *nftables.ChainPriorityRaw, rules: []rule{
			{"what containers send", join(fromBridge(), jump("guard-bridge"))},
			{"names are told to containers only", join(toResolver(), drop)},
			{"", join(toResolver6(), drop)},
		}},
		{name: "published", rules: []rule{
			{"names stay unitc's own where a container publishes port 53", join(toResolver(), accept)},
			{"", join(toResolver6(), accept)},
			{"ports of one address of the host", translate(false, false)},
			{"", translate(true, false)},
			{"ports of all its addresses", translate(false, true)},
			{"", translate(true, true)},
		}},
		{name: "prerouting", kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPrerouting, priority: *nftables.ChainPriorityNATDest, rules: []rule{
			{"what comes in", join(toHost(), jump("published"))},
		}},
		{name: "output", kind: nftables.ChainTypeNAT, hook: nftables.ChainHookOutput, priority: *nftables.ChainPriorityNATDest, rules: []rule{
			{"what the host itself sends", join(toHost(), jump("published"))},
		}},
		{name: "closed", rules: []rule{
			{"the host may ask an internal network", join(established(), accept)},
			{"names", join(toResolver(), protocol(udp), match{dport(reg1), equal(0, 53)}, accept)},
			{"", join(toResolver(), protocol(tcp), match{dport(reg1), equal(0, 53)}, accept)},
			{"", join(toResolver6(), protocol(udp), match{dport(reg1), equal(0, 53)}, accept)},
			{"", join(toResolver6(), protocol(tcp), match{dport(reg1), equal(0, 53)}, accept)},
			{"neighbour discovery", join(protocol(icmp6), accept)},
			{"no way out by a service of the host", drop},
		}},
		{name: "stray", rules: []rule{
			{"the host knows nothing of a published port's connections, and would reset them", join(lookUp(false, false), drop)},
			{"", join(lookUp(true, false), drop)},
			{"", join(lookUp(false, true), drop)},
			{"", join(lookUp(true, true), drop)},
		}},
		{name: "input", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookInput, priority: *nftables.ChainPriorityFilter, rules: []rule{
			{"what is not translated, for it came out of turn", join(invalid(), jump("stray"))},
			{"internal networks", join(iif(), in(internals(), false), jump("closed"))},
		}},
		{name: "forward", kind: nftables.ChainTypeFilter, hook: nftables.ChainHookForward, priority: *nftables.ChainPriorityFilter, rules: []rule{
			{"answers, first of all: most packets are", join(established(), accept)},
			{"what is not translated would leave with the container's address", join(iif(), in(masquerade(), false), notToBridge(), invalid(), drop)},
			{"what is not unitc's", join(notFromBridge(), notToBridge(), accept)},
			{"to itself by its own published port, or between two ports of one bridge", join(withinNetwork(), accept)},
			{"internal networks have no way out", join(iif(), in(internals(), false), drop)},
			{"nor one in", join(oif(), in(internals(), false), drop)},
			{"published ports", join(published(), accept)},
			{"networks do not see each other, and nobody outside sees them", join(toBridge(), drop)},
		}},
		{name: "postrouting", kind: nftables.ChainTypeNAT, hook: nftables.ChainHookPostrouting, priority: *nftables.ChainPriorityNATSource, rules: []rule{
			{"a neighbour's answer must come back through the host, that knows the port", join(published(), withinNetwork(), hide)},
			// With br_netfilter the packet never leaves the bridge, and has no way in.
			{"to itself by its own published port", join(toItself(false), hide)},
			{"", join(toItself(true), hide)},
			{"127.0.0.1 cannot be answered from a container", join(loopback4(saddr4), toBridge(), hide)},
			{"the way out", join(iif(), in(masquerade(), false), notToBridge(), hide)},
		}},
	}
}

func hasRules() bool {
	c := &nftables.Conn{}
	t, err := c.ListTableOfFamily(table.Name, table.Family)
	return err == nil && t != nil
}

// makeRules makes the table if it is missing, with all networks that there are,
// and adds one.
func makeRules(locked *lease.Locked, n *lease.Network) error {
	c := transaction()
	networks := []lease.Network{*n}
	var records []lease.Record
	there := hasRules()
	all, err := locked.Networks()
	if err != nil {
		return err
	}
	if there && !slices.ContainsFunc(all, func(other lease.Network) bool { return other.Ready }) {
		// Of networks whose records somebody has removed.
		c.AddTable(table)
		c.DelTable(table)
		there = false
	}
	if !there {
		if err := addTable(c); err != nil {
			return err
		}
		// Somebody has flushed all rules while containers ran.
		for _, other := range all {
			if other.Name == n.Name || other.Driver != lease.Bridge {
				continue
			}
			networks = append(networks, other)
		}
		for _, other := range networks {
			list, err := locked.Records(other.Name)
			if err != nil {
				return err
			}
			records = append(records, list...)
		}
	}
	if err := addElements(c, networks, records); err != nil {
		return err
	}
	return flush(c)
}

// rebuild makes the table of what is recorded, in one transaction: no packet meets
// half of the rules. Ports with x-activation come to their sockets, which lead them
// on with the next connection.
func rebuild(networks []lease.Network, records []lease.Record) error {
	c := transaction()
	c.AddTable(table)
	c.DelTable(table)
	if err := addTable(c); err != nil {
		return err
	}
	if err := addElements(c, networks, records); err != nil {
		return err
	}
	return flush(c)
}

// addElements adds what differs from host to host.
func addElements(c *nftables.Conn, networks []lease.Network, records []lease.Record) error {
	for i := range networks {
		if err := changeMember(&networks[i], c.SetAddElements); err != nil {
			return err
		}
	}
	for i := range records {
		if err := changeItself(&records[i], c.SetAddElements); err != nil {
			return err
		}
		if err := changePorts(&records[i], direct, c.SetAddElements); err != nil {
			return err
		}
	}
	return nil
}

func addTable(c *nftables.Conn) error {
	c.AddTable(table)
	for _, s := range allSets() {
		if err := c.AddSet(s, nil); err != nil {
			return err
		}
	}
	policy := nftables.ChainPolicyAccept
	for _, ch := range chains() {
		made := &nftables.Chain{Name: ch.name, Table: table}
		if ch.hook != nil {
			made.Type, made.Hooknum, made.Priority, made.Policy = ch.kind, ch.hook, &ch.priority, &policy
		}
		c.AddChain(made)
		for _, r := range ch.rules {
			c.AddRule(&nftables.Rule{Table: table, Chain: made, Exprs: r.match})
		}
	}
	return nil
}

// member are the elements that a network is in the sets.
func changeMember(n *lease.Network, change func(*nftables.Set, []nftables.SetElement) error) error {
	name := ifname(n.Link)
	type element struct {
		set *nftables.Set
		key []byte
	}
	list := []element{{bridges(), name}, {same(), slices.Concat(name, name)}}
	if n.Internal {
		list = append(list, element{internals(), name})
	} else if n.Masquerade {
		list = append(list, element{masquerade(), name})
	}
	for _, e := range list {
		if err := change(e.set, []nftables.SetElement{{Key: e.key}}); err != nil {
			return err
		}
	}
	return nil
}

func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// dropRules takes a network out of the sets. To add before deleting makes it no
// matter whether it was there: the batch is one transaction.
func dropRules(n *lease.Network) error {
	c := transaction()
	if err := changeMember(n, c.SetAddElements); err != nil {
		return err
	}
	if err := changeMember(n, c.SetDeleteElements); err != nil {
		return err
	}
	return ignoreMissing(flush(c))
}

// removeRules removes the table.
func removeRules() error {
	c := transaction()
	c.AddTable(table)
	c.DelTable(table)
	return ignoreMissing(flush(c))
}

// ignoreMissing: no table, no rules; and a kernel without nf_tables has none.
func ignoreMissing(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil
	}
	return err
}

func flush(c *nftables.Conn) error {
	if realm.Own() != nil {
		return nil // a user has made no rules
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("changing the table inet unitc: %w", err)
	}
	return nil
}
