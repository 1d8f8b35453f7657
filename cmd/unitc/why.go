// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/cli/dropin"
	"github.com/unitc/unitc/internal/cli/session"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/generator"
	"github.com/unitc/unitc/internal/journal/lookup"
	"github.com/unitc/unitc/internal/launch"
	"github.com/unitc/unitc/internal/postmortem"
	"github.com/unitc/unitc/internal/realm"
)

// failure is the entry that clean-up has written (package launch), as others'
// programs read it.
type failure struct {
	Unit       string    `json:"unit"`
	Time       time.Time `json:"time"`
	Cause      string    `json:"cause"`
	Suggestion string    `json:"suggestion,omitempty"`
	Result     string    `json:"result"`
	ExitCode   string    `json:"exit_code,omitempty"`
	ExitStatus string    `json:"exit_status,omitempty"`
	Memory     string    `json:"memory_peak,omitempty"`
	Limit      string    `json:"memory_limit,omitempty"`
	Denied     string    `json:"denied,omitempty"`
	Probe      string    `json:"probe,omitempty"`
	Restarts   int       `json:"restarts"`
	// DropIns set what confines the helper, and not the container.
	DropIns []string `json:"drop_ins,omitempty"`
	Lines   []string `json:"lines,omitempty"`
}

func (a *app) why() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "why [--json] NAME…",
		Short: "say why containers failed, and what to do",
		Long: `Print the last failure of each container: how it ended, what the kernel, systemd and
its checks say of it, its last lines, and what to do; and what drop-ins of its unit set
that confines unitc's helper. The journal keeps it. Of a container
that systemd did not start in this boot, to break an ordering cycle, the cycle is printed,
and of one that it did not start for something that has failed, what that is.`,
		Args:              some("the name of a container"),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			if a.root != "" {
				return usagef("why: nothing runs in --root %s", a.root)
			}
			names, err := a.targets(context.Background(), nil, args)
			if err != nil {
				return err
			}
			a.settle()
			all := []failure{}
			for _, name := range names {
				f, err := droppedStart(name + ".service")
				if f == nil && err == nil {
					f, err = failedDependency(name+".service", a.unitDir)
				}
				if f == nil && err == nil {
					f, err = lastFailure(name + ".service")
				}
				if err != nil {
					return err
				}
				dropIns := a.dropIns(name)
				switch {
				case f != nil:
					f.DropIns = dropIns
					all = append(all, *f)
				case !asJSON:
					fmt.Fprintf(a.stdout, "%s: the journal knows of no failure\n", name)
					if text := postmortem.Complaint(name, launch.Plan); text != "" {
						fmt.Fprintf(a.stdout, "  to do     %s\n", text)
					}
					for _, text := range dropIns {
						fmt.Fprintf(a.stdout, "  drop-in   %s\n", printable(text))
					}
				}
			}
			if asJSON {
				return a.printJSON(all)
			}
			for i := range all {
				a.writeFailure(&all[i])
			}
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// settle has what is to be told in the journal's files, and says so if it is not.
func (a *app) settle() {
	// Before a journald that stands still systemd would be waited for in vain.
	err := session.SyncJournal()
	if err == nil {
		if err := lookInto(); err != nil {
			fmt.Fprintf(a.stderr, "systemd was asked for what failed last: %v; of that something may be missing here\n", err)
		}
		err = session.SyncJournal()
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "unitc: %v\n", err)
	}
}

// dropIns are what drop-ins of a unit set that ends a start without words: the
// helper, and clean-up beside it, may be unable to say any.
func (a *app) dropIns(name string) (list []string) {
	s, _ := a.reloaded(name) // without it they are looked at all the same
	for _, p := range dropin.Problems(a.root, name+".service", s) {
		list = append(list, fmt.Sprintf("%s:%d: %s: %s; %s", p.File, p.Line, p.Path, p.What, p.Cure))
	}
	return list
}

// lookInto has what is not in the journal yet written there: systemd restarts a
// container that has failed only after a while, and what says why follows that.
// Who may not start a unit sees what there is. systemd itself is asked, whatever a
// bus daemon does.
func lookInto() error {
	switch {
	case os.Geteuid() != 0 && realm.Own() == nil:
		return nil
	case realm.Own() != nil && !generator.ReadsJournal(""):
		return nil // clean-up of each container has written what there is
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	m, err := cgroupsd.Connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	err = m.StartUnit(ctx, postmortem.Unit)
	if realm.Own() != nil && cgroupsd.IsNotLoaded(err) {
		return nil // nor is it needed
	}
	if err != nil {
		return err
	}
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		if ended, err := hasEnded(ctx, m, postmortem.Unit); ended || err != nil {
			return err
		}
		time.Sleep(pause)
	}
}

// hasEnded: a unit's job is looked for first, as it may begin and end meanwhile.
func hasEnded(ctx context.Context, m *cgroupsd.Manager, unit string) (bool, error) {
	job, err := m.HasJob(ctx, unit)
	if err == nil && job {
		return false, nil
	}
	state := ""
	if err == nil {
		state, err = m.ActiveState(ctx, unit)
	}
	if cgroupsd.IsNotLoaded(err) {
		return true, nil
	}
	return state == "inactive" || state == "failed", err
}

// lookPatience is for a machine on which much fails.
const lookPatience = time.Minute

// lastFailure asks the journal, nil = it has none.
func lastFailure(unit string) (*failure, error) {
	records, err := lookup.Records(context.Background(), lookup.Query{Last: 1, AllBoots: true,
		Matches: []string{"MESSAGE_ID=" + postmortem.MessageID, "UNITC_UNIT=" + unit, realm.HelperMatch()}})
	if err != nil || len(records) == 0 {
		return nil, err
	}
	text := func(name string) string { return strings.ToValidUTF8(records[0][name], "\ufffd") }
	f := &failure{
		Unit: unit, Cause: text("UNITC_CAUSE"), Suggestion: text("UNITC_SUGGESTION"), Result: text("UNITC_RESULT"),
		ExitCode: text("UNITC_EXIT_CODE"), ExitStatus: text("UNITC_EXIT_STATUS"), Memory: text("UNITC_MEMORY_PEAK"), Limit: text("UNITC_MEMORY_LIMIT"),
		Denied: text("UNITC_DENIED"), Probe: text("UNITC_PROBE"),
	}
	f.Time = timeOf(records[0])
	f.Restarts, _ = strconv.Atoi(text("UNITC_RESTARTS"))
	if lines := text("UNITC_LINES"); lines != "" {
		f.Lines = strings.Split(lines, "\n")
	}
	return f, nil
}

// timeOf is when an entry was written, also where the clock was set since.
func timeOf(r lookup.Record) time.Time {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || r["_BOOT_ID"] != strings.ReplaceAll(strings.TrimSpace(string(boot)), "-", "") {
		return r.Wall()
	}
	return units.ReadClock().At(r.Wall(), r.At())
}

func (a *app) writeFailure(f *failure) {
	fmt.Fprintf(a.stdout, "%s failed %s: %s\n", f.Unit, ago(f.Time, a.now()), printable(f.Cause))
	exit := f.Result
	if f.ExitCode != "" {
		exit += ", " + f.ExitCode + " " + f.ExitStatus
	}
	memory := f.Memory
	if f.Limit != "" {
		memory += " of " + f.Limit
	}
	restarts := ""
	if f.Restarts > 0 {
		restarts = strconv.Itoa(f.Restarts)
	}
	for _, row := range []struct{ name, value string }{
		{"result", exit}, {"memory", strings.TrimPrefix(memory, " of ")}, {"denied", f.Denied}, {"probe", f.Probe}, {"restarts", restarts}, {"to do", f.Suggestion},
	} {
		if row.value != "" {
			fmt.Fprintf(a.stdout, "  %-9s %s\n", row.name, printable(row.value))
		}
	}
	for _, text := range f.DropIns {
		fmt.Fprintf(a.stdout, "  drop-in   %s\n", printable(text))
	}
	for _, line := range f.Lines {
		fmt.Fprintf(a.stdout, "  | %s\n", printable(line))
	}
}

// printable keeps what a payload wrote from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '\ufffd'
		}
		return r
	}, s)
}
