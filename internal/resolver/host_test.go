// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/unitc/unitc/internal/network/lease"
)

func TestHostsQuestions(t *testing.T) {
	root, locked := records(t)
	subnet := netip.MustParsePrefix("10.0.12.0/24")
	if err := locked.PutNetwork(&lease.Network{Name: "beside", Driver: lease.Macvlan, Subnets: []lease.Subnet{{Prefix: subnet, Range: subnet}}}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []lease.Record{
		{Container: "blog-db", Network: "back", IPv4: netip.MustParseAddr("10.0.4.3"), Aliases: []string{"DB"}},
		{Container: "machine", Network: "beside", IPv4: netip.MustParseAddr("10.0.12.2")},
	} {
		if err := locked.Put(&r); err != nil {
			t.Fatal(err)
		}
	}
	locked.Unlock()
	h := NewHost(root)
	const ok, no, refused = dnsmessage.RCodeSuccess, dnsmessage.RCodeNameError, dnsmessage.RCodeRefused
	for _, c := range []struct {
		name   string
		kind   dnsmessage.Type
		status dnsmessage.RCode
		want   []string
	}{
		{"blog-web.unitc.internal.", dnsmessage.TypeA, ok, []string{"10.0.0.2"}},
		{"Blog-Web.UNITC.internal.", dnsmessage.TypeA, ok, []string{"10.0.0.2"}},
		{"blog-db.unitc.internal.", dnsmessage.TypeA, ok, []string{"10.0.0.3", "10.0.4.3"}},
		{"blog-db.unitc.internal.", dnsmessage.TypeAAAA, ok, []string{"fd00::3"}},
		{"db.front.unitc.internal.", dnsmessage.TypeA, ok, []string{"10.0.0.3"}},
		{"db.back.unitc.internal.", dnsmessage.TypeA, ok, []string{"10.0.4.3"}},
		{"blog-db.back.unitc.internal.", dnsmessage.TypeA, ok, []string{"10.0.4.3"}},
		{"inner.unitc.internal.", dnsmessage.TypeA, ok, []string{"10.0.8.2"}}, // of an internal network, which the host may reach
		{"db.unitc.internal.", dnsmessage.TypeA, no, nil},                     // of which network?
		{"store.unitc.internal.", dnsmessage.TypeA, no, nil},                  // a container's own name for another
		{"machine.unitc.internal.", dnsmessage.TypeA, no, nil},                // the host does not reach it
		{"db.closed.unitc.internal.", dnsmessage.TypeA, no, nil},
		{"unitc.internal.", dnsmessage.TypeA, ok, nil},
		{"3.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, ok, []string{"blog-db.unitc.internal."}},
		{"9.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, no, nil},
		{"4.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, no, nil}, // of a name that DNS cannot say
		{"1.2.0.192.in-addr.arpa.", dnsmessage.TypePTR, refused, nil},
		{"blog-web.", dnsmessage.TypeA, refused, nil},
		{"xunitc.internal.", dnsmessage.TypeA, refused, nil},
		{"example.org.", dnsmessage.TypeA, refused, nil},
	} {
		status, got := read(t, h.Answer(question(t, c.name, c.kind), netip.MustParseAddr("127.0.0.1"), false))
		slices.Sort(got)
		if status != c.status || !slices.Equal(got, c.want) {
			t.Errorf("%s %v: %v %q, not %v %q", c.name, c.kind, status, got, c.status, c.want)
		}
	}
}

// What containers ask below the domain is told from their own networks: the host's
// servers, which may lead back here, would tell them of all.
func TestContainersQuestionsInTheDomain(t *testing.T) {
	root, locked := records(t)
	locked.Unlock()
	r := New(root, filepath.Join(t.TempDir(), "absent"))
	r.ask = func(_ string, message []byte, _ bool) ([]byte, error) {
		q, _, _ := parse(message)
		if strings.HasSuffix(q.name, Domain) {
			t.Errorf("%s was asked of another server", q.name)
		}
		return q.reply(dnsmessage.RCodeSuccess, nil, ""), nil
	}
	const ok, no = dnsmessage.RCodeSuccess, dnsmessage.RCodeNameError
	for _, c := range []struct {
		name   string
		status dnsmessage.RCode
		want   []string
	}{
		{"blog-db.unitc.internal.", ok, []string{"10.0.0.3"}},
		{"db.front.unitc.internal.", ok, []string{"10.0.0.3"}},
		{"other.unitc.internal.", no, nil},
		{"other.back.unitc.internal.", no, nil},
		{"unitc.internal.", ok, nil},
	} {
		status, got := read(t, r.Answer(question(t, c.name, dnsmessage.TypeA), web, false))
		if status != c.status || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v %q, not %v %q", c.name, status, got, c.status, c.want)
		}
	}
}
