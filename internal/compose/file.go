// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"path"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// rootShape is the shape of the whole tree: a compose file's or one service's.
func (r *reader) rootShape() *shape {
	if r.isNetwork() {
		return &networkShape
	}
	if r.isProject() {
		return &projectShape
	}
	return &serviceShape
}

// isProject tells a compose file from a service's stanza, also one that has only what
// it adds to another compose file.
func (r *reader) isProject() bool {
	if findPair(r.root, "services") != nil || findPair(r.root, "include") != nil {
		return true
	}
	part := false
	for i := range r.root.orEmpty().pairs {
		switch p := &r.root.pairs[i]; p.key {
		case "networks", "volumes", "secrets", "configs":
			if p.value.kind != mapping {
				return false
			}
			part = true
		case "name", "version":
			part = true
		default:
			if !strings.HasPrefix(p.key, "x-") {
				return false
			}
		}
	}
	return part
}

// decodeFile turns the tree into services.
func (r *reader) decodeFile() definition.File {
	file := definition.File{Name: r.in.Name, Path: r.path(place{})}
	if r.root == nil {
		file.Services = []definition.Service{r.bareService(r.in.Name)}
		return file
	}
	if r.isNetwork() {
		r.decodeNetworkFile(&file)
		return file
	}
	if r.isTemplate() {
		r.checkSpecifiers(r.root)
	}
	if r.isProject() {
		r.decodeProject(&file)
		return file
	}
	// A service is large: it is decoded where it stays.
	r.memory.service[0] = definition.Service{}
	file.Services = r.memory.service[:]
	r.decodeService(&file.Services[0], r.in.Name, r.root.place, r.root)
	return file
}

// readDirectory has all relative paths begin elsewhere.
func (r *reader) readDirectory() {
	p := findPair(r.root, directoryKey)
	if p == nil || p.value.isNull() {
		return
	}
	if !r.check(p.value, &directoryShape, &field{name: directoryKey, example: "/srv/blog"}) {
		p.value.bad = true
		return
	}
	r.directory = path.Clean(p.value.str())
}

// bareService is what is known of a service that can't be read.
func (r *reader) bareService(name string) definition.Service {
	return definition.Service{Name: name, Key: name, Source: definition.Source{File: r.path(place{})}}
}

// decodeProject reads a whole compose file.
func (r *reader) decodeProject(file *definition.File) {
	file.Project = true
	if r.isTemplate() {
		stem := strings.TrimSuffix(r.in.Name, "@")
		r.faultFile(place{}, "rename the file to "+stem+".yaml; for a further instance of all of it make a link of another name, as in `ln -s "+stem+".yaml "+stem+"-two.yaml`", "a template can't be a project of several services")
	}
	for i := range r.root.pairs {
		p := &r.root.pairs[i]
		f := findField(topKeys, p.key)
		switch {
		case p.key == "services", f != nil && strings.HasPrefix(p.key, "x-"):
		case strings.HasPrefix(p.key, "x-"):
			r.warnOwn(r.root, p, topKeys)
		case f == nil:
			r.faultTop(p)
		default:
			r.checkField(r.root, p, f)
		}
	}
	r.readProject(file)
	services := r.services()
	if services == nil || len(services.pairs) == 0 {
		const cure, what = "write for example services: {web: {image: nginx}}", "the project has no services"
		services, include := findPair(r.root, "services"), findPair(r.root, "include")
		switch {
		case services != nil:
			r.faultKey(r.root, services, cure, what)
		case include == nil:
			r.faultFile(r.root.place, cure+"; a file that others are merged with is named behind them in COMPOSE_FILE, or stands in the NAME.yaml.d of theirs", what)
		case !r.problems.HasErrors(): // of a file that could not be included
			r.faultKey(r.root, include, cure, what)
		}
		file.Services = []definition.Service{r.bareService(r.in.Name)}
		return
	}
	file.Services = make([]definition.Service, len(services.pairs))
	for i := range services.pairs {
		r.projectService(&file.Services[i], services, &services.pairs[i])
	}
	r.checkPublished()
	r.joinDefault(file)
	reserve(file)
	r.fillGrants(file)
	r.checkDependencies(file)
}

// faultTop tells a service's key at the left margin from an unknown one.
func (r *reader) faultTop(p *pair) {
	if findField(serviceKeys, p.key) != nil {
		r.faultKey(r.root, p, "indent it under the service that it is for", "a key of a service stands beside services:")
		return
	}
	r.faultUnknown(r.root, p, topKeys)
}

func (r *reader) projectService(s *definition.Service, services *node, p *pair) {
	name := r.in.Name + "-" + p.key
	what, cure := serviceNameFormat.check(p.key)
	if what == "" && badUnitName("unitc-"+name+".service") != "" {
		what, cure = quote(name)+" can't be a unit's name", "use a shorter name"
	}
	if what != "" {
		r.faultKey(services, p, cure, "%s", what)
	}
	if p.value.kind != mapping && !p.value.bad {
		r.faultKey(services, p, "write at least image: or rootfs: below it", "the service is %s", p.value.kind)
	}
	r.owner = p.key
	r.decodeService(s, name, p.place, p.value)
	r.owner = ""
	s.Project, s.Key = r.in.Name, p.key
}

// joinDefault puts the services that name no network on the project's own.
func (r *reader) joinDefault(file *definition.File) {
	name, used := r.ownName(r.root.get("networks").get(defaultNetwork), defaultNetwork), false
	for i := range file.Services {
		s := &file.Services[i]
		if s.NetworkMode == "" && len(s.Networks) == 0 {
			s.Networks = []definition.Attachment{{Network: name}}
		}
		for j := range s.Networks {
			used = used || s.Networks[j].Network == name
		}
	}
	if used && r.root.get("networks").get(defaultNetwork) == nil {
		file.Networks = append(file.Networks, definition.Network{Key: defaultNetwork, Name: name})
	}
}

// checkDependencies finds circles, and conditions that can't come true.
func (r *reader) checkDependencies(file *definition.File) {
	byName := make(map[string]*definition.Service, len(file.Services))
	for i := range file.Services {
		byName[file.Services[i].Name] = &file.Services[i]
	}
	for i := range file.Services {
		s := &file.Services[i]
		for _, d := range s.DependsOn {
			if other := byName[d.Service]; other != nil {
				r.checkCondition(s, other, d)
			}
		}
	}
	c := circles{reader: r, byName: byName, state: map[string]int{}}
	for i := range file.Services {
		c.visit(&file.Services[i], nil)
	}
}

func (r *reader) checkCondition(s, other *definition.Service, d definition.Dependency) {
	switch d.Condition {
	case definition.ServiceCompleted:
		other.AwaitedCompletion = true
		if policy := other.Restart.Policy; policy == definition.RestartAlways || policy == definition.RestartUnlessStopped {
			r.faultDependency(s, other, "write restart: no or on-failure at "+other.Key, "%s is started again whenever it ends, so it never completes", other.Key)
		}
	case definition.ServiceHealthy:
		// An image may bring its own check; a directory can't.
		if !mayBeHealthy(other) {
			r.faultDependency(s, other, "add healthcheck: to "+other.Key+", or write condition: service_started", "%s has no check that could find it healthy", other.Key)
		}
	}
}

func mayBeHealthy(s *definition.Service) bool {
	switch h := s.Healthcheck; {
	case s.System.Notify == definition.NotifyStarted, s.System.Notify == definition.NotifyCompleted:
		return false
	case s.System.Notify == definition.NotifyContainer, s.System.Probe != nil, h != nil && h.Test != nil:
		return true
	case h != nil && h.Disable:
		return false
	}
	return s.Image != ""
}

// faultDependency reports at the dependency on another service.
func (r *reader) faultDependency(s, other *definition.Service, cure, format string, args ...any) {
	service := r.services().get(s.Key)
	depends := service.get("depends_on")
	at := service.place
	if p := findPair(depends.orEmpty().asMapping(mergeDependencies), other.Key); p != nil {
		at = p.place
	}
	r.report(diag.Error, at, join(join(join("services", s.Key), "depends_on"), other.Key), cure, format, args...).Rule = diag.RuleConflict
}

// orEmpty is the node, or one without content.
func (n *node) orEmpty() *node {
	if n == nil {
		return &node{kind: null}
	}
	return n
}

// circles looks for services that wait for each other.
type circles struct {
	*reader
	byName map[string]*definition.Service
	state  map[string]int // 1 = on the way, 2 = done
}

func (c *circles) visit(s *definition.Service, way []string) {
	c.state[s.Name] = 1
	way = append(way, s.Key)
	for _, d := range s.DependsOn {
		other := c.byName[d.Service]
		switch {
		case other == nil:
		case c.state[other.Name] == 1:
			c.faultDependency(s, other, "remove one of the dependencies", "services wait for each other: %s", circle(way, other.Key))
		case c.state[other.Name] == 0:
			c.visit(other, way)
		}
	}
	c.state[s.Name] = 2
}

// circle shows the part of the way from a service back to it.
func circle(way []string, back string) string {
	for len(way) > 1 && way[0] != back {
		way = way[1:]
	}
	return strings.Join(append(way[:len(way):len(way)], back), " → ")
}
