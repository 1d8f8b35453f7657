// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What the checks do is done on this machine, and nothing of it stays.
func TestChecksLeaveNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: run it as the test command of README.md does")
	}
	before := world(t)
	for _, c := range []func(Machine) result{userNamespace, mountInterface, idMapped, overlay, links, nftables} {
		if r := c(Machine{Proc: "/proc", Store: t.TempDir()}); r.state == Unknown || r.what == "" {
			t.Errorf("%+v", r)
		}
	}
	if after := world(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// A kernel without a module answers as here (rtnl_newlink, nfnetlink_rcv_msg,
// netlink_create): what does not work without it is said, and what to load.
func TestKernelWithoutModules(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: run it as the test command of README.md does")
	}
	for _, c := range []struct {
		check      func(Machine) result
		name       string
		missing    func(protocol int, body []byte) bool
		answer     error
		what, cure string
	}{
		{links, "bridge", link("bridge"), unix.EOPNOTSUPP, "the kernel has no bridge: `network_mode: none` and `host` work, networks do not", "modprobe bridge"},
		{links, "veth", link("veth"), unix.EOPNOTSUPP, "the kernel has no veth: ", "modprobe veth"},
		{links, "no leave", link("bridge"), unix.EPERM, "networks cannot be made: a link of kind bridge: operation not permitted", "CAP_NET_ADMIN"},
		{nftables, "nf_tables", rules, unix.EINVAL, "nftables does not answer (invalid argument): published ports do not work", "modprobe nf_tables"},
		{nftables, "nfnetlink", rules, unix.EPROTONOSUPPORT, "nftables does not answer (protocol not supported): ", "CONFIG_NF_TABLES"},
	} {
		m := Machine{Netlink: func(protocol int, kind, flags uint16, body []byte) error {
			if c.missing(protocol, body) {
				return c.answer
			}
			return netlink(protocol, kind, flags, body)
		}}
		if r := c.check(m); r.state != Warning || !strings.HasPrefix(r.what, c.what) || !strings.Contains(r.cure, c.cure) {
			t.Errorf("without %s: %+v", c.name, r)
		}
	}
	// The real kernel gives that answer for a kind of link that it does not know.
	err := inNetwork(func() error { return Machine{}.addLink("no-such-kind") })
	if !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("a link of no kind: %v", err)
	}
}

func link(kind string) func(int, []byte) bool {
	return func(protocol int, body []byte) bool {
		return protocol == unix.NETLINK_ROUTE && bytes.Contains(body, []byte(kind))
	}
}

func rules(protocol int, _ []byte) bool { return protocol == unix.NETLINK_NETFILTER }

// world is what the checks could leave: mounts and links.
func world(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, path := range []string{"/proc/self/mountinfo", "/proc/1/net/dev"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			name, _, _ := strings.Cut(line, ":")
			if path == "/proc/self/mountinfo" {
				name = line
			}
			b.WriteString(strings.TrimSpace(name) + "\n")
		}
	}
	return b.String()
}
