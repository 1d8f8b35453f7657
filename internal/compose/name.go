// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"fmt"
	"strings"
)

// maxUnitName is systemd's UNIT_NAME_MAX, without the closing NUL.
const maxUnitName = 255

// badUnitName says why a unit name is none, by systemd.unit(5); "" if it is one.
func badUnitName(name string) string {
	if len(name) > maxUnitName {
		return fmt.Sprintf("it has %d characters, %d are allowed", len(name), maxUnitName)
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(`:-_.\@`, c) {
			return fmt.Sprintf("%q is no letter, digit or one of : - _ . \\", c)
		}
	}
	return ""
}

// isTemplate tells whether the definition is instantiated by a name after "@".
func (r *reader) isTemplate() bool { return strings.HasSuffix(r.in.Name, "@") }

// readName checks that the file's name can be a unit's name.
func (r *reader) readName() {
	name := r.in.Name
	what := badUnitName("unitc-" + name + ".service") // the longest name made of it, the scope's, has the same length
	base := strings.TrimSuffix(name, "@")
	switch {
	case base == "":
		what = "it is empty"
	case strings.Contains(base, "@"):
		r.faultFile(place{}, "write a template "+base[:strings.IndexByte(base, '@')]+"@.yaml, and drop-ins for what differs", "the file is named like an instance of a template")
		return
	case strings.ContainsAny(base[:1], `-.\`):
		what = fmt.Sprintf("it begins with %q", base[0])
	case strings.HasSuffix(base, ".service") || strings.HasSuffix(base, ".target"):
		// Nothing would find it: systemctl and unitc take the name for the unit's.
		r.faultFile(place{}, "rename the file to "+strings.TrimSuffix(strings.TrimSuffix(base, ".service"), ".target")+".yaml", "the file is named like a unit")
		return
	case strings.Contains(base, ":"):
		what = "\":\" is kept for the scopes of instances"
	}
	if what != "" {
		r.faultFile(place{}, "rename the file to letters, digits, - and _", "the file's name can't be a unit's name: %s", what)
	}
}

// specifiers are those that the helper expands in a template's strings; they
// mean what systemd.unit(5) says.
const specifiers = "iIpnN%"

// checkSpecifiers finds the % sequences of a template that nobody would expand.
// Values below `systemd:` go to systemd, which knows more of them.
func (r *reader) checkSpecifiers(n *node) {
	for i := range n.pairs {
		if key := n.pairs[i].key; key != "systemd" && !strings.HasPrefix(key, "x-") {
			r.checkSpecifiers(n.pairs[i].value)
		}
	}
	for _, item := range n.items {
		r.checkSpecifiers(item)
	}
	for rest := n.text; n.kind&scalar != 0; {
		_, after, found := strings.Cut(rest, "%")
		if !found {
			return
		}
		if after == "" || !strings.Contains(specifiers, after[:1]) {
			r.fault(n, "write %i %I %p %n %N, or %% for a percent sign", "a template's string has %q, which is no specifier", "%"+firstRune(after))
			return
		}
		rest = after[1:]
	}
}

func firstRune(s string) string {
	for i := range s {
		if i > 0 {
			return s[:i]
		}
	}
	return s
}
