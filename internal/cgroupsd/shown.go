// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
)

// shown are the limits that programs ask for in their own cgroup, to size heaps and
// pools of threads by them: Java, .NET, Node.js and Go look there and, most of them,
// nowhere above. The unit has them from systemd; the payload is in a leaf below it.
var shown = []struct {
	controller, file, none string
	// along is written where the controller is there for another one.
	along bool
}{
	{controller: "memory", file: "memory.max", none: "max"},
	{controller: "memory", file: "memory.high", none: "max"},
	{controller: "memory", file: "memory.swap.max", none: "max"},
	// What runs out of memory is the leaf, and the kernel asks no cgroup above it (mm/memcontrol.c).
	{controller: "memory", file: "memory.oom.group", none: "0", along: true},
	{controller: "cpu", file: "cpu.max", none: "max "},
}

// showing are the properties that set these files.
var showing = []string{"MemoryMax", "MemoryHigh", "MemorySwapMax", "CPUQuota"}

// HasShown tells whether a scope has limits that its payload is to see.
func HasShown(s *plan.Scope) bool {
	for i := range s.Properties {
		if slices.Contains(showing, s.Properties[i].Name) {
			return true
		}
	}
	return false
}

// Show gives a payload's leaf the limits of its unit, which no process may be in (C-3,
// C-5). A controller that the unit has not is nobody's fault here.
func Show(unit, leaf *os.File) error {
	var faults error
	for _, f := range shown {
		limit, err := readAt(unit, f.file)
		if err != nil {
			continue
		}
		now, err := readAt(leaf, f.file)
		if errors.Is(err, fs.ErrNotExist) && !f.along && !strings.HasPrefix(limit, f.none) {
			if err = writeAt(unit, "cgroup.subtree_control", "+"+f.controller); err == nil {
				now, err = readAt(leaf, f.file)
			}
			faults = errors.Join(faults, err)
		}
		if err == nil && now != limit {
			faults = errors.Join(faults, writeAt(leaf, f.file, limit))
		}
	}
	return faults
}

// ShowScope is Show for a scope that runs and whose limits systemd has been told anew.
func ShowScope(ctx context.Context, s *plan.Scope) error {
	m, err := Connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	// It writes them before it looks at the next message (manager_loop).
	if _, err := m.ActiveState(ctx, s.Name); err != nil {
		return err
	}
	unit, err := os.OpenFile(slicePath(s.Slice)+"/"+s.Name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unit.Close()
	payload, err := os.OpenFile(unit.Name()+"/"+leaf, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer payload.Close()
	return Show(unit, payload)
}

func readAt(dir *os.File, file string) (string, error) {
	fd, err := unix.Openat(int(dir.Fd()), file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: dir.Name() + "/" + file, Err: err}
	}
	defer unix.Close(fd)
	var text [128]byte
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return "", &os.PathError{Op: "read", Path: dir.Name() + "/" + file, Err: err}
	}
	return strings.TrimSpace(string(text[:n])), nil
}
