// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/oci/bundle"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/runtime"
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
	b := &planner.Bundle{Spec: spec, Limits: bundle.ScopeProperties(spec.Linux.Resources), Notes: passedOver(spec)}
	if b.Devices, err = bundle.DeviceRules(spec.Linux.Resources); err != nil {
		return wrong(err)
	}
	return b, nil
}

// passedOver is what a unit makes nothing of, and the container runs all the same.
// Capabilities that cannot be had are taken out (runtime-spec config.md, "Linux Process").
func passedOver(spec *specs.Spec) (notes []string) {
	if list := runtime.GrantableCapabilities(spec.Process, bundle.HasNamespace(spec, specs.UserNamespace)); len(list) > 0 {
		notes = append(notes, fmt.Sprintf("process.capabilities: %.200s cannot be given here, and the process goes without", strings.Join(list, ", ")))
	}
	if list := runtime.IgnoredOptions(spec); len(list) > 0 {
		notes = append(notes, fmt.Sprintf("options of file systems count for nothing on bind mounts: %.200s", strings.Join(list, ", ")))
	}
	if path := spec.Linux.CgroupsPath; path != "" && spec.Annotations[plan.RootAnnotation] == "" {
		notes = append(notes, fmt.Sprintf("linux.cgroupsPath %.200q counts for nothing: the unit's own cgroup is the container's; `systemd: {slice: ...}` says where that is", path))
	}
	return notes
}

// noteBundle says it in the container's log.
func noteBundle(b *planner.Bundle) {
	if b == nil {
		return
	}
	for _, note := range b.Notes {
		fmt.Fprintf(journal.Stderr, "<4>bundle: %s\n", note)
	}
}
