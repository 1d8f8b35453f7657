// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/quickjson"
)

// What PID 1 says of a service in the journal (sd-messages(3)).
const (
	processExited    = "98e322203f7a4ed290d09fe03c09fe15" // EXIT_CODE=, EXIT_STATUS=
	unitFailed       = "d9b373ed55a64feb8242e02dbe79a49c" // UNIT_RESULT=
	unitSucceeded    = "7ad2d189f7e94e70a38c781354912448"
	restartScheduled = "5eb03494b6584870a536b337290809b3" // N_RESTARTS=
)

// resolvedRoot is where the generator leaves definitions for the system manager.
const resolvedRoot = "/run/systemd/generator.late/.unitc"

const (
	// mostRecords bounds what is read of them.
	mostRecords = 100
	// lateLine is how much later than the end its last line may be read; systemd
	// waits no less before it starts a service again.
	lateLine = 50 * time.Millisecond
)

// PostMortem says in the journal why a container has failed, once for each
// failure of which nothing was said yet. It is for units that need no clean-up:
// nothing of ours runs when they end. systemd starts it by OnFailure= after the
// last failure; where Restart= follows systemd does not, and the next start asks
// for it. It needs nothing but the journal, which PID 1 has told all, so that a
// failure that it was not started for is not lost.
func PostMortem(name string) int {
	unit := name + ".service"
	reported := map[string]bool{}
	for {
		deaths, err := unreported(unit, reported)
		if err != nil {
			fmt.Fprintf(os.Stderr, "<3>looking for failures of %s: %v\n", unit, err)
			return exitFailure
		}
		if len(deaths) == 0 {
			return 0
		}
		p := planOf(name)
		for _, d := range deaths {
			reported[d.invocation] = true
			d.plan = p
			d.found = kernelFindings(p, d.at)
			d.explain()
			d.lines = d.output()
			// So that `journalctl -u` and `systemctl status` of the container show it.
			entry := append(d.entry(), field{"OBJECT_SYSTEMD_UNIT", unit})
			if err := writeJournal(entry); err != nil {
				fmt.Fprintf(os.Stderr, "<3>%v\n", err)
				return exitFailure
			}
		}
	}
}

// fatality is a death of which the journal tells.
type fatality struct {
	death
	at   time.Duration // of the monotonic clock
	wall time.Time
}

// output is the last of what that invocation wrote. The lines of a payload in a
// scope that has no relay are the scope's: of those it is what came before.
func (d *fatality) output() string {
	matches := []string{"_SYSTEMD_INVOCATION_ID=" + d.invocation, "_TRANSPORT=stdout", "_TRANSPORT=journal"}
	if d.plan.Scope != nil {
		matches = append(matches, "+", "_SYSTEMD_UNIT="+d.plan.Scope.Name, "_TRANSPORT=stdout", "SYSLOG_IDENTIFIER="+cmp.Or(d.plan.Tag, strings.TrimSuffix(d.plan.Unit, ".service")))
	}
	records, err := askJournal(2*lastLines, "MESSAGE,_SYSTEMD_INVOCATION_ID", matches...)
	if err != nil {
		return ""
	}
	var lines []string
	for _, r := range records {
		if r["_SYSTEMD_INVOCATION_ID"] == d.invocation || !r.wall().After(d.wall.Add(lateLine)) {
			lines = append(lines, r["MESSAGE"][:min(len(r["MESSAGE"]), lineBytes)])
		}
	}
	return strings.Join(lines[max(0, len(lines)-lastLines):], "\n")
}

// unreported are the failures of which there is no entry of ours.
func unreported(unit string, reported map[string]bool) ([]*fatality, error) {
	records, err := readRecords(unit)
	if err != nil {
		return nil, err
	}
	deaths := fatalities(records)
	if d := monitored(unit); d != nil && !slices.ContainsFunc(deaths, func(f *fatality) bool { return f.invocation == d.invocation }) {
		deaths = append(deaths, d)
	}
	for _, r := range records {
		if r["MESSAGE_ID"] == DeathMessageID {
			reported[r["UNITC_INVOCATION_ID"]] = true
		}
	}
	return slices.DeleteFunc(deaths, func(d *fatality) bool { return reported[d.invocation] }), nil
}

// fatalities are the failures among what PID 1 has said. One invocation has one.
func fatalities(records []record) []*fatality {
	var deaths []*fatality
	exits := map[string]record{}
	restarts := ""
	for _, r := range records {
		invocation := r["INVOCATION_ID"]
		switch r["MESSAGE_ID"] {
		case processExited:
			if r["COMMAND"] == "ExecStart" {
				exits[invocation] = r
			}
		case restartScheduled:
			restarts = r["N_RESTARTS"]
		case unitSucceeded:
			restarts = ""
		case unitFailed:
			if slices.ContainsFunc(deaths, func(f *fatality) bool { return f.invocation == invocation }) {
				continue // start-limit-hit speaks of the failure before
			}
			d := &fatality{death: death{invocation: invocation, result: r["UNIT_RESULT"], restarts: restarts}, at: r.at(), wall: r.wall()}
			d.code, d.status = exits[invocation].exit()
			deaths, restarts = append(deaths, d), ""
		}
	}
	return deaths
}

// monitored is the failure for which systemd has started this program, by what
// it says in the environment (systemd.exec(5)): where PID 1 or the unit log so
// little that the journal has nothing of it.
func monitored(unit string) *fatality {
	d := &fatality{death: death{
		invocation: os.Getenv("MONITOR_INVOCATION_ID"), result: os.Getenv("MONITOR_SERVICE_RESULT"),
		code: os.Getenv("MONITOR_EXIT_CODE"), status: os.Getenv("MONITOR_EXIT_STATUS"),
	}}
	if os.Getenv("MONITOR_UNIT") != unit || d.invocation == "" {
		return nil
	}
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	d.at, d.wall = time.Duration(now.Nano()), time.Now()
	return d
}

// readRecords reads what this boot's journal has of a unit's ends.
func readRecords(unit string) ([]record, error) {
	return askJournal(mostRecords, "MESSAGE_ID,INVOCATION_ID,UNIT_RESULT,COMMAND,EXIT_CODE,EXIT_STATUS,N_RESTARTS,UNITC_INVOCATION_ID",
		"_PID=1", "UNIT="+unit, "MESSAGE_ID="+processExited, "MESSAGE_ID="+unitFailed, "MESSAGE_ID="+unitSucceeded, "MESSAGE_ID="+restartScheduled,
		"+", "_UID=0", "UNITC_UNIT="+unit, "MESSAGE_ID="+DeathMessageID)
}

// planOf is what the container was launched as: what it left, if it runs again,
// or what its definition says. It is evidence, so that what is not found is left
// out.
func planOf(name string) *plan.Plan {
	p, err := readPlan(stateDirOf(name))
	if err == nil {
		return p
	}
	p = &plan.Plan{Unit: name + ".service"}
	data, err := os.ReadFile(filepath.Join(resolvedRoot, name+".json"))
	r := &definition.Resolved{}
	if err != nil || quickjson.Parse(data, r) != nil || r.Version != definition.ResolvedVersion || r.Service == nil {
		return p
	}
	if facts, err := Facts(r.Service); err == nil {
		if built, err := planner.Build(r.Service, facts); err == nil {
			return built
		}
	}
	if r.Service.System.Cgroup != definition.CgroupService {
		p.Scope = &plan.Scope{Name: r.Service.ScopeName()}
	}
	return p
}

// reportFormer has a failure looked into after which systemd has started the
// service again. It is on no start's way: the payload runs by now.
func (s *starter) reportFormer() error {
	if s.service.LeavesTraces() || os.Getenv("RUNTIME_DIRECTORY") == "" || !restartsItself(s.service) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	name := strings.TrimSuffix(s.plan.Unit, ".service")
	if err := cgroupsd.StartAfterRestart(ctx, s.plan.Unit, "unitc-postmortem@"+name+".service"); err != nil {
		fmt.Fprintf(os.Stderr, "<4>asking why %s failed before: %v\n", name, err)
	}
	return nil
}

// restartsItself tells whether systemd may start it again after an end.
func restartsItself(s *definition.Service) bool {
	switch s.Restart.Policy {
	case definition.RestartAlways, definition.RestartUnlessStopped, definition.RestartOnFailure:
		return true
	}
	return slices.ContainsFunc(s.System.Service, func(d definition.Directive) bool { return d.Name == "Restart" })
}
