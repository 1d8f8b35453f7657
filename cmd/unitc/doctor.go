// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/cli/doctor"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/launch"
	"github.com/unitc/unitc/internal/runtime"
)

func (a *app) doctor() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "doctor [--json]",
		Short: "find out what works on this machine, and what to do about the rest",
		Long: `Find out what of this machine containers can use: kernel, cgroups, systemd,
namespaces, file systems, network, and the definitions themselves. Each check does
in small what a launch does, and leaves nothing behind. It exits with 1 if
containers will not work.`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.root != "" {
				return usagef("doctor: it examines the machine that it runs on, not --root %s", a.root)
			}
			list := a.examine()
			if asJSON {
				if err := a.printJSON(list); err != nil {
					return err
				}
			} else if err := writeFindings(terminal.Of(a.stdout), list); err != nil {
				return err
			}
			if doctor.Worst(list) == doctor.Failed {
				return statusError(exitFailed)
			}
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) machine() doctor.Machine {
	return doctor.Machine{
		Proc: "/proc", Sys: "/sys", Run: "/run", Store: "/var/lib/unitc", Helper: buildinfo.HelperPath, Relay: buildinfo.RelayPath, YAMLGenerator: buildinfo.YAMLGeneratorPath,
		// systemd.generator(7).
		Generators: []string{"/run/systemd/system-generators", "/etc/systemd/system-generators", "/usr/local/lib/systemd/system-generators", "/usr/lib/systemd/system-generators"},
		// systemd.unit(5), those in which somebody may put or mask it.
		Units: []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"},
		Label: func() (string, bool) {
			labels := launch.ContainerLabels()
			return labels.Process, labels.Loaded
		},
		Enters: func(label string) (string, bool) {
			domain, err := runtime.SELinuxDomain(buildinfo.HelperPath)
			if err != nil {
				return "", true // nobody can tell
			}
			ok, err := runtime.SELinuxEnters(domain, label)
			return domain, ok || err != nil
		},
		Landlock: func() (int, int, error) {
			version, err := runtime.Landlock()
			return version, runtime.LandlockSockets, err
		},
		Systemd: func(ctx context.Context) (string, error) {
			bus, err := a.connect(ctx)
			if err != nil {
				return "", err
			}
			defer bus.Close()
			return units.Version(ctx, bus)
		},
	}
}

// examineDefinitions sums up what unitc check says in full.
func (a *app) examineDefinitions() doctor.Finding {
	f := doctor.Finding{Area: "definitions", Check: "faults", State: doctor.OK}
	problems, count, err := a.problems(nil)
	switch {
	case err != nil:
		f.State, f.What = doctor.Warning, err.Error()
	case problems.HasErrors() && count == 0 && os.Geteuid() != 0:
		f.State, f.What, f.Cure = doctor.Unknown, "only root can read them", "run unitc doctor as root"
	case problems.HasErrors():
		f.State, f.What, f.Cure = doctor.Warning, summary(problems, count), "unitc check tells which and where"
	default:
		f.What = summary(problems, count)
	}
	return f
}

var findingColour = map[doctor.State]terminal.Colour{
	doctor.OK: terminal.Good, doctor.Warning: terminal.Warn, doctor.Failed: terminal.Bad, doctor.Unknown: terminal.Faint,
}

// findingColumn is where the text begins.
const findingColumn = 38

// findingWidth is what a screen leaves for them; 0 = all.
func findingWidth(w terminal.Screen) int {
	if w.Width == 0 {
		return 0
	}
	return max(w.Width-findingColumn-1, 20)
}

func writeFindings(w terminal.Screen, list []doctor.Finding) error {
	for _, f := range list {
		text := f.What
		if f.Cure != "" {
			text += "; " + f.Cure
		}
		lines := terminal.Wrap(terminal.Clean(text), findingWidth(w))
		state := w.Paint(findingColour[f.State], fmt.Sprintf("%-7s", f.State))
		if _, err := fmt.Fprintf(w, "%-12s%-17s %s %s\n", f.Area, f.Check, state, lines[0]); err != nil {
			return err
		}
		for _, line := range lines[1:] {
			fmt.Fprintf(w, "%*s%s\n", findingColumn, "", line)
		}
	}
	return nil
}
