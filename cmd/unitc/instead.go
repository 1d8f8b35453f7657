// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// instead are options of Docker's, Podman's and Compose's verbs that somebody types
// here, with what does it: by verb, then by option. A letter is the short one.
var instead = map[string]map[string]string{
	"login": {
		"password":   seenByAll,
		"p":          seenByAll,
		"tls-verify": "write insecure = true for the registry in registries.conf",
		"cert-dir":   "put the certificates into /etc/unitc/certs.d/REGISTRY",
		"get-login":  "the file that unitc login has named has it",
	},
}

const seenByAll = "all users of the machine see arguments, and shells keep them; leave it away to be asked, or write --password-stdin"

// otherOption says what to write in the place of an option that a verb has not; "" =
// nothing is known.
func otherOption(cmd *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	name := unknown.GetSpecifiedName()
	text := instead[cmd.Name()][name]
	switch {
	case text == "":
		return ""
	case len(name) == 1:
		return "-" + name + ": " + text
	}
	return "--" + name + ": " + text
}
