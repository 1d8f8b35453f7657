// SPDX-License-Identifier: Apache-2.0

package searchpath

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/diag"
)

// maxDropIns bounds the drop-ins of one definition, as MaxSize bounds a file.
const maxDropIns = 256

// readDropIns adds the drop-ins of all search directories in the order of
// their names; of two with one name the first directory's counts, and a mask
// there hides the other.
func (e *Entry) readDropIns(src *Source) {
	var list []file
	for _, f := range e.dropIns {
		d, items, err := f.readDir()
		if err != nil {
			src.Problems = append(src.Problems, diag.Problem{File: f.path(), What: "reading the drop-ins: " + err.Error(),
				Cure: "make it a directory of *.yaml files"})
			continue
		}
		// The files are read through the handle.
		defer unix.Close(d.fd)
		for _, i := range items {
			name := i.name
			if right, odd := oddDropIn(name); odd {
				// Left out, it might be the one that makes the container safe.
				src.Problems = append(src.Problems, diag.Problem{File: d.path + "/" + name, What: `the name of a drop-in ends in ".yaml"`, Cure: "rename it to " + right})
			}
			if name[0] != '.' && strings.HasSuffix(name, endDefinition) &&
				!slices.ContainsFunc(list, func(have file) bool { return have.name == name }) {
				list = append(list, file{d, name, i.mode})
			}
		}
	}
	list = slices.DeleteFunc(list, file.isMask)
	slices.SortFunc(list, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	if len(list) > maxDropIns {
		src.Problems = append(src.Problems, diag.Problem{File: e.Path, What: fmt.Sprintf("%d drop-ins, more than the %d that are read", len(list), maxDropIns),
			Cure: "merge some of them"})
		return
	}
	for _, f := range list {
		src.add(f)
	}
}

// readDir lists a directory of drop-ins and holds it open.
func (f file) readDir() (*dir, []item, error) {
	fd, err := openDir(f.dir.fd, f.name)
	if err != nil {
		return nil, nil, err
	}
	items, err := listDir(fd)
	if err != nil {
		unix.Close(fd)
		return nil, nil, err
	}
	return &dir{path: f.path(), fd: fd}, items, nil
}
