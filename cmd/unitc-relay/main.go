// SPDX-License-Identifier: Apache-2.0

// Command unitc-relay stays beside a payload that has probes, a notify socket or
// structured logs. The launch helper starts it; for one check alone unitc does, too.
package main

import (
	"os"

	"github.com/unitc/unitc/internal/relay"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "check" {
		os.Exit(relay.Check())
	}
	os.Exit(relay.Run())
}
