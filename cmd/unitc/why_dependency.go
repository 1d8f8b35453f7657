// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

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
	out, err := exec.Command("journalctl", "--quiet", "--no-pager", "--boot", "--output=json", "--lines=1",
		realm.ManagerMatch(), realm.UnitField()+"="+unit, "MESSAGE_ID="+jobFailedID, "JOB_RESULT=dependency").Output()
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		return nil, nil // journalctl exits with 1 where nothing matches
	}
	var entry map[string]any
	if err := json.Unmarshal(out, &entry); err != nil {
		return nil, fmt.Errorf("reading what journalctl says: %w", err)
	}
	text := func(name string) string { return journalText(entry[name]) }
	at, _ := strconv.ParseInt(text("__MONOTONIC_TIMESTAMP"), 10, 64)
	if ended, _ := strconv.ParseInt(shown["InactiveEnterTimestampMonotonic"], 10, 64); at < ended {
		return nil, nil // it has been started since
	}
	us, _ := strconv.ParseInt(text("__REALTIME_TIMESTAMP"), 10, 64)
	f := &failure{Unit: unit, Time: timeOf(time.UnixMicro(us), text), Result: "dependency", Cause: "not started: a unit that it requires did not start",
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
