// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/unitc/unitc/internal/network/lease"
)

var (
	web   = netip.MustParseAddr("10.0.0.2")
	db    = netip.MustParseAddr("10.0.0.3")
	db6   = netip.MustParseAddr("fd00::3")
	other = netip.MustParseAddr("10.0.4.2")
	inner = netip.MustParseAddr("10.0.8.2")
)

// records writes three networks: web and db in one, other and inner alone.
func records(t testing.TB) (string, *lease.Locked) {
	t.Helper()
	root := t.TempDir() + "/networks"
	locked, err := lease.Store{Root: root}.Lock()
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []string{"front", "back", "closed"} {
		subnet := netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", 4*i))
		if err := locked.PutNetwork(&lease.Network{Name: n, Driver: lease.Bridge, Internal: n == "closed", Subnets: []lease.Subnet{{Prefix: subnet, Range: subnet}}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []lease.Record{
		{Container: "blog-web", Network: "front", IPv4: web, Links: map[string]string{"Store": "blog-db"}, DNS: []string{"192.0.2.1"}},
		{Container: "blog-db", Network: "front", IPv4: db, IPv6: db6, Aliases: []string{"db", "Database"}},
		{Container: strings.Repeat("long", 20), Network: "front", IPv4: netip.MustParseAddr("10.0.0.4")},
		{Container: "other", Network: "back", IPv4: other},
		{Container: "inner", Network: "closed", IPv4: inner},
	} {
		if err := locked.Put(&r); err != nil {
			t.Fatal(err)
		}
	}
	return root, locked
}

func question(t testing.TB, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{
		{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t *testing.T, b []byte) (dnsmessage.RCode, []string) {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	if m.ID != 7 || !m.Response {
		t.Errorf("the answer's header is %+v", m.Header)
	}
	var list []string
	for _, a := range m.Answers {
		switch body := a.Body.(type) {
		case *dnsmessage.AResource:
			list = append(list, netip.AddrFrom4(body.A).String())
		case *dnsmessage.AAAAResource:
			list = append(list, netip.AddrFrom16(body.AAAA).String())
		case *dnsmessage.PTRResource:
			list = append(list, body.PTR.String())
		}
	}
	return m.RCode, list
}

func TestAnswers(t *testing.T) {
	root, locked := records(t)
	locked.Unlock()
	r := New(root, filepath.Join(t.TempDir(), "absent"))
	r.ask = func(server string, message []byte, _ bool) ([]byte, error) {
		if server != "192.0.2.1" {
			return nil, errors.New("not this one")
		}
		q, _, _ := parse(message)
		return q.reply(dnsmessage.RCodeSuccess, []netip.Addr{netip.MustParseAddr("203.0.113.9")}, ""), nil
	}
	const ok, no, failed = dnsmessage.RCodeSuccess, dnsmessage.RCodeNameError, dnsmessage.RCodeServerFailure
	for _, c := range []struct {
		from   netip.Addr
		name   string
		kind   dnsmessage.Type
		status dnsmessage.RCode
		want   []string
	}{
		{web, "db.", dnsmessage.TypeA, ok, []string{"10.0.0.3"}},
		{web, "DATABASE.", dnsmessage.TypeA, ok, []string{"10.0.0.3"}},
		{web, "blog-db.", dnsmessage.TypeAAAA, ok, []string{"fd00::3"}},
		{web, "store.", dnsmessage.TypeA, ok, []string{"10.0.0.3"}},
		{db, "blog-web.", dnsmessage.TypeAAAA, ok, nil}, // it has none, and is there
		{db, "store.", dnsmessage.TypeA, failed, nil},   // another's own name
		{web, "db.", dnsmessage.TypeMX, ok, nil},
		{web, "3.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, ok, []string{"blog-db."}},
		{web, "3.0.0.10.IN-ADDR.ARPA.", dnsmessage.TypeA, ok, nil},
		{web, "4.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, no, nil}, // of a name that DNS cannot say
		{web, "sTORE.", dnsmessage.TypeAAAA, ok, []string{"fd00::3"}},
		{web, "db.", dnsmessage.Type(65), ok, nil}, // HTTPS
		{web, "9.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, no, nil},
		{db6, "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", dnsmessage.TypePTR, ok, []string{"blog-db."}},
		{web, "example.org.", dnsmessage.TypeA, ok, []string{"203.0.113.9"}},
		{web, "other.", dnsmessage.TypeA, ok, []string{"203.0.113.9"}}, // of a network that it does not see
		{other, "db.", dnsmessage.TypeA, failed, nil},                  // likewise, without a server to ask
		{inner, "example.org.", dnsmessage.TypeA, no, nil},             // no way out by names
		{inner, "inner.", dnsmessage.TypeA, ok, []string{"10.0.8.2"}},
	} {
		asked := question(t, c.name, c.kind)
		answer := r.Answer(asked, c.from, false)
		status, got := read(t, answer)
		// What was asked is repeated, with its capitals.
		if !bytes.HasPrefix(answer[headerSize:], asked[headerSize:]) {
			t.Errorf("%s asks %s: the answer %x is to another question", c.from, c.name, answer)
		}
		if status != c.status || !slices.Equal(got, c.want) {
			t.Errorf("%s asks %s %s: %s %q, want %s %q", c.from, c.kind, c.name, status, got, c.status, c.want)
		}
	}
}

// Who is no container hears nothing, whatever is asked: a datagram may come from an
// address that nobody has. Who is connected is there, and is told.
func TestStrangersHearNothing(t *testing.T) {
	root, locked := records(t)
	locked.Unlock()
	r := New(root, "")
	good := question(t, "db.", dnsmessage.TypeA)
	odd := bytes.Clone(good)
	odd[2] |= 5 << 3 // an update (RFC 2136)
	for _, stranger := range []string{"192.0.2.77", "fd00::dead", "10.0.0.200"} {
		for _, message := range [][]byte{good, odd, good[:len(good)-1]} {
			if answer := r.Answer(message, netip.MustParseAddr(stranger), false); answer != nil {
				t.Errorf("%s asks %x and hears %x", stranger, message, answer)
			}
		}
		if status, _ := read(t, r.Answer(good, netip.MustParseAddr(stranger), true)); status != dnsmessage.RCodeRefused {
			t.Errorf("%s asks over TCP and hears %s", stranger, status)
		}
	}
}

// A record that comes or goes is seen at once.
func TestRecordsComeAndGo(t *testing.T) {
	root, locked := records(t)
	defer locked.Unlock()
	r := New(root, "")
	r.ask = func(string, []byte, bool) ([]byte, error) { return nil, errors.New("nobody") }
	late := lease.Record{Container: "late", Network: "front", IPv4: netip.MustParseAddr("10.0.0.9")}
	for range 50 {
		if err := locked.Put(&late); err != nil {
			t.Fatal(err)
		}
		if _, got := read(t, r.Answer(question(t, "late.", dnsmessage.TypeA), web, false)); len(got) != 1 {
			t.Fatalf("it is there, and the answer is %q", got)
		}
		if err := locked.Drop(&late); err != nil {
			t.Fatal(err)
		}
		if _, got := read(t, r.Answer(question(t, "late.", dnsmessage.TypeA), web, false)); len(got) != 0 {
			t.Fatalf("it is gone, and the answer is %q", got)
		}
	}
}

// Who has ended has no name any more, whoever is to take the record away.
func TestRecordsOfWhoHasEnded(t *testing.T) {
	root, locked := records(t)
	defer locked.Unlock()
	r := New(root, "")
	r.ask = func(string, []byte, bool) ([]byte, error) { return nil, errors.New("nobody") }
	if err := locked.Put(&lease.Record{Container: "blog-db2", Invocation: "2", Network: "front", IPv4: netip.MustParseAddr("10.0.0.9"), Aliases: []string{"db"}}); err != nil {
		t.Fatal(err)
	}
	over := ""
	r.zone.over = func(record *lease.Record) bool { return record.Container+record.Invocation == over }
	for _, c := range []struct{ over, name, want string }{
		{"", "db.", "10.0.0.3 10.0.0.9"}, {"blog-db", "db.", "10.0.0.9"}, {"blog-db22", "db.", "10.0.0.3"}, {"blog-db", "store.", ""},
	} {
		over = c.over
		_, got := read(t, r.Answer(question(t, c.name, dnsmessage.TypeA), web, false))
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s while %q has ended: %q", c.name, c.over, got)
		}
	}
}

// Two changes within one tick of the clock, and a question between them: the
// second is not missed by who asks later.
func TestChangesWithinOneTick(t *testing.T) {
	root, locked := records(t)
	defer locked.Unlock()
	r := New(root, "")
	r.ask = func(string, []byte, bool) ([]byte, error) { return nil, errors.New("nobody") }
	dir := root + "/front"
	now := time.Now()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chtimes(dir, now, now))
	r.Answer(question(t, "late.", dnsmessage.TypeA), web, false)
	must(locked.Put(&lease.Record{Container: "late", Network: "front", IPv4: netip.MustParseAddr("10.0.0.9")}))
	must(os.Chtimes(dir, now, now))
	for time.Since(now) < 2*grain {
		time.Sleep(grain)
	}
	if _, got := read(t, r.Answer(question(t, "late.", dnsmessage.TypeA), web, false)); len(got) != 1 {
		t.Errorf("it is there, and the answer is %q", got)
	}
}

// Servers that do not answer keep questions to them waiting, and no others.
func TestDeadServersBlockNobody(t *testing.T) {
	root, locked := records(t)
	locked.Unlock()
	r := New(root, "")
	ended, began := make(chan struct{}), make(chan struct{}, 1000)
	r.ask = func(string, []byte, bool) ([]byte, error) {
		began <- struct{}{}
		<-ended
		return nil, errors.New("nobody")
	}
	answers := make(chan []byte, 1000)
	ask := question(t, "example.org.", dnsmessage.TypeA)
	for range 100 {
		go func() { answers <- r.Answer(ask, web, false) }()
	}
	for range 64 {
		<-began
	}
	for range 100 - 64 {
		if status, _ := read(t, <-answers); status != dnsmessage.RCodeServerFailure {
			t.Errorf("beyond its share a container hears %s", status)
		}
	}
	if _, got := read(t, r.Answer(question(t, "db.", dnsmessage.TypeA), web, false)); len(got) != 1 {
		t.Errorf("a neighbour's name gives %q meanwhile", got)
	}
	close(ended)
	for range 64 {
		<-answers
	}
	if r.waiting.all != 0 || len(r.waiting.each) != 0 {
		t.Errorf("%d are still waiting, %v", r.waiting.all, r.waiting.each)
	}
}

// All containers of a network ask for what nobody answers: those of others find places.
func TestWaitingNetworkLeavesOthersRoom(t *testing.T) {
	root, locked := records(t)
	const crowded = 8
	for i := range crowded {
		if err := locked.Put(&lease.Record{Container: fmt.Sprint("more-", i), Network: "front", IPv4: netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i)})}); err != nil {
			t.Fatal(err)
		}
	}
	locked.Unlock()
	r := New(root, "")
	ended, began := make(chan struct{}), make(chan struct{}, 1000)
	defer close(ended)
	r.ask = func(string, []byte, bool) ([]byte, error) {
		began <- struct{}{}
		<-ended
		return nil, errors.New("nobody")
	}
	ask, refused := question(t, "example.org.", dnsmessage.TypeA), make(chan []byte, 1000)
	for i := range crowded {
		for range 64 {
			go func() { refused <- r.Answer(ask, netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i)}), false) }()
		}
	}
	// Of 256 places one network leaves as many as it takes.
	for range 128 {
		<-began
	}
	for range crowded*64 - 128 {
		if status, _ := read(t, <-refused); status != dnsmessage.RCodeServerFailure {
			t.Errorf("beyond its share a network hears %s", status)
		}
	}
	go r.Answer(ask, other, false)
	select {
	case <-began:
	case <-time.After(20 * time.Second):
		t.Error("nobody asks for the container of another network")
	}
}

// A client's idle connections leave the others room.
func TestIdleConnectionsBlockNobody(t *testing.T) {
	root, locked := records(t)
	locked.Unlock()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan os.Signal), make(chan error)
	go func() { done <- Serve(New(root, ""), []*os.File{f}, time.Hour, stop) }()
	ask := question(t, "db.", dnsmessage.TypeA)
	var refused error
	for deadline := time.Now().Add(time.Minute); refused == nil && time.Now().Before(deadline); {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if refused = writeTCP(c, ask); refused == nil {
			_, refused = readTCP(c)
		}
	}
	if !errors.Is(refused, io.EOF) && !errors.Is(refused, syscall.ECONNRESET) && !errors.Is(refused, syscall.EPIPE) {
		t.Errorf("beyond its share a client hears %v", refused)
	}
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if err := writeTCP(c, ask); err != nil {
		t.Fatal(err)
	}
	if answer, err := readTCP(c); err != nil {
		t.Errorf("another client hears %x, %v", answer, err)
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLongAnswersGoOverTCP(t *testing.T) {
	root, locked := records(t)
	for i := range 60 {
		r := lease.Record{Container: fmt.Sprint("many-", i), Network: "front", IPv4: lease.Nth(netip.MustParsePrefix("10.0.0.0/24"), uint64(100+i)), Aliases: []string{"many"}}
		if err := locked.Put(&r); err != nil {
			t.Fatal(err)
		}
	}
	locked.Unlock()
	r := New(root, "")
	over := r.Answer(question(t, "many.", dnsmessage.TypeA), web, false)
	var m dnsmessage.Message
	if err := m.Unpack(over); err != nil || !m.Truncated || len(m.Answers) != 30 || len(over) > smallest {
		t.Errorf("over UDP: %v, %+v with %d answers in %d bytes", err, m.Header, len(m.Answers), len(over))
	}
	if _, got := read(t, r.Answer(question(t, "many.", dnsmessage.TypeA), web, true)); len(got) != 60 {
		t.Errorf("over TCP: %d answers", len(got))
	}
	var list []netip.Addr
	for range 5000 {
		list = append(list, web)
	}
	q, _, _ := parse(question(t, "many.", dnsmessage.TypeA))
	if b := q.truncated(list, largest); m.Unpack(b) != nil || !m.Truncated || len(b) > largest || len(b) < largest-100 {
		t.Errorf("more than TCP has room for: %d bytes, %+v", len(b), m.Header)
	}
}

// Serve ends when nobody asks, and a question that comes meanwhile waits in
// the socket for the next one.
func TestServeEndsWhenIdle(t *testing.T) {
	root, locked := records(t)
	if err := locked.Put(&lease.Record{Container: "here", Network: "front", IPv4: netip.MustParseAddr("127.0.0.1")}); err != nil {
		t.Fatal(err)
	}
	locked.Unlock()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	client, err := net.DialUDP("udp", nil, c.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 2 {
		if _, err := client.Write(question(t, "db.", dnsmessage.TypeA)); err != nil {
			t.Fatal(err)
		}
		f, err := c.File()
		if err != nil {
			t.Fatal(err)
		}
		if err := Serve(New(root, ""), []*os.File{f}, 50*time.Millisecond, nil); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, smallest)
		_ = client.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := client.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := read(t, b[:n]); !slices.Equal(got, []string{"10.0.0.3"}) {
			t.Errorf("it hears %q", got)
		}
	}
}

// A question that is being answered when the end comes is answered still.
func TestServeAnswersWhatItHasRead(t *testing.T) {
	root, locked := records(t)
	defer locked.Unlock()
	if err := locked.Put(&lease.Record{Container: "local", Network: "front", IPv4: netip.MustParseAddr("127.0.0.1")}); err != nil {
		t.Fatal(err)
	}
	r := New(root, filepath.Join(root, "resolv"))
	if err := os.WriteFile(filepath.Join(root, "resolv"), []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	began, ended := make(chan struct{}), make(chan struct{})
	r.ask = func(_ string, message []byte, _ bool) ([]byte, error) {
		close(began)
		<-ended
		q, _, _ := parse(message)
		return q.reply(dnsmessage.RCodeSuccess, nil, ""), nil
	}
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.DialUDP("udp", nil, c.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	stop, done := make(chan os.Signal), make(chan bool)
	s := newServer(r)
	if err := s.add(f); err != nil {
		t.Fatal(err)
	}
	go func() { s.run(time.Hour, stop); close(done) }()
	if _, err := client.Write(question(t, "example.org.", dnsmessage.TypeA)); err != nil {
		t.Fatal(err)
	}
	<-began
	close(stop)
	s.readers.Wait() // nothing is read any more
	close(ended)
	_ = client.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := client.Read(make([]byte, smallest)); err != nil {
		t.Error(err)
	}
	<-done
}
