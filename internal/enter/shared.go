// SPDX-License-Identifier: Apache-2.0

package enter

import (
	"bytes"
	"fmt"
	"os/user"
	"strconv"
	"strings"
)

// Files of passwd(5) and group(5), for which tests have others.
var passwdFile, groupFile = "/etc/passwd", "/etc/group"

// Shared tells which of a user's subordinate ids are somebody else's too: who has
// them may signal what runs under them, and comes to files that belong to them.
func Shared(uid int) (faults []string, err error) {
	ids, err := OwnIDs(uid)
	if err != nil {
		return nil, err
	}
	own := []string{strconv.Itoa(uid)}
	if u, err := user.LookupId(own[0]); err == nil {
		own = append(own, u.Username)
	}
	for _, part := range []struct {
		ranges      []Range
		file, names string
	}{{ids.UIDs, subuidFile, passwdFile}, {ids.GIDs, subgidFile, groupFile}} {
		sub, err := others(part.file, parseLine)
		if err != nil {
			return nil, err
		}
		named, err := others(part.names, parseName)
		if err != nil {
			return nil, err
		}
		for _, r := range part.ranges {
			for _, o := range append(sub, named...) {
				if r.overlaps(o.Range) && o.name != own[0] && o.name != own[len(own)-1] {
					faults = append(faults, fmt.Sprintf("%s of %s are %s's too, by %s", r, part.file, o.name, o.file))
				}
			}
		}
	}
	return faults, nil
}

type owned struct {
	Range
	name, file string
}

func others(file string, parse func([]byte) (string, Range, bool)) (list []owned, err error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(data) {
		if name, r, ok := parse(line); ok {
			list = append(list, owned{r, name, file})
		}
	}
	return list, nil
}

// parseName takes a line of passwd(5) or group(5).
func parseName(line []byte) (name string, r Range, ok bool) {
	f := strings.Split(string(line), ":")
	if len(f) < 4 {
		return "", r, false
	}
	id, err := strconv.Atoi(f[2])
	return f[0], Range{id, 1}, err == nil
}
