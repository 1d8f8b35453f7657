// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/signals"
)

// lifeKeys say how the payload is started, stopped, logged and described.
var lifeKeys = []field{
	{name: "annotations", shape: &pairsShape, example: "{owner: ops}",
		doc:    "Notes that the OCI specification of the container carries.",
		decode: func(r *reader, s *definition.Service, n *node) { s.Annotations = r.keyValues(n) }},
	{name: "init", shape: &boolShape, example: "true",
		doc:    "Run a small init as the first process, which reaps orphans and forwards signals.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Init = n.truth() }},
	{name: "labels", shape: &pairsShape, example: "{tier: front}",
		doc:    "Notes on the container, as a mapping or a list of KEY=value.",
		decode: func(r *reader, s *definition.Service, n *node) { s.Labels = r.keyValues(n) }},
	{name: "logging", shape: &loggingShape, example: "{driver: journald}",
		doc:    "Where output goes: journald (the default), direct (no relay) or none.",
		decode: decodeLogging},
	{name: "restart", shape: &shape{kinds: text, format: &restartFormat}, example: "always",
		doc:    "When systemd starts the service again; always and unless-stopped start it at boot too.",
		decode: decodeRestart},
	{name: "runtime", shape: &shape{kinds: text, format: &runtimeFormat}, example: "crun",
		doc:    "Another OCI runtime to start the container with: its name or its path.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Runtime = n.text }},
	{name: "stop_grace_period", shape: &durationShape, example: "1m30s",
		doc:    "The time between the stop signal and the kill; 10 seconds by default.",
		decode: decodeGrace},
	{name: "stop_signal", shape: &shape{kinds: integer | text, format: &signalFormat}, example: "SIGQUIT",
		doc:    "The signal that asks the payload to stop; SIGTERM by default.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.StopSignal, _ = signals.Name(n.text) }},
	{name: "systemd", shape: &systemdShape, example: "{unit: {After: network.target}}",
		doc:    "What Compose lacks, in systemd's words.",
		decode: decodeSystemd},
	{name: "x-systemd", shape: &systemdShape, example: "{unit: {After: network.target}}",
		doc:    "The same as systemd, in a file that Compose has to read too.",
		decode: decodeSystemd},
}

var loggingShape = shape{kinds: mapping, merge: mergeLogging, keys: []field{
	{name: "driver", shape: &shape{kinds: text, format: &logDriverFormat}, example: "journald", doc: "journald, direct or none."},
	{name: "options", shape: &shape{kinds: mapping, open: &shape{kinds: null | number | text}}, example: "{tag: web}", doc: "Options of the driver."},
}}

// Docker's other drivers. unitc logs to the journal, which keeps and rotates by
// its own rules: that does the job of the local ones and not of the remote.
var (
	localLogDrivers  = []string{"json-file", "local"}
	remoteLogDrivers = []string{"awslogs", "fluentd", "gcplogs", "gelf", "splunk", "syslog"}
)

var logDriverFormat = format{
	name:    "log-driver",
	empty:   true,
	pattern: `^(journald|direct|none|json-file|local)$`,
	check: func(s string) (string, string) {
		switch s {
		case definition.LogJournald, definition.LogDirect, definition.LogNone:
			return "", ""
		}
		if contains(localLogDrivers, s) {
			return "", ""
		}
		if near := nearest(s, []string{definition.LogJournald, definition.LogDirect, definition.LogNone}); near != "" && !contains(remoteLogDrivers, s) {
			return quote(s) + " is no logging driver", "did you mean " + near + "?"
		}
		// Any other may be a plugin of Docker's.
		return unsupported + "the driver " + quote(s), "write journald, or remove logging: to log to the journal"
	},
}

func decodeLogging(r *reader, s *definition.Service, n *node) {
	driver := n.get("driver")
	if s.Logging.Driver = driver.str(); contains(localLogDrivers, s.Logging.Driver) {
		r.warn(driver, "write journald, or remove logging:", "the journal keeps the log, by its own limits, and not %s", driver.text)
		s.Logging = definition.Logging{Driver: definition.LogJournald}
		return
	}
	options := n.get("options")
	if options == nil {
		return
	}
	for i := range options.pairs {
		if p := &options.pairs[i]; r.checkLogOption(options, p) {
			s.Logging.Options = append(s.Logging.Options, definition.KeyValue{Key: p.key, Value: r.logOption(p)})
		}
	}
}

// logOption is the value as it is carried: times in systemd's words.
func (r *reader) logOption(p *pair) string {
	if p.key == definition.LogRateInterval {
		if every, ok := parseDuration(p.value.str()); ok {
			return strconv.FormatInt(every.Milliseconds(), 10) + "ms"
		}
	}
	return p.value.str()
}

// checkLogOption knows the options that do something here; Docker's others are
// left out, with a word.
func (r *reader) checkLogOption(n *node, p *pair) bool {
	text := p.value.str()
	switch p.key {
	case definition.LogFormat:
		if text != definition.LogFormatJSON && text != definition.LogFormatVerbatim {
			r.fault(p.value, "write json or plain", "%s is no format of lines", quote(text)).Rule = diag.RuleReference
			return false
		}
	case definition.LogTag:
		if strings.Contains(text, "{{") {
			r.warn(p.value, "write a word", "unitc fills in no templates; lines are named by the unit")
			return false
		}
		if text == "" || len(text) > 64 || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
			r.fault(p.value, "write a word without blanks", "%s is no tag", quote(text)).Rule = diag.RuleReference
			return false
		}
	case definition.LogRateInterval:
		if every, ok := parseDuration(text); !ok || every < 0 {
			r.fault(p.value, "write for example 30s, or 0 for no limit", "%s is no length of time", quote(text)).Rule = diag.RuleReference
			return false
		}
	case definition.LogRateBurst:
		if burst, ok := parseInt(text); !ok || burst < 0 || burst > 1<<31 {
			r.fault(p.value, "write a number of lines", "%s is no number of lines", quote(text)).Rule = diag.RuleReference
			return false
		}
	default:
		r.report(diag.Warning, p.place, join(r.pathOf(n), p.key), "remove it; format, tag, rate_limit_interval and rate_limit_burst do something", "the option changes nothing here")
		return false
	}
	return true
}

var restartFormat = format{
	name:    "restart",
	empty:   true,
	pattern: `^(no|always|unless-stopped|on-failure(:[0-9]{1,9})?)$`,
	check: func(s string) (string, string) {
		policies := []string{definition.RestartNo, definition.RestartAlways, definition.RestartUnlessStopped, definition.RestartOnFailure}
		policy, retries, limited := strings.Cut(s, ":")
		switch {
		case limited && policy != definition.RestartOnFailure:
			return "only on-failure takes a number of retries", "write on-failure:" + retries
		case limited && (!isDigits(retries) || len(retries) > 9):
			return quote(retries) + " is no number of retries", "write for example on-failure:5"
		case contains(policies, policy):
			return "", ""
		}
		cure := "write no, always, unless-stopped or on-failure"
		if near := nearest(policy, policies); near != "" {
			cure = "did you mean " + near + "?"
		}
		return quote(s) + " is no restart policy", cure
	},
}

func decodeRestart(r *reader, s *definition.Service, n *node) {
	if r.service.get("deploy").get("restart_policy") != nil {
		return // that takes its place
	}
	policy, retries, _ := strings.Cut(n.text, ":")
	s.Restart.Policy = policy
	s.Restart.MaxRetries, _ = strconv.Atoi(retries)
}

var runtimeFormat = format{
	name:    "runtime",
	empty:   true,
	pattern: `^[A-Za-z0-9/][A-Za-z0-9_./-]*$`,
	check: func(s string) (string, string) {
		if s == "" || s[0] == '-' || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") != "" {
			return quote(s) + " is no name of a runtime", "write for example crun"
		}
		return "", ""
	},
}

func decodeGrace(r *reader, s *definition.Service, n *node) {
	s.StopGracePeriod, _ = parseDuration(n.text)
	if s.StopGracePeriod == 0 {
		// 0 means "not given" in the resolved definition; a nanosecond kills at once.
		s.StopGracePeriod = 1
	}
}
