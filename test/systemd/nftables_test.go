// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"strings"
	"testing"
)

// egress keeps a container from one port of others, and from no other.
const egress = `table inet egress {
	chain output {
		type filter hook output priority filter; policy accept;
		oifname "eth0" tcp dport 81 counter reject with tcp reset
	}
}
`

// Rules of `x-nftables` hold in the container alone, whoever runs it, and go
// with it.
//
//lab:once
func TestRulesOfAContainer(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			place(t, "/etc/unitc/egress.nft", egress)
			peer := scoped.define(t, "nft-peer", strings.Replace(server, `"80"`, `"81"`, 1)).start()
			open := scoped.define(t, "nft-open", server).start()
			asks(t, peer.name, "nsenter", "-t", property(t, open.name, "MainPID"), "-m", "-n", "busybox", "nc", "-w", "5", peer.name, "81")
			host := must(t, "nft", "-s", "list", "tables")
			for name, keys := range map[string]string{"nft-own": "", "nft-user": "userns_mode: host", "nft-crun": "runtime: crun"} {
				c := scoped.define(t, name, endless+"\nstop_grace_period: 0s\nx-nftables: ./egress.nft\n"+keys).start()
				if got := inside(t, c.name, "nft", "list", "tables"); got != "table inet egress" {
					t.Errorf("%s: the tables inside are %q", name, got)
				}
				if got := inside(t, c.name, "busybox", "nc", "-w", "20", peer.name, "81"); !strings.HasPrefix(got, "status") {
					t.Errorf("%s: the port that is closed says %q", name, got)
				}
				if got := inside(t, c.name, "nft", "list", "chain", "inet", "egress", "output"); !strings.Contains(got, "counter packets") || strings.Contains(got, "packets 0") {
					t.Errorf("%s: the rule has seen nothing:\n%s", name, got)
				}
				// The way to the peer is there.
				if got := inside(t, c.name, "busybox", "nc", "-w", "20", open.name, "80"); got != open.name {
					t.Errorf("%s: the port that is open says %q", name, got)
				}
				if now := must(t, "nft", "-s", "list", "tables"); now != host {
					t.Errorf("%s: the host's tables are\n%s\nbefore:\n%s", name, now, host)
				}
				c.stop()
			}
			for _, c := range []*container{peer, open} {
				c.stop()
			}
		})
	})
}

// The payload cannot change them, by its capabilities alone even, and a container without a network may have
// some.
//
//lab:once
func TestRulesAreKeptFromThePayload(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			place(t, "/etc/unitc/egress.nft", egress)
			c := scoped.define(t, "nft-kept", endless+"\nstop_grace_period: 0s\nnetwork_mode: none\nsecurity_opt: [seccomp=unconfined]\nx-nftables: /etc/unitc/egress.nft").start()
			if out, status := command(t, "unitc", "exec", c.name, "nft", "flush", "ruleset"); status == 0 || !strings.Contains(out, "not permitted") {
				t.Errorf("to flush them exits with %d: %s", status, out)
			}
			if got := inside(t, c.name, "nft", "list", "tables"); got != "table inet egress" {
				t.Errorf("the tables inside are %q", got)
			}
			c.stop()
		})
	})
}

// A start with a fault in the rules says where it is and leaves nothing.
//
//lab:once
func TestFaultsOfRules(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			file := "/etc/unitc/broken.nft"
			place(t, file, strings.Replace(egress, "tcp dport", "tcp dprt", 1))
			c := scoped.define(t, "nft-broken", endless+"\nstop_grace_period: 0s\nx-nftables: "+file)
			refuses := func(want ...string) {
				t.Helper()
				if _, status := command(t, "systemctl", "start", c.unit()); status == 0 {
					t.Errorf("it starts, without %q", want)
				}
				for _, w := range want {
					if text := c.show("StatusText"); !strings.Contains(text, w) {
						t.Errorf("the status is %q, without %q", text, w)
					}
				}
				must(t, "systemctl", "reset-failed", c.unit())
			}
			refuses(file+":4:", "x-nftables: ", "syntax error")
			place(t, file, "table inet t {\n\tchain c {\n\t\tjump nowhere\n\t}\n}\n")
			refuses(file + ":3:")
			must(t, "rm", file)
			refuses("opening " + file + ": no such file or directory")
			place(t, file, egress)
			func() {
				must(t, "mount", "--bind", "/dev/null", "/usr/sbin/nft")
				defer must(t, "umount", "/usr/sbin/nft")
				refuses("nft is not installed", "apt install nftables")
			}()
			c.start().stop()
		})
	})
}
