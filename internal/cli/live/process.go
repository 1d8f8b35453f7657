// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot"
)

// Process is one of a container's, as proc_pid(5) has it.
type Process struct {
	PID     int       `json:"pid"`                  // as the caller knows it
	Inside  int       `json:"pid_inside,omitempty"` // as the container does; 0 = not known
	Parent  int       `json:"ppid"`
	UID     int64     `json:"uid"`            // inside
	User    string    `json:"user,omitempty"` // inside; "" = it has no name there
	State   string    `json:"state"`          // R, S, D, T, Z, ...
	CPU     uint64    `json:"cpu_usec"`
	Memory  uint64    `json:"memory_bytes"` // resident
	Threads int       `json:"threads"`
	Started time.Time `json:"started"`
	Command []string  `json:"command"`
}

// Top reads the processes of a container's payload, whose cgroup and first process are
// given, in the order in which the container counts them. One that begins or ends
// meanwhile may be missing.
func (h Host) Top(cgroup string, first int) ([]Process, error) {
	if leaf := cgroup + "/payload"; isDir(leaf) {
		cgroup = leaf // what is beside it is ours
	}
	pids, err := Processes(cgroup)
	if err != nil {
		return nil, err
	}
	c := h.insideOf(first)
	var r Reader
	list := []Process{}
	for _, pid := range pids {
		if p, err := h.process(&r, pid, c); err == nil {
			list = append(list, *p)
		}
	}
	// The number of one that has ended may be another's by the time that it is read.
	still, err := Processes(cgroup)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(p Process) bool { return !slices.Contains(still, p.PID) })
	slices.SortFunc(list, func(a, b Process) int {
		if a.Inside != b.Inside {
			return a.Inside - b.Inside
		}
		return a.PID - b.PID
	})
	return list, nil
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// container is how a container counts its processes and calls its users.
type container struct {
	depth int // of its PID namespace below the caller's; 0 = not known
	ids   []mapping
	names map[int64]string
	boot  time.Time
}

type mapping struct{ inside, outside, length int64 }

// insideOf asks the first process, whose namespaces are the container's.
func (h Host) insideOf(first int) *container {
	c := &container{names: map[int64]string{}, boot: bootTime()}
	dir := filepath.Join(h.Proc, strconv.Itoa(first))
	if status, err := os.ReadFile(dir + "/status"); err == nil {
		c.depth = len(strings.Fields(statusField(status, "NSpid:")))
	}
	own, errOwn := os.Readlink(h.Proc + "/self/ns/user")
	its, err := os.Readlink(dir + "/ns/user")
	if err == nil && errOwn == nil && own == its {
		c.ids = []mapping{{0, 0, 1 << 32}} // the map is to the namespace around it
	} else if data, err := os.ReadFile(dir + "/uid_map"); err == nil {
		for line := range strings.Lines(string(data)) {
			var m mapping
			if _, err := fmt.Sscan(line, &m.inside, &m.outside, &m.length); err == nil {
				c.ids = append(c.ids, m)
			}
		}
	}
	for line := range strings.Lines(string(readBelowRoot(dir+"/root", "etc/passwd"))) {
		f := strings.Split(line, ":")
		if len(f) < 3 {
			continue
		}
		uid, err := strconv.ParseInt(f[2], 10, 64)
		if _, known := c.names[uid]; err == nil && !known {
			c.names[uid] = f[0]
		}
	}
	return c
}

// maxPasswd bounds what is read of a container's file, in bytes.
const maxPasswd = 1 << 20

// readBelowRoot reads a regular file of a container's, whose links lead nowhere else;
// nil where there is none, or it is not the caller's to read.
func readBelowRoot(root, unsafePath string) []byte {
	dir, err := openDir(root)
	if err != nil {
		return nil
	}
	defer unix.Close(dir)
	const within = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS
	fd, err := inroot.Open(dir, unsafePath, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: within})
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxPasswd {
		return nil
	}
	var r Reader
	data, err := r.Read(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd))
	if err != nil {
		return nil
	}
	return data
}

var errGone = errors.New("no such process")

func (h Host) process(r *Reader, pid int, c *container) (*Process, error) {
	dir, err := openDir(filepath.Join(h.Proc, strconv.Itoa(pid)))
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	p := &Process{PID: pid, UID: -1}
	stat, err := r.Read(dir, "stat")
	if err != nil {
		return nil, err
	}
	// The name, in parentheses, may hold anything.
	from, to := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if from < 0 || to < from {
		return nil, errGone
	}
	name, f := string(stat[from+1:to]), strings.Fields(string(stat[to+1:]))
	if len(f) < 22 {
		return nil, errGone
	}
	number := func(i int) uint64 { n, _ := strconv.ParseUint(f[i], 10, 64); return n }
	p.State, p.Parent, p.Threads = f[0], int(number(1)), int(number(17))
	p.CPU = (number(11) + number(12)) * (1e6 / ticks)
	p.Started = c.boot.Add(time.Duration(number(19)) * (time.Second / ticks)).Truncate(time.Second / ticks)
	status, err := r.Read(dir, "status")
	if err != nil {
		return nil, err
	}
	if kib, err := strconv.ParseUint(strings.TrimSuffix(statusField(status, "VmRSS:"), " kB"), 10, 64); err == nil {
		p.Memory = kib << 10
	}
	if inside := strings.Fields(statusField(status, "NSpid:")); c.depth > 0 && len(inside) >= c.depth {
		p.Inside, _ = strconv.Atoi(inside[c.depth-1])
	}
	if uids := strings.Fields(statusField(status, "Uid:")); len(uids) > 1 {
		if uid, err := strconv.ParseInt(uids[1], 10, 64); err == nil { // the effective one
			p.UID = c.uid(uid)
			p.User = c.names[p.UID]
		}
	}
	line, err := r.Read(dir, "cmdline")
	if err != nil {
		return nil, err
	}
	if line = bytes.TrimRight(line, "\x00"); len(line) > 0 {
		p.Command = strings.Split(string(line), "\x00")
	} else {
		p.Command = []string{"[" + name + "]"}
	}
	return p, nil
}

// ticks is what the kernel counts in towards programs, a second (time(7), USER_HZ).
const ticks = 100

// uid gives a user as the container knows it, -1 for one that it does not.
func (c *container) uid(outside int64) int64 {
	for _, m := range c.ids {
		if outside >= m.outside && outside-m.outside < m.length {
			return outside - m.outside + m.inside
		}
	}
	return -1
}

func statusField(status []byte, name string) string {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return string(bytes.TrimSpace(rest))
		}
	}
	return ""
}

// bootTime is where starts of processes are counted from, by the clock as it is now.
func bootTime() time.Time {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(now.Nano()))
}
