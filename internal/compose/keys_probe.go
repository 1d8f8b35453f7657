// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// probeShape is `systemd: probe:`, one key of which is given.
var probeShape = shape{kinds: mapping, keys: []field{
	{name: definition.ProbeExec, shape: &shape{kinds: text | list, format: &commandFormat, item: &stringShape, min: 1, merge: mergeReplace}, example: "[/bin/ready]",
		doc: "A program inside the container whose exit status 0 is well."},
	{name: definition.ProbeFile, shape: &shape{kinds: text, format: &absoluteFormat}, example: "/run/app/ready",
		doc: "A path inside the container that exists."},
	{name: definition.ProbeHTTP, shape: &shape{kinds: text, format: &probeURLFormat}, example: "\"http://:8080/health\"",
		doc: "A URL that answers with a status from 200 to 399, asked from the container's network."},
	{name: definition.ProbeLog, shape: &shape{kinds: text, format: &patternFormat}, example: "ready to accept connections",
		doc: "A regular expression that matches a line of the payload's output, once."},
	{name: definition.ProbeTCP, shape: &shape{kinds: text | integer, format: &probeAddressFormat}, example: "5432",
		doc: "A port, or ADDRESS:PORT, that takes connections in the container's network."},
	{name: definition.ProbeUnix, shape: &shape{kinds: text, format: &socketPathFormat}, example: "/run/app.sock",
		doc: "A socket inside the container that takes connections; @NAME is an abstract one."},
}}

const (
	hostPattern = `(localhost|[0-9.]+|\[[0-9a-fA-F:.]+\])?`
	portPattern = `[0-9]{1,5}`
)

var probeURLFormat = format{
	name:    "probe-url",
	pattern: `^http://` + hostPattern + `(:` + portPattern + `)?(/[!-~]*)?$`,
	check: func(s string) (string, string) {
		rest, ok := strings.CutPrefix(s, "http://")
		authority, path, _ := strings.Cut(rest, "/")
		host, port := cutPort(authority)
		switch {
		case strings.HasPrefix(s, "https://"):
			return unsupported + "https in a probe", "probe the port with tcp:, or run a client with exec:"
		case !ok || !isHost(host) || !(port == "" && !strings.HasSuffix(authority, ":") || isPort(port)) || strings.ContainsFunc(path, func(c rune) bool { return c < '!' || c > '~' }):
			return quote(s) + " is no URL of the container", "write for example http://:8080/health, with an address or localhost"
		}
		return "", ""
	},
}

var probeAddressFormat = format{
	name:    "probe-address",
	pattern: `^(` + hostPattern + `:)?` + portPattern + `$`,
	check: func(s string) (string, string) {
		host, port := cutPort(s)
		if port == "" && !strings.Contains(s, ":") {
			host, port = "", s
		}
		if !isHost(host) || !isPort(port) {
			return quote(s) + " is no port of the container", "write for example 5432, or 127.0.0.1:5432"
		}
		return "", ""
	},
}

// cutPort parts "[::1]:80" and "127.0.0.1:80".
func cutPort(s string) (host, port string) {
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		return s[:i], s[i+1:]
	}
	return s, ""
}

func isPort(s string) bool { return len(s) > 0 && len(s) <= 5 && isDigits(s) }

func isHost(s string) bool {
	inner, bracketed := strings.CutPrefix(s, "[")
	if bracketed {
		inner, bracketed = strings.CutSuffix(inner, "]")
		return bracketed && inner != "" && strings.Trim(inner, "0123456789abcdefABCDEF:.") == ""
	}
	return s == "localhost" || strings.Trim(s, "0123456789.") == ""
}

var socketPathFormat = format{
	name:    "socket",
	pattern: `^[/@].`,
	check: func(s string) (string, string) {
		if len(s) < 2 || s[0] != '/' && s[0] != '@' || s[1] == '\n' {
			return quote(s) + " is no socket", "write an absolute path inside the container, or @NAME"
		}
		return "", ""
	},
}

var patternFormat = format{name: "pattern", pattern: `^(.|\n)+$`, check: func(s string) (string, string) {
	if s == "" {
		return "the expression is empty", "write a word of the line"
	}
	return "", ""
}}

// probe reads the one kind that is given.
func (r *reader) probe(n *node) *definition.Probe {
	var first *pair
	var probe *definition.Probe
	for i := range n.pairs {
		p := &n.pairs[i]
		if findField(probeShape.keys, p.key) == nil || p.value.bad {
			continue
		}
		if first != nil {
			r.faultKey(n, p, "keep one of the two", "conflicts with %s at %s: a service has one check", first.key, r.where(p.place, first.place)).Rule = diag.RuleConflict
			continue
		}
		first = p
		probe = &definition.Probe{Kind: p.key, Target: p.value.text}
		if p.key == definition.ProbeExec {
			probe.Target, probe.Command = "", r.words(p.value)
		}
		r.checkProbe(p.value, probe)
	}
	if first == nil && len(n.pairs) == 0 {
		r.fault(n, "write for example tcp: 5432", "the probe asks nothing").Rule = diag.RuleConflict
	}
	return probe
}

// checkProbe finds what the formats leave: numbers that are too large,
// expressions that mean nothing.
func (r *reader) checkProbe(n *node, p *definition.Probe) {
	switch p.Kind {
	case definition.ProbeLog:
		if _, err := regexp.Compile(p.Target); err != nil {
			r.fault(n, "write it in the syntax of RE2 (pkg.go.dev/regexp/syntax)", "%s is no regular expression: %v", quote(p.Target), err).Rule = diag.RuleReference
		}
	case definition.ProbeTCP, definition.ProbeHTTP:
		authority, _, _ := strings.Cut(strings.TrimPrefix(p.Target, "http://"), "/")
		host, port := cutPort(authority)
		if p.Kind == definition.ProbeTCP && port == "" {
			host, port = "", authority
		}
		if number, ok := parseInt(strings.TrimLeft(port, "0")); port != "" && (!ok || number < 1 || number > 65535) {
			r.fault(n, "write a port from 1 to 65535", "%s is no port", port).Rule = diag.RuleReference
		}
		if host = strings.Trim(host, "[]"); host != "" && host != "localhost" {
			if _, err := netip.ParseAddr(host); err != nil {
				r.fault(n, "write an address, or localhost", "%s is no address", quote(host)).Rule = diag.RuleReference
			}
		}
	}
}
