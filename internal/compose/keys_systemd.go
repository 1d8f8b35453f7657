// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"errors"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/busvalue"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// directiveValue is `Name: value` or, for several lines, `Name: [one, two]`.
var directiveValue = shape{kinds: boolean | number | text | list, item: &shape{kinds: boolean | number | text}}

var directiveBlock = shape{kinds: mapping, open: &directiveValue}

var systemdKeys = []field{
	{name: "cgroup", shape: &shape{kinds: text, words: []string{definition.CgroupScope, definition.CgroupService}}, example: "scope",
		doc: "Where the payload runs: in a transient scope (the default) or in the service's own delegated cgroup."},
	{name: "install", shape: &directiveBlock, example: "{WantedBy: multi-user.target}",
		doc: "Directives of the [Install] section; the generator makes the links."},
	{name: "notify", shape: &shape{kinds: text, words: []string{definition.NotifyStarted, definition.NotifyHealthy, definition.NotifyContainer, definition.NotifyCompleted}}, example: "container",
		doc: "What makes the unit active: started, healthy (the default where there is a check), container, the payload's own READY=1, or completed, its end with status 0."},
	{name: "probe", shape: &probeShape, example: "{http: \"http://:8080/health\"}",
		doc: "A check for which the image needs no program: exec, file, http, log, tcp or unix. Its times are those of healthcheck."},
	{name: "scope", shape: &directiveBlock, example: "{MemoryHigh: 400M}",
		doc: "Resource-control directives of the cgroup in which the payload runs."},
	{name: "service", shape: &directiveBlock, example: "{RestartSec: 5s}",
		doc: "Directives of the [Service] section, as written."},
	{name: "slice", shape: &shape{kinds: text, format: &sliceFormat}, example: "unitc.slice",
		doc: "The slice that holds the payload's cgroup."},
	{name: "socket", shape: &directiveBlock, example: "{ListenStream: 8080}",
		doc: "Directives of NAME.socket, which starts the service on demand."},
	{name: "timer", shape: &directiveBlock, example: "{OnCalendar: daily}",
		doc: "Directives of NAME.timer, which starts the service by time."},
	{name: "unit", shape: &directiveBlock, example: "{After: network.target}",
		doc: "Directives of the [Unit] section, as written."},
}

var systemdShape = shape{kinds: mapping, keys: systemdKeys}

var sliceFormat = format{
	name:    "slice",
	pattern: `^[A-Za-z0-9:_.\\]+(-[A-Za-z0-9:_.\\]+)*$`,
	check: func(s string) (string, string) {
		if what := badUnitName(strings.TrimSuffix(s, ".slice") + ".slice"); what != "" {
			return quote(s) + " is no name of a slice: " + what, "write for example unitc-web.slice"
		}
		if base := strings.TrimSuffix(s, ".slice"); strings.HasPrefix(base, "-") || strings.HasSuffix(base, "-") || strings.Contains(base, "--") {
			return quote(s) + " is no name of a slice: a dash parts two names", "write for example unitc-web.slice"
		}
		return "", ""
	},
}

// decodeSystemd reads the block even if its shape was wrong somewhere: the
// install links of a broken definition are part of its error unit.
func decodeSystemd(r *reader, s *definition.Service, n *node) {
	s.System.Cgroup = n.get("cgroup").str()
	for i := range n.pairs {
		p := &n.pairs[i]
		switch p.key {
		case "slice":
			if p.value.kind == text {
				s.System.Slice = strings.TrimSuffix(p.value.text, ".slice") + ".slice"
			}
			continue
		case "notify":
			s.System.Notify = p.value.str()
			s.AwaitedCompletion = s.System.Notify == definition.NotifyCompleted
			continue
		case "probe":
			if p.value.kind == mapping && !p.value.bad {
				s.System.Probe = r.probe(p.value)
			}
			continue
		}
		for j := range sections {
			if sections[j].key == p.key && p.value.kind == mapping {
				r.decodeSection(&sections[j], s, p.value)
			}
		}
	}
	if v := n.get("unit").get("StopWhenUnneeded"); v != nil && v.truth() && s.System.Cgroup != definition.CgroupService {
		r.warn(v, "write cgroup: service beside unit:", "it never stops: the scope of the container needs its service")
	}
}

func (r *reader) decodeSection(sec *section, s *definition.Service, n *node) {
	into := sec.into(&s.System)
	for i := range n.pairs {
		p := &n.pairs[i]
		if !r.checkDirective(sec, n, p) {
			continue
		}
		values := []*node{p.value}
		if p.value.kind == list {
			values = p.value.items
		}
		for _, v := range values {
			if v.kind&(boolean|number|text) != 0 && r.checkValue(v) && (sec.key != "scope" || r.checkScope(s, p.key, v)) {
				*into = append(*into, definition.Directive{Name: p.key, Value: v.text})
			}
		}
	}
}

// checkScope finds what systemd would not take for a scope: that has no unit file, whose
// bad lines systemd passes over with a word in its log. In one, which `cgroup: service`
// is, a limit would not be there.
func (r *reader) checkScope(s *definition.Service, name string, n *node) bool {
	_, _, err := busvalue.Of(name, n.text)
	inUnit := s.System.Cgroup == definition.CgroupService
	switch {
	case err == nil, inUnit && (errors.Is(err, busvalue.ErrNone) || n.text == "" || strings.Contains(n.text, "%")):
		return true
	case errors.Is(err, busvalue.ErrNone):
		r.fault(n, "write cgroup: service beside scope:", "no scope can be given this directive").Rule = diag.RuleConflict
	default:
		r.fault(n, "systemd.resource-control(5) says what it takes", "%v", err).Rule = diag.RuleDirective
	}
	return false
}

func (r *reader) checkDirective(sec *section, n *node, p *pair) bool {
	d := findDirective(p.key)
	switch {
	case d == nil && strings.HasPrefix(p.key, "X-"):
		return r.checkPrivate(n, p) // systemd ignores these by rule
	case d == nil:
		r.faultKey(n, p, suggestDirective(sec, p.key), "systemd has no such directive").Rule = diag.RuleUnknownKey
		return false
	case d.rooms&sec.rooms == 0:
		r.faultKey(n, p, homeOf(d), "the directive does not belong in this section")
		return false
	}
	if cure := sec.refused(d); cure != "" {
		r.faultKey(n, p, cure, "unitc does not pass this directive on").Rule = diag.RuleUnsupported
		return false
	}
	return true
}

// checkPrivate allows X- names made of word characters only.
func (r *reader) checkPrivate(n *node, p *pair) bool {
	for _, c := range p.key {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			r.faultKey(n, p, "use letters, digits and dashes", "a directive's name has the character %s", strconv.QuoteRune(c))
			return false
		}
	}
	return true
}

func suggestDirective(sec *section, name string) string {
	names := make([]string, 0, len(directives))
	for i := range directives {
		if directives[i].rooms&sec.rooms != 0 {
			names = append(names, directives[i].name)
		}
	}
	if near := nearest(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	return "see systemd.directives(7)"
}

// homeOf names the block in which a directive may stand.
func homeOf(d *directive) string {
	for i := range sections {
		if sec := &sections[i]; d.rooms&sec.rooms != 0 && sec.refused(d) == "" {
			return "write it under systemd: " + sec.key + ":"
		}
	}
	return "remove it"
}

// maxDirective is the length of one value; systemd refuses lines over 1 MiB.
const maxDirective = 64 << 10

// checkValue refuses what would end the line or join it with the next one: a
// value may set its own directive and no other.
func (r *reader) checkValue(n *node) bool {
	switch {
	case len(n.text) > maxDirective:
		r.fault(n, "shorten it", "a value of %d bytes", len(n.text))
	case strings.HasSuffix(n.text, `\`):
		r.fault(n, "end it with another character", "the backslash at the end would join the next line of the unit to this value")
	default:
		for _, c := range n.text {
			if c < ' ' && c != '\t' || c == 0x7f {
				r.fault(n, "write one line; a list gives one directive an item", "the value has the control character %s", strconv.QuoteRune(c))
				return false
			}
		}
		return true
	}
	return false
}
