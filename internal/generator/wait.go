// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"strings"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/unitfile"
)

// waitUnit names the unit that waits for what a service needs of the host; ""
// for none.
func (t *translation) waitUnit() string {
	if t.broken || t.service == nil || len(t.service.WaitFor) == 0 {
		return ""
	}
	return "unitc-wait-" + t.unit.name
}

// instance is a unit's name for the instance that mentions it.
func (t *translation) instance(name string) string {
	if t.isTemplate() {
		return strings.Replace(name, "@", "@%i", 1)
	}
	return unitfile.EscapeSpecifiers(name)
}

// waitUnits hold a start until what it needs is there: a unit of its own, so that
// no time-out of the container's start runs meanwhile (V-2), and the list of jobs
// tells what is waited for.
func (t *translation) waitUnits() []unit {
	name := t.waitUnit()
	if name == "" {
		return nil
	}
	wait := unitfile.Exec(buildinfo.CommandPath, append([]string{"wait-for", "--"}, t.service.WaitFor...)...)
	if t.isTemplate() {
		// Its strings hold specifiers already, with systemd's meanings.
		wait = strings.ReplaceAll(wait, "%%", "%")
	}
	t.w = unitfile.NewWriter(t.room.free())
	t.w.Comment(generatedFrom + t.source) // G-9
	t.w.Section("Unit")
	t.w.Set("Description", "What "+unitfile.EscapeSpecifiers(unitfile.Printable(t.service.Name))+" waits for")
	if unitfile.Printable(t.source) == t.source {
		t.w.Set("SourcePath", unitfile.EscapeSpecifiers(t.source)) // G-10
	}
	// Who stops the container gives up the wait, and each start waits anew.
	t.w.Set("PartOf", t.instance(t.unit.name))
	t.w.Set("StartLimitIntervalSec", "0")
	beforeBasic(&t.w)
	t.w.Section("Service")
	t.w.Set("Type", "oneshot")
	t.w.Set("NotifyAccess", "main") // STATUS= shows what is missing
	t.w.Set("ExecStart", wait)
	t.w.Set("TimeoutStartSec", "infinity")
	t.w.Set("SuccessExitStatus", "SIGTERM") // a wait that is given up has not failed
	t.w.Set("SyslogIdentifier", "%N")       // V-10
	t.w.Set("Slice", defaultSlice)
	return []unit{{name: name, text: t.finish()}}
}

// waitDependency orders the service behind it. Wants= and not Requires=: whoever
// stops the wait by hand lets the container start.
func (t *translation) waitDependency() {
	name := t.waitUnit()
	if name == "" {
		return
	}
	if unitfile.NameKind(name) == unitfile.Invalid {
		t.fault("x-wait-for", "the unit that waits would have a longer name than systemd takes", "give the definition a shorter name")
		return
	}
	name = t.instance(name)
	t.w.Set("Wants", name)
	t.w.Set("After", name)
}
