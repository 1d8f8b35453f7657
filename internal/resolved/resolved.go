// SPDX-License-Identifier: Apache-2.0

// Package resolved is the file in which the generator leaves what the helper
// starts: the resolved definitions of all units of one directory, a line for
// each. One file for all, as making one for each unit took a fifth of the
// generator's time.
//
// It is one JSON object, whose first line is its version:
//
//	{"version":1
//	,"web.json":{"version":1,"service":{…}}
//	,"db.json":{"version":1,"service":{…}}
//	}
//
// JSON has line breaks between values alone, so a line that begins with a
// member's name is that member.
package resolved

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/quickjson"
)

// FileName is the file's in a directory of units; systemd passes over hidden
// names. Environment values often hold passwords, so it is root's alone (V-9).
const FileName = ".unitc"

const (
	head = `{"version":1` + "\n"
	tail = "}\n"
)

// ErrNoMember is that of a file which has no definition of the unit.
var ErrNoMember = fmt.Errorf("no unit of this name has been generated")

// Path is the name of a unit's definition: the file's, and behind it the
// member's, as if the file were a directory. stem is the unit's name without its
// suffix.
func Path(unitDir, stem string) string {
	return unitDir + "/" + FileName + "/" + member(stem)
}

// Beside is the Path of another unit's definition in the same file.
func Beside(path, stem string) string { return filepath.Dir(path) + "/" + member(stem) }

func member(stem string) string { return stem + ".json" }

// AppendHead appends what stands before the first member.
func AppendHead(b []byte) []byte { return append(b, head...) }

// AppendMember appends a unit's definition; data is one JSON value and a line
// break.
func AppendMember(b []byte, stem string, data []byte) []byte {
	return append(appendKey(b, member(stem)), data...)
}

// AppendTail appends what stands behind the last member.
func AppendTail(b []byte) []byte { return append(b, tail...) }

func appendKey(b []byte, name string) []byte {
	return append(quickjson.AppendString(append(b, ','), name), ':')
}

// Read gives one definition by its Path. An error is fs.ErrNotExist where there
// is no file, as while a reload writes a new one, and ErrNoMember where it has no
// such member.
func Read(path string) ([]byte, error) {
	file, name := filepath.Split(path)
	file = strings.TrimSuffix(file, "/")
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", file, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("reading the status of %s: %w", file, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size < int64(len(head)+len(tail)) {
		return nil, fmt.Errorf("%s is no file of resolved definitions", file)
	}
	// It may have a megabyte, of which a kilobyte is wanted. Who replaces it makes
	// another file, so that what is mapped stays.
	all, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", file, err)
	}
	defer unix.Munmap(all)
	if !isWhole(all) {
		return nil, fmt.Errorf("%s is no file of resolved definitions of this version", file)
	}
	data, err := find(all, name)
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", name, file, err)
	}
	return bytes.Clone(data), nil
}

func isWhole(all []byte) bool {
	return bytes.HasPrefix(all, []byte(head)) && bytes.HasSuffix(all, []byte("\n"+tail))
}

func find(all []byte, name string) ([]byte, error) {
	key := appendKey([]byte("\n"), name)
	at := bytes.Index(all, key)
	if at < 0 {
		return nil, ErrNoMember
	}
	rest := all[at+len(key):]
	return rest[:bytes.IndexByte(rest, '\n')+1], nil
}

// Members are the definitions in the bytes of a whole file by the stems of their
// units, nil if that is none.
func Members(all []byte) map[string][]byte {
	if !isWhole(all) {
		return nil
	}
	lines := all[len(head) : len(all)-len(tail)]
	members := make(map[string][]byte, bytes.Count(lines, []byte("\n")))
	for line := range bytes.Lines(lines) {
		var stem string
		// The end of a key: no `"` stands in one without a backslash before it.
		end := bytes.Index(line, []byte(`.json":`))
		if end < 2 || quickjson.Parse(append(line[1:end:end], '"'), &stem) != nil {
			return nil
		}
		members[stem] = line[end+len(`.json":`):]
	}
	return members
}
