// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"

	"github.com/unitc/unitc/internal/cdi"
)

// Formats without a check are for the schema alone: the decoder of the key says
// more than a form could, and says it with both ends of a mount at hand.
var (
	rootfsFormat    = format{name: "rootfs", pattern: `^(host|/.*[^/.].*)$`}
	absoluteFormat  = format{name: "absolute-path", pattern: `^/`}
	workDirFormat   = format{name: "working-directory", pattern: `^/`, empty: true}
	hostPathFormat  = format{name: "host-path", pattern: `^[^~]`}
	volumeFormat    = format{name: "volume", pattern: `^(/[^:]*[^:/.][^:]*|[a-zA-Z0-9./][^:]*:/[^:]*[^:/.][^:]*(:[a-zA-Z,-]*)?)$`}
	targetFormat    = format{name: "target", pattern: `^/.*[^/.]`}
	tmpfsFormat     = format{name: "tmpfs", pattern: `^/[^:]*[^:/.][^:]*(:([a-z]+(=[0-9a-zA-Z]+)?,?)*)?$`}
	deviceFormat    = format{name: "device", pattern: `^(/[^:]*[^:/.][^:]*(:[^:]*){0,2}|` + cdi.NamePattern + `)$`}
	linkFormat      = format{name: "link", pattern: `^[a-zA-Z0-9._-]+(:[A-Za-z0-9_.-]+)?$`}
	wordFormat      = format{name: "word", pattern: `^[^\s#;]+$`}
	searchFormat    = format{name: "search-domain", pattern: `^[^\s#;]*$`}
	extraHostFormat = format{name: "extra-host", pattern: `^[A-Za-z0-9_.-]+[=:](host-gateway|\[?(` + addressPattern + `)\]?)$`}
	pairFormat      = format{name: "pair", pattern: `^[^=]`}

	capabilityFormat = format{name: "capability", patternOf: capabilityPattern}
	securityFormat   = format{name: "security-option", pattern: `^((no-new-privileges|writable-cgroups)([=:](true|false))?|(systempaths|landlock)[=:]unconfined|(apparmor|label|seccomp)[=:].+|(mask|unmask)[=:](ALL|/.*))$`}
)

// capabilityPattern knows the names in capitals and in small letters.
func capabilityPattern() string {
	names := strings.Join(capabilityNames, "|")
	return `^([Cc][Aa][Pp]_)?(ALL|all|` + names + "|" + strings.ToLower(names) + ")$"
}
