// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// conditionShape is one thing of the host's that a start waits for.
var conditionShape = shape{kinds: text, format: &conditionFormat}

const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

var conditionFormat = format{
	name:    "condition",
	pattern: `^(dns:[A-Za-z0-9_.-]+|tcp:([A-Za-z0-9_.-]+|\[[0-9a-fA-F:.]+\]):` + portPattern + `|address:(` + addressPattern + `)|path:/[^\n]*)$`,
	check: func(s string) (string, string) {
		kind, what, _ := strings.Cut(s, ":")
		good, cure := false, "write for example dns:db.example.com, tcp:192.0.2.7:5432, address:192.0.2.1 or path:/mnt/nas/ready"
		switch kind {
		case definition.WaitDNS:
			good = isPlainHost(what)
		case definition.WaitTCP:
			host, port := cutPort(what)
			good = (isPlainHost(host) || strings.HasPrefix(host, "[") && isHost(host)) && isPort(port)
		case definition.WaitAddress:
			problem, _ := addressFormat.check(what)
			good = problem == "" && !strings.Contains(what, "%")
		case definition.WaitPath:
			good = strings.HasPrefix(what, "/") && !strings.Contains(what, "\n")
		default:
			if near := nearest(kind, []string{definition.WaitDNS, definition.WaitTCP, definition.WaitAddress, definition.WaitPath}); near != "" {
				cure = "did you mean " + near + ":?"
			}
		}
		if good {
			return "", ""
		}
		return quote(s) + " is nothing that a start can wait for", cure
	},
}

func isPlainHost(s string) bool { return s != "" && strings.Trim(s, nameCharacters) == "" }
