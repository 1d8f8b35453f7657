// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"fmt"
	"strconv"
	"strings"
)

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

var envNameFormat = format{
	name:    "variable",
	pattern: `^[^=]+$`,
	check: func(s string) (string, string) {
		if s == "" || strings.ContainsAny(s, "=\x00") {
			return quote(s) + " is no name of a variable", "write NAME: value, or - NAME=value in a list"
		}
		return "", ""
	},
}

// maxID is the largest user or group id: -1 means "none" to the kernel.
const maxID = 1<<32 - 2

// badAccount says why a string names no user or group.
func badAccount(s string) string {
	switch {
	case s == "":
		return "a name is missing"
	case isDigits(s):
		if id, err := strconv.ParseUint(s, 10, 64); err != nil || id > maxID {
			return fmt.Sprintf("%s is beyond the largest id, %d", s, int64(maxID))
		}
	case strings.ContainsAny(s, " \t\n:/,") || s[0] == '-':
		return quote(s) + " is no name of an account"
	}
	return ""
}

var userFormat = format{
	name:    "user",
	empty:   true,
	pattern: `^[^-\s:/,][^\s:/,]*(:[^-\s:/,][^\s:/,]*)?$`, bounds: &bounds{high: maxID},
	check: func(s string) (string, string) {
		user, group, both := strings.Cut(s, ":")
		what := badAccount(user)
		if what == "" && both {
			what = badAccount(group)
		}
		return what, "write NAME, UID, NAME:GROUP or UID:GID"
	},
}

var groupFormat = format{
	name:    "group",
	pattern: `^[^-\s:/,][^\s:/,]*$`, bounds: &bounds{high: maxID},
	check: func(s string) (string, string) { return badAccount(s), "write a group's name or number" },
}

// hostFormat is RFC 1123's, which sethostname(2) limits to 64 bytes.
var hostFormat = format{
	name:    "hostname",
	empty:   true,
	pattern: `^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`, bounds: &bounds{high: 1 << 62},
	check: func(s string) (string, string) {
		const cure = "use letters, digits, - and ."
		if len(s) > 64 {
			return fmt.Sprintf("a name of %d characters; the kernel takes 64", len(s)), "shorten it"
		}
		for label := range strings.SplitSeq(strings.ReplaceAll(s, "%%", "x"), ".") {
			if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
				return quote(s) + " is no host name", cure
			}
			for _, c := range label {
				if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '%' {
					return quote(s) + " is no host name", cure
				}
			}
		}
		return "", ""
	},
}

var imageFormat = format{
	name:    "image",
	pattern: `^[^\s~-][^\s]*$`,
	check: func(s string) (string, string) {
		if s == "" || strings.ContainsAny(s, " \t\r\n") || s[0] == '-' || s[0] == '~' {
			return quote(s) + " is no name of an image", "write for example docker.io/library/nginx:1.27"
		}
		return "", ""
	},
}
