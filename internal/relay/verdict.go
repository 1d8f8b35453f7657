// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/notification"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/relay/order"
)

// ending is what is known of how a check has ended.
type ending struct {
	program bool   // one has made it, and come to its end
	exit    int    // its exit status; of others 0, 1 or unfinished
	output  string // what it wrote, or what was wrong
}

// unfinished is a check that was ended, or could not be made (Docker's figure).
const unfinished = -1

// endingOf is for a check that is over.
func endingOf(a *attempt, failure string) ending {
	switch {
	case a != nil && a.ending != nil:
		return *a.ending
	case failure != "":
		return ending{exit: 1, output: failure}
	}
	return ending{}
}

// keep leaves the check below /run, for who asks for the last ones.
func (r *relay) keep(now time.Time, e ending) {
	b := strconv.AppendInt(nil, r.begun.UnixMicro(), 10)
	for _, n := range []int64{now.UnixMicro(), int64(e.exit), int64(r.health.streak)} {
		b = strconv.AppendInt(append(b, ' '), n, 10)
	}
	b = append(append(b, '\n'), e.output...)
	path := r.o.Dir + "/" + order.HealthFile + strconv.Itoa(r.kept%order.HealthChecks)
	if r.put(path, b) {
		r.kept++
	}
}

// put replaces a file. Every check does: what os makes of a descriptor is left out.
func (r *relay) put(path string, data []byte) bool {
	fresh := r.o.Dir + "/health.new"
	fd, err := unix.Open(fresh, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false
	}
	n, err := unix.Write(fd, data)
	unix.Close(fd)
	return err == nil && n == len(data) && unix.Rename(fresh, path) == nil
}

// announce writes the journal's entry on a payload that has become healthy or unhealthy.
// It is about the unit and not the payload's, whose name it does not bear.
func (r *relay) announce(out outcome, e ending) {
	priority := "6"
	switch {
	case out.trigger:
		priority = "3"
	case r.health.state == unhealthy:
		priority = "4"
	}
	of := "OBJECT_SYSTEMD_UNIT"
	if realm.Entered() {
		of = "OBJECT_SYSTEMD_USER_UNIT"
	}
	var entry journal.Entry
	entry.Add("MESSAGE", r.o.Unit+" is "+out.status)
	entry.Add("MESSAGE_ID", journal.HealthID)
	entry.Add("PRIORITY", priority)
	entry.Add("SYSLOG_IDENTIFIER", "unitc")
	entry.Add(of, r.o.Unit)
	entry.Add("UNITC_UNIT", r.o.Unit)
	entry.Add("UNITC_CONTAINER", strings.TrimSuffix(r.o.Unit, ".service"))
	entry.Add("UNITC_HEALTH_STATUS", r.health.state)
	entry.Add("UNITC_PROBE", out.status)
	entry.Add("UNITC_HEALTH_FAILING_STREAK", strconv.Itoa(r.health.streak))
	if e.program {
		entry.Add("UNITC_HEALTH_EXIT_STATUS", strconv.Itoa(e.exit))
	}
	if line := notification.OneLine(lastLine(e.output)); line != "" {
		entry.Add("UNITC_HEALTH_OUTPUT", line)
	}
	_ = entry.Send() // systemd has been told
}
