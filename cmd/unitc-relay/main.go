// SPDX-License-Identifier: Apache-2.0

// Command unitc-relay stays beside a payload that has probes, a notify socket or
// structured logs. The launch helper starts it; nobody else runs it.
package main

import (
	"os"

	"github.com/unitc/unitc/internal/relay"
)

func main() { os.Exit(relay.Run()) }
