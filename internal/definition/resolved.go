// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/quickjson"
)

// ResolvedVersion is raised when the JSON changes so that an old helper could
// misread it; the helper refuses any other number.
const ResolvedVersion = 1

// Resolved is the member NAME.json of the file `.unitc` beside a generated unit
// (mode 0600, because environment values often hold passwords). The helper starts
// Service, or, when Problems has an error, prints Problems and fails.
type Resolved struct {
	Version  int       `json:"version"`
	Service  *Service  `json:"service,omitempty"`
	Problems diag.List `json:"problems,omitempty"`
	// Network stands alone in the definition of a network's unit.
	Network *Network `json:"network,omitempty"`
}

// AppendJSON appends the JSON form of r.
func (r *Resolved) AppendJSON(b []byte) []byte { return quickjson.Append(b, r) }
