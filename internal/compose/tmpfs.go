// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// fillTmpfs sets what every engine sets on a tmpfs unless told otherwise.
func fillTmpfs(v *definition.Volume) {
	v.Type = definition.VolumeTmpfs
	v.NoSuid, v.NoDev, v.NoExec = true, true, true
}

func decodeTmpfs(r *reader, s *definition.Service, n *node) {
	items := n.items
	if n.kind == text {
		items = []*node{n}
	}
	for _, item := range items {
		target, options, _ := strings.Cut(item.text, ":")
		v := definition.Volume{Target: r.cleanTarget(item, target)}
		fillTmpfs(&v)
		ok := v.Target != ""
		for option := range strings.SplitSeq(options, ",") {
			if ok = ok && (option == "" || r.tmpfsOption(item, &v, option)); !ok {
				break
			}
		}
		if ok {
			r.addVolume(s, item, v)
		}
	}
}

var tmpfsOptions = []string{"size", "mode", "uid", "gid", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "tmpcopyup", "notmpcopyup"}

func (r *reader) tmpfsOption(n *node, v *definition.Volume, option string) bool {
	name, value, _ := strings.Cut(option, "=")
	ok := true
	switch name {
	case "size":
		v.Size, ok = ParseBytes(value)
	case "mode":
		v.Mode, ok = parseMode(&node{kind: text, text: value})
	case "uid":
		v.UID, ok = parseID(value)
	case "gid":
		v.GID, ok = parseID(value)
	case "ro", "rw":
		v.ReadOnly = name == "ro"
	case "suid", "nosuid":
		v.NoSuid = name == "nosuid"
	case "dev", "nodev":
		v.NoDev = name == "nodev"
	case "exec", "noexec":
		v.NoExec = name == "noexec"
	case "tmpcopyup", "notmpcopyup":
		v.CopyUp = name == "tmpcopyup"
	default:
		cure := "write some of " + strings.Join(tmpfsOptions, ", ")
		if near := nearest(name, tmpfsOptions); near != "" {
			cure = "did you mean " + near + "?"
		}
		r.fault(n, cure, "%s is no option of a tmpfs", quote(name))
		return false
	}
	if !ok {
		r.fault(n, "write for example size=16m, mode=1777, uid=1000", "%s is no value of %s", quote(value), name)
	}
	return ok
}

func parseID(s string) (int64, bool) {
	id, err := strconv.ParseInt(s, 10, 64)
	return id, err == nil && id >= 0 && id <= maxID
}

// parseMode reads permissions. In a string, and in YAML's 01777 and 0o1777, the
// digits are octal; Compose takes a bare 1777 for decimal, which nobody means. A bare
// number with an 8 or a 9 can be nothing else, as the 493 that programs write for 0755.
func parseMode(n *node) (uint32, bool) {
	digits := strings.TrimPrefix(n.str(), "0o")
	mode, err := strconv.ParseUint(digits, 8, 32)
	if err != nil && n != nil && n.kind == integer {
		mode, err = strconv.ParseUint(digits, 10, 32)
	}
	return uint32(mode), err == nil && mode <= 0o7777
}

// mode reads permissions, and tells where Compose would give others.
func (r *reader) mode(n *node) uint32 {
	mode, _ := parseMode(n)
	if decimal, err := strconv.ParseUint(n.str(), 10, 32); err == nil && n.kind == integer && n.str()[0] != '0' && uint32(decimal) != mode {
		octal := strconv.Quote("0" + strconv.FormatUint(uint64(mode), 8))
		r.warn(n, "write "+octal, "%s is taken for %s; Compose takes digits without a leading 0 for a decimal number", n.str(), octal)
	}
	return mode
}

var modeFormat = format{
	name:    "mode",
	pattern: `^(0o)?[0-7]{1,5}$`,
	number: func(n *node) bool {
		_, ok := parseMode(n)
		return ok && n.kind == integer
	},
	check: func(s string) (string, string) {
		if _, ok := parseMode(&node{kind: text, text: s}); !ok {
			return quote(s) + " is no mode", "write octal digits in quotes, as in \"0755\""
		}
		return "", ""
	},
}
