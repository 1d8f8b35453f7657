// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"time"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// deployKeys is Swarm's block. On one host its limits, replicas and restart
// policy mean something; the rest is about a cluster and is told of, not obeyed.
var deployKeys = []field{
	{name: "deploy", shape: &deployShape, example: "{replicas: 2}",
		doc:    "Replicas, limits and restart policy in Swarm's words; what is about a cluster is ignored with a warning.",
		decode: decodeDeploy},
}

var deployShape = shape{kinds: null | mapping, keys: []field{
	{name: "endpoint_mode", shape: &shape{kinds: text, words: []string{"vip", "dnsrr"}}, example: "vip", doc: "Swarm's."},
	{name: "labels", shape: &pairsShape, example: "{tier: front}", doc: "Swarm's: labels of its service."},
	{name: "mode", shape: &shape{kinds: text, words: []string{"global", "global-job", "replicated", "replicated-job"}}, example: "replicated", doc: "Swarm's."},
	{name: "placement", shape: &shape{kinds: mapping, open: &anyShape}, example: "{constraints: [node.role==manager]}", doc: "Swarm's."},
	{name: "replicas", shape: &shape{kinds: integer, format: replicasFormat}, example: "2", doc: "As scale."},
	{name: "resources", shape: &deployResources, example: "{limits: {memory: 512m}}", doc: "Limits and reservations."},
	{name: "restart_policy", shape: &shape{kinds: mapping, keys: []field{
		{name: "condition", shape: &shape{kinds: text, words: []string{"none", "no", "on-failure", "any", "always", "unless-stopped"}}, example: "on-failure", doc: "When to start again; any is restart: always."},
		{name: "delay", shape: &durationShape, example: "5s", doc: "The time between two starts."},
		{name: "max_attempts", shape: &shape{kinds: integer, format: &format{name: "attempts", pattern: integerPattern, bounds: &bounds{low: 0, high: 1_000_000, whole: true, cure: "write a number"}}}, example: "3", doc: "The most starts within the window."},
		{name: "window", shape: &durationShape, example: "2m", doc: "The time in which starts are counted."},
	}}, example: "{condition: on-failure}", doc: "When to start again; in the place of restart."},
	{name: "rollback_config", shape: &rolloutShape, example: "{parallelism: 1}", doc: "Swarm's."},
	{name: "update_config", shape: &updateShape, example: "{parallelism: 1}", doc: "How unitc apply and unitc update replace the instances of a service."},
}}

var parallelismFormat = format{name: "parallelism", pattern: integerPattern, bounds: &bounds{low: 0, high: 1000, whole: true, cure: "write how many instances are replaced at once, or 0 for all"}}

var updateShape = shape{kinds: mapping, keys: []field{
	{name: "delay", shape: &durationShape, example: "10s", doc: "The time between some instances and the next ones; none if left out."},
	{name: "failure_action", shape: &shape{kinds: text, words: []string{"continue", "rollback", "pause"}}, example: "pause", doc: "What becomes of the other instances where one does not come up or does not stay up: pause (the default) leaves them as they are, continue goes on. unitc update goes back to the image before in any case, which is rollback; unitc apply has nothing to go back to, and pauses."},
	{name: "max_failure_ratio", shape: &floatShape, example: "0.1", doc: "Swarm's."},
	{name: "monitor", shape: &durationShape, example: "5s", doc: "How long instances must stay up before the next ones follow: 5s if left out, and none where a check says that they are up."},
	{name: "order", shape: &shape{kinds: text, words: []string{"start-first", "stop-first"}}, example: "stop-first", doc: "Only stop-first: an instance has its name and addresses for itself."},
	{name: "parallelism", shape: &shape{kinds: integer, format: &parallelismFormat}, example: "1", doc: "How many instances are replaced at once, 1 if left out; 0 is all of them."},
}}

var rolloutShape = shape{kinds: mapping, keys: []field{
	{name: "delay", shape: &durationShape, example: "10s", doc: "Swarm's."},
	{name: "failure_action", shape: &shape{kinds: text, words: []string{"continue", "rollback", "pause"}}, example: "pause", doc: "Swarm's."},
	{name: "max_failure_ratio", shape: &floatShape, example: "0.1", doc: "Swarm's."},
	{name: "monitor", shape: &durationShape, example: "5s", doc: "Swarm's."},
	{name: "order", shape: &shape{kinds: text, words: []string{"start-first", "stop-first"}}, example: "stop-first", doc: "Swarm's."},
	{name: "parallelism", shape: &intShape, example: "1", doc: "Swarm's."},
}}

var deployResources = shape{kinds: mapping, keys: []field{
	{name: "limits", shape: &shape{kinds: mapping, keys: []field{
		{name: "cpus", shape: &shape{kinds: number, format: &cpusFormat}, example: "0.5", doc: "As cpus."},
		{name: "memory", shape: &memoryShape, example: "512m", doc: "As mem_limit."},
		{name: "pids", shape: &shape{kinds: integer, format: &format{name: "pids", pattern: integerPattern, bounds: &bounds{low: -1, high: 4_194_304, whole: true, cure: "write a number, or -1 for no limit"}}}, example: "200", doc: "As pids_limit."},
	}}, example: "{memory: 512m}", doc: "The most that may be used."},
	{name: "reservations", shape: &shape{kinds: mapping, keys: []field{
		{name: "cpus", shape: &shape{kinds: number, format: &cpusFormat}, example: "0.25", doc: "Swarm's."},
		{name: "devices", shape: &shape{kinds: list, item: &gpuShape}, example: "[{capabilities: [gpu]}]", doc: "As gpus."},
		{name: "generic_resources", shape: &shape{kinds: list, item: &anyShape}, example: "[]", doc: "Swarm's."},
		{name: "memory", shape: &memoryShape, example: "256m", doc: "As mem_reservation."},
	}}, example: "{memory: 256m}", doc: "What is kept for the service."},
}}

func decodeDeploy(r *reader, s *definition.Service, n *node) {
	if n.isNull() {
		return
	}
	for i := range n.pairs {
		switch p := &n.pairs[i]; p.key {
		case "endpoint_mode", "labels", "mode", "placement", "rollback_config":
			r.warnSwarm(n, p)
		case "update_config":
			s.Rollout = r.decodeRollout(p.value)
		case "replicas":
			s.Replicas = intOf(p.value)
		case "resources":
			r.decodeLimits(s, p.value)
		case "restart_policy":
			r.decodeRestartPolicy(s, p.value)
		}
	}
}

func (r *reader) decodeRollout(n *node) *definition.Rollout {
	if len(n.pairs) == 0 {
		return nil
	}
	if p := findPair(n, "max_failure_ratio"); p != nil {
		r.warnSwarm(n, p)
	}
	if order := n.get("order"); order.str() == "start-first" {
		r.warn(order, "write stop-first, which is the default", "an instance is stopped before the next one of its name starts").Rule = diag.RuleUnsupported
	}
	u := &definition.Rollout{Delay: durationOf(n.get("delay")), Continue: n.get("failure_action").str() == "continue"}
	if value := n.get("parallelism"); value != nil {
		u.Parallelism = intOf(value)
	}
	if value := n.get("monitor"); value != nil {
		monitor := durationOf(value)
		u.Monitor = &monitor
	}
	return u
}

func (r *reader) warnSwarm(n *node, p *pair) {
	r.report(diag.Warning, p.place, join(r.pathOf(n), p.key), "remove it", "only a Swarm cluster obeys this key").Rule = diag.RuleUnsupported
}

func (r *reader) decodeLimits(s *definition.Service, n *node) {
	limits, reservations := n.get("limits"), n.get("reservations")
	res := &s.Resources
	if value := limits.get("cpus"); value != nil && r.sameAs(value, "cpus", sameNumber) {
		res.CPUs, _ = parseFloat(value.text)
	}
	if value := limits.get("memory"); value != nil && r.sameAs(value, "mem_limit", sameBytes) {
		res.MemLimit, _ = ParseBytes(value.text)
	}
	if value := limits.get("pids"); value != nil && r.sameAs(value, "pids_limit", samePids) {
		decodePids(r, s, value)
	}
	if value := reservations.get("memory"); value != nil && r.sameAs(value, "mem_reservation", sameBytes) {
		res.MemReservation, _ = ParseBytes(value.text)
	}
	for _, key := range []string{"cpus", "generic_resources"} {
		if p := findPair(reservations, key); p != nil {
			r.warnSwarm(reservations, p)
		}
	}
	if devices := reservations.get("devices"); devices != nil {
		r.gpus(s, devices, "deploy")
	}
}

// sameAs refuses a limit that stands under deploy: and at the service itself
// with another value, as Compose does: 512M is 512m.
func (r *reader) sameAs(n *node, key string, same func(a, b string) bool) bool {
	own := findPair(r.service, key)
	if own == nil || own.value.bad || own.value.str() == n.str() || same(own.value.str(), n.str()) {
		return true
	}
	r.fault(n, "keep one of the two", "%s at %s says %s", key, r.where(n.place, own.place), quote(own.value.str())).Rule = diag.RuleConflict
	return false
}

func sameNumber(a, b string) bool {
	x, ok := parseFloat(a)
	y, also := parseFloat(b)
	return ok && also && x == y
}

func sameBytes(a, b string) bool {
	x, ok := ParseBytes(a)
	y, also := ParseBytes(b)
	return ok && also && x == y
}

// samePids: 0 and -1 are no limit.
func samePids(a, b string) bool {
	x, ok := parseInt(a)
	y, also := parseInt(b)
	return ok && also && max(x, 0) == max(y, 0)
}

// decodeRestartPolicy takes the place of restart:, as in Compose.
func (r *reader) decodeRestartPolicy(s *definition.Service, n *node) {
	if own := findPair(r.service, "restart"); own != nil {
		r.warn(n, "keep one of the two", "restart: at %s is not obeyed beside it", r.where(n.place, own.place))
	}
	s.Restart = definition.Restart{Policy: definition.RestartAlways}
	switch n.get("condition").str() {
	case "none", "no":
		s.Restart.Policy = definition.RestartNo
	case "on-failure":
		s.Restart.Policy = definition.RestartOnFailure
	}
	if n.get("condition").str() == definition.RestartUnlessStopped {
		s.Restart.Policy = definition.RestartUnlessStopped
	}
	if attempts := n.get("max_attempts"); attempts != nil {
		s.Restart.MaxRetries = int(attempts.int())
	}
	s.Restart.Delay = durationOf(n.get("delay"))
	s.Restart.Window = durationOf(n.get("window"))
}

func durationOf(n *node) time.Duration {
	value, _ := parseDuration(n.str())
	return value
}
