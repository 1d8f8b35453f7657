// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/oci"
)

// oci is unitc-runtime under another name; its command line is runc's, so
// nothing of it is parsed here.
func (a *app) oci() *cobra.Command {
	return &cobra.Command{
		Use:                "oci VERB [ARGUMENT…]",
		Short:              "be an OCI runtime",
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if status := oci.Main("unitc oci", args); status != 0 {
				return statusError(status)
			}
			return nil
		},
	}
}
