// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// setClock sets the wall clock, which is right again when the test ends.
func setClock(t *testing.T) func(to time.Time) {
	t.Helper()
	begun := time.Now() // which has the monotonic time, too
	set := func(to time.Time) {
		t.Helper()
		now := unix.NsecToTimeval(to.UnixNano())
		if err := unix.Settimeofday(&now); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { set(begun.Add(time.Since(begun))) })
	return set
}

// A machine without a battery boots with a clock of long ago, which is set when the
// network is there; another's is set back. What runs goes on, nobody waits, ages are
// those of the containers, and lines those of their run.
//
//lab:once
func TestClockIsSet(t *testing.T) {
	const files = "/run/clock-is-set"
	if err := os.MkdirAll(files, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(files) })
	list := place(t,
		definition{"clock-runs", "scope", "rootfs: host\nnetwork_mode: none\ninit: true\nrestart: always\n" +
			"healthcheck: {test: [CMD, 'true'], interval: 1s, start_period: 1s, retries: 1}\n" +
			"command: [sh, -c, 'i=0; while :; do echo line $$((i+=1)); sleep 0.5; done']\n"},
		definition{"clock-fails", "scope", "rootfs: host\nnetwork_mode: none\nlogging: {driver: direct}\nvolumes: ['" + files + ":/files']\n" +
			"command: [sh, -c, 'echo first words; until test -e /files/go; do sleep 0.2; done; echo last words; exit 3']\n"})
	runs, fails := list[0], list[1]
	set, present := setClock(t), time.Now()
	runs.start(t)
	fails.start(t)
	runs.awaitWord("line 3")
	invocation := runs.show("InvocationID")
	for i, to := range []time.Time{time.Unix(86400, 0), present.Add(time.Hour), present.Add(30 * time.Minute)} {
		when := to.Format(time.DateOnly + " " + time.TimeOnly)
		set(to)
		var units []struct {
			Name  string
			Since time.Time
		}
		if err := json.Unmarshal([]byte(run(t, "unitc", "ps", "--json")), &units); err != nil {
			t.Fatal(err)
		}
		for _, u := range units {
			if age := time.Since(u.Since).Round(0); age < 0 || age > 10*time.Minute {
				t.Errorf("%s: %s runs since %v", when, u.Name, u.Since)
			}
		}
		asked := time.Now()
		if out, err := exec.Command("unitc", "wait", "clock-nothing").CombinedOutput(); err == nil || time.Since(asked) > 8*time.Second {
			t.Errorf("%s: after %v a name that is none is told: %s", when, time.Since(asked), out)
		}
		before := lineNumber(runs.journal())
		if first := followed(t, runs.name); first < before {
			t.Errorf("%s: line %d is shown to who joins behind line %d", when, first, before)
		}
		if i == 0 {
			continue // its failure is one of another time
		}
		write(t, files+"/go", "")
		await(t, "it has failed", func() bool { return fails.show("ActiveState") == "failed" })
		why := run(t, "unitc", "why", fails.name)
		if !regexp.MustCompile(`failed \d+(s|min) ago`).MatchString(why) || strings.Count(why, "| first words") != 1 || strings.Count(why, "| last words") != 1 {
			t.Errorf("%s: %s", when, why)
		}
		os.Remove(files + "/go")
		run(t, "systemctl", "start", fails.name)
	}
	if runs.show("InvocationID") != invocation || runs.show("NRestarts") != "0" || !strings.Contains(run(t, "unitc", "ps", runs.name), "(healthy)") {
		t.Errorf("it does not run as it did:\n%s", run(t, "unitc", "ps", "-a"))
	}
}

// followed is the first line that unitc attach shows.
func followed(t *testing.T, name string) (number int) {
	t.Helper()
	cmd := exec.Command("unitc", "attach", "--sig-proxy=false", name)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	_ = cmd.Process.Signal(unix.SIGINT)
	_ = cmd.Wait()
	return lineNumber(line)
}

// lineNumber is the largest of some lines.
func lineNumber(lines string) (largest int) {
	for line := range strings.Lines(lines) {
		n := 0
		_, _ = fmt.Sscanf(line, "line %d", &n)
		largest = max(largest, n)
	}
	return largest
}
