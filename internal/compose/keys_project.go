// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// projectKeys say how services belong together.
var projectKeys = []field{
	{name: "depends_on", shape: &dependsShape, example: "[db]",
		doc:    "The services that are started before this one.",
		decode: decodeDependsOn},
	{name: "extends", shape: &extendsShape, example: "{file: base.yaml, service: base}",
		doc: "Another service, here or in another file, that this one is made from."},
	{name: "healthcheck", shape: &healthShape, example: "{test: [CMD, /healthy]}",
		doc:    "How to find out whether the payload is well, and how often.",
		decode: decodeHealthcheck},
	{name: "label_file", shape: &shape{kinds: text | list, merge: mergeAppend, format: &hostPathFormat, item: &hostPathShape}, example: "/etc/web/labels",
		doc:    "Files of KEY=value lines that are added to the labels; those under labels win.",
		decode: decodeLabelFile},
	{name: "post_start", shape: &hooksShape, example: "[{command: /prepare}]",
		doc:    "Commands to run in the container after it has started; the unit is active once they have ended well.",
		decode: func(r *reader, s *definition.Service, n *node) { s.PostStart = r.hooks(n) }},
	{name: "pre_stop", shape: &hooksShape, example: "[{command: /drain}]",
		doc:    "Commands to run in the container before it is sent the stop signal, for `stop_grace_period` at most.",
		decode: func(r *reader, s *definition.Service, n *node) { s.PreStop = r.hooks(n) }},
	{name: "profiles", shape: &shape{kinds: list, item: &shape{kinds: text}, last: true}, example: "[debug]",
		doc:    "The profiles in which the project starts the service, of which COMPOSE_PROFILES chooses in the file of variables.",
		decode: decodeProfiles},
	{name: "scale", shape: &shape{kinds: integer, format: replicasFormat}, example: "2",
		doc:    "The number of instances, which are units of their own: NAME-1, NAME-2 and so on.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Replicas = intOf(n) }},
	{name: "x-idle-timeout", shape: &durationShape, example: "15m",
		doc:    "How long nobody is connected to its ports with x-activation when the container is stopped; the next connection starts it.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.IdleTimeout, _ = parseDuration(n.text) }},
	{name: "x-wait-for", shape: &shape{kinds: text | list, merge: mergeAppend, format: &conditionFormat, item: &conditionShape, unique: true}, example: "[dns:db.example.com, tcp:192.0.2.7:5432, path:/mnt/nas/ready]",
		doc:    "What a start waits for on the host: dns:NAME has an address, tcp:HOST:PORT takes a connection, address:IP is the host's, path:PATH is there.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.WaitFor = texts(n.asList()) }},
}

var extendsShape = shape{kinds: text | mapping, merge: mergeReplace, keys: []field{
	{name: "file", shape: &hostPathShape, example: "base.yaml", doc: "The file that has the service; this one if left out."},
	{name: "service", shape: &stringShape, example: "base", required: true, doc: "The service's name there."},
}}

var replicasFormat = &format{name: "replicas", pattern: integerPattern, bounds: &bounds{low: 0, high: 1000, whole: true, cure: "write a number from 0 to 1000"}}

var dependsShape = shape{kinds: list | mapping, merge: mergeDependencies, item: &stringShape, open: &shape{kinds: mapping, keys: []field{
	{name: "condition", example: "service_healthy", required: true, doc: "What is waited for.",
		shape: &shape{kinds: text, words: []string{definition.ServiceStarted, definition.ServiceHealthy, definition.ServiceCompleted}}},
	{name: "required", shape: &boolShape, example: "false", doc: "false goes on without it."},
	{name: "restart", shape: &boolShape, example: "true", doc: "Restart this service whenever that one is restarted."},
}}}

func decodeDependsOn(r *reader, s *definition.Service, n *node) {
	byName := n.asMapping(mergeDependencies)
	for i := range byName.pairs {
		p := &byName.pairs[i]
		d := definition.Dependency{Condition: p.value.get("condition").str()}
		if d.Condition == "" {
			d.Condition = definition.ServiceStarted
		}
		if required := p.value.get("required"); required != nil {
			d.Optional = !required.truth()
		}
		if restart := p.value.get("restart"); restart != nil {
			d.Restart = restart.truth()
		}
		r.depend(s, p.place, n, p.key, d)
	}
}

// depend adds a dependency on a service of the project or, outside of one, on
// another definition; of two on the same service the stricter stays.
func (r *reader) depend(s *definition.Service, at place, n *node, key string, d definition.Dependency) {
	unit, ok := r.serviceUnit(key)
	switch {
	case !ok && d.Optional:
		return
	case !ok:
		r.report(diag.Error, at, r.pathOf(n), r.suggestService(r.services(), key), "there is no service %s in this project", quote(key)).Rule = diag.RuleReference
		return
	case unit == s.Name:
		r.report(diag.Error, at, r.pathOf(n), "remove it", "the service depends on itself").Rule = diag.RuleReference
		return
	}
	d.Service = unit
	for i := range s.DependsOn {
		have := &s.DependsOn[i]
		if have.Service != unit {
			continue
		}
		if have.Condition == definition.ServiceStarted {
			have.Condition = d.Condition
		}
		have.Optional = have.Optional && d.Optional
		have.Restart = have.Restart || d.Restart
		return
	}
	s.DependsOn = append(s.DependsOn, d)
}

// serviceUnit is the unit's name, without ".service", of a service by its key.
func (r *reader) serviceUnit(key string) (string, bool) {
	services := r.services()
	if services == nil {
		return key, badUnitName(key+".service") == "" && key != ""
	}
	return r.in.Name + "-" + key, services.get(key) != nil
}

var healthShape = shape{kinds: mapping, keys: []field{
	{name: "disable", shape: &boolShape, example: "true", doc: "Switch the image's check off."},
	{name: "interval", shape: &durationShape, example: "30s", doc: "The time between two checks."},
	{name: "retries", shape: &shape{kinds: integer, format: &format{name: "retries", pattern: integerPattern, bounds: &bounds{low: 0, high: 1_000_000, whole: true, cure: "write a number"}}}, example: "3", doc: "The failures in a row that count as unwell."},
	{name: "start_interval", shape: &durationShape, example: "1s", doc: "The time between two checks while starting."},
	{name: "start_period", shape: &durationShape, example: "1m", doc: "The time in which failures do not count."},
	{name: "test", shape: &shape{kinds: text | list, item: &stringShape, first: []string{"CMD", "CMD-SHELL", "NONE"}, merge: mergeReplace}, example: "[CMD, /healthy]", doc: "The command; its exit status 0 is well."},
	{name: "timeout", shape: &durationShape, example: "5s", doc: "The longest that a check may take."},
}}

func decodeHealthcheck(r *reader, s *definition.Service, n *node) {
	h := &definition.Healthcheck{}
	if disable := n.get("disable"); disable != nil {
		h.Disable = disable.truth()
	}
	h.Interval, _ = parseDuration(n.get("interval").str())
	h.Timeout, _ = parseDuration(n.get("timeout").str())
	h.StartPeriod, _ = parseDuration(n.get("start_period").str())
	h.StartInterval, _ = parseDuration(n.get("start_interval").str())
	if retries := n.get("retries"); retries != nil {
		h.Retries = int(retries.int())
	}
	if test := n.get("test"); test != nil {
		h.Test = r.healthTest(h, test)
	}
	s.Healthcheck = h
}

// healthTest reads `test:`: a string is a shell's, a list begins with a word
// that says what the rest is.
func (r *reader) healthTest(h *definition.Healthcheck, n *node) []string {
	if n.kind == text {
		if n.text == "NONE" {
			h.Disable = true
			return nil
		}
		return []string{"CMD-SHELL", n.text}
	}
	words := texts(n)
	switch {
	case len(words) == 0:
		return nil // the image's
	case words[0] == "NONE" && len(words) == 1:
		h.Disable = true
		return nil
	case words[0] == "CMD" && len(words) > 1, words[0] == "CMD-SHELL" && len(words) == 2:
		return words
	case words[0] == "CMD-SHELL" && len(words) > 2:
		// Docker takes it so too, and hardly anybody means it.
		r.warn(n, "write CMD for a list of words, or one string after CMD-SHELL", "of the words after CMD-SHELL the shell reads the first alone; the others are its $0, $1 and so on")
		return words
	default:
		r.fault(n, "begin the list with CMD, CMD-SHELL or NONE", "%s is no kind of check", quote(words[0]))
	}
	return nil
}

var hooksShape = shape{kinds: list, item: &shape{kinds: mapping, keys: []field{
	{name: "command", shape: &shape{kinds: text | list, format: &commandFormat, item: &stringShape, min: 1, merge: mergeReplace}, example: "[/prepare]", required: true, doc: "The command."},
	{name: "environment", shape: &environmentShape, example: "{LANG: C.UTF-8}", doc: "Further variables."},
	{name: "privileged", shape: &boolShape, example: "false", doc: "Run it with all privileges."},
	{name: "user", shape: &shape{kinds: text | integer, format: &userFormat}, example: "root", doc: "The user to run it as."},
	{name: "working_dir", shape: &shape{kinds: text, format: &workDirFormat}, example: "/srv", doc: "The directory to run it in."},
}}}

func (r *reader) hooks(n *node) (all []definition.Hook) {
	for _, item := range n.items {
		h := definition.Hook{Command: r.words(item.get("command")), User: item.get("user").str()}
		if len(h.Command) == 0 {
			r.fault(item, "write for example command: [/prepare]", "the hook has no command")
			continue
		}
		if privileged := item.get("privileged"); privileged != nil {
			h.Privileged = privileged.truth()
		}
		if dir := item.get("working_dir"); dir != nil {
			h.WorkingDir = r.containerDir(dir)
		}
		if environment := item.get("environment"); environment != nil {
			h.Environment = r.environment(environment)
		}
		all = append(all, h)
	}
	return all
}

// decodeProfiles marks a service that the project's target leaves alone. A profile
// without a name is that of projects where none is chosen, as in Compose.
func decodeProfiles(r *reader, s *definition.Service, n *node) {
	s.Profiles = texts(n)
	for active := range strings.SplitSeq(r.in.Env["COMPOSE_PROFILES"], ",") {
		active = strings.TrimSpace(active)
		s.Active = s.Active || active == "*" || contains(s.Profiles, active)
	}
}

func decodeLabelFile(r *reader, s *definition.Service, n *node) {
	for _, item := range n.asList().items {
		file := r.hostPath(item, item.str())
		if file == "" {
			continue
		}
		if r.in.Read == nil {
			r.fault(item, "write the labels under labels:", "no further file can be read here")
			continue
		}
		layer, err := r.readNamed(file)
		if err != nil {
			r.fault(item, r.cureNamed(file, "write the path of a file of KEY=value lines"), "reading the label file: %v", err)
			continue
		}
		r.readLabels(layer.Path, layer.Data)
	}
}
