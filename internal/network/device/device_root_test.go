// SPDX-License-Identifier: Apache-2.0

package device

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

type devices = map[string]specs.LinuxNetDevice

// alone runs the calling test once more in a network of its own.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if os.Getenv("UNITC_ALONE") == t.Name() {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "UNITC_ALONE="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// container is a new network namespace, and a door into it.
func container(t *testing.T) (*os.File, *netlink.Handle) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := netns.Get()
	must(t, err)
	defer own.Close()
	ns, err := netns.New()
	must(t, err)
	must(t, netns.Set(own))
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(h.Close)
	f := os.NewFile(uintptr(ns), "ns")
	t.Cleanup(func() { f.Close() })
	return f, h
}

// veth makes a pair and gives the first end the addresses.
func veth(t *testing.T, name string, addresses ...string) netlink.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, 1400
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "p-" + name}))
	link, err := netlink.LinkByName(name)
	must(t, err)
	must(t, netlink.LinkSetUp(link))
	for _, text := range addresses {
		a, err := netlink.ParseAddr(text)
		must(t, err)
		a.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(link, a))
	}
	return link
}

func here(name string) bool { _, err := netlink.LinkByName(name); return err == nil }

func TestMove(t *testing.T) {
	if !alone(t) {
		return
	}
	ns, inside := container(t)
	before := veth(t, "eth1", "192.0.2.7/24", "2001:db8::7/64", "198.51.100.1/32")
	// Neither of these is permanent and global.
	passing, linkScope := &netlink.Addr{IPNet: prefix("192.0.2.8/24"), ValidLft: 3600, PreferedLft: 3600}, &netlink.Addr{IPNet: prefix("169.254.1.1/16"), Scope: unix.RT_SCOPE_LINK}
	must(t, netlink.AddrAdd(before, passing))
	must(t, netlink.AddrAdd(before, linkScope))
	veth(t, "eth2")
	veth(t, "eth3")
	must(t, Move(ns, devices{"eth1": {Name: "lan0"}, "eth2": {}, "eth3": {Name: "net%d"}}))
	for _, name := range []string{"eth1", "eth2", "eth3"} {
		if here(name) {
			t.Errorf("%s is still the host's", name)
		}
	}
	for _, name := range []string{"lan0", "eth2", "net0"} {
		link, err := inside.LinkByName(name)
		must(t, err)
		if a := link.Attrs(); a.Flags&net.FlagUp == 0 || a.MTU != 1400 {
			t.Errorf("%s: %v, mtu %d", name, a.Flags, a.MTU)
		}
	}
	after, err := inside.LinkByName("lan0")
	must(t, err)
	if after.Attrs().HardwareAddr.String() != before.Attrs().HardwareAddr.String() {
		t.Errorf("hardware address %s, was %s", after.Attrs().HardwareAddr, before.Attrs().HardwareAddr)
	}
	list, err := inside.AddrList(after, netlink.FAMILY_ALL)
	must(t, err)
	var got []string
	for _, a := range list {
		if a.IPNet.IP.IsLinkLocalUnicast() && a.IPNet.IP.To4() == nil {
			continue // the kernel's own
		}
		got = append(got, a.IPNet.String())
		if v6 := a.IPNet.IP.To4() == nil; a.Flags&unix.IFA_F_PERMANENT == 0 || v6 && a.Flags&unix.IFA_F_NODAD == 0 || !v6 && a.Label != "lan0" {
			t.Errorf("%s: flags %#x label %q", a.IPNet, a.Flags, a.Label)
		}
	}
	slices.Sort(got)
	if want := "192.0.2.7/24 198.51.100.1/32 2001:db8::7/64"; strings.Join(got, " ") != want {
		t.Errorf("addresses %q, want %q", got, want)
	}
}

// What cannot be moved is said before anything is.
func TestMoveIsRefused(t *testing.T) {
	if !alone(t) {
		return
	}
	ns, inside := container(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "taken"
	must(t, inside.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "p-inside"}))
	veth(t, "aaa")
	veth(t, "taken")
	own, err := os.Open("/proc/thread-self/ns/net")
	must(t, err)
	defer own.Close()
	for _, c := range []struct {
		ns      *os.File
		devices devices
		says    string
	}{
		{ns, devices{"aaa": {}, "missing": {}}, "network device missing"},
		{ns, devices{"aaa": {Name: "taken"}}, "has a device taken already"},
		{ns, devices{"aaa": {}, "taken": {}}, "has a device taken already"},
		{ns, devices{"lo": {Name: "lo1"}}, "no loopback"},
		{own, devices{"aaa": {}}, "is the host's"},
	} {
		if err := Move(c.ns, c.devices); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %q", c.devices, err, c.says)
		}
		if !here("aaa") || !here("taken") {
			t.Fatalf("%v: a device has gone", c.devices)
		}
	}
	// A name that is in use inside is in nobody's way when another one is asked for.
	must(t, Move(ns, devices{"taken": {Name: "free"}}))
	if _, err := inside.LinkByName("free"); err != nil {
		t.Error(err)
	}
}

func prefix(text string) *net.IPNet {
	ip, p, err := net.ParseCIDR(text)
	if err != nil {
		panic(err)
	}
	p.IP = ip
	return p
}
