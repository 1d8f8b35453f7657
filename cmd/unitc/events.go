// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/realm"
)

// kinds of events, by the MESSAGE_ID of what systemd writes about a unit
// (systemd's src/systemd/sd-messages.h; journalctl --catalog explains each).
var eventKinds = map[string]string{
	"7d4958e842da4a758f6c1cdc7b36dcc5": "starting",
	"39f53479d3a045ac8e11786248231fbf": "started",
	"de5b426a63be47a7b6ac3eaac82e2f6f": "stopping",
	"9d1aaa27d60140bd96365438aad20286": "stopped",
	"be02cf6855d2428ba40df7e9d022f03d": "start-failed",
	"d34d037fff1847e6ae669a370e694725": "reloading",
	"7b05ebc668384222baa8881179cfda54": "reloaded",
	"98e322203f7a4ed290d09fe03c09fe15": "exited",
	"5eb03494b6584870a536b337290809b3": "restart-scheduled",
	"d9b373ed55a64feb8242e02dbe79a49c": "failed",
	"fe6faa94e7774663a0da52717891d8ef": "oom-kill",
	"ae8f7b866b0347b9af31fe1c80b127c0": "resources",
}

// event is one of them.
type event struct {
	Time       time.Time `json:"time"`
	Name       string    `json:"name"`
	Unit       string    `json:"unit"`
	Event      string    `json:"event"`
	Message    string    `json:"message"`
	ExitCode   string    `json:"exit_code,omitempty"` // exited, killed, dumped
	ExitStatus *int      `json:"exit_status,omitempty"`
	Result     string    `json:"result,omitempty"`
	// Of a health check: how many have failed in a row, and the last line of the last one.
	FailingStreak int    `json:"failing_streak,omitempty"`
	Output        string `json:"output,omitempty"`
}

// healthEvent begins the name of what a container's relay notes, in Docker's words.
const healthEvent = "health_status: "

func (a *app) events() *cobra.Command {
	var since, until string
	asJSON, once := false, false
	cmd := &cobra.Command{
		Use:   "events [OPTION…] [NAME…]",
		Short: "follow starts, ends and failures of containers",
		Long: `Follow what systemd notes in the journal about containers: starting, started,
start-failed, exited (with the exit status), failed, restart-scheduled, stopping,
stopped, oom-kill, reloading, reloaded, resources; and what health checks have come to,
at each change: health_status: healthy, health_status: unhealthy. Nobody is asked and nothing is
polled, and the past is there too: see --since.`,
		Example:           "  unitc events --since -1h --no-follow\n  unitc events --json web",
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			if a.root != "" {
				return usagef("events: nothing runs in --root %s", a.root)
			}
			if err := a.booted(); err != nil {
				return err
			}
			argv := []string{"-o", "json", "-q", realm.ManagerMatch()}
			if !once && until == "" {
				argv = append(argv, "--follow")
			}
			switch {
			case since != "":
				argv = append(argv, "--since="+systemdTime(since))
			case until == "" && !once:
				argv = append(argv, "--lines=0")
			}
			if until != "" {
				argv = append(argv, "--until="+systemdTime(until))
			}
			for id := range eventKinds {
				argv = append(argv, "MESSAGE_ID="+id)
			}
			argv = append(argv, "+", realm.HelperMatch(), "MESSAGE_ID="+journal.HealthID)
			wanted, err := a.eventFilter(args)
			if err != nil {
				return err
			}
			return a.followEvents(argv, wanted, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&since, "since", "S", "", "begin at `TIME` (systemd.time(7)) instead of now")
	f.StringVarP(&until, "until", "U", "", "end at `TIME`")
	f.BoolVar(&once, "no-follow", false, "print what there is, and end")
	f.BoolVar(&asJSON, "json", false, "print JSON, an object a line")
	return cmd
}

// eventFilter tells our units from others'. Definitions may come and go while
// events are followed, so a unit that is not known is looked for anew.
func (a *app) eventFilter(words []string) (func(name string) bool, error) {
	if len(words) > 0 {
		names, err := a.targets(context.Background(), nil, words)
		if err != nil {
			return nil, err
		}
		return func(name string) bool {
			return slices.Contains(names, name) || slices.ContainsFunc(words, func(w string) bool {
				stem := units.Stem(w)
				return name == stem || strings.HasSuffix(stem, "@") && strings.HasPrefix(name, stem)
			})
		}, nil
	}
	known := map[string]bool{}
	return func(name string) bool {
		if known[name] {
			return true
		}
		generated, err := units.ListGenerated(a.unitDir)
		launched, _ := a.host.Names()
		if err == nil && len(units.Match(generated, launched, name)) > 0 {
			known[name] = true
		}
		return known[name]
	}, nil
}

func (a *app) followEvents(argv []string, wanted func(string) bool, asJSON bool) error {
	ctx, stop := untilInterrupted(context.Background())
	defer stop()
	cmd := exec.CommandContext(ctx, "journalctl", argv...)
	cmd.Stderr = a.stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("running journalctl: %w", err)
	}
	readErr := a.printEvents(out, wanted, asJSON)
	if readErr != nil {
		stop() // nobody reads any more: journalctl has no reason to go on
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case readErr != nil:
		return readErr
	case ctx.Err() != nil:
		return nil
	case errors.As(err, &exit):
		return statusError(exitFailed)
	}
	return err
}

func (a *app) printEvents(in io.Reader, wanted func(string) bool, asJSON bool) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	screen := terminal.Of(a.stdout)
	for lines.Scan() {
		e, ok := parseEvent(lines.Bytes())
		if !ok || !wanted(e.Name) {
			continue
		}
		var err error
		if asJSON {
			err = json.NewEncoder(a.stdout).Encode(e)
		} else {
			_, err = fmt.Fprintf(screen, "%s  %s  %s  %s\n", e.Time.Format("2006-01-02 15:04:05.000"),
				terminal.Clean(e.Name), screen.Paint(eventColour[e.Event], e.Event), terminal.Clean(e.Message))
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}

var eventColour = map[string]terminal.Colour{
	"started": terminal.Good, healthEvent + "healthy": terminal.Good, healthEvent + "unhealthy": terminal.Bad, "failed": terminal.Bad, "start-failed": terminal.Bad, "oom-kill": terminal.Bad, "restart-scheduled": terminal.Warn, "resources": terminal.Faint,
}

// parseEvent reads one entry of `journalctl -o json`, in which a field is a
// string, or null where it is long, or a list of bytes where it is no text.
func parseEvent(line []byte) (event, bool) {
	var fields map[string]any
	if json.Unmarshal(line, &fields) != nil {
		return event{}, false
	}
	text := func(name string) string { s, _ := fields[name].(string); return s }
	if text("MESSAGE_ID") == journal.HealthID {
		return parseHealth(text)
	}
	unit := text(realm.UnitField())
	name, isService := strings.CutSuffix(unit, ".service")
	if !isService {
		// Of the scope only this is news: the rest tells the service's once more.
		if name = units.NameOfScope(unit); name == "" || eventKinds[text("MESSAGE_ID")] != "oom-kill" {
			return event{}, false
		}
	}
	e := event{Name: name, Unit: unit, Event: eventKinds[text("MESSAGE_ID")], Message: text("MESSAGE"), ExitCode: text("EXIT_CODE"), Result: text("UNIT_RESULT")}
	e.fill(text, "EXIT_STATUS")
	return e, e.Event != ""
}

// parseHealth reads the word of a container's relay. journald knows whose word it is, if
// the relay was there still; another container's counts for nothing.
func parseHealth(text func(name string) string) (event, bool) {
	unit, writer := text("UNITC_UNIT"), text(realm.SystemdUnitField())
	name, isService := strings.CutSuffix(unit, ".service")
	if !isService || writer != "" && writer != unit {
		return event{}, false
	}
	e := event{Name: name, Unit: unit, Event: healthEvent + text("UNITC_HEALTH_STATUS"), Message: text("MESSAGE"), Output: text("UNITC_HEALTH_OUTPUT")}
	e.fill(text, "UNITC_HEALTH_EXIT_STATUS")
	e.FailingStreak, _ = strconv.Atoi(text("UNITC_HEALTH_FAILING_STREAK"))
	return e, eventColour[e.Event] != terminal.Plain
}

// fill adds what events have in common.
func (e *event) fill(text func(name string) string, exitStatus string) {
	if usec, err := strconv.ParseInt(text("__REALTIME_TIMESTAMP"), 10, 64); err == nil {
		e.Time = time.UnixMicro(usec)
	}
	if n, err := strconv.Atoi(text(exitStatus)); err == nil {
		e.ExitStatus = &n
	}
}
