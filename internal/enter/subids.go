// SPDX-License-Identifier: Apache-2.0

package enter

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// Range is some ids of the host's that are a user's.
type Range struct{ Start, Count int }

// IDs are the subordinate ids of a user.
type IDs struct{ UIDs, GIDs []Range }

// Files of subuid(5) and subgid(5), for which tests have others.
var subuidFile, subgidFile = "/etc/subuid", "/etc/subgid"

// fewest is what images count on: nobody is 65534.
const fewest = 65535

// maxFile bounds what is read of one, in bytes.
const maxFile = 1 << 20

// maxRanges is how many a namespace can have, the user's own id aside
// (UID_GID_MAP_MAX_EXTENTS in the kernel's include/linux/user_namespace.h).
const maxRanges = 339

// OwnIDs reads which ids are the user's.
func OwnIDs(uid int) (IDs, error) {
	names := []string{strconv.Itoa(uid)}
	if u, err := user.LookupId(names[0]); err == nil {
		names = append(names, u.Username)
	}
	var ids IDs
	for _, part := range []struct {
		file string
		own  int
		into *[]Range
	}{{subuidFile, uid, &ids.UIDs}, {subgidFile, os.Getegid(), &ids.GIDs}} {
		data, err := readFile(part.file)
		if err != nil && !os.IsNotExist(err) {
			return ids, err
		}
		*part.into = disjoint(part.own, parse(data, names))
		if count(*part.into) < fewest {
			return ids, &FewError{User: names[len(names)-1], File: part.file, Count: count(*part.into)}
		}
	}
	return ids, nil
}

// FewError tells of a user without ids for containers.
type FewError struct {
	User, File string
	Count      int
}

func (e *FewError) Error() string {
	free := nobodys()
	return fmt.Sprintf("%s gives %s %d subordinate ids, a container has %d besides root's; as root: `usermod --add-subuids %s --add-subgids %[5]s %[2]s` (a range that is nobody else's)",
		e.File, e.User, e.Count, fewest, free)
}

// nobodys is a range behind all that is given to anybody. useradd(8) begins at 100000.
func nobodys() Range {
	r := Range{100000, 65536}
	for _, file := range []string{subuidFile, subgidFile} {
		list, err := others(file, parseLine)
		if err != nil {
			continue
		}
		for _, o := range list {
			r.Start = max(r.Start, o.Start+o.Count)
		}
	}
	return r
}

func count(list []Range) (n int) {
	for _, r := range list {
		n += r.Count
	}
	return n
}

// disjoint leaves out what would be mapped twice, which the kernel refuses: a user may
// stand in a file by name and by number, and the user's own id is mapped already.
func disjoint(own int, list []Range) (kept []Range) {
	taken := []Range{{own, 1}}
	for _, r := range list {
		kept = append(kept, r.without(taken)...)
		taken = append(taken, r)
	}
	return kept[:min(len(kept), maxRanges)]
}

// without gives what is left of a range.
func (r Range) without(taken []Range) []Range {
	for i, t := range taken {
		if !r.overlaps(t) {
			continue
		}
		var rest []Range
		if t.Start > r.Start {
			rest = append(rest, Range{r.Start, t.Start - r.Start}.without(taken[i+1:])...)
		}
		if end := t.Start + t.Count; end < r.Start+r.Count {
			rest = append(rest, Range{end, r.Start + r.Count - end}.without(taken[i+1:])...)
		}
		return rest
	}
	return []Range{r}
}

func (r Range) overlaps(o Range) bool {
	return r.Start < o.Start+o.Count && o.Start < r.Start+r.Count
}

func (r Range) String() string { return fmt.Sprintf("%d-%d", r.Start, r.Start+r.Count-1) }

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// parse takes the lines "name:start:count" of a user, who may stand there by name or
// number; what is no such line newuidmap(1) passes over too.
func parse(data []byte, names []string) (list []Range) {
	for line := range bytes.Lines(data) {
		if name, r, ok := parseLine(line); ok && slices.Contains(names, name) {
			list = append(list, r)
		}
	}
	return list
}

func parseLine(line []byte) (name string, r Range, ok bool) {
	f := strings.Split(strings.TrimSpace(string(line)), ":")
	if len(f) != 3 {
		return "", r, false
	}
	start, err1 := strconv.Atoi(f[1])
	n, err2 := strconv.Atoi(f[2])
	return f[0], Range{start, n}, err1 == nil && err2 == nil && start > 0 && n > 0 && start+n <= 1<<32-1
}
