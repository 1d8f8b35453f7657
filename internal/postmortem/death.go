// SPDX-License-Identifier: Apache-2.0

package postmortem

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/clock"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/journal/catchup"
	"github.com/unitc/unitc/internal/journal/lookup"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/realm"
)

// MessageID marks the journal entry of a container that has failed; the catalog
// (packaging/unitc.catalog) explains it, `unitc why` prints it.
const MessageID = "5c2f0f1a6e8d4e0d9b6e3d0c2f6f7a11"

const (
	// lastLines is how much of the output is kept with the entry, and lineBytes
	// how much of a line.
	lastLines, lineBytes = 20, 1000
	// lookTimeout bounds what is asked of journald and systemd for the entry: who
	// restarts a service that fails is not to be held up for its post-mortem.
	lookTimeout = 3 * time.Second
)

// death is what is known of an end that systemd calls a failure.
type death struct {
	plan                 *plan.Plan
	invocation           string // INVOCATION_ID
	result, code, status string // SERVICE_RESULT, EXIT_CODE, EXIT_STATUS (systemd.exec(5))
	found                findings
	probe                string // the last word of the checks
	restarts             string // how often systemd has started the service again by itself
	lines                string // the last of the output
	muted                bool   // a process has ended, and nothing says how
	asked                bool   // systemd had been told to stop it
	cause, cure          string
}

// Report writes one journal entry on every end that was not asked for or
// not orderly: what happened, why as far as the kernel and the checks tell, the
// last lines, and what to do. On the ordinary path it costs a look at the
// environment. It is for clean-up (ExecStopPost=), whose environment says how the
// service has ended; dir is the container's directory below /run, and tell has
// systemd show a line as the unit's status.
func Report(p *plan.Plan, dir string, tell func(line string)) {
	d := &death{plan: p, invocation: os.Getenv("INVOCATION_ID"), result: os.Getenv("SERVICE_RESULT"), code: os.Getenv("EXIT_CODE"), status: os.Getenv("EXIT_STATUS")}
	if d.result == "" || d.result == "success" {
		return
	}
	switch {
	case p.Scope != nil && realm.Own() != nil:
		d.found = userFindings(p)
	case p.Scope != nil:
		d.found = kernelFindings(p, clock.Monotonic(), kernelRecords)
	default:
		// In the service's cgroup this program shares the payload's device rules,
		// which keep it from the kernel's log, but finds the kernel's counters.
		d.found = ownFindings()
	}
	if data, err := os.ReadFile(dir + "/health"); err == nil {
		d.probe = strings.TrimSpace(string(data))
	}
	d.restarts = restarts(p.Unit)
	// The payload's last words, before there are ours.
	d.lines = d.output()
	d.asked = d.wasAsked()
	d.explain()
	if d.cure != "" {
		fmt.Fprintf(journal.Stderr, "<3>%s; %s\n", d.cause, d.cure)
		tell(d.cause + "; " + d.cure)
	}
	if err := journal.Send(d.entry()); err != nil {
		fmt.Fprintf(journal.Stderr, "<3>%v\n", err)
	}
}

// explain finds the sentence, and the cure where there is one.
func (d *death) explain() {
	signal := d.code == "killed" || d.code == "dumped"
	switch f := &d.found; {
	case f.oom && (d.status == "KILL" || d.result == "oom-kill"):
		d.cause = "killed: the memory limit of " + cmp.Or(kilobytes(f.limit), "its cgroup") + " was hit"
		d.cure = "raise `mem_limit:` in the definition" + f.moreMemory() + ", or make the program use less"
	case d.result == "oom-kill":
		d.cause = "killed: the kernel had no memory left for it"
		d.cure = "look in `journalctl -k -g oom` whose limit it was: the host's, or a slice's"
		if d.plan.Scope != nil {
			// Of a payload in its scope systemd says "signal".
			d.cause = "killed: the kernel had no memory left for what unitc runs in the service"
			d.cure += ", or MemoryMax= of a drop-in, which does not act on the payload: take it out, and write `mem_limit:`"
		}
	case d.result == "watchdog" && d.probe != "":
		d.cause = d.probe
		if strings.Contains(d.probe, ": no end in ") || strings.Contains(d.probe, ": no answer in ") {
			d.cure = "raise `timeout:` of `healthcheck:`, if a check may take so long"
		}
	case signal && d.status == "SYS" && d.plan.Spec != nil && d.plan.Spec.Linux != nil && d.plan.Spec.Linux.Seccomp != nil:
		d.cause = "killed: the program made a system call that its seccomp profile answers with death"
		d.cure = "`journalctl -k -g seccomp` may name it (syscall=, see `ausyscall`); allow it in the profile of `security_opt:`, or answer it with SCMP_ACT_ERRNO there"
		if f.syscall != "" {
			d.cure = "the kernel names it: " + f.syscall + " (see `ausyscall`); allow it in the profile of `security_opt:`, or answer it with SCMP_ACT_ERRNO there"
		}
	case d.result == "timeout" && signal:
		d.cause = "killed by SIG" + d.status + ": it took longer than systemd waits for a start or a stop"
	case signal:
		d.cause = "killed by SIG" + d.status
	case d.code == "exited":
		d.cause = "exited with status " + d.status + launchStatus(d.status)
	case d.result == "timeout":
		d.cause = "it took longer than systemd waits for a start or a stop"
	default:
		d.cause = "ended with the result " + d.result
		if d.muted {
			d.cause += "; systemd's line on how its process ended is not in the journal, and systemd itself knows it only until the next start"
		}
	}
	if at := lastWhereabouts(d.lines); at != "" && d.result == "timeout" {
		d.cause += "; the start was " + at
	}
	if d.cure != "" || d.code == "exited" && launchStatus(d.status) != "" && !d.before() {
		return // a launch that has failed has told its cure, which STATUS= keeps
	}
	if d.stopped(); d.cure != "" {
		return
	}
	if d.found.pids {
		d.cause += "; its limit on processes kept it from starting more"
		d.cure = "raise `pids_limit:` in the definition" + d.moreProcesses()
	} else if what, cure := refusal(d.found.denied); what != "" {
		d.cause += "; " + what
		d.cure = cure
	} else if word, cure := complaintOf(strings.Split(d.lines, "\n"), d.plan); cure != "" && d.code == "exited" {
		d.cure = "if it is for the " + word + " that its last lines speak of: " + cure
	}
}

// stopped is about a payload that did not take its stop as systemd takes it. The first
// process of a PID namespace gets no signal without a handler for it, not even from itself
// (pid_namespaces(7)): a Go program without one ends with status 2.
func (d *death) stopped() {
	if !d.asked {
		return
	}
	first := !d.plan.Init && d.plan.Runtime == ""
	switch {
	case d.result == "timeout" && d.status == "KILL" && first:
		d.cause = "killed by SIGKILL: it did not stop within `stop_grace_period:`"
		d.cure = "write `init: true` if the program has no handler for the stop signal, which does nothing to the first process of a container then; else `stop_signal:` that it ends by, or a longer `stop_grace_period:`"
	case d.code == "exited" && d.status == "2" && first:
		d.cause += " when it was told to stop"
		d.cure = "write `init: true`, if it has no handler for the stop signal: as the first process of a container a Go program ends so. If it is its way to stop: `systemd: {service: {SuccessExitStatus: 2}}`"
	case d.code == "exited":
		d.cause += " when it was told to stop"
		d.cure = "if that is its way to stop, write `systemd: {service: {SuccessExitStatus: " + d.status + "}}`"
	}
}

// Exit statuses of what fails before the payload (systemd.exec(5), "Process Exit Codes").
const exitConfig, firstOfLaunch, lastOfLaunch = 78, 200, 243

// launchStatus names the statuses of a launch that failed before the payload.
func launchStatus(status string) string {
	n, _ := strconv.Atoi(status)
	if n == exitConfig || n >= firstOfLaunch && n <= lastOfLaunch {
		return ", as a launch does that has failed"
	}
	return ""
}

// before tells whether systemd itself has failed, before there was a helper
// (exec_spawn in its exec-invoke.c).
func (d *death) before() bool {
	return strings.Contains(d.lines, d.plan.Unit+": Failed at step ")
}

// moreMemory is half as much again, in whole mebibytes.
func (f *findings) moreMemory() string {
	limit, err := strconv.ParseInt(f.limit, 10, 64)
	if err != nil || limit <= 0 {
		return ""
	}
	return fmt.Sprintf(" (`mem_limit: %dm`)", (limit*3/2+1023)/1024)
}

func (d *death) moreProcesses() string {
	if d.plan.Scope == nil {
		return ""
	}
	for _, p := range d.plan.Scope.Properties {
		if n, err := strconv.Atoi(p.Value); err == nil && p.Name == "TasksMax" {
			return fmt.Sprintf(" (`pids_limit: %d`)", 2*n)
		}
	}
	return ""
}

// entry is the journal's; fields that nothing is known of are left out.
func (d *death) entry() []journal.Field {
	message := d.plan.Unit + " failed: " + d.cause
	if d.cure != "" {
		message += "; " + d.cure
	}
	list := []journal.Field{
		{"MESSAGE", message}, {"MESSAGE_ID", MessageID}, {"PRIORITY", "3"},
		{"SYSLOG_IDENTIFIER", strings.TrimSuffix(d.plan.Unit, ".service")},
		// So that `journalctl -u` and `systemctl status` of the container show it: who
		// writes it may have ended before journald looks whose it is.
		{realm.ObjectUnitField(), d.plan.Unit},
		{"UNITC_UNIT", d.plan.Unit}, {"UNITC_INVOCATION_ID", d.invocation},
		{"UNITC_RESULT", d.result}, {"UNITC_EXIT_CODE", d.code}, {"UNITC_EXIT_STATUS", d.status},
		{"UNITC_CAUSE", d.cause}, {"UNITC_SUGGESTION", d.cure},
		{"UNITC_MEMORY_LIMIT", kilobytes(d.found.limit)}, {"UNITC_MEMORY_PEAK", kilobytes(d.found.peak)},
		{"UNITC_DENIED", d.found.denied}, {"UNITC_PROBE", d.probe},
		{"UNITC_RESTARTS", d.restarts}, {"UNITC_LINES", d.lines},
	}
	kept := list[:0]
	for _, f := range list {
		if f[1] != "" {
			kept = append(kept, f)
		}
	}
	return kept
}

// restarts is how often systemd has started the service again by itself.
func restarts(unit string) string {
	n, err := askSystemd(unit, (*cgroupsd.Manager).Restarts)
	if err != nil {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

// askSystemd asks for one property of a unit.
func askSystemd[T any](unit string, question func(*cgroupsd.Manager, context.Context, string) (T, error)) (answer T, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	m, err := cgroupsd.Connect(ctx)
	if err != nil {
		return answer, err
	}
	defer m.Close()
	return question(m, ctx, unit)
}

// output is the last of what this invocation wrote. The relay has drained the pipe by
// now, and journald is asked to read what it was sent: until clean-up has ended it
// knows the invocation of what the service wrote. Lines of a payload in a scope that
// has no relay are the scope's, whose invocation is another: of these it is what came
// since the start began.
func (d *death) output() string {
	of, own, scope := realm.SystemdUnitField(), "_SYSTEMD_INVOCATION_ID="+d.invocation, ""
	matches := append(linesOf(d.plan, own), "+", own, "_TRANSPORT=journal")
	if d.plan.Scope != nil {
		scope = d.plan.Scope.Name
		matches = append(matches, "+", of+"="+scope, "_TRANSPORT=stdout", "SYSLOG_IDENTIFIER="+tagOf(d.plan))
	}
	sync, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	catchup.Wait(sync)
	// A journald that is that late has written some, and what it has is read.
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	records, err := readJournal(ctx, mostLines, "MESSAGE,MESSAGE_ID,"+of, matches...)
	if err != nil {
		return ""
	}
	records = withoutVerdicts(records)
	isScope := func(r lookup.Record) bool { return scope != "" && r[of] == scope }
	if slices.ContainsFunc(records, isScope) {
		began, err := askSystemd(d.plan.Unit, (*cgroupsd.Manager).MainStart)
		records = slices.DeleteFunc(records, func(r lookup.Record) bool { return isScope(r) && (err != nil || r.At() < began) })
	}
	return lastOf(records)
}

// withoutVerdicts leaves out what the relay has said of checks: it writes by the journal's
// own protocol, as it does for a payload with structured lines, which cannot give an
// entry this id.
func withoutVerdicts(records []lookup.Record) []lookup.Record {
	return slices.DeleteFunc(records, func(r lookup.Record) bool { return r["MESSAGE_ID"] == journal.HealthID })
}

// wasAsked tells whether systemd was told to stop it, where that is of interest.
func (d *death) wasAsked() bool {
	if d.result != "timeout" && d.code != "exited" {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	records, err := readJournal(ctx, 1, "MESSAGE_ID", realm.ManagerMatch(), realm.UnitField()+"="+d.plan.Unit, realm.InvocationField()+"="+d.invocation, "MESSAGE_ID="+unitStopping)
	return err == nil && len(records) > 0
}

// linesOf matches the output of a unit in one invocation. Anybody may write under its
// identifier (systemd-cat(1)): the unit is what journald itself knows.
func linesOf(p *plan.Plan, invocation string) []string {
	name := strings.TrimSuffix(p.Unit, ".service") // unitc's own words have it too
	matches := []string{"SYSLOG_IDENTIFIER=" + tagOf(p), "SYSLOG_IDENTIFIER=" + name, "_TRANSPORT=stdout"}
	if protection.Off("lines-of-the-unit") {
		return matches
	}
	return append(matches, realm.SystemdUnitField()+"="+p.Unit, invocation)
}

// tagOf is what the lines of a payload are called.
func tagOf(p *plan.Plan) string { return cmp.Or(p.Tag, strings.TrimSuffix(p.Unit, ".service")) }

// lastOf are the last lines of entries.
func lastOf(records []lookup.Record) string {
	var lines []string
	for _, r := range records {
		for line := range strings.SplitSeq(r["MESSAGE"], "\n") {
			lines = append(lines, line[:min(len(line), lineBytes)])
		}
	}
	return strings.Join(lines[max(0, len(lines)-lastLines):], "\n")
}

// SlowStart begins a line in which a start that takes long says where it is; the last
// is a part of the cause when systemd has ended the start.
const SlowStart = "this start takes long: "

// lastWhereabouts is the last that a start said of itself among these lines.
func lastWhereabouts(lines string) (at string) {
	for line := range strings.Lines(lines) {
		if rest, is := strings.CutPrefix(line, SlowStart); is {
			at = strings.TrimSpace(rest)
		}
	}
	return at
}
