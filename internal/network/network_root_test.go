// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
)

// alone runs the calling test once more in a network and a /run of its own.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if os.Getenv("UNITC_ALONE") == t.Name() {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		// The view of this network, for what is written below it.
		if err := syscall.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "UNITC_ALONE="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// newNamespace makes a network namespace with its loopback up.
func newNamespace(t *testing.T) *os.File {
	t.Helper()
	runtime.LockOSThread()
	own, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if back := netns.Set(own); err != nil || back != nil {
		t.Fatal(err, back)
	}
	own.Close()
	runtime.UnlockOSThread()
	f := os.NewFile(uintptr(ns), "netns")
	t.Cleanup(func() { f.Close() })
	return f
}

// serve answers each connection with the client's address.
func serve(t *testing.T, ns *os.File, address string) {
	t.Helper()
	var l net.Listener
	if err := within(ns, func() (err error) { l, err = net.Listen("tcp", address); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, c.RemoteAddr())
			c.Close()
		}
	}()
}

// ask connects from a namespace and gives the answer.
func ask(t *testing.T, ns *os.File, address string) (string, error) {
	t.Helper()
	var answer string
	err := within(ns, func() error {
		// Dialing stays on this thread: one address, one attempt.
		c, err := dial(address)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 100)
		n, err := c.Read(b)
		answer = string(b[:n])
		return err
	})
	return answer, err
}

func dial(address string) (net.Conn, error) {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{Timeout: 2 * time.Second, FallbackDelay: -1}).Dial("tcp", a.String())
}

func host(t *testing.T) *os.File {
	t.Helper()
	ns, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(ns), "host")
}

// outside is another machine on a wire with the host: 192.0.2.2 and 2001:db8::2.
func outside(t *testing.T) *os.File {
	t.Helper()
	ns := newNamespace(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "wire"
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "wire", PeerNamespace: netlink.NsFd(ns.Fd())}))
	up := func(last string) error {
		l, err := netlink.LinkByName("wire")
		if err != nil {
			return err
		}
		for _, p := range []string{"192.0.2." + last + "/24", "2001:db8::" + last + "/64"} {
			if err := addAddress(l, netip.MustParsePrefix(p)); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(l)
	}
	must(t, up("1"))
	must(t, within(ns, func() error { return up("2") }))
	return ns
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func on(d *definition.Network) []Attachment {
	return []Attachment{{Attachment: definition.Attachment{Network: d.Name}, Definition: d}}
}

func connect(t *testing.T, name string, d *definition.Network, ports ...definition.Port) (*os.File, *lease.Record) {
	t.Helper()
	ns := newNamespace(t)
	c, err := Take(Request{Container: name, Attachments: on(d), Ports: ports})
	must(t, err)
	must(t, c.Connect(ns))
	return ns, c.Records()[0]
}

func rules(t *testing.T) int {
	t.Helper()
	list, err := (&nftables.Conn{}).ListTables()
	must(t, err)
	return len(list)
}

func links(t *testing.T) string {
	t.Helper()
	list, err := netlink.LinkList()
	must(t, err)
	var names []string
	for _, l := range list {
		names = append(names, l.Attrs().Name)
	}
	return strings.Join(names, " ")
}

// The ways are the same whether packets inside a bridge pass the rules (br_netfilter, which
// comes with kubernetes, say) or not.
func TestWays(t *testing.T) { ways(t, "1") }

func TestWaysWithoutBridgeNetfilter(t *testing.T) { ways(t, "0") }

func ways(t *testing.T, bridgeNetfilter string) {
	if !alone(t) {
		return
	}
	if err := write("/proc/sys/net/bridge/bridge-nf-call-iptables", bridgeNetfilter); err == nil {
		must(t, write("/proc/sys/net/bridge/bridge-nf-call-ip6tables", bridgeNetfilter))
	}
	before := links(t)
	client, here := outside(t), host(t)
	front := &definition.Network{Key: "front", Name: "front", IPv6: true}
	back := &definition.Network{Key: "back", Name: "back", IPv6: true}
	inner := &definition.Network{Key: "inner", Name: "inner", Internal: true}
	web, webAt := connect(t, "web", front, definition.Port{Published: 8080, Target: 80, Protocol: "tcp"}, definition.Port{HostIP: "127.0.0.1", Published: 8081, Target: 80, Protocol: "tcp"})
	app, appAt := connect(t, "app", front)
	other, _ := connect(t, "other", back)
	closed, _ := connect(t, "closed", inner)
	for _, ns := range []*os.File{web, app} {
		serve(t, ns, ":80")
	}
	serve(t, client, ":7000")
	serve(t, here, ":7000")
	if link, err := netlink.LinkByName(webAt.Link); err != nil || link.Attrs().NumTxQueues != 1 || link.Attrs().NumRxQueues != 1 {
		t.Errorf("the link has not one queue: %+v, %v", link, err)
	}
	v4, v6 := webAt.IPv4.String(), webAt.IPv6.String()
	for _, w := range []struct {
		name string
		from *os.File
		to   string
		// want is how the answer begins, the client's address as the server saw it;
		// "" = no way.
		want string
	}{
		{"outside to port", client, "192.0.2.1:8080", "192.0.2.2:"},
		{"outside to port, IPv6", client, "[2001:db8::1]:8080", "[2001:db8::2]:"},
		{"outside to loopback's port", client, "192.0.2.1:8081", ""},
		{"outside to the container itself", client, v4 + ":80", ""},
		{"host to port", here, "192.0.2.1:8080", "192.0.2.1:"},
		{"host to port, loopback", here, "127.0.0.1:8080", "10."},
		{"host to port, loopback alone", here, "127.0.0.1:8081", "10."},
		{"host to port, IPv6", here, "[2001:db8::1]:8080", "[2001:db8::1]:"},
		{"host to container", here, v4 + ":80", "10."},
		{"hairpin", web, "192.0.2.1:8080", "10."},
		{"hairpin, IPv6", web, "[2001:db8::1]:8080", "[fd"},
		{"neighbour to port", app, "192.0.2.1:8080", "10."},
		{"neighbour to neighbour", app, v4 + ":80", appAt.IPv4.String() + ":"},
		{"neighbour to neighbour, IPv6", app, "[" + v6 + "]:80", "[" + appAt.IPv6.String() + "]:"},
		{"container to outside", web, "192.0.2.2:7000", "192.0.2.1:"},
		{"container to outside, IPv6", web, "[2001:db8::2]:7000", "[2001:db8::1]:"},
		{"container to host", web, "192.0.2.1:7000", v4 + ":"},
		{"other network to port", other, "192.0.2.1:8080", "10."},
		{"other network to container", other, v4 + ":80", ""},
		{"other network to container, IPv6", other, "[" + v6 + "]:80", ""},
		{"internal to outside", closed, "192.0.2.2:7000", ""},
		{"internal to host", closed, "192.0.2.1:7000", ""},
		{"internal to port", closed, "192.0.2.1:8080", ""},
	} {
		got, err := ask(t, w.from, w.to)
		for deadline := time.Now().Add(20 * time.Second); w.want != "" && err != nil && time.Now().Before(deadline); {
			got, err = ask(t, w.from, w.to) // a new wire takes its time to be usable
		}
		switch {
		case w.want == "" && err == nil:
			t.Errorf("%s: answered %q, and there should be no way", w.name, got)
		case w.want != "" && (err != nil || !strings.HasPrefix(got, w.want)):
			t.Errorf("%s: %q, %v; want %s…", w.name, got, err, w.want)
		}
	}
	// Clients try ::1 first for "localhost": they must hear no at once.
	if got, err := ask(t, here, "[::1]:8080"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("::1: %q, %v", got, err)
	}
	t.Log(ask(t, client, "[2001:db8::1]:8080"))
	_, err := Take(Request{Container: "late", Attachments: on(front), Ports: []definition.Port{{Published: 8080, Target: 1, Protocol: "tcp"}}})
	if err == nil || !strings.Contains(err.Error(), "web.service") {
		t.Errorf("a taken port gives %v", err)
	}
	_, err = Take(Request{Container: "late", Attachments: on(front), Ports: []definition.Port{{Published: 7000, Target: 1, Protocol: "tcp", Item: 3}}})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) || !strings.HasPrefix(err.Error(), "ports[3]: ") {
		t.Errorf("a port in use gives %v", err)
	}
	if os.Getenv("UNITC_SHOW") != "" {
		out, _ := exec.Command("sh", "-c", os.Getenv("UNITC_SHOW")).CombinedOutput()
		t.Logf("%s", out)
	}
	for _, name := range []string{"web", "app", "other", "closed", "late"} {
		must(t, releaseAll(name))
		must(t, releaseAll(name))
	}
	if after := links(t); after != before+" wire" {
		t.Errorf("links: before %s, after %s", before, after)
	}
	if n := rules(t); n != 0 {
		t.Errorf("%d tables are left", n)
	}
	if _, err := os.Stat(lease.Root()); !os.IsNotExist(err) {
		out, _ := exec.Command("find", lease.Root()).CombinedOutput()
		t.Errorf("files are left: %s", out)
	}
}

// releaseAll is what the end of the last container comes to.
func releaseAll(container string) error {
	if err := Release(container); err != nil {
		return err
	}
	return Sweep()
}
