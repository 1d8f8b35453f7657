// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupsd"
)

// oomWindow is how old a kernel message may be to speak of the death at hand.
const oomWindow = 30 * time.Second

// oomKilled looks in the kernel's log for a kill by the memory limit of a
// cgroup (mm/oom_kill.c prints it before the process dies, so it is there by
// now; the cgroup's own memory.events may be gone) and gives the limit.
func oomKilled(group string) (limit string, hit bool) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "", false
	}
	oldest := time.Duration(now.Nano()) - oomWindow
	buf := make([]byte, 8192)
	limit = "its cgroup"
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EPIPE || err == unix.EINTR {
			continue // the ring went on while we read; the next record follows
		}
		if err != nil || n <= 0 {
			return limit, hit
		}
		at, text := kmsgRecord(string(buf[:n]))
		if at < oldest {
			continue
		}
		// "memory: usage 65536kB, limit 65536kB, failcnt 33"
		if strings.HasPrefix(text, "memory: usage ") {
			limit = kilobytes(between(text, "limit ", "kB"))
		}
		// "oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/unitc.slice/unitc-web.scope,task_memcg=…"
		if strings.HasPrefix(text, "oom-kill:constraint=CONSTRAINT_MEMCG,") && hasComponent(between(text, "oom_memcg=", ","), group) {
			hit = true
		}
	}
}

// ownLimitHit asks the cgroup of the service that this program cleans up after:
// whether its memory limit was hit, and the limit. A kill for want of memory on
// the whole host does not count as "oom" there (cgroup-v2, memory.events).
func ownLimitHit() (limit string, hit bool) {
	group, err := cgroupsd.OwnUnit()
	if err != nil {
		return "", false
	}
	events, err := os.ReadFile(group + "/memory.events")
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(events)) {
		if count, has := strings.CutPrefix(line, "oom "); has {
			hit = strings.TrimSpace(count) != "0"
		}
	}
	limit = "its cgroup"
	most, err := os.ReadFile(group + "/memory.max")
	if n, parseErr := strconv.ParseInt(strings.TrimSpace(string(most)), 10, 64); err == nil && parseErr == nil {
		limit = kilobytes(strconv.FormatInt(n/1024, 10))
	}
	return limit, hit
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

func kilobytes(kb string) string {
	n, err := strconv.ParseInt(kb, 10, 64)
	if err != nil {
		return kb + " kB"
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
