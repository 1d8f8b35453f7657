// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"slices"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// scale makes the instances of services with more than one: NAME-1, NAME-2 and
// so on, as Compose calls its containers. One service without a project becomes
// a project, so that a target starts and stops all of them.
func (r *reader) scale(file *definition.File) {
	// Most files have none of these: nothing is copied for them.
	if !slices.ContainsFunc(file.Services, func(s definition.Service) bool { return s.Replicas != nil && *s.Replicas > 1 }) {
		return
	}
	instances := map[string][]string{}
	var all []definition.Service
	for i := range file.Services {
		s := &file.Services[i]
		count := 1
		if s.Replicas != nil {
			count = *s.Replicas
		}
		if count < 2 || !r.canScale(s, len(all)+count) {
			all = append(all, *s)
			continue
		}
		if !file.Project {
			file.Project, s.Project = true, r.in.Name
		}
		for n := range count {
			one := *s
			one.Name = s.Name + "-" + itoa(n+1)
			instances[s.Name] = append(instances[s.Name], one.Name)
			all = append(all, one)
		}
	}
	if len(instances) == 0 {
		return
	}
	for i := range all {
		all[i].DependsOn = onInstances(all[i].DependsOn, instances, func(d *definition.Dependency) *string { return &d.Service })
		all[i].Links = onInstances(all[i].Links, instances, func(l *definition.Link) *string { return &l.Service })
	}
	file.Services = all
}

// onInstances replaces what names a service by as many as it has instances.
func onInstances[T any](list []T, instances map[string][]string, service func(*T) *string) []T {
	var all []T
	for _, item := range list {
		names, scaled := instances[*service(&item)]
		if !scaled {
			names = []string{*service(&item)}
		}
		for _, name := range names {
			one := item
			*service(&one) = name
			all = append(all, one)
		}
	}
	return all
}

// canScale finds what there can be only one of. There would be total services.
func (r *reader) canScale(s *definition.Service, total int) bool {
	n := r.root
	if services := r.services(); services != nil {
		n = services.get(s.Key)
	}
	scale := findPair(n, "scale")
	if scale == nil {
		scale = findPair(n.get("deploy"), "replicas")
	}
	if scale == nil {
		return false // the value was bad, and that was said
	}
	fault := func(cure, why string) bool {
		r.faultKey(n, scale, cure, "%s", why).Rule = diag.RuleConflict
		return false
	}
	switch {
	case total > maxInstances:
		return fault("run fewer", "more than "+itoa(maxInstances)+" instances of services together")
	case r.isTemplate():
		return fault("start as many instances as are wanted", "a template has no number of instances")
	case s.ContainerName != "":
		return fault("remove container_name:", "several instances cannot have one name: container_name at "+r.where(scale.place, findPair(n, "container_name").place))
	case slices.ContainsFunc(s.Ports, func(p definition.Port) bool { return p.Published != 0 && p.PublishedEnd == 0 }):
		return fault("publish a range, or no port of the host", "several instances cannot publish one port: ports at "+r.where(scale.place, findPair(n, "ports").place))
	}
	return true
}
