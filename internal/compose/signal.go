// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"

	"github.com/unitc/unitc/internal/signals"
)

// signalPattern knows the names in capitals and in small letters.
func signalPattern() string {
	var names []string
	for _, name := range signals.Names {
		if name != "" {
			names = append(names, name)
		}
	}
	all := strings.Join(names, "|")
	return "^([1-9][0-9]?|(SIG)?(" + all + `|RTMIN(\+[0-9]{1,2})?|RTMAX(-[0-9]{1,2})?)|(sig)?(` + strings.ToLower(all) + "))$"
}

var signalFormat = format{
	name:      "signal",
	empty:     true,
	patternOf: signalPattern, bounds: &bounds{low: 1, high: signals.Max},
	check: func(s string) (string, string) {
		if _, ok := signals.Name(s); ok {
			return "", ""
		}
		cure := "write for example SIGTERM, SIGINT or SIGRTMIN+3"
		if near := nearest(strings.TrimPrefix(strings.ToUpper(s), "SIG"), signals.Names[:]); near != "" {
			cure = "did you mean SIG" + near + "?"
		}
		return quote(s) + " is no signal", cure
	},
}
