// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/idrange"
	"github.com/unitc/unitc/internal/planner"
)

// Facts is what a start would tell the planner about this host, for those who
// print a plan. It changes nothing.
func Facts(s *definition.Service) (planner.Facts, error) {
	f, err := inspect(s)
	if err != nil {
		return f, err
	}
	if s.Image != "" {
		if f.Image, err = findImage(s); err != nil {
			return f, err
		}
	}
	if !planner.WantsUserNamespace(s) {
		return f, nil
	}
	r, err := idrange.Default().Peek(s.UnitName())
	f.IDStart = r.Start
	return f, err
}
