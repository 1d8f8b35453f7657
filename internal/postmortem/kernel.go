// SPDX-License-Identifier: Apache-2.0

package postmortem

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/clock"
	"github.com/unitc/unitc/internal/journal/lookup"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/runtime"
)

// kernelWindow is how old a kernel message may be to speak of the death at hand.
const kernelWindow = 30 * time.Second

// findings are what the kernel says of a death.
type findings struct {
	oom         bool   // the memory limit was hit
	limit, peak string // in kilobytes, "" = not known
	pids        bool   // a fork was refused for the limit on processes
	syscall     string // of a kill by seccomp: "syscall=101 arch=c000003e"
	denied      string // what a security module has refused
}

// kernelFindings looks in the kernel's log for what it says of a cgroup before
// the container's end at a time of the monotonic clock: the messages come before
// the process dies (mm/oom_kill.c), so they are there by now; the cgroup's own
// files may be gone. The kernel keeps as much as fits, a firewall's log may fill that
// in seconds: what it has of then no more journald has (kernelRecords).
func kernelFindings(p *plan.Plan, end time.Duration, ofJournald func(since time.Duration) []lookup.Record) findings {
	s := &kernelSearch{plan: p, group: p.Unit, ends: [2]time.Duration{end, end + rawOffset()}}
	if p.Scope != nil {
		s.group = p.Scope.Name
	}
	oldest, err := readKernelLog(s.look)
	if since := min(s.ends[0], s.ends[1]) - kernelWindow; err == nil && s.found == (findings{}) && oldest > since {
		for _, r := range ofJournald(since) {
			if at, err := kernelTime(r); err == nil {
				s.look(at, kernelText(r))
			}
		}
	}
	return s.found
}

// rawOffset is what the clock of the kernel's log is ahead of the monotonic one, where
// the processor's own counter keeps it: adjtimex(2), and so NTP, has the monotonic one
// run faster or slower, which comes to seconds in days. Where that counter is not
// stable the kernel goes by the monotonic one (kernel/sched/clock.c).
func rawOffset() time.Duration {
	var raw unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &raw) // it cannot fail
	return time.Duration(raw.Nano()) - clock.Monotonic()
}

// readKernelLog passes on what the kernel has kept, and gives the time of the first.
func readKernelLog(look func(time.Duration, string)) (oldest time.Duration, err error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 8192)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EPIPE || err == unix.EINTR {
			continue // the ring went on while we read; the next record follows
		}
		if err != nil || n <= 0 {
			return oldest, nil
		}
		at, text := kmsgRecord(string(buf[:n]))
		if oldest == 0 {
			oldest = at
		}
		text, _, _ = strings.Cut(text, "\n")
		look(at, text)
	}
}

// mostKernelRecords bounds what is read of the kernel's messages.
const mostKernelRecords = 10_000

// kernelRecords are what journald has of the kernel's messages since a time of the
// kernel's log. journald is not asked for those of a time: where the clock was set back
// it looks in the wrong place. So they are read from the last one back.
func kernelRecords(since time.Duration) []lookup.Record {
	ctx, cancel := context.WithTimeout(context.Background(), 10*lookTimeout)
	defer cancel()
	records, _ := lookup.Records(ctx, lookup.Query{
		Last: mostKernelRecords, Fields: "MESSAGE,SYSLOG_IDENTIFIER," + kernelStamp, Matches: []string{"_TRANSPORT=kernel"},
		Until: func(r lookup.Record) bool { at, err := kernelTime(r); return err == nil && at < since },
	})
	return records
}

// onceKernelRecords is kernelRecords for several ends, read once for all but those that
// were before the ones before.
func onceKernelRecords() func(since time.Duration) []lookup.Record {
	var records []lookup.Record
	from := time.Duration(math.MaxInt64)
	return func(since time.Duration) []lookup.Record {
		if since < from {
			records, from = kernelRecords(since), since
		}
		return records
	}
}

const kernelStamp = "_SOURCE_MONOTONIC_TIMESTAMP"

// kernelTime is a record's, by the clock of the kernel's log.
func kernelTime(r lookup.Record) (time.Duration, error) {
	us, err := strconv.ParseInt(r[kernelStamp], 10, 64)
	return time.Duration(us) * time.Microsecond, err
}

// kernelText is a line of the kernel's log: what is written to that journald takes apart.
func kernelText(r lookup.Record) string {
	if id := r["SYSLOG_IDENTIFIER"]; id != "" && id != "kernel" {
		return id + ": " + r["MESSAGE"]
	}
	return r["MESSAGE"]
}

// kernelSearch is for what speaks of one container before its end.
type kernelSearch struct {
	plan         *plan.Plan
	group        string
	ends         [2]time.Duration // the end by either clock that its log may go by
	usage, limit string
	found        findings
}

func (s *kernelSearch) look(at time.Duration, text string) {
	// Either clock is not quite that of the log.
	if !slices.ContainsFunc(s.ends[:], func(end time.Duration) bool { return at >= end-kernelWindow && at <= end+time.Second }) {
		return
	}
	switch f := &s.found; {
	// "memory: usage 65536kB, limit 65536kB, failcnt 33", and what it speaks of
	// one of the next: "oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/unitc.slice/unitc-web.scope,task_memcg=…"
	case strings.HasPrefix(text, "memory: usage "):
		s.usage, s.limit = between(text, "usage ", "kB"), between(text, "limit ", "kB")
	case strings.HasPrefix(text, "oom-kill:constraint=CONSTRAINT_MEMCG,") && hasComponent(between(text, "oom_memcg=", ","), s.group):
		f.oom, f.limit, f.peak = true, s.limit, s.usage
	case strings.HasPrefix(text, "cgroup: fork rejected by pids controller in ") && hasComponent(text, s.group):
		f.pids = true
	case strings.Contains(text, "type=1326 ") && strings.Contains(text, " sig=31 ") && speaksOf(text, s.plan):
		f.syscall = "syscall=" + between(text, " syscall=", " ") + " arch=" + between(text, " arch=", " ")
	case (strings.Contains(text, `apparmor="DENIED"`) || strings.Contains(text, "avc:  denied")) && speaksOf(text, s.plan):
		f.denied = text
	}
}

// speaksOf tells whether an audit record is of a process of the container: by its
// label, its profile, and by the host's number of its user where the container has
// ids of its own. A record that has none of them may be.
func speaksOf(record string, p *plan.Plan) bool {
	if p.Spec == nil || p.Spec.Process == nil || p.Spec.Linux == nil {
		return true
	}
	if label := p.Spec.Process.SelinuxLabel; label != "" && strings.Contains(record, " scontext=") {
		return between(record, " scontext=", " ") == runtime.CanonicalLabel(label)
	}
	// A profile of its own may have children: "unitc-default//helper".
	if own, of := p.Spec.Process.ApparmorProfile, between(record, ` profile="`, `"`); own != "" && of != "" && of != own && !strings.HasPrefix(of, own+"//") {
		return false
	}
	for _, name := range []string{" uid=", " fsuid="} {
		id, err := strconv.ParseUint(between(record, name, " "), 10, 32)
		if err != nil || len(p.Spec.Linux.UIDMappings) == 0 {
			continue
		}
		for _, m := range p.Spec.Linux.UIDMappings {
			if id >= uint64(m.HostID) && id-uint64(m.HostID) < uint64(m.Size) {
				return true
			}
		}
		return false
	}
	return true
}

// ownFindings asks the cgroup of the service that this program cleans up after.
// A kill for want of memory on the whole host does not count as "oom" there
// (cgroup-v2, memory.events).
func ownFindings() (f findings) {
	group, err := cgroupsd.OwnUnit()
	if err != nil {
		return f
	}
	read := func(name string) string {
		data, _ := os.ReadFile(group + "/" + name)
		return string(data)
	}
	count := func(name, key string) bool {
		for line := range strings.Lines(read(name)) {
			if n, has := strings.CutPrefix(line, key+" "); has {
				return strings.TrimSpace(n) != "0"
			}
		}
		return false
	}
	kib := func(name string) string {
		n, err := strconv.ParseInt(strings.TrimSpace(read(name)), 10, 64)
		if err != nil {
			return ""
		}
		return strconv.FormatInt(n/1024, 10)
	}
	f.oom, f.limit, f.peak = count("memory.events", "oom"), kib("memory.max"), kib("memory.peak")
	f.pids = count("pids.events", "max")
	return f
}

func hasComponent(path, name string) bool {
	for _, c := range strings.Split(path, "/") {
		if c == name {
			return true
		}
	}
	return false
}

// kmsgRecord splits "level,sequence,µs,flags;text" (Documentation/ABI/testing/dev-kmsg).
func kmsgRecord(record string) (time.Duration, string) {
	head, text, _ := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if len(fields) < 3 {
		return 0, ""
	}
	us, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return 0, ""
	}
	return time.Duration(us) * time.Microsecond, text
}

// kilobytes is a number of them in words, "" of none.
func kilobytes(kb string) string {
	n, err := strconv.ParseInt(kb, 10, 64)
	if err != nil {
		return ""
	}
	if n%1024 == 0 {
		return fmt.Sprintf("%d MiB", n/1024)
	}
	return fmt.Sprintf("%d KiB", n)
}

func between(s, before, after string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, after)
	return s
}

// outOfMemory is of systemd's word that the kernel has killed a process of a unit for
// want of memory (SD_MESSAGE_UNIT_OUT_OF_MEMORY).
const outOfMemory = "fe6faa94e7774663a0da52717891d8ef"

// userFindings are kernelFindings for one who may not read the kernel's log: what the
// user's systemd has seen of the scope's cgroup since the start.
func userFindings(p *plan.Plan) (f findings) {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	end, err := cgroupsd.LastEnd(ctx, p.Unit)
	if err != nil {
		return f
	}
	records, _ := askJournal(1, "MESSAGE_ID", "MESSAGE_ID="+outOfMemory, realm.UnitField()+"="+p.Scope.Name)
	f.oom = len(records) > 0 && records[0].At() >= end.Began
	return f
}

// userFindings is that function for an end that the journal tells of.
func (d *fatality) userFindings() (f findings) {
	if d.plan.Scope == nil {
		return f
	}
	records, _ := lookUp(mostRecords, "MESSAGE_ID", realm.ManagerMatch(), "MESSAGE_ID="+outOfMemory, realm.UnitField()+"="+d.plan.Scope.Name)
	f.oom = slices.ContainsFunc(records, func(r lookup.Record) bool { return d.isOf(r.At()) })
	return f
}
