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
