// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"slices"

	"github.com/unitc/unitc/internal/cli/change"
	"github.com/unitc/unitc/internal/definition"
)

// moved gives the fields that a definition has only where it stood.
func moved(here, there definition.File) ([]string, error) {
	var fields []string
	for i := range here.Services {
		if i >= len(there.Services) {
			break
		}
		changes, err := change.Compare(&there.Services[i], &here.Services[i])
		if err != nil {
			return nil, err
		}
		for _, c := range changes {
			if !slices.Contains(fields, c.Field) {
				fields = append(fields, c.Field)
			}
		}
	}
	return fields, nil
}
