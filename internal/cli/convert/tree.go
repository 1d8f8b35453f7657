// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/unitc/unitc/internal/unitfile"
)

// variableMark stands in texts for a dollar sign that begins a variable of unitc's: all
// others mean themselves. No text has it: it is in no command line, and files with it
// are not read.
const variableMark = '\x00'

// node is a value of a definition, with the place of what it was made of.
type node struct {
	text  string
	bare  bool // a number or a switch, which needs no quotes
	items []*node
	pairs []pair
	kind  kind
	flow  bool // a list on one line
	block bool // a text of several lines, as it stands
	at    place
	from  string   // Volume=
	path  string   // volumes[0]
	above []string // comments
	line  int      // where it was written
}

type pair struct {
	key   string
	value *node
}

type kind int

const (
	scalar kind = iota
	list
	mapping
)

func (n *node) get(key string) *node {
	for i := range n.pairs {
		if n.pairs[i].key == key {
			return n.pairs[i].value
		}
	}
	return nil
}

// put sets a key; what it had is replaced.
func (n *node) put(key string, value *node) {
	for i := range n.pairs {
		if n.pairs[i].key == key {
			value.above = append(n.pairs[i].value.above, value.above...)
			n.pairs[i].value = value
			return
		}
	}
	n.pairs = append(n.pairs, pair{key, value})
}

// child is the mapping or list below a key, made if it is not there.
func (n *node) child(key string, k kind) *node {
	if have := n.get(key); have != nil {
		return have
	}
	n.put(key, &node{kind: k})
	return n.get(key)
}

func (n *node) isEmpty() bool { return n.kind != scalar && len(n.items)+len(n.pairs) == 0 }

// order is that of keys in a definition; others follow by their names.
var order = []string{
	"image", "rootfs", "build", "platform", "pull_policy", "x-update", "container_name", "hostname", "domainname",
	"profiles", "scale", "entrypoint", "command", "user", "group_add", "working_dir", "environment", "env_file", "configs", "secrets",
	"volumes", "tmpfs", "shm_size", "devices", "gpus", "device_cgroup_rules", "read_only",
	"network_mode", "networks", "ports", "expose", "mac_address", "extra_hosts", "dns", "dns_opt", "dns_search", "links",
	"init", "tty", "stdin_open", "healthcheck", "restart", "stop_signal", "stop_grace_period", "post_start", "pre_stop", "depends_on", "logging",
	"mem_limit", "mem_reservation", "memswap_limit", "cpus", "cpu_shares", "cpu_period", "cpu_quota", "cpuset", "pids_limit", "blkio_config", "oom_score_adj", "ulimits", "sysctls",
	"userns_mode", "pid", "ipc", "uts", "cgroup", "privileged", "cap_add", "cap_drop", "security_opt",
	"runtime", "labels", "annotations",
}

// projectOrder is that of keys of a whole project.
var projectOrder = []string{"services", "volumes", "networks", "configs", "secrets"}

// systemdOrder is that of keys below systemd:.
var systemdOrder = []string{"unit", "service", "scope", "slice", "cgroup", "notify", "probe", "timer", "install"}

func (n *node) sort(order []string) {
	rank := func(key string) int {
		if at := slices.Index(order, key); at >= 0 {
			return at
		}
		return len(order)
	}
	slices.SortStableFunc(n.pairs, func(a, b pair) int {
		if byRank := rank(a.key) - rank(b.key); byRank != 0 {
			return byRank
		}
		return strings.Compare(a.key, b.key)
	})
}

// writer makes YAML of nodes and remembers on which line each begins.
type writer struct {
	b    strings.Builder
	line int
}

func (w *writer) put(text string) {
	w.b.WriteString(text)
	w.line += strings.Count(text, "\n")
}

func (w *writer) comment(indent, text string) {
	w.put(indent + "# " + unitfile.Printable(text) + "\n")
}

// mapping writes the pairs of n, each on lines of its own.
func (w *writer) mapping(indent, path string, n *node) {
	for i := range n.pairs {
		key, value := n.pairs[i].key, n.pairs[i].value
		for _, text := range value.above {
			w.comment(indent, text)
		}
		value.line, value.path = w.line+1, join(path, key)
		w.put(indent + quoteKey(key) + ":")
		w.value(indent, value)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// value writes what stands behind a key or a dash.
func (w *writer) value(indent string, n *node) {
	switch {
	case n.kind == scalar && n.block && isBlock(n.text):
		w.literal(indent+"  ", n.text)
	case n.kind == scalar:
		w.put(" " + n.scalar() + "\n")
	case n.flow || n.isEmpty():
		w.put(" " + n.inline() + "\n")
	case n.kind == mapping:
		w.put("\n")
		w.mapping(indent+"  ", n.path, n)
	default:
		w.put("\n")
		for i, item := range n.items {
			for _, text := range item.above {
				w.comment(indent+"  ", text)
			}
			item.line, item.path = w.line+1, n.path+"["+itoa(i)+"]"
			w.put(indent + "  - " + item.inline() + "\n")
		}
	}
}

// isBlock: a text that stands in YAML line by line as it is.
func isBlock(s string) bool {
	if !strings.Contains(strings.TrimSuffix(s, "\n"), "\n") || strings.HasPrefix(s, " ") || strings.HasPrefix(s, "\n") || strings.HasSuffix(s, "\n\n") || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == utf8.RuneError || r > 0xffff
	})
}

// literal writes a text below its key; dollar signs are no variables.
func (w *writer) literal(indent, text string) {
	mark := " |-\n"
	if strings.HasSuffix(text, "\n") {
		mark, text = " |\n", strings.TrimSuffix(text, "\n")
	}
	w.put(mark)
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "$", "$$"), "\n") {
		if line == "" {
			w.put("\n")
			continue
		}
		w.put(indent + line + "\n")
	}
}

// inline writes a value on one line.
func (n *node) inline() string {
	var parts []string
	switch n.kind {
	case scalar:
		return n.scalar()
	case list:
		for _, item := range n.items {
			parts = append(parts, item.flowScalar())
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	for _, p := range n.pairs {
		text := p.value.flowScalar()
		parts = append(parts, quoteKey(p.key)+": "+text)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (n *node) flowScalar() string {
	if n.kind != scalar {
		return n.inline()
	}
	return n.scalar()
}

// plain is a text that YAML and unitc read as itself, whatever stands around it.
var (
	plain  = regexp.MustCompile(`^(-{0,2}[A-Za-z]|[0-9/._])[A-Za-z0-9/._+=@:-]*$`)
	number = regexp.MustCompile(`^[-+]?[.0-9][0-9a-fA-FxXoO_.,:+-]*$`)
	words  = []string{"true", "false", "yes", "no", "on", "off", "null", "y", "n", "~", ".inf", ".nan"}
)

func (n *node) scalar() string {
	if n.bare {
		return n.text
	}
	return quoteValue(n.text)
}

func quoteKey(key string) string {
	if isPlain(key) && !strings.ContainsAny(key, ":") {
		return key
	}
	return quoteText(key)
}

func isPlain(s string) bool {
	return plain.MatchString(s) && !strings.HasSuffix(s, ":") && !number.MatchString(s) && !slices.Contains(words, strings.ToLower(s))
}

// quoteValue also keeps the dollar signs of a text from being variables.
func quoteValue(s string) string {
	marked := strings.ContainsRune(s, variableMark)
	s = strings.ReplaceAll(strings.ReplaceAll(s, "$", "$$"), string(variableMark), "$")
	if !marked && isPlain(s) {
		return s
	}
	return quoteText(s)
}

func quoteText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			b.WriteString(`\x` + hex(byte(r)))
		case r == utf8.RuneError && size == 1:
			b.WriteString("?")
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	b.WriteByte('"')
	return b.String()
}
