// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"regexp"
	"strings"
)

// expander puts in what systemd does where a unit is loaded or started: Podman has
// all values of [Container] in a command line of a unit.
type expander struct {
	d       *def
	unit    string            // web.service
	environ map[string]string // Environment= of [Service]
	files   map[string]string // variables of EnvironmentFile= there
}

var (
	dollarWord  = regexp.MustCompile(`^\$[A-Za-z_][A-Za-z0-9_]*$`)
	dollarBrace = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)
)

// value puts specifiers and variables in.
func (x *expander) value(a arg) string {
	return x.dollars(a, x.specifiers(a))
}

// dollars follows systemd.service(5), "Command lines": $NAME is a variable where it is
// a word, ${NAME} everywhere, $$ is a dollar sign. Defaults, ${NAME:-…}, are not known
// there.
func (x *expander) dollars(a arg, s string) string {
	if dollarWord.MatchString(s) {
		return x.variable(a, s[1:])
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		match := dollarBrace.FindStringSubmatch(s[i:])
		switch {
		case strings.HasPrefix(s[i:], "$$"):
			b.WriteByte('$')
			i++
		case match != nil:
			b.WriteString(x.variable(a, match[1]))
			i += len(match[0]) - 1
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func (x *expander) known(name string) (string, bool) {
	if value, ok := x.environ[name]; ok {
		return value, true
	}
	if value, ok := x.files[name]; ok {
		return value, true
	}
	h := &x.d.set.host
	if !h.User {
		return "", false
	}
	value, ok := map[string]string{"HOME": h.Home, "USER": h.Name, "LOGNAME": h.Name, "XDG_RUNTIME_DIR": h.Runtime}[name]
	return value, ok
}

// words are those of $NAME as a word of its own, which systemd parts at blanks.
func (x *expander) words(name string) ([]string, bool) {
	if _, inFile := x.files[name]; inFile {
		return nil, false
	}
	value, ok := x.known(name)
	if !ok {
		return nil, false
	}
	return strings.Fields(value), true
}

// variable is the value of one in the unit, or a variable of the definition's where
// that is in a file.
func (x *expander) variable(a arg, name string) string {
	if value, ok := x.files[name]; ok {
		return x.d.use(name, value)
	}
	if value, ok := x.known(name); ok {
		return value
	}
	x.d.changed(a, "nothing here sets the variable "+name+", and systemd puts nothing in its place", "give it a value in "+x.d.variableFile())
	if a.name == "Image=" {
		return x.d.use(name, "fill-in") // an image without a name is none
	}
	return x.d.use(name, "")
}

// specifiers expands those of systemd.unit(5). A template keeps those of the instance.
func (x *expander) specifiers(a arg) string {
	var b strings.Builder
	for i := 0; i < len(a.text); i++ {
		if a.text[i] != '%' || i+1 == len(a.text) {
			b.WriteByte(a.text[i])
			if a.text[i] == '%' && x.d.isTemplate() {
				b.WriteByte('%')
			}
			continue
		}
		i++
		b.WriteString(x.specifier(a, a.text[i]))
	}
	return b.String()
}

func (x *expander) specifier(a arg, c byte) string {
	if x.d.isTemplate() && strings.IndexByte("iIpnN%", c) >= 0 {
		return "%" + string(c)
	}
	stem := strings.TrimSuffix(x.unit, ".service")
	prefix, instance, _ := strings.Cut(stem, "@")
	h := &x.d.set.host
	// systemd.unit(5), "Specifiers"; the directories of a user are those of the XDG
	// Base Directory Specification's defaults.
	dirs := map[byte]string{'t': "/run", 'S': "/var/lib", 'C': "/var/cache", 'L': "/var/log", 'E': "/etc", 'D': "/usr/share"}
	if h.User {
		dirs = map[byte]string{'t': h.Runtime, 'S': h.Home + "/.local/state", 'C': h.Home + "/.cache", 'L': h.Home + "/.local/state/log", 'E': h.Home + "/.config", 'D': h.Home + "/.local/share"}
	}
	if dir, ok := dirs[c]; ok {
		return x.literal(dir)
	}
	switch c {
	case '%':
		return "%"
	case 'n':
		return x.unit
	case 'N':
		return stem
	case 'p', 'P':
		return prefix
	case 'i', 'I':
		return instance
	case 'j', 'J':
		return prefix[strings.LastIndexByte(prefix, '-')+1:]
	case 'T':
		return "/tmp"
	case 'V':
		return "/var/tmp"
	case 'h':
		return x.literal(h.Home)
	case 'u':
		return x.literal(h.Name)
	case 'g':
		return x.literal(h.Group)
	case 'U':
		return h.ID
	case 'G':
		return h.GID
	}
	x.d.changed(a, "the specifier %"+string(c)+" is known to systemd alone, when the unit is loaded", "write what it stands for")
	return x.literal("%" + string(c))
}

// literal keeps a percent sign from being a specifier of a template.
func (x *expander) literal(s string) string {
	if x.d.isTemplate() {
		return strings.ReplaceAll(s, "%", "%%")
	}
	return s
}
