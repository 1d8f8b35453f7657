// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/cdi"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/envfile"
)

// grantKeys pass secrets, configuration and special devices in.
var grantKeys = []field{
	{name: "configs", shape: &grantsShape, example: "[site.conf]",
		doc:    "Configuration files to mount.",
		decode: func(r *reader, s *definition.Service, n *node) { s.Configs = r.grants(n, "configs") }},
	{name: "gpus", shape: &gpusShape, example: "all",
		doc:    "The graphics processors to pass in, found by the Container Device Interface: all is nvidia.com/gpu=all.",
		decode: func(r *reader, s *definition.Service, n *node) { r.gpus(s, n, "gpus") }},
	{name: "secrets", shape: &grantsShape, example: "[token]",
		doc:    "Secrets to mount, below /run/secrets.",
		decode: func(r *reader, s *definition.Service, n *node) { s.Secrets = r.grants(n, "secrets") }},
}

var plainNameFormat = format{
	name:    "name",
	pattern: `^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`,
	check: func(s string) (string, string) {
		if !isPlainName(s) {
			return quote(s) + " is no name", "use letters, digits, _ . and -"
		}
		return "", ""
	},
}

var grantsShape = shape{kinds: list, last: true, identity: identifyGrant, item: &shape{kinds: text | mapping, format: &plainNameFormat, keys: []field{
	{name: "gid", shape: &shape{kinds: text | integer, format: &groupFormat}, example: "\"1000\"", doc: "The group that owns the file."},
	{name: "mode", shape: &shape{kinds: integer | text, format: &modeFormat}, example: "0o440", doc: "The file's permissions, in octal."},
	{name: "source", shape: &shape{kinds: text, format: &plainNameFormat}, example: "token", required: true, doc: "The name under secrets: or configs:."},
	{name: "target", shape: &shape{kinds: text, format: &format{name: "grant-target", pattern: `[^/.]`}}, example: "/run/secrets/token", doc: "The file in the container."},
	{name: "uid", shape: &shape{kinds: text | integer, format: &groupFormat}, example: "\"1000\"", doc: "The user that owns the file."},
}}}

// grants reads the secrets or configs of a service; kind is the project's key
// that declares them.
func (r *reader) grants(n *node, kind string) (all []definition.Grant) {
	seen := map[string]place{}
	for _, item := range n.items {
		g := definition.Grant{Source: item.text}
		if item.kind == mapping {
			g.Source = item.get("source").str()
			g.UID, g.GID = item.get("uid").str(), item.get("gid").str()
			g.Mode = r.mode(item.get("mode"))
		}
		if target := item.get("target"); target != nil {
			if g.Target = r.grantTarget(target, kind); g.Target == "" {
				continue
			}
		}
		at := g.Target
		if at == "" {
			at = g.Source
		}
		if first, again := seen[at]; again {
			r.fault(item, "keep one of the two", "%s is mounted twice: first at %s", at, r.where(item.place, first)).Rule = diag.RuleDuplicate
			continue
		}
		seen[at] = item.place
		if r.declared(item, kind, g.Source) {
			g.Name = g.Source // outside of a project: a credential of the system
			all = append(all, g)
		}
	}
	return all
}

// fillGrants tells each grant of a project where it comes from: the helper sees
// one service, not the project.
func (r *reader) fillGrants(file *definition.File) {
	for i := range file.Services {
		s := &file.Services[i]
		r.fillGrant("secrets", s.Secrets, file.Secrets)
		if s.Build != nil {
			r.fillGrant("secrets", s.Build.Secrets, file.Secrets)
		}
		r.fillGrant("configs", s.Configs, file.Configs)
	}
}

func (r *reader) fillGrant(kind string, grants []definition.Grant, declared []definition.Material) {
	for i := range grants {
		g := &grants[i]
		for j := range declared {
			m := &declared[j]
			if m.Key != g.Source {
				continue
			}
			g.Name, g.File, g.Environment, g.Content, g.Encrypted = m.Name, m.File, m.Environment, m.Content, m.Encrypted
			if g.Environment != "" {
				g.EnvFiles = r.variableFiles(findPair(r.root.get(kind), g.Source).place.layer)
			}
		}
	}
}

// variableFiles are where a variable of a layer is looked up, the first that has it.
func (r *reader) variableFiles(layer int32) []string {
	files := []string{cmp.Or(r.in.EnvFile, path.Join(r.in.Dir, r.envName())), path.Join(r.in.Dir, ".env")}
	if scope := r.scopes[layer]; scope != nil {
		for _, list := range scope.files {
			for _, file := range slices.Backward(list) {
				files = append(files, file)
			}
		}
	}
	return files
}

// grantTarget makes a target absolute as Compose does: a secret's bare name is
// a file of /run/secrets.
func (r *reader) grantTarget(n *node, kind string) string {
	target := n.str()
	if !path.IsAbs(target) && target != "" {
		dir := "/"
		if kind == "secrets" {
			dir = "/run/secrets"
		}
		if target = path.Join(dir, target); hasDotDot(n.str()) {
			r.fault(n, "write the path without ..", "%s goes upwards", quote(n.str()))
			return ""
		}
	}
	return r.cleanTarget(n, target)
}

// declared tells whether a project has a network, volume, secret or config;
// outside of a project everything is somebody else's.
func (r *reader) declared(n *node, kind, name string) bool {
	if r.services() == nil {
		return true
	}
	declared := r.root.get(kind)
	if findPair(declared, name) != nil {
		return true
	}
	cure := "add " + name + ": under " + kind + ": at the left margin"
	var names []string
	if declared != nil {
		for i := range declared.pairs {
			names = append(names, declared.pairs[i].key)
		}
	}
	if near := nearest(name, names); near != "" {
		cure = "did you mean " + near + "?"
	}
	r.fault(n, cure, "the project declares no %s %s", strings.TrimSuffix(kind, "s"), quote(name)).Rule = diag.RuleReference
	return false
}

var gpuShape = shape{kinds: mapping, keys: []field{
	{name: "capabilities", shape: &uniqueShape, example: "[gpu]", doc: "What the processor has to be able to do."},
	{name: "count", shape: &shape{kinds: integer | text, format: &gpuCountFormat}, example: "1", doc: "How many, or all."},
	{name: "device_ids", shape: &uniqueShape, example: "[\"0\"]", doc: "Which ones."},
	{name: "driver", shape: &shape{kinds: text, format: &gpuDriverFormat}, example: "nvidia", doc: "Whose they are."},
	{name: "options", shape: &pairsShape, example: "{virtualization: \"true\"}", doc: "Options of the driver."},
}}

var gpusShape = shape{kinds: text | list, words: []string{"all"}, item: &gpuShape}

var gpuDriverFormat = format{
	name:    "gpu-driver",
	pattern: `^(nvidia|amd|intel|cdi)?$`,
	check: func(s string) (string, string) {
		if _, ok := gpuKinds[s]; ok || s == "cdi" {
			return "", ""
		}
		return unsupported + "the driver " + quote(s), "write devices: [vendor.com/class=name]"
	},
}

var gpuCountFormat = format{
	name:    "gpu-count",
	pattern: `^(all|-1|[0-9]{1,3})$`, bounds: &bounds{high: 999, orMinusOne: true},
	check: func(s string) (string, string) {
		if n, ok := parseInt(s); s == "all" || ok && n >= -1 && n < 1000 {
			return "", ""
		}
		return quote(s) + " is no number of processors", "write a number, or all"
	},
}

// gpuKinds are the devices of a driver's processors, by its name.
var gpuKinds = map[string]string{"": "nvidia.com/gpu", "nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "intel": "gpu.intel.com/gpu"}

// gpus turns requests for processors into devices of the Container Device
// Interface, whose vendors say there what a container needs for them.
func (r *reader) gpus(s *definition.Service, n *node, key string) {
	add := func(name string) { s.CDI = append(s.CDI, definition.CDIDevice{Name: name, Key: key}) }
	if n.kind == text {
		add(gpuKinds[""] + "=all")
		return
	}
	for _, item := range n.items {
		if item.get("count") != nil && item.get("device_ids") != nil {
			r.conflict(item, "count", "device_ids", "each chooses among the devices")
			continue
		}
		names, what, cure := gpuNames(item)
		if what != "" {
			r.fault(item, cure, "%s", what).Rule = diag.RuleReference
			continue
		}
		if options := findPair(item, "options"); options != nil {
			r.report(diag.Warning, options.place, join(r.pathOf(item), "options"), "remove it", "no device of the Container Device Interface has options").Rule = diag.RuleUnsupported
		}
		for _, name := range names {
			add(name)
		}
	}
}

// gpuNames are the devices of one request, or what is wrong with it.
func gpuNames(n *node) (names []string, what, cure string) {
	driver, ids, count := n.get("driver").str(), n.get("device_ids"), n.get("count")
	kind, ok := gpuKinds[driver]
	switch capabilities := n.get("capabilities"); {
	case driver == "cdi":
		kind, ok = "", ids != nil
		what, cure = "the driver cdi needs the names of devices", "write device_ids: [vendor.com/class=name]"
	case driver == "" && capabilities != nil && !slices.ContainsFunc(texts(capabilities), isGPUWord):
		ok = false
		what, cure = "no device is known by these capabilities", "write devices: [vendor.com/class=name]"
	}
	if !ok {
		return nil, what, cure
	}
	if ids != nil {
		return gpuIDs(kind, texts(ids))
	}
	number, err := strconv.Atoi(count.str())
	if err != nil || number < 0 {
		return []string{kind + "=all"}, "", ""
	}
	for i := range number {
		names = append(names, kind+"="+itoa(i))
	}
	return names, "", ""
}

// gpuIDs are devices by number, UUID or, with the driver cdi, full name.
func gpuIDs(kind string, ids []string) (names []string, what, cure string) {
	for _, id := range ids {
		name := id
		if _, full := cdi.ParseName(id); !full {
			name = kind + "=" + id
		}
		if _, ok := cdi.ParseName(name); !ok {
			return nil, quote(id) + " is no device", "write a number, a UUID or vendor.com/class=name"
		}
		names = append(names, name)
	}
	return names, "", ""
}

// isGPUWord knows the capabilities of graphics processors (Docker's device
// requests; the others are NVIDIA's).
func isGPUWord(s string) bool {
	return contains([]string{"gpu", "nvidia", "compute", "utility", "graphics", "video", "display", "ngx", "compat32", "amd"}, s)
}

// readLabels adds the labels of a file; those in the definition win, whichever
// stands first.
func (r *reader) readLabels(file string, data []byte) {
	read, problems := envfile.Parse(envfile.File{Path: file, Data: data})
	r.problems = append(r.problems, problems...)
	if r.fileLabels == nil {
		r.fileLabels = map[string]string{}
	}
	for _, v := range read {
		if v.Value != nil {
			r.fileLabels[v.Name] = *v.Value
		}
	}
}

// addFileLabels appends the labels of files to those of the definition.
func (r *reader) addFileLabels(s *definition.Service) {
	if len(r.fileLabels) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.fileLabels)) {
		if !slices.ContainsFunc(s.Labels, func(l definition.KeyValue) bool { return l.Key == name }) {
			s.Labels = append(s.Labels, definition.KeyValue{Key: name, Value: r.fileLabels[name]})
		}
	}
	r.fileLabels = nil
}
