// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/planner"
)

// Facts is what a start would tell the planner about this host, for those who
// print a plan. It must change nothing: no id range is taken for it.
func Facts(s *definition.Service) (planner.Facts, error) { return gather(s) }
