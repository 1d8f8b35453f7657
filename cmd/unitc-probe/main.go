// SPDX-License-Identifier: Apache-2.0

// Command unitc-probe makes one check over TLS. The relay of a container runs it
// in the container's network, for each check anew: TLS would cost the relay
// itself a megabyte for as long as the container lives.
package main

import (
	"fmt"
	"os"

	"github.com/unitc/unitc/internal/probe"
	"github.com/unitc/unitc/internal/relay/order"
)

func main() {
	if failure := probe.Run(os.Args[1:]); failure != "" {
		fmt.Printf("\n%s\n", failure)
		os.Exit(order.ProbeFailed)
	}
}
