// SPDX-License-Identifier: Apache-2.0

package enter

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/user"
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

// OwnIDs reads which ids are the user's.
func OwnIDs(uid int) (IDs, error) {
	names := []string{strconv.Itoa(uid)}
	if u, err := user.LookupId(names[0]); err == nil {
		names = append(names, u.Username)
	}
	var ids IDs
	for _, part := range []struct {
		file string
		into *[]Range
	}{{subuidFile, &ids.UIDs}, {subgidFile, &ids.GIDs}} {
		data, err := readFile(part.file)
		if err != nil && !os.IsNotExist(err) {
			return ids, err
		}
		*part.into = parse(data, names)
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
	return fmt.Sprintf("%s gives %s %d subordinate ids, a container has %d besides root's; as root: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s` (a range that is nobody else's)",
		e.File, e.User, e.Count, fewest, e.User)
}

func count(list []Range) (n int) {
	for _, r := range list {
		n += r.Count
	}
	return n
}

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
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) != 3 || f[0] != names[0] && f[0] != names[len(names)-1] {
			continue
		}
		start, err1 := strconv.Atoi(f[1])
		n, err2 := strconv.Atoi(f[2])
		if err1 == nil && err2 == nil && start > 0 && n > 0 && start+n <= 1<<32-1 {
			list = append(list, Range{start, n})
		}
	}
	return list
}
