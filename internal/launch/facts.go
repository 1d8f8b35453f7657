// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/idrange"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/store"
)

// Facts is what a start would tell the planner about this host, for those who
// print a plan. It changes nothing.
func Facts(s *definition.Service) (planner.Facts, error) {
	s, err := planner.Expand(s)
	if err != nil {
		return planner.Facts{}, err
	}
	f, beside, err := inspect(s)
	if err != nil {
		return f, err
	}
	defer beside.close()
	volumes := volumeFinder{service: s}
	if s.Image != "" {
		if volumes.image, err = findImage(s); err != nil {
			return f, err
		}
		f.Image = imageFacts(volumes.image, store.Upper{})
	}
	if f.Volumes, err = volumes.findVolumes(f.Image); err != nil {
		return f, err
	}
	if !planner.WantsUserNamespace(s) || f.Joined.User != "" {
		return f, nil
	}
	r, err := idrange.Default().Peek(s.UnitName())
	f.IDStart = r.Start
	return f, err
}

// Plan is what a start would launch.
func Plan(s *definition.Service) (*plan.Plan, error) {
	facts, err := Facts(s)
	if err != nil {
		return nil, err
	}
	return planner.Build(s, facts)
}
