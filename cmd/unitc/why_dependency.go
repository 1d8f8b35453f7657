// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/journal/lookup"
	"github.com/unitc/unitc/internal/realm"
)

// jobFailedID is of systemd's word that a job has failed (SD_MESSAGE_UNIT_FAILED).
const jobFailedID = "be02cf6855d2428ba40df7e9d022f03d"

// failedDependency tells that a unit's last start ended before it began, as something
// that it requires has failed, nil = that is not so. The unit has no entry of its own
// then, and may have run well before. generated is where units of containers are.
func failedDependency(unit, generated string) (*failure, error) {
	shown := showProperties(unit, "ActiveState", "InactiveEnterTimestampMonotonic", "Requires", "BindsTo")
	if state := shown["ActiveState"]; state != "inactive" && state != "failed" {
		return nil, nil // what cannot be asked has nothing to say here
	}
	records, err := lookup.Records(context.Background(), lookup.Query{Last: 1,
		Matches: []string{realm.ManagerMatch(), realm.UnitField() + "=" + unit, "MESSAGE_ID=" + jobFailedID, "JOB_RESULT=dependency"}})
	if err != nil || len(records) == 0 {
		return nil, err
	}
	if ended, _ := strconv.ParseInt(shown["InactiveEnterTimestampMonotonic"], 10, 64); records[0].At() < time.Duration(ended)*time.Microsecond {
		return nil, nil // it has been started since
	}
	f := &failure{Unit: unit, Time: timeOf(records[0]), Result: "dependency", Cause: "not started: a unit that it requires did not start",
		Suggestion: "`systemctl list-dependencies " + unit + "` shows what it requires; mend that, then `systemctl start " + unit + "`"}
	for _, required := range strings.Fields(shown["Requires"] + " " + shown["BindsTo"]) {
		other := showProperties(required, "ActiveState", "FragmentPath")
		if other["ActiveState"] != "failed" {
			continue
		}
		f.Cause = "not started: " + required + ", which it requires, has failed"
		f.Suggestion = "`systemctl status " + required + "` says why; mend that, then `systemctl start " + unit + "`"
		if name, isService := strings.CutSuffix(required, ".service"); isService && strings.HasPrefix(other["FragmentPath"], generated+"/") {
			f.Suggestion = "`unitc why " + name + "` says why; mend that, then `systemctl start " + unit + "`"
		}
	}
	return f, nil
}

// showPatience: systemctl waits 90 s for a bus daemon that does not answer, which who is
// not root needs.
const showPatience = 10 * time.Second

// showProperties are a unit's as systemd shows them, none where it does not answer.
func showProperties(unit string, names ...string) map[string]string {
	ctx, cancel := context.WithTimeout(context.Background(), showPatience)
	defer cancel()
	out, _ := exec.CommandContext(ctx, "systemctl", ofSystemd([]string{"show", "--property=" + strings.Join(names, ","), "--", unit})...).Output()
	shown := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		shown[name] = value
	}
	return shown
}
