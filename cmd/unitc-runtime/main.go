// SPDX-License-Identifier: Apache-2.0

// Command unitc-runtime is the OCI runtime under the name that engines are
// pointed at: podman --runtime, containerd's BinaryName. `unitc oci` is the same.
package main

import (
	"os"

	_ "github.com/unitc/unitc/internal/bigstack"
	"github.com/unitc/unitc/internal/oci"
	_ "github.com/unitc/unitc/internal/oci/entry" // where it begins; see there
)

func main() { os.Exit(oci.Main(os.Args[0], os.Args[1:])) }
