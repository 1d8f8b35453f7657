// SPDX-License-Identifier: Apache-2.0

// Package postmortem finds out why containers have failed, and says it in the journal:
// what happened, why as far as the kernel, the checks and the last lines tell, and what to
// do. Report does it in the clean-up of a unit that has one, Run behind the end of one that
// has none.
package postmortem

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/journal/lookup"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/resolved"
	"github.com/unitc/unitc/internal/resolved/load"
)

// What PID 1 says of a service in the journal (sd-messages(3)).
const (
	processExited    = "98e322203f7a4ed290d09fe03c09fe15" // EXIT_CODE=, EXIT_STATUS=
	unitFailed       = "d9b373ed55a64feb8242e02dbe79a49c" // UNIT_RESULT=
	unitSucceeded    = "7ad2d189f7e94e70a38c781354912448"
	unitStarting     = "7d4958e842da4a758f6c1cdc7b36dcc5"
	unitStopping     = "de5b426a63be47a7b6ac3eaac82e2f6f"
	restartScheduled = "5eb03494b6584870a536b337290809b3" // N_RESTARTS=
)

const (
	// mostRecords bounds what is read of them for one unit, and mostFailures for
	// all.
	mostRecords, mostFailures = 120, 500
	// mostLines are looked through for the last of one invocation.
	mostLines = 10 * lastLines
	// lateLine is how much later than the end its last line may be read, where the
	// journal does not tell of the next start; systemd waits no less before that.
	lateLine = 50 * time.Millisecond
)

// Unit runs Run.
const Unit = "unitc-postmortem.service"

// Planner makes the plan of a definition as it would be launched now.
type Planner func(*definition.Service) (*plan.Plan, error)

// Run says in the journal why containers have failed, once for each
// failure of which nothing was said yet. It is for units that need no clean-up:
// nothing of ours runs when they end. systemd starts it by OnFailure=; where
// Restart= follows v252 does not (257 does), and the next start asks for it. It
// reads the journal, which PID 1 has told all, so that no failure is lost that
// comes while it runs or that it was not started for, and asks PID 1 for what
// it could not tell a journald that was too busy.
func Run(planned Planner) int {
	reported := map[string]bool{}
	for {
		names, err := failedNames(reported)
		if err != nil {
			fmt.Fprintf(journal.Stderr, "<3>looking for failures: %v\n", err)
			return 1
		}
		if len(names) == 0 {
			if realm.Own() != nil {
				awaitJournal() // who started this reads it next
			}
			return 0
		}
		awaitJournal() // their last lines may come behind the word of their end
		kernel := onceKernelRecords()
		for _, name := range names {
			if err := report(planned.planOf(name), reported, kernel); err != nil {
				fmt.Fprintf(journal.Stderr, "<3>looking for failures of %s: %v\n", name, err)
				return 1
			}
		}
	}
}

// failedNames are the containers that need no clean-up and have failed without
// an entry of ours.
func failedNames(reported map[string]bool) ([]string, error) {
	records, err := askJournal(mostFailures, "MESSAGE_ID,"+realm.InvocationField()+","+realm.UnitField()+",UNITC_INVOCATION_ID",
		realm.ManagerMatch(), "MESSAGE_ID="+unitFailed, "+", realm.HelperMatch(), "MESSAGE_ID="+MessageID)
	if err != nil {
		return nil, err
	}
	told := map[string]bool{}
	for _, r := range records {
		if r["MESSAGE_ID"] == MessageID {
			told[r["UNITC_INVOCATION_ID"]] = true
		}
	}
	var names []string
	for _, r := range records {
		name, isService := strings.CutSuffix(r[realm.UnitField()], ".service")
		id := r[realm.InvocationField()]
		if r["MESSAGE_ID"] != unitFailed || !isService || told[id] || reported[id] || slices.Contains(names, name) {
			continue
		}
		reported[id] = true // or it is none of ours
		if s := definitionOf(name); s != nil && !s.LeavesTraces() {
			names = append(names, name)
		}
	}
	for name, invocation := range failedNow() {
		if told[invocation] || reported[invocation] || slices.Contains(names, name) {
			continue
		}
		reported[invocation] = true
		names = append(names, name)
	}
	return names, nil
}

// failedNow are the containers that need no clean-up and of which systemd says
// that they have failed, with the invocation. It is asked for what the journal may
// lack: without an answer there is what is in the journal.
func failedNow() map[string]string {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	failed := map[string]string{}
	names, _ := cgroupsd.FailedServices(ctx)
	for _, unit := range names {
		name := strings.TrimSuffix(unit, ".service")
		if s := definitionOf(name); s == nil || s.LeavesTraces() {
			continue
		}
		if e, err := cgroupsd.LastEnd(ctx, unit); err == nil && e.Failed {
			failed[name] = e.Invocation
		}
	}
	return failed
}

// report writes an entry for each failure of one container. What journald has of the
// kernel's messages is the same for all that have failed by now.
func report(p *plan.Plan, reported map[string]bool, kernel func(since time.Duration) []lookup.Record) error {
	deaths, err := unreported(p.Unit)
	if err != nil || len(deaths) == 0 {
		return err
	}
	// What fails again and again has failed often by now: the journal is read once, and
	// at once, before the next run has written much.
	lines := linesOfUnit(p)
	for _, d := range deaths {
		reported[d.invocation] = true
		d.plan = p
		if realm.Own() == nil {
			d.found = kernelFindings(p, d.at, kernel)
		} else {
			d.found = d.userFindings()
		}
		d.lines = d.output(lines)
		d.probe = d.lastCheck()
		d.explain()
		if err := journal.Send(d.entry()); err != nil {
			return err
		}
	}
	return nil
}

// fatality is a death of which the journal tells. Its times are of the monotonic
// clock: the other one may have been set meanwhile.
type fatality struct {
	death
	at    time.Duration
	since time.Duration // its lines come from here on
	until time.Duration // the next one's do, 0 if there is none
	wall  time.Time
	// unheard: the journal has nothing of it.
	unheard bool
}

// linesOfUnit are the last lines of a unit's, of whichever invocation. Those of a payload
// in a scope that has no relay are the scope's.
func linesOfUnit(p *plan.Plan) []lookup.Record {
	of := realm.SystemdUnitField()
	matches := []string{of + "=" + p.Unit, "_TRANSPORT=stdout", "_TRANSPORT=journal"}
	if p.Scope != nil {
		matches = append(matches, "+", of+"="+p.Scope.Name, "_TRANSPORT=stdout", "SYSLOG_IDENTIFIER="+tagOf(p))
	}
	records, _ := lookUp(mostLines, "MESSAGE,MESSAGE_ID,"+of+",_SYSTEMD_INVOCATION_ID", matches...) // or there are none to show
	return withoutVerdicts(records)
}

// output is the last of what that invocation wrote, of the unit's lines. journald does
// not know it of those that it reads when the service has ended, nor of the scope's: of
// these it is what came before the next start.
func (d *fatality) output(lines []lookup.Record) string {
	of := realm.SystemdUnitField()
	isScope := func(r lookup.Record) bool { return d.plan.Scope != nil && r[of] == d.plan.Scope.Name }
	return lastOf(slices.DeleteFunc(slices.Clone(lines), func(r lookup.Record) bool {
		return !d.wrote(r) && !(isScope(r) && d.isOf(r.At()))
	}))
}

// wrote tells whether a line of the unit's is of this invocation.
func (d *fatality) wrote(r lookup.Record) bool {
	id := r["_SYSTEMD_INVOCATION_ID"]
	return id == d.invocation || id == "" && d.isOf(r.At())
}

// isOf tells whether what was read at a time is of this invocation, if journald knew
// of none: the service did not run then, and this was the last that had.
func (d *fatality) isOf(at time.Duration) bool {
	return at >= d.since && (d.until == 0 || at < d.until)
}

// lastCheck is what the relay has said before it had systemd end an unhealthy service.
func (d *fatality) lastCheck() (check string) {
	if d.result != "watchdog" {
		return ""
	}
	records, err := lookUp(lastLines, "UNITC_PROBE,UNITC_HEALTH_STATUS,_SYSTEMD_INVOCATION_ID", realm.SystemdUnitField()+"="+d.plan.Unit, "MESSAGE_ID="+journal.HealthID)
	if err != nil {
		return ""
	}
	for _, r := range records {
		if r["UNITC_HEALTH_STATUS"] == "unhealthy" && d.wrote(r) {
			check = r["UNITC_PROBE"]
		}
	}
	return check
}

// unreported are the failures of which there is no entry of ours.
func unreported(unit string) ([]*fatality, error) {
	records, err := readRecords(unit)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	last, _ := cgroupsd.LastEnd(ctx, unit) // none of what is not loaded any more
	deaths := addLastEnd(fatalities(records), last)
	told := map[string]bool{}
	for _, r := range records {
		if r["MESSAGE_ID"] == MessageID {
			told[r["UNITC_INVOCATION_ID"]] = true
		}
	}
	return slices.DeleteFunc(deaths, func(d *fatality) bool {
		return told[d.invocation] || d.unheard && !journalReaches(d.wall)
	}), nil
}

// journalReaches tells whether the journal has anything from before that time: an
// entry that journald has thrown away since is not written again.
func journalReaches(t time.Time) bool {
	// Without --reverse 252 begins at the journal's end.
	records, err := lookUp(1, "MESSAGE_ID", "--reverse", fmt.Sprintf("--until=@%d.%06d", t.Unix(), t.Nanosecond()/1000))
	return err == nil && len(records) > 0
}

// addLastEnd adds what systemd itself says of the last end, where the journal lacks
// it: PID 1 waits 10 ms for a journald that takes nothing, for each line (its
// log.c, create_log_socket), and tells the kernel's log then, without fields. An
// end since which the service was started is known from the journal alone.
func addLastEnd(deaths []*fatality, last *cgroupsd.End) []*fatality {
	if last == nil || !last.Failed {
		return deaths
	}
	i := slices.IndexFunc(deaths, func(d *fatality) bool { return d.invocation == last.Invocation })
	if i < 0 {
		d := &fatality{
			death: death{invocation: last.Invocation, result: last.Result},
			at:    last.At, wall: last.Ended, since: max(0, last.Began-lateLine), unheard: true,
		}
		bound(deaths, d.since)
		if last.Restarts > 0 {
			d.restarts = strconv.FormatUint(uint64(last.Restarts), 10)
		}
		i, deaths = len(deaths), append(deaths, d)
	}
	if d := deaths[i]; d.code == "" {
		code := map[int32]string{1: "exited", 2: "killed", 3: "dumped"}[last.Code] // CLD_EXITED and so on
		if code != "" {
			d.code, d.status = exitWords(code, strconv.Itoa(int(last.Status)))
			d.muted = false
		}
	}
	return deaths
}

// fatalities are the failures among what PID 1 has said. One invocation has one.
func fatalities(records []lookup.Record) []*fatality {
	var deaths []*fatality
	exits, heard, asked := map[string]lookup.Record{}, map[string]bool{}, map[string]bool{}
	restarts := ""
	var ended, since time.Duration // the end before, and from when on lines are of the next run
	for _, r := range records {
		invocation := r[realm.InvocationField()]
		switch r["MESSAGE_ID"] {
		case processExited:
			heard[invocation] = true
			if r["COMMAND"] == "ExecStart" {
				exits[invocation] = r
			}
		case unitStopping:
			asked[invocation] = true
		case restartScheduled:
			restarts = r["N_RESTARTS"]
		case unitStarting:
			if ended > 0 {
				// A busy journald may read a last line late and a first one before
				// what PID 1 says of the start: half-way it is neither.
				since = (ended + r.At()) / 2
				bound(deaths, since)
			}
		case unitSucceeded:
			restarts, ended, since = "", r.At(), r.At()+lateLine
			bound(deaths, since)
		case unitFailed:
			if slices.ContainsFunc(deaths, func(f *fatality) bool { return f.invocation == invocation }) {
				continue // start-limit-hit speaks of the failure before
			}
			d := &fatality{death: death{invocation: invocation, result: r["UNIT_RESULT"], restarts: restarts}, at: r.At(), wall: r.Wall(), since: since}
			d.code, d.status = exitOf(exits[invocation])
			d.asked = asked[invocation]
			d.muted = !heard[invocation] && slices.Contains(exitResults, d.result)
			bound(deaths, since)
			deaths, restarts, ended, since = append(deaths, d), "", r.At(), r.At()+lateLine
		}
	}
	return deaths
}

// bound has the last of these end where the next run began.
func bound(deaths []*fatality, at time.Duration) {
	if n := len(deaths); n > 0 && deaths[n-1].until == 0 {
		deaths[n-1].until = at
	}
}

// exitResults are those of which a line on the end of a process comes before.
var exitResults = []string{"exit-code", "signal", "core-dump"}

// readRecords reads what this boot's journal has of a unit's ends.
func readRecords(unit string) ([]lookup.Record, error) {
	return lookUp(mostRecords, "MESSAGE_ID,"+realm.InvocationField()+",UNIT_RESULT,COMMAND,EXIT_CODE,EXIT_STATUS,N_RESTARTS,UNITC_INVOCATION_ID",
		realm.ManagerMatch(), realm.UnitField()+"="+unit, "MESSAGE_ID="+processExited, "MESSAGE_ID="+unitFailed, "MESSAGE_ID="+unitSucceeded, "MESSAGE_ID="+restartScheduled, "MESSAGE_ID="+unitStarting, "MESSAGE_ID="+unitStopping,
		"+", realm.HelperMatch(), "UNITC_UNIT="+unit, "MESSAGE_ID="+MessageID)
}

// planOf is what the container was launched as: what it left, if it runs again,
// or what its definition says. It is evidence, so that what is not found is left
// out.
func (planned Planner) planOf(name string) *plan.Plan {
	p, err := plan.Read(realm.StateDir(name))
	if err == nil {
		return p
	}
	p = &plan.Plan{Unit: name + ".service"}
	s := definitionOf(name)
	if s == nil {
		return p
	}
	if built, err := planned(s); err == nil {
		return built
	}
	if s.System.Cgroup != definition.CgroupService {
		p.Scope = &plan.Scope{Name: s.ScopeName()}
	}
	return p
}

// definitionOf is what the generator has left of a container, nil if that is
// none. A reload wipes it for a moment.
func definitionOf(name string) *definition.Service {
	if _, err := os.Stat(realm.Units() + "/" + resolved.FileName); err != nil && !isContainer(name) {
		return nil
	}
	r, _, err := load.Definition(resolved.Path(realm.Units(), filepath.Base(name)))
	if err != nil {
		return nil
	}
	return r.Service
}

// isContainer asks systemd, which says it of what it has loaded when a reload is over.
// Where that takes longer it may be one: who reads its definition waits for that.
func isContainer(name string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	triggered, err := cgroupsd.OnFailure(ctx, name+".service")
	return err != nil && !cgroupsd.IsNotLoaded(err) || slices.Contains(triggered, Unit)
}
