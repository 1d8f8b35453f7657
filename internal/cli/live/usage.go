// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what the kernel has counted for one payload (Documentation/
// admin-guide/cgroup-v2.rst). A nil pointer is a controller that this machine
// does not have; sums are since the cgroup was made.
type Usage struct {
	At          time.Time `json:"at"`
	CPU         *uint64   `json:"cpu_usec,omitempty"`
	Memory      *uint64   `json:"memory_bytes,omitempty"`
	MemoryPeak  *uint64   `json:"memory_peak_bytes,omitempty"`  // since Linux 5.19
	MemoryLimit *uint64   `json:"memory_limit_bytes,omitempty"` // nil = none
	Swap        *uint64   `json:"swap_bytes,omitempty"`
	Pids        *uint64   `json:"pids,omitempty"`
	PidsLimit   *uint64   `json:"pids_limit,omitempty"`
	IORead      *uint64   `json:"io_read_bytes,omitempty"`
	IOWrite     *uint64   `json:"io_write_bytes,omitempty"`
	NetRead     *uint64   `json:"net_received_bytes,omitempty"` // all links but loopback
	NetWrite    *uint64   `json:"net_sent_bytes,omitempty"`
	// Pressure is the share of the last ten seconds in which some process
	// waited, in percent (Documentation/accounting/psi.rst).
	CPUPressure    *float64 `json:"cpu_pressure,omitempty"`
	MemoryPressure *float64 `json:"memory_pressure,omitempty"`
	IOPressure     *float64 `json:"io_pressure,omitempty"`
	OOMKills       *uint64  `json:"oom_kills,omitempty"`
	Frozen         bool     `json:"frozen,omitempty"`
}

// Usage reads the counters of a cgroup. What is not there stays nil.
func (h Host) Usage(cgroup string) Usage {
	s := Survey{Host: h}
	defer s.Close()
	return s.Usage(cgroup)
}

// Survey looks at many containers, one after another.
type Survey struct {
	Host
	files   Reader
	hostNet string // the host's own network namespace, once read
	stateFD int    // of Host.State; 0 = not opened, -1 = there is none
	slice   string // where the last cgroup was, and
	sliceFD int    // its directory; 0 = not opened, -1 = there is none
}

// state is the directory of what was launched; names below it are found quicker
// than whole paths.
func (s *Survey) state() int {
	if s.stateFD == 0 {
		fd, err := openDir(s.State)
		if err != nil {
			fd = -1
		}
		s.stateFD = fd
	}
	return s.stateFD
}

// Close lets go of what looking has opened.
func (s *Survey) Close() {
	for _, fd := range []*int{&s.stateFD, &s.sliceFD} {
		if *fd > 0 {
			unix.Close(*fd)
		}
		*fd = 0
	}
}

// DefinitionText is the resolved definition that was launched, until the next
// file is read.
func (s *Survey) DefinitionText(name string) ([]byte, error) {
	return s.files.readBelow(s.state(), name, "definition.json")
}

// Health is what the last check found: "healthy", or "unhealthy: " and why.
func (s *Survey) Health(name string) string {
	data, err := s.files.readBelow(s.state(), name, "health")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(data))
}

// Started is when the payload was launched.
func (s *Survey) Started(name string) (time.Time, bool) {
	var st unix.Stat_t
	if err := unix.Fstatat(s.state(), name+"/plan.json", &st, 0); err != nil {
		return time.Time{}, false
	}
	return time.Unix(st.Mtim.Unix()), true
}

// Usage is Host.Usage.
func (s *Survey) Usage(cgroup string) Usage {
	g := s.open(cgroup)
	u := Usage{
		At: time.Now(), CPU: g.key("cpu.stat", "usage_usec"),
		Memory: g.number("memory.current"), MemoryPeak: g.number("memory.peak"), MemoryLimit: g.number("memory.max"), Swap: g.number("memory.swap.current"),
		Pids: g.number("pids.current"), PidsLimit: g.number("pids.max"), OOMKills: g.key("memory.events", "oom_kill"),
		CPUPressure: g.pressure("cpu.pressure"), MemoryPressure: g.pressure("memory.pressure"), IOPressure: g.pressure("io.pressure"),
		Frozen: g.frozen(),
	}
	u.IORead, u.IOWrite = g.io()
	first := g.firstProcess()
	if first == 0 || u.Pids == nil {
		pids, _ := Processes(cgroup)
		if u.Pids == nil {
			n := uint64(len(pids))
			u.Pids = &n
		}
		if first == 0 && len(pids) > 0 {
			first = pids[0]
		}
	}
	if first != 0 {
		u.NetRead, u.NetWrite = s.network(first)
	}
	return u
}

// Processor is Usage of the processor alone: what a share of it is counted from.
func (s *Survey) Processor(cgroup string) Usage {
	g := s.open(cgroup)
	return Usage{At: time.Now(), CPU: g.key("cpu.stat", "usage_usec")}
}

// Summary is what a listing shows of a payload; nil is what this machine does
// not count, and no limit.
type Summary struct {
	CPU, Memory, MemoryLimit *uint64 // µs, bytes, bytes
	Frozen                   bool
}

// Summary reads the few counters of it.
func (s *Survey) Summary(cgroup string) Summary {
	g := s.open(cgroup)
	return Summary{CPU: g.key("cpu.stat", "usage_usec"), Memory: g.number("memory.current"), MemoryLimit: g.number("memory.max"), Frozen: g.frozen()}
}

// Frozen tells whether the processes of a cgroup stand still.
func Frozen(cgroup string) bool {
	s := Survey{}
	defer s.Close()
	g := s.open(cgroup)
	return g.frozen()
}

// group is a cgroup whose files are read.
type group struct {
	sliceFD int
	name    string // in the slice
	files   *Reader
}

// open keeps the slice's directory, for nearly all containers are in one: a
// directory of each would be opened and closed for four files.
func (s *Survey) open(cgroup string) group {
	slice, name := path.Split(cgroup)
	if s.sliceFD == 0 || s.slice != slice {
		if s.sliceFD > 0 {
			unix.Close(s.sliceFD)
		}
		fd, err := openDir(slice)
		if err != nil {
			fd = -1 // it has ended: nothing can be read
		}
		s.slice, s.sliceFD = slice, fd
	}
	return group{s.sliceFD, name, &s.files}
}

func (g group) tryRead(file string) ([]byte, error) {
	return g.files.readBelow(g.sliceFD, g.name, file)
}

// read gives a file's text until the next is read.
func (g group) read(file string) []byte {
	data, err := g.tryRead(file)
	if err != nil {
		return nil
	}
	return data
}

func (g group) frozen() bool {
	n := g.key("cgroup.events", "frozen")
	return n != nil && *n == 1
}

// firstProcess is one of the payload's processes, 0 if it has moved them to
// cgroups of its own.
func (g group) firstProcess() int {
	for _, file := range []string{"payload/cgroup.procs", "cgroup.procs"} {
		line, _, _ := bytes.Cut(g.read(file), []byte{'\n'})
		if pid, err := strconv.Atoi(string(line)); err == nil {
			return pid
		}
	}
	return 0
}

// number is a file with one number; "max" is none.
func (g group) number(file string) *uint64 { return number(bytes.TrimSpace(g.read(file))) }

func number(text []byte) *uint64 {
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || n == math.MaxUint64 {
		return nil
	}
	return &n
}

// key is a number in a file of lines "name number".
func (g group) key(file, name string) *uint64 {
	for line := range bytes.Lines(g.read(file)) {
		if k, v, ok := bytes.Cut(bytes.TrimSpace(line), []byte{' '}); ok && string(k) == name {
			return number(v)
		}
	}
	return nil
}

// pressure is avg10 of the line "some avg10=0.00 avg60=…".
func (g group) pressure(file string) *float64 {
	for line := range bytes.Lines(g.read(file)) {
		f := strings.Fields(string(line))
		if len(f) < 2 || f[0] != "some" {
			continue
		}
		if v, ok := strings.CutPrefix(f[1], "avg10="); ok {
			if n, err := strconv.ParseFloat(v, 64); err == nil {
				return &n
			}
		}
	}
	return nil
}

// io adds up io.stat, a line "8:0 rbytes=1 wbytes=2 …" for each device.
func (g group) io() (read, write *uint64) {
	text, err := g.tryRead("io.stat")
	if err != nil {
		return nil, nil
	}
	var r, w uint64
	for word := range bytes.FieldsSeq(text) {
		k, v, _ := bytes.Cut(word, []byte{'='})
		if n := number(v); n != nil {
			switch string(k) {
			case "rbytes":
				r += *n
			case "wbytes":
				w += *n
			}
		}
	}
	return &r, &w
}

// network adds up /proc/PID/net/dev (proc_pid_net(5)). A payload in the host's
// network has no traffic of its own.
func (s *Survey) network(pid int) (received, sent *uint64) {
	dir := s.Proc + "/" + strconv.Itoa(pid)
	own, err := os.Readlink(dir + "/ns/net")
	if err != nil {
		return nil, nil
	}
	if s.hostNet == "" {
		if s.hostNet, err = os.Readlink(s.Proc + "/1/ns/net"); errors.Is(err, fs.ErrPermission) {
			s.hostNet, err = os.Readlink(s.Proc + "/self/ns/net") // a user's own command is in the host's
		}
		if err != nil {
			return nil, nil
		}
	}
	if s.hostNet == own {
		return nil, nil
	}
	text, err := s.files.Read(unix.AT_FDCWD, dir+"/net/dev")
	if err != nil {
		return nil, nil
	}
	var in, out uint64
	for line := range bytes.Lines(text) {
		link, counters, ok := bytes.Cut(line, []byte{':'})
		f := bytes.Fields(counters)
		if !ok || string(bytes.TrimSpace(link)) == "lo" || len(f) < 9 {
			continue
		}
		if n := number(f[0]); n != nil {
			in += *n
		}
		if n := number(f[8]); n != nil {
			out += *n
		}
	}
	return &in, &out
}
