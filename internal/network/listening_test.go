// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/network/lease"
)

// Of who listens the resolver's own address counts, and of who is connected nobody.
func TestResolverListens(t *testing.T) {
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	resolver := fmt.Sprintf("%08X:0035", binary.NativeEndian.Uint32(lease.Resolver.AsSlice()))
	line := func(local, state string) string {
		return "   0: " + local + " 00000000:0000 " + state + " 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0\n"
	}
	all, ssh := line("00000000:0035", listening), line("00000000:0016", listening)
	for table, want := range map[string]bool{
		"":                                    false,
		heading:                               false,
		heading + all + ssh:                   false,
		heading + ssh + line(resolver, "0A"):  true,
		heading + line(resolver, "0A") + ssh:  true,
		heading + ssh + line(resolver, "01"):  false,
		heading + line("0100007F:0035", "0A"): false,
	} {
		if got := resolverListens(strings.NewReader(table)); got != want {
			t.Errorf("%v of\n%s", got, table)
		}
	}
}
