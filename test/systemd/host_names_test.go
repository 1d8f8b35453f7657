// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const hostNames = "unitc-host-names"

// runHostNames starts a project with a service of two instances, and the socket.
func runHostNames(t *testing.T) {
	t.Helper()
	cleanReload(t)
	place(t, definitions+"hosted.yaml", `services:
  web: {rootfs: host, init: true, command: [/bin/sleep, infinity], networks: {default: {aliases: [site]}}}
  worker: {rootfs: host, init: true, command: [/bin/sleep, infinity], scale: 2}
`)
	reload(t)
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "hosted.target", hostNames+".socket", hostNames+".service")
		must(t, "systemctl", "stop", "hosted-web", "hosted-worker-1", "hosted-worker-2")
	})
	must(t, "systemctl", "start", "hosted.target")
}

func addressInside(t *testing.T, unit string) string {
	t.Helper()
	fields := strings.Fields(inside(t, unit, "ip", "-4", "-oneline", "address", "show", "scope", "global"))
	if len(fields) < 4 {
		t.Fatalf("%s has no address: %q", unit, fields)
	}
	return netip.MustParsePrefix(fields[3]).Addr().String()
}

// The host finds containers by name, once it is asked to, and nobody else may ask there.
func TestNamesOnTheHost(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			runHostNames(t)
			web := addressInside(t, "hosted-web")
			both := []string{addressInside(t, "hosted-worker-1"), addressInside(t, "hosted-worker-2")}
			slices.Sort(both)
			const server = "127.53.53.53:53"
			if c, err := net.Dial("tcp", server); err == nil {
				c.Close()
				t.Error("somebody answers before anybody has enabled it")
			}
			must(t, "systemctl", "start", hostNames+".socket")
			for _, protocol := range []string{"udp", "tcp"} {
				r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, protocol, server)
				}}
				for name, want := range map[string][]string{
					"hosted-web.unitc.internal.":            {web},
					"web.hosted_default.unitc.internal.":    {web},
					"site.hosted_default.unitc.internal.":   {web},
					"worker.hosted_default.unitc.internal.": both,
					"hosted-worker-1.unitc.internal.":       {addressInside(t, "hosted-worker-1")},
					"hosted-none.unitc.internal.":           nil,
					"web.unitc.internal.":                   nil,
					"hosted-web.":                           nil,
				} {
					got, err := r.LookupHost(t.Context(), name)
					slices.Sort(got)
					if !slices.Equal(got, want) || (err == nil) != (want != nil) {
						t.Errorf("%s by %s: %q, %v; want %q", name, protocol, got, err, want)
					}
				}
				if got, err := r.LookupAddr(t.Context(), web); !slices.Equal(got, []string{"hosted-web.unitc.internal."}) {
					t.Errorf("%s by %s: %q, %v", web, protocol, got, err)
				}
			}
			// Containers see those names as far as they share networks.
			if out := inside(t, "hosted-worker-1", "busybox", "nslookup", "hosted-web.unitc.internal", "169.254.53.53"); !strings.Contains(out, web) {
				t.Errorf("a container asked its own resolver: %s", out)
			}
			if out := inside(t, "hosted-worker-1", "busybox", "nslookup", "hosted-web.unitc.internal", "127.53.53.53"); strings.Contains(out, web) {
				t.Errorf("a container asked where the host does: %s", out)
			}
			must(t, "systemctl", "stop", "hosted-web")
			r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "udp", server)
			}}
			if got, err := r.LookupHost(t.Context(), "hosted-web.unitc.internal."); err == nil {
				t.Errorf("a container that has ended is at %s", got)
			}
		})
	})
}

// systemd-resolved asks for them by itself, and for nothing else.
func TestNamesOnTheHostByResolved(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			runHostNames(t)
			before, err := os.ReadFile("/etc/resolv.conf")
			if err != nil {
				t.Fatal(err)
			}
			// The lab's kernel has no dummy links; the VM's has.
			if err := unix.Stat("/sys/class/net/unitc-names", &unix.Stat_t{}); err == nil {
				t.Fatal("unitc-names is there before the test")
			}
			if _, status := command(t, "ip", "link", "add", "unitc-names", "type", "dummy"); status != 0 {
				must(t, "ip", "link", "add", "unitc-names", "type", "veth", "peer", "name", "unitc-peer")
				must(t, "ip", "link", "set", "unitc-peer", "up")
			}
			t.Cleanup(func() { command(t, "ip", "link", "delete", "unitc-names") })
			must(t, "systemctl", "start", "systemd-resolved")
			t.Cleanup(func() {
				must(t, "systemctl", "stop", "systemd-resolved*", "nss-lookup.target")
				if err := os.WriteFile("/etc/resolv.conf", before, 0o644); err != nil {
					t.Error(err)
				}
			})
			must(t, "systemctl", "start", hostNames+".socket")
			web := addressInside(t, "hosted-web")
			var out string
			deadline := time.Now().Add(20 * time.Second)
			for status := 1; status != 0; time.Sleep(50 * time.Millisecond) {
				if out, status = command(t, "timeout", "5", "resolvectl", "query", "hosted-web.unitc.internal"); time.Now().After(deadline) {
					t.Fatalf("resolvectl query: %s\n%s", out, must(t, "resolvectl", "--no-pager", "status"))
				}
			}
			if !strings.Contains(out, web) {
				t.Errorf("resolvectl query: %s; want %s", out, web)
			}
			if out, status := command(t, "timeout", "5", "resolvectl", "query", "hosted-none.unitc.internal"); status == 0 || !strings.Contains(out, "not found") {
				t.Errorf("of a name that is not there: status %d: %s", status, out)
			}
			// What is not of the domain is not asked there.
			if out, status := command(t, "timeout", "5", "resolvectl", "query", "example.org"); status == 0 || strings.Contains(out, "REFUSED") {
				t.Errorf("of another domain: status %d: %s", status, out)
			}
			must(t, "systemctl", "stop", hostNames+".socket")
			await(t, "the link has gone", func() bool {
				return unix.Stat("/sys/class/net/unitc-names", &unix.Stat_t{}) != nil || strings.Contains(must(t, "resolvectl", "--no-pager", "status"), "Delegate")
			})
		})
	})
}
