// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/seccomp/seccomptest"
)

// refuseSockets has the kernel answer as one that lacks what a socket is for, on all
// threads of this process and for good.
func refuseSockets(t *testing.T, errno unix.Errno, args ...specs.LinuxSeccompArg) {
	t.Helper()
	must(t, seccomptest.Refusal{Calls: []string{"socket"}, Errno: errno, Args: args}.Process())
}

func argument(index uint, value uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Value: value, Op: specs.OpEqualTo}
}

// tryWays tries those of a network of IPv4, by what the server sees.
func tryWays(t *testing.T, client *os.File) {
	t.Helper()
	before := links(t)
	front := &definition.Network{Key: "front", Name: "front"}
	web, at := connect(t, "web", front, definition.Port{Published: 8080, Target: 80, Protocol: "tcp"}, definition.Port{Published: 8080, Target: 80, Protocol: "udp"})
	serve(t, web, at.IPv4.String()+":80")
	for name, w := range map[string]struct {
		from     *os.File
		to, want string
	}{
		"outside to port":       {client, "192.0.2.1:8080", "192.0.2.2:"},
		"host to port":          {host(t), "127.0.0.1:8080", "10."},
		"container to outside":  {web, "192.0.2.2:7000", "192.0.2.1:"},
		"container to its port": {web, "192.0.2.1:8080", "10."},
	} {
		got, err := ask(t, w.from, w.to)
		for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); {
			got, err = ask(t, w.from, w.to)
		}
		if err != nil || !strings.HasPrefix(got, w.want) {
			t.Errorf("%s: %q, %v; want %s", name, got, err, w.want)
		}
	}
	must(t, releaseAll("web"))
	nothingLeft(t, before)
	if n := rules(t); n != 0 {
		t.Errorf("%d tables are left", n)
	}
}

func nothingLeft(t *testing.T, before string) {
	t.Helper()
	if after := links(t); after != before {
		t.Errorf("links: before %s, after %s", before, after)
	}
	if _, err := os.Stat(lease.Root()); !os.IsNotExist(err) {
		t.Errorf("%s is left (%v)", lease.Root(), err)
	}
}

// On a kernel without IPv6 networks of IPv4 are what they are with it.
func TestWithoutIPv6(t *testing.T) {
	if !alone(t) {
		return
	}
	client := outside(t)
	serve(t, client, "192.0.2.2:7000")
	tryWays(t, client)
	must(t, unix.Mount("tmpfs", "/proc/sys/net/ipv6", "tmpfs", unix.MS_RDONLY, ""))
	refuseSockets(t, unix.EAFNOSUPPORT, argument(0, unix.AF_INET6))
	tryWays(t, client)
	// A network that needs it says so, and leaves nothing.
	before := links(t)
	c, err := Take(Request{Container: "six", Attachments: on(&definition.Network{Key: "six", Name: "six", IPv6: true})})
	if err == nil {
		err = c.Connect(newNamespace(t))
	}
	if err == nil || !strings.Contains(err.Error(), "networks.six: it has IPv6, and the kernel has none; remove enable_ipv6") {
		t.Errorf("a network of IPv6 gives %v", err)
	}
	must(t, releaseAll("six"))
	nothingLeft(t, before)
}

// A kernel without nf_tables: a network that needs rules is an error that names
// them, and what was made before goes without one.
func TestWithoutNFTables(t *testing.T) {
	if !alone(t) {
		return
	}
	before := links(t)
	front := &definition.Network{Key: "front", Name: "front"}
	connect(t, "web", front, definition.Port{Published: 8080, Target: 80, Protocol: "udp"})
	refuseSockets(t, unix.EPROTONOSUPPORT, argument(0, unix.AF_NETLINK), argument(2, unix.NETLINK_NETFILTER))
	must(t, releaseAll("web"))
	nothingLeft(t, before)
	c, err := Take(Request{Container: "late", Attachments: on(front)})
	if err == nil {
		err = c.Connect(newNamespace(t))
	}
	if !errors.Is(err, unix.EPROTONOSUPPORT) || !strings.Contains(err.Error(), "inet unitc") {
		t.Errorf("a network without rules gives %v", err)
	}
	must(t, releaseAll("late"))
	nothingLeft(t, before)
}
