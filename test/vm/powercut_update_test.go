// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// An update that a shutdown ends is no failure of its image, whatever the containers end
// with then: the next boot sees that they stay up. One that the power ends is gone back
// from by the next boot, if they do not.
//
//lab:once
func TestBootUpdateIsCut(t *testing.T) {
	const image, name = "localhost/updated:1", "updated"
	type meaning struct {
		Image, Previous, Rejected string
		Trial                     *struct{}
	}
	means := func(t *testing.T) (m meaning) {
		t.Helper()
		data, err := os.ReadFile("/var/lib/unitc/names/" + image)
		if err == nil {
			err = json.Unmarshal(data, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	runs := func(t *testing.T, words string) {
		t.Helper()
		await(t, words, func() bool {
			out, _ := exec.Command("journalctl", "-b", "-o", "cat", "-u", name).Output()
			return strings.Contains(string(out), words+"\n") && show(t, name, "ActiveState") == "active"
		})
	}
	load := func(t *testing.T, words, condition string) {
		t.Helper()
		loadBusybox(t, image, 0, "/bin/sh", "-c", condition+"; trap 'exit 1' TERM; echo "+words+"; busybox sleep infinity & wait")
	}
	// In a shutdown the updater stops a moment behind the container, as it may by chance.
	update := func(t *testing.T, words string) {
		t.Helper()
		run(t, "systemd-run", "--unit=updater", "-p", "Before=updated.service", "unitc", "update", "--settle", "1h", name)
		runs(t, words)
		if m := means(t); m.Trial == nil || m.Previous == "" {
			t.Fatalf("the update is not tried: %+v", m)
		}
	}
	phases(t, func(t *testing.T) {
		load(t, "version one", "true")
		write(t, "/etc/unitc/"+name+".yaml", "image: "+image+"\nnetwork_mode: none\nrestart: always\nx-update: local\n")
		run(t, "systemctl", "daemon-reload")
		run(t, "systemctl", "start", name)
		runs(t, "version one")
		load(t, "version two", "true")
		update(t, "version two")
		run(t, "systemd-run", "--unit=between", "-p", "After=updater.service", "-p", "Before=updated.service", "-p", "RemainAfterExit=yes", "-p", "ExecStop=/bin/sleep 3", "true")
	}, func(t *testing.T) {
		runs(t, "version two")
		await(t, "the update has ended", func() bool { return means(t).Trial == nil })
		if m := means(t); m.Rejected != "" || m.Previous == "" || show(t, "unitc-update-resume", "Result") != "success" {
			t.Errorf("what was updated before the shutdown is %+v:\n%s", m, run(t, "journalctl", "--no-pager", "-u", "updater", "-u", "unitc-update-resume"))
		}
		boot := run(t, "cat", "/proc/sys/kernel/random/boot_id")
		load(t, "version three", "read boot </proc/sys/kernel/random/boot_id; [ $boot = "+boot+" ] || exit 1")
		update(t, "version three")
	}, func(t *testing.T) {
		defer func() {
			forget(t, name)
			_ = exec.Command("systemctl", "reset-failed", "unitc-update-resume.service").Run()
			_ = exec.Command("unitc", "rmi", "--force", image).Run()
		}()
		runs(t, "version two")
		await(t, "the update has ended", func() bool { return means(t).Trial == nil })
		if m := means(t); m.Rejected == "" || m.Previous != "" {
			t.Errorf("what was updated before the power cut is %+v", m)
		}
		await(t, "that is told", func() bool { return show(t, "unitc-update-resume", "ActiveState") == "failed" })
		if said := run(t, "journalctl", "-b", "-o", "cat", "-u", "unitc-update-resume"); !strings.Contains(said, name+".service: rolled back") {
			t.Errorf("it says %s", said)
		}
	})
	if os.Getenv("UNITC_LAB_BOOT") == "2" && !t.Failed() {
		write(t, "/run/unitc-lab/reboot", "reset")
	}
}
