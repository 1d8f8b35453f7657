// SPDX-License-Identifier: Apache-2.0

package live

import (
	"math"
	"os"
	"strconv"
	"strings"
	"time"
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
	g := group(cgroup)
	u := Usage{
		At: time.Now(), CPU: g.key("cpu.stat", "usage_usec"),
		Memory: g.number("memory.current"), MemoryPeak: g.number("memory.peak"), MemoryLimit: g.number("memory.max"), Swap: g.number("memory.swap.current"),
		Pids: g.number("pids.current"), PidsLimit: g.number("pids.max"), OOMKills: g.key("memory.events", "oom_kill"),
		CPUPressure: g.pressure("cpu.pressure"), MemoryPressure: g.pressure("memory.pressure"), IOPressure: g.pressure("io.pressure"),
		Frozen: Frozen(cgroup),
	}
	u.IORead, u.IOWrite = g.io()
	pids, _ := Processes(cgroup)
	if u.Pids == nil {
		n := uint64(len(pids))
		u.Pids = &n
	}
	if len(pids) > 0 {
		u.NetRead, u.NetWrite = h.network(pids[0])
	}
	return u
}

// Frozen tells whether the processes of a cgroup stand still.
func Frozen(cgroup string) bool {
	n := group(cgroup).key("cgroup.events", "frozen")
	return n != nil && *n == 1
}

// Memory is what a listing shows of it: bytes and the limit, nil without one.
func Memory(cgroup string) (current, limit *uint64) {
	return group(cgroup).number("memory.current"), group(cgroup).number("memory.max")
}

// CPU is the processor time of a cgroup.
func CPU(cgroup string) (time.Duration, bool) {
	n := group(cgroup).key("cpu.stat", "usage_usec")
	if n == nil {
		return 0, false
	}
	return time.Duration(*n) * time.Microsecond, true
}

// group is the directory of a cgroup.
type group string

func (g group) read(file string) string {
	data, err := os.ReadFile(string(g) + "/" + file)
	if err != nil {
		return ""
	}
	return string(data)
}

// number is a file with one number; "max" is none.
func (g group) number(file string) *uint64 { return number(strings.TrimSpace(g.read(file))) }

func number(text string) *uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == math.MaxUint64 {
		return nil
	}
	return &n
}

// key is a number in a file of lines "name number".
func (g group) key(file, name string) *uint64 {
	for line := range strings.Lines(g.read(file)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == name {
			return number(v)
		}
	}
	return nil
}

// pressure is avg10 of the line "some avg10=0.00 avg60=…".
func (g group) pressure(file string) *float64 {
	for line := range strings.Lines(g.read(file)) {
		f := strings.Fields(line)
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
	text, err := os.ReadFile(string(g) + "/io.stat")
	if err != nil {
		return nil, nil
	}
	var r, w uint64
	for word := range strings.FieldsSeq(string(text)) {
		k, v, _ := strings.Cut(word, "=")
		if n := number(v); n != nil {
			switch k {
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
func (h Host) network(pid int) (received, sent *uint64) {
	dir := h.Proc + "/" + strconv.Itoa(pid)
	own, err := os.Readlink(dir + "/ns/net")
	if err != nil {
		return nil, nil
	}
	if host, err := os.Readlink(h.Proc + "/1/ns/net"); err != nil || host == own {
		return nil, nil
	}
	text, err := os.ReadFile(dir + "/net/dev")
	if err != nil {
		return nil, nil
	}
	var r, s uint64
	for line := range strings.Lines(string(text)) {
		link, counters, ok := strings.Cut(line, ":")
		f := strings.Fields(counters)
		if !ok || strings.TrimSpace(link) == "lo" || len(f) < 9 {
			continue
		}
		if n := number(f[0]); n != nil {
			r += *n
		}
		if n := number(f[8]); n != nil {
			s += *n
		}
	}
	return &r, &s
}
