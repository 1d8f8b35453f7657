// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"cmp"
	"path"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// processKeys say what is run, as whom, and with which environment.
var processKeys = []field{
	{name: "command", shape: &commandShape, example: "[nginx, -g, daemon off;]",
		doc:    "The arguments of the entrypoint, or the program if there is none; a string is split into words, no shell runs.",
		decode: func(r *reader, s *definition.Service, n *node) { s.Command = r.words(n) }},
	{name: "domainname", shape: &shape{kinds: text, format: &hostFormat}, example: "example.org",
		doc:    "The NIS domain name inside the container.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Domainname = n.text }},
	{name: "entrypoint", shape: &commandShape, example: "[/entrypoint.sh]",
		doc:    "The program to run and its first arguments; a string is split into words, no shell runs.",
		decode: func(r *reader, s *definition.Service, n *node) { s.Entrypoint = r.words(n) }},
	{name: "env_file", shape: &envFileShape, example: "/etc/web/web.env",
		doc:    "Files of NAME=value lines, read at each start; values under environment win.",
		decode: decodeEnvFile},
	{name: "environment", shape: &environmentShape, example: "{LANG: C.UTF-8}",
		doc:    "Environment variables, as a mapping or a list of NAME=value.",
		decode: func(r *reader, s *definition.Service, n *node) { s.Environment = r.environment(n) }},
	{name: "group_add", shape: &shape{kinds: list, item: &shape{kinds: text | integer, format: &groupFormat}}, example: "[audio]",
		doc:    "Further groups of the user, by name or number inside the container.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.GroupAdd = texts(n) }},
	{name: "hostname", shape: &shape{kinds: text | integer, format: &hostFormat}, example: "web",
		doc:    "The host name inside the container.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Hostname = n.text }},
	{name: "rootfs", shape: &shape{kinds: text, format: &rootfsFormat}, example: "/srv/web/rootfs",
		doc:    "A directory that is the root file system, or host for a read-only view of the host's own /usr.",
		decode: decodeRootFS},
	{name: "stdin_open", shape: &boolShape, example: "true",
		doc:    "Keep standard input open: what unitc attach is given, or is written to /run/unitc/NAME/stdin, arrives there.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.StdinOpen = n.truth() }},
	{name: "tty", shape: &boolShape, example: "true",
		doc:    "Give the payload a terminal; unitc attach joins it, and what is written to it is logged.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.TTY = n.truth() }},
	{name: "user", shape: &shape{kinds: text | integer, format: &userFormat}, example: "www-data:www-data",
		doc:    "The user, or user:group, that the payload runs as, by name or number inside the container.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.User = n.text }},
	{name: "working_dir", shape: &shape{kinds: text, format: &workDirFormat}, example: "/srv",
		doc:    "The directory in which the payload starts.",
		decode: func(r *reader, s *definition.Service, n *node) { s.WorkingDir = r.containerDir(n) }},
	{name: "x-time-offsets", shape: &timeOffsetsShape, example: "{boottime: 1h, monotonic: 1h}",
		doc:    "What is added to the clocks that count from the host's boot, which a container otherwise sees.",
		decode: decodeTimeOffsets},
}

var environmentShape = shape{kinds: list | mapping, item: &shape{kinds: text, format: &pairFormat}, open: &valueShape, name: &envNameFormat, merge: mergePairs}

var envFileShape = shape{kinds: text | list, merge: mergeAppend, identity: identifyEnvFile, last: true, format: &hostPathFormat, item: &shape{kinds: text | mapping, format: &hostPathFormat, keys: []field{
	{name: "format", shape: &shape{kinds: text, words: []string{"raw"}}, example: "raw", doc: "raw takes values as they stand, quotes and $ included."},
	{name: "path", shape: &hostPathShape, example: "/etc/web/web.env", required: true, doc: "The file; relative to the definition's directory."},
	{name: "required", shape: &boolShape, example: "false", doc: "false lets the file be missing."},
}}}

// words gives a command's words. nil means "not given"; an empty string clears
// the list, as [] does.
func (r *reader) words(n *node) []string {
	switch n.kind {
	case null:
		return nil
	case list:
		return texts(n)
	}
	words, what, cure := splitWords(n.text)
	if what != "" {
		r.fault(n, cure, "%s", what)
	}
	return words
}

// texts gives the scalars of a list, never nil.
func texts(n *node) []string {
	all := make([]string, 0, len(n.items))
	for _, item := range n.items {
		all = append(all, item.str())
	}
	return all
}

func (r *reader) environment(n *node) []definition.Env {
	all := make([]definition.Env, 0, len(n.pairs)+len(n.items))
	for i := range n.pairs {
		value := n.pairs[i].value
		env := definition.Env{Name: n.pairs[i].key, Value: valueOf(value)}
		if env.Value == nil {
			env.Value = r.passed(value, env.Name)
		}
		all = append(all, env)
	}
	seen := make(map[string]int, len(n.items))
	for _, item := range n.items {
		name, value, given := strings.Cut(item.text, "=")
		if what, cure := envNameFormat.check(name); what != "" {
			r.fault(item, cure, "%s", what)
			continue
		}
		env := definition.Env{Name: name}
		if env.Value = &value; !given {
			env.Value = r.passed(item, name)
		}
		// As in Compose the last one wins: lists are how drop-ins override.
		if at, again := seen[name]; again {
			all[at] = env
			continue
		}
		seen[name] = len(all)
		all = append(all, env)
	}
	return all
}

// passed is the value of a variable that is named without one: that of the files
// beside the definition, as Compose takes it from .env.
func (r *reader) passed(n *node, name string) *string {
	if value, ok := r.variable(n.place.layer, name); ok {
		return &value
	}
	return nil
}

// valueOf is a scalar as an environment or label value; booleans are spelt
// YAML's one way.
func valueOf(n *node) *string {
	if n.isNull() {
		return nil
	}
	value := n.text
	if n.kind == boolean {
		value = strings.ToLower(value)
	}
	return &value
}

func decodeEnvFile(r *reader, s *definition.Service, n *node) {
	items := n.items
	if n.kind == text {
		items = []*node{n}
	}
	for _, item := range items {
		file := definition.EnvFile{Path: item.text}
		at := item
		if item.kind == mapping {
			at = item.get("path")
			file.Path = at.str()
			file.Raw = item.get("format").str() == "raw"
			if required := item.get("required"); required != nil {
				file.Optional = !required.truth()
			}
		}
		if file.Path = r.hostPath(at, file.Path); file.Path != "" {
			s.EnvFiles = append(s.EnvFiles, file)
		}
	}
}

// RootHost is the word for a view of the host's own file system.
const rootHost = "host"

func decodeRootFS(r *reader, s *definition.Service, n *node) {
	switch {
	case n.text == rootHost:
		s.RootFS = n.text
	case !path.IsAbs(n.text):
		r.fault(n, "write an absolute path, or host", "%s is no absolute path", quote(n.text))
	case path.Clean(n.text) == "/":
		r.fault(n, "write rootfs: host for a read-only view of the host's own files", "the host's root can't be a container's")
	case hasDotDot(n.text):
		r.fault(n, "write the path without ..", "%s goes upwards", quote(n.text))
	default:
		s.RootFS = path.Clean(n.text)
	}
}

// containerDir is an absolute path inside the container.
func (r *reader) containerDir(n *node) string {
	if n.text == "" {
		return "" // which is told, and is none
	}
	if !path.IsAbs(n.text) {
		r.fault(n, "write an absolute path", "%s is no absolute path", quote(n.text))
		return ""
	}
	return path.Clean(n.text)
}

// hostPath makes a path of the host absolute; "" if it can't be one.
func (r *reader) hostPath(n *node, p string) string {
	if r.in.Home != "" && (p == "~" || strings.HasPrefix(p, "~/")) {
		p = r.in.Home + p[1:]
	}
	switch {
	case p == "":
		r.fault(n, "write a path", "the path is empty")
		return ""
	case p[0] == '~':
		r.fault(n, "write the absolute path", "%s: a system service has no home directory that ~ could mean", quote(p)).Rule = diag.RuleUnsupported
		return ""
	case len(p) >= maxPath:
		r.fault(n, "write a shorter path", "a path of %d bytes", len(p))
		return ""
	case path.IsAbs(p):
		return path.Clean(p)
	case isWindows(p):
		r.faultWindows(n, p)
		return ""
	}
	dir := cmp.Or(r.directory, r.in.Dir)
	if other, known := r.dirs[n.place.layer]; known {
		dir = other // an extended file's paths start where it stands
	}
	return path.Join(dir, p)
}

// isWindows: a letter of a drive stands in front.
func isWindows(p string) bool {
	return len(p) > 2 && (p[0]|0x20 >= 'a' && p[0]|0x20 <= 'z') && p[1] == ':' && (p[2] == '/' || p[2] == '\\')
}

func (r *reader) faultWindows(n *node, p string) {
	r.fault(n, "write a path of this host", "%s is a path of Windows", quote(p))
}

// maxPath is the kernel's PATH_MAX.
const maxPath = 4096

func hasDotDot(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

var timeOffsetsShape = shape{kinds: mapping, keys: []field{
	{name: "boottime", shape: &offsetShape, example: "1h", doc: "Added to CLOCK_BOOTTIME and /proc/uptime; it may be negative."},
	{name: "monotonic", shape: &offsetShape, example: "-30m", doc: "Added to CLOCK_MONOTONIC; it may be negative."},
}}

var offsetShape = shape{kinds: text | integer, format: &format{
	name:    "offset",
	pattern: `^[+-]?(([0-9]+(\.[0-9]*)?(w|d|h|ms|m|s|us|µs|ns))+|0)$`, bounds: &bounds{},
	check: func(s string) (string, string) {
		if _, ok := parseOffset(s); !ok {
			return quote(s) + " is no time", "write for example 1h30m or -20s"
		}
		return "", ""
	},
}}

// parseOffset is parseDuration with a sign.
func parseOffset(s string) (time.Duration, bool) {
	value, ok := parseDuration(strings.TrimLeft(s[:min(len(s), 1)], "+-") + s[min(len(s), 1):])
	if strings.HasPrefix(s, "-") {
		value = -value
	}
	return value, ok
}

func decodeTimeOffsets(_ *reader, s *definition.Service, n *node) {
	o := definition.TimeOffsets{}
	o.Boottime, _ = parseOffset(n.get("boottime").str())
	o.Monotonic, _ = parseOffset(n.get("monotonic").str())
	if o != (definition.TimeOffsets{}) {
		s.TimeOffsets = &o
	}
}
