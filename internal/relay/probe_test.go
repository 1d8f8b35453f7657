// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/relay/order"
)

// ask makes one check to its end.
func ask(t *testing.T, kind, target string) string {
	t.Helper()
	r := &relay{o: &order.Order{Probe: kind, Target: target, Timeout: 10 * time.Second}}
	a, failure := r.socketProbe(time.Now().Add(r.o.Timeout))
	for a != nil {
		fds := slices.Clone(a.fds[:1])
		if _, err := unix.Poll(fds, 10000); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if fds[0].Revents == 0 {
			continue
		}
		done, failed := a.step(int(fds[0].Fd), fds[0].Revents)
		if done {
			a.end()
			return failed
		}
	}
	return failure
}

func TestSocketProbes(t *testing.T) {
	answers := map[string]string{
		"/ok": "HTTP/1.1 204 No Content\r\n\r\n", "/moved": "HTTP/1.0 302 Found\r\n\r\n", "/down": "HTTP/1.1 503 Service Unavailable\r\n\r\n",
		"/silent": "", "/noise": strings.Repeat("x", 1<<20), "/odd": "HTTP/1.1 OK\r\n\r\n",
	}
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 1024)
			n, _ := c.Read(b)
			if f := strings.Fields(string(b[:n])); len(f) > 1 {
				_, _ = c.Write([]byte(answers[f[1]]))
			}
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	// The loopback of the other family takes over where one refuses.
	for _, c := range []struct{ kind, target, want string }{
		{order.ProbeTCP, port, ""}, {order.ProbeTCP, "[::1]:" + port, ""},
		{order.ProbeTCP, "127.0.0.1:" + port, "tcp 127.0.0.1:" + port + ": connection refused"},
		{order.ProbeHTTP, "http://:" + port + "/ok", ""}, {order.ProbeHTTP, "http://:" + port + "/moved", ""},
		{order.ProbeHTTP, "http://:" + port + "/down", "http 503 on /down"},
		{order.ProbeHTTP, "http://:" + port + "/silent", "no http answer on /silent"},
		{order.ProbeHTTP, "http://:" + port + "/noise", "no http answer on /noise"},
		{order.ProbeHTTP, "http://:" + port + "/odd", "no http answer on /odd"},
	} {
		if got := ask(t, c.kind, c.target); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.kind, c.target, got, c.want)
		}
	}
}

// What lets a payload act for its service is left out, and text stays text.
func TestFilter(t *testing.T) {
	got := strings.Join(filter("READY=1\nMAINPID=1\nSTATUS=all \x1b[31mwell\u009b2J\xff\nFDSTORE=1\nWATCHDOG_USEC=1\nNOTIFYACCESS=all\nWATCHDOG=trigger\nBARRIER=1\nEXTEND_TIMEOUT_USEC=5\nRELOADING=1\nSTOPPING=1\nERRNO=2\nERRNO=2;x\nMONOTONIC_USEC=1\nBUSERROR=x\nEXIT_STATUS=0\nREADY"), "|")
	want := "READY=1|STATUS=all  [31mwell 2J|WATCHDOG=trigger|EXTEND_TIMEOUT_USEC=5|RELOADING=1|STOPPING=1|ERRNO=2"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A payload that speaks without end is heard as often as PID 1 can bear, and nothing is
// held back of one that does not.
func TestWordsComeSlowly(t *testing.T) {
	var w words
	start := time.Now()
	hear := func(now time.Time) (heard int) {
		for ; !w.next(now).After(now); heard++ {
			w.passed++
		}
		return heard
	}
	if n := hear(start); n != mostWords {
		t.Errorf("%d at once, want %d", n, mostWords)
	}
	if at := w.next(start); at != start.Add(wordPause) {
		t.Errorf("the next one comes after %v", at.Sub(start))
	}
	all := 0
	for now := start; now.Before(start.Add(time.Second)); now = now.Add(wordPause / 4) {
		all += hear(now)
	}
	if all < 95 || all > 100 {
		t.Errorf("%d in a second", all)
	}
	if n := hear(start.Add(time.Minute)); n != mostWords {
		t.Errorf("%d after a rest, want %d", n, mostWords)
	}
}
