// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"slices"

	"github.com/unitc/unitc/internal/cli/change"
	"github.com/unitc/unitc/internal/definition"
)

// moved gives the fields that a definition has only where it stood. Its file of
// variables comes along, so secrets and configs find theirs there.
func moved(here, there definition.File) ([]string, error) {
	var fields []string
	for i := range here.Services {
		if i >= len(there.Services) {
			break
		}
		was, is := here.Services[i], there.Services[i]
		was.Secrets, was.Configs = withoutEnvFiles(was.Secrets), withoutEnvFiles(was.Configs)
		is.Secrets, is.Configs = withoutEnvFiles(is.Secrets), withoutEnvFiles(is.Configs)
		changes, err := change.Compare(&is, &was)
		if err != nil {
			return nil, err
		}
		if !sameSources(was.Build, is.Build) {
			changes = append(changes, change.Change{Field: "build"})
		}
		for _, c := range changes {
			if c.File == "" && slices.ContainsFunc(changes, func(other change.Change) bool { return other.File != "" }) {
				continue // the other name of what is listed by its own
			}
			field := c.Field
			if here.Project {
				field = here.Services[i].Key + "." + field
			}
			if !slices.Contains(fields, field) {
				fields = append(fields, field)
			}
		}
	}
	return fields, nil
}

// sameSources tells whether an image is built of the same files.
func sameSources(one, other *definition.Build) bool {
	if one == nil || other == nil {
		return one == other
	}
	return one.Context == other.Context && slices.Equal(one.Contexts, other.Contexts) &&
		slices.EqualFunc(one.Secrets, other.Secrets, func(a, b definition.Grant) bool { return a.File == b.File })
}

func withoutEnvFiles(grants []definition.Grant) []definition.Grant {
	grants = slices.Clone(grants)
	for i := range grants {
		grants[i].EnvFiles = nil
	}
	return grants
}
