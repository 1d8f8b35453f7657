// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"testing"
)

// nft's words, as nft 1.0.6 to 1.1.3 write them.
func TestRuleFaults(t *testing.T) {
	for said, want := range map[string]string{
		"/etc/unitc/web.nft:3:9-12: Error: syntax error, unexpected string\n\t\ttcp dprt 80 drop\n\t\t    ^^^^\n":                                                      "/etc/unitc/web.nft:3:9: syntax error, unexpected string",
		"In file included from /etc/unitc/web.nft:1:1-22:\n/etc/unitc/a-1.nft:2:1-3: Error: No such file or directory\nadd\n^^^\n/etc/unitc/a-1.nft:4:1-3: Error: b\n": "/etc/unitc/a-1.nft:2:1: No such file or directory, /etc/unitc/a-1.nft:4:1: b",
		"": "nft: exit status 1:",
		"netlink: Error: cache initialization failed: Operation not permitted\n": "netlink: cache initialization failed: Operation not permitted",
		"Killed\n": "nft: exit status 1: Killed",
	} {
		if got := ruleFaults(said, errors.New("exit status 1")); got != want {
			t.Errorf("of %q:\n%s\nwanted:\n%s", said, got, want)
		}
	}
}
