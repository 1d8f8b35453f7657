// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/syntax"
)

// probeTLS goes with an https URL.
const probeTLS = "tls"

var probeTLSShape = shape{kinds: mapping, keys: []field{
	{name: "ca", shape: &shape{kinds: text, format: &absoluteFormat}, example: "/etc/app/ca.pem", doc: "A file of the container with the authorities, in PEM, of which one must have signed it."},
	{name: "server_name", shape: &shape{kinds: text, format: &hostFormat}, example: "app.example", doc: "The name that is asked for, and that it must have; by default the URL's host."},
}}

// probeShape is `systemd: probe:`, one kind of which is given.
var probeShape = shape{kinds: mapping, keys: []field{
	{name: definition.ProbeExec, shape: &shape{kinds: text | list, format: &commandFormat, item: &stringShape, min: 1, merge: mergeReplace}, example: "[/bin/ready]",
		doc: "A program inside the container whose exit status 0 is well."},
	{name: definition.ProbeFile, shape: &shape{kinds: text, format: &absoluteFormat}, example: "/run/app/ready",
		doc: "A path inside the container that exists."},
	{name: definition.ProbeHTTP, shape: &shape{kinds: text, format: &probeURLFormat}, example: "\"http://:8080/health\"",
		doc: "A URL, http or https, that answers with a status from 200 to 399, asked from the container's network."},
	{name: definition.ProbeLog, shape: &shape{kinds: text, format: &patternFormat}, example: "ready to accept connections",
		doc: "A regular expression that matches a line of the payload's output, once."},
	{name: definition.ProbeTCP, shape: &shape{kinds: text | integer, format: &probeAddressFormat}, example: "5432",
		doc: "A port, or ADDRESS:PORT, that takes connections in the container's network."},
	{name: probeTLS, shape: &probeTLSShape, example: "{ca: /etc/app/ca.pem, server_name: app.example}",
		doc: "What the certificate of an https URL must be; without it any will do."},
	{name: definition.ProbeUnix, shape: &shape{kinds: text, format: &socketPathFormat}, example: "/run/app.sock",
		doc: "A socket inside the container that takes connections; @NAME is an abstract one."},
}}

const (
	hostPattern = `(localhost|[0-9.]+|\[[0-9a-fA-F:.]+\])?`
	portPattern = `[0-9]{1,5}`
)

var probeURLFormat = format{
	name:    "probe-url",
	pattern: `^https?://` + hostPattern + `(:` + portPattern + `)?(/[!-~]*)?$`,
	check: func(s string) (string, string) {
		rest, ok := cutScheme(s)
		authority, path, _ := strings.Cut(rest, "/")
		host, port := cutPort(authority)
		if !ok || !isHost(host) || !(port == "" && !strings.HasSuffix(authority, ":") || isPort(port)) || strings.ContainsFunc(path, func(c rune) bool { return c < '!' || c > '~' }) {
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

func cutScheme(url string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(url, "http://"); !ok {
		rest, ok = strings.CutPrefix(url, "https://")
	}
	return rest, ok
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
		if findField(probeShape.keys, p.key) == nil || p.value.bad || p.key == probeTLS {
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
	secured := n.get(probeTLS)
	switch {
	case first == nil && (len(n.pairs) == 0 || secured != nil):
		r.fault(n, "write for example tcp: 5432", "the probe asks nothing").Rule = diag.RuleConflict
	case secured == nil || first == nil:
	case !strings.HasPrefix(probe.Target, "https://"):
		r.fault(secured, "write http: \"https://…\", or remove it", "the probe speaks no TLS").Rule = diag.RuleConflict
	default:
		probe.TLS.ServerName = secured.get("server_name").str()
		if ca := secured.get("ca"); ca != nil {
			probe.TLS.CA = r.containerDir(ca)
		}
	}
	return probe
}

// checkProbe finds what the formats leave: numbers that are too large,
// expressions that mean nothing.
func (r *reader) checkProbe(n *node, p *definition.Probe) {
	switch p.Kind {
	case definition.ProbeFile:
		p.Target = r.containerDir(n)
	case definition.ProbeLog:
		if !strings.ContainsAny(p.Target, `\.+*?()|[]{}^$`) {
			return // it means itself
		}
		err := r.in.Library.Regexp(p.Target)
		var unavailable *syntax.UnavailableError
		if errors.As(err, &unavailable) {
			r.fault(n, unavailable.Cure, "%s", unavailable.What)
		} else if err != nil {
			r.fault(n, "write it in the syntax of RE2 (pkg.go.dev/regexp/syntax)", "%s is no regular expression: %v", quote(p.Target), err).Rule = diag.RuleReference
		}
	case definition.ProbeTCP, definition.ProbeHTTP:
		rest, _ := cutScheme(p.Target)
		if p.Kind == definition.ProbeTCP {
			rest = p.Target
		}
		authority, _, _ := strings.Cut(rest, "/")
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
