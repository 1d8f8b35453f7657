// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"io/fs"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/oci/bundle"
	"github.com/unitc/unitc/internal/planner"
)

// readBundle reads what `bundle:` names; nil without the key.
func readBundle(s *definition.Service) (*planner.Bundle, error) {
	if s.Bundle == "" {
		return nil, nil
	}
	wrong := func(err error) (*planner.Bundle, error) {
		cure := "correct its config.json"
		if errors.Is(err, fs.ErrNotExist) {
			cure = "correct the path, or make what is missing"
		}
		return nil, &planner.KeyError{Key: "bundle", What: s.Bundle + ": " + err.Error(), Cure: cure}
	}
	spec, err := bundle.Read(s.Bundle, nil) // sealHelper has been there
	if err != nil {
		return wrong(err)
	}
	if err := bundle.Refuse(spec.Linux.Resources); err != nil {
		return wrong(err)
	}
	b := &planner.Bundle{Spec: spec, Limits: bundle.ScopeProperties(spec.Linux.Resources)}
	if b.Devices, err = bundle.DeviceRules(spec.Linux.Resources); err != nil {
		return wrong(err)
	}
	return b, nil
}
