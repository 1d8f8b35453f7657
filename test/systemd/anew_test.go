// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// anew has systemd begin anew, and calls during while nobody answers at its socket:
// its generators run before it listens.
func anew(t *testing.T, during func()) {
	t.Helper()
	const (
		dir       = "/run/systemd/system-generators/"
		generator = dir + "pause"
		fifo      = "/run/anew"
	)
	writeFile(t, generator, "#!/bin/sh\necho now > "+fifo+"\nread x < "+fifo+"\n")
	defer os.Remove(generator)
	defer os.Remove(fifo)
	if err := os.Chmod(generator, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("systemctl", "daemon-reexec")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	file(t, fifo) // until the generator is there
	during()
	writeFile(t, fifo, "go on\n")
	if err := cmd.Wait(); err != nil {
		t.Errorf("systemctl daemon-reexec: %v", err)
	}
}

// While systemd begins anew nobody answers. What is asked then is answered a moment
// later, and a start that is under way goes on.
func TestVerbsWhileSystemdDoesNotAnswer(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			starting := scoped.defineTemplate(t, "deafly@", endless).instance(t, "x")
			c := scoped.define(t, "deaf", endless).start()
			starting.arm("UNITC_PAUSE_AT", "start-scope")
			must(t, "systemctl", "start", "--no-block", starting.unit())
			helper := starting.awaitPausedHelper()
			starting.disarm()
			var all sync.WaitGroup
			anew(t, func() {
				if err := syscall.Kill(helper, syscall.SIGCONT); err != nil {
					t.Error(err)
				}
				for _, argv := range [][]string{
					{"unitc", "ps"}, {"unitc", "inspect", c.name}, {"unitc", "stats", "--no-stream"}, {"unitc", "kill", "-s", "CONT", c.name},
					{"unitc", "exec", c.name, "true"}, {"unitc", "why", c.name}, {"unitc", "network", "ls"}, {"unitc", "enable", "--now", c.name},
					{"unitc", "run", "--rootfs", "host", "--name", "deaf-run", "true"},
					{"setpriv", "--reuid=65534", "--clear-groups", "unitc", "ps"},
				} {
					all.Go(func() {
						if out, status := command(t, argv[0], argv[1:]...); status != 0 {
							t.Errorf("%s: %d, %s", strings.Join(argv, " "), status, out)
						}
					})
				}
			})
			all.Wait()
			must(t, "unitc", "disable", c.name)
			starting.await("ActiveState", "active")
			starting.expectSleep()
			starting.end()
		})
	})
}

// A verb that waits for a job when systemd begins anew tells how the job has ended,
// and nothing runs twice.
func TestVerbsThatWaitWhileSystemdBeginsAnew(t *testing.T) {
	const (
		text = "rootfs: host\nnetwork_mode: none\nvolumes: [/run/anew-runs:/runs]\nhealthcheck: {test: [CMD, sh, -c, 'test -e /runs/go'], interval: 100ms, retries: 1000}\n"
		runs = "command: [sh, -c, 'echo >> /runs/count; trap exit TERM; sleep infinity & wait']\n"
		ends = "command: [sh, -c, 'echo >> /runs/count; while ! test -e /runs/go; do sleep 0.1; done; sleep 0.3']\n"
		// Its check never succeeds.
		fails = "command: [sh, -c, 'echo >> /runs/count; while ! test -e /runs/fall; do sleep 0.1; done; exit 7']\n"
	)
	installed := definitions + "anew-job.yaml"
	dir := "/run/anew-runs"
	for _, test := range []struct {
		name, before, after string
		verb                []string
		status, count       int
		state, says         string
	}{
		{"up", "", text + runs, []string{"up"}, 0, 1, "active", "running"},
		{"up of one that ends", "", text + ends, []string{"up"}, 0, 1, "inactive", "systemd has begun anew"},
		{"up of one that fails", "", text + fails, []string{"up"}, 1, 1, "failed", "systemctl status anew-job"},
		{"up that restarts", text + runs, text + runs + "hostname: other\n", []string{"up"}, 0, 2, "active", "running"},
		{"apply", text + runs, text + runs + "hostname: other\n", []string{"apply", "anew-job"}, 0, 2, "active", "anew-job: restarted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cleanReload(t)
			t.Cleanup(func() {
				must(t, "systemctl", "stop", "anew-job")
				command(t, "systemctl", "reset-failed", "anew-job")
				for _, path := range []string{dir, installed, installed + "~"} {
					os.RemoveAll(path)
				}
			})
			writeFile(t, dir+"/go", "")
			if test.before != "" {
				writeFile(t, installed, test.before)
				reload(t)
				must(t, "systemctl", "start", "anew-job")
			}
			os.Remove(dir + "/go")
			argv := append([]string{}, test.verb...)
			if argv[0] == "apply" {
				writeFile(t, installed, test.after)
			} else {
				path := t.TempDir() + "/anew-job.yaml"
				writeFile(t, path, test.after)
				argv = append(argv, path)
			}
			cmd := exec.Command("unitc", argv...)
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			count := func() int {
				b, _ := os.ReadFile(dir + "/count")
				return strings.Count(string(b), "\n")
			}
			defer func() {
				if t.Failed() {
					t.Log(out.String())
				}
			}()
			await(t, "it starts", func() bool { return count() == test.count })
			anew(t, func() { writeFile(t, dir+map[bool]string{false: "/go", true: "/fall"}[test.status != 0], "") })
			err := cmd.Wait()
			if cmd.ProcessState.ExitCode() != test.status || !strings.Contains(out.String(), test.says) {
				t.Errorf("%v, %s", err, out.String())
			}
			await(t, "it is "+test.state, func() bool { return property(t, "anew-job", "ActiveState") == test.state })
			if n := count(); n != test.count {
				t.Errorf("it ran %d times, want %d; %s", n, test.count, out.String())
			}
		})
	}
}

// A start whose check fails while systemd begins anew has failed all the same: the
// relay asks systemd before it tells, and asks again where there was no answer.
func TestUnhealthyWhileSystemdBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := scoped.define(t, "anew-unwell", "rootfs: host\nstop_grace_period: 1s\nvolumes: ['"+dir+":/go']\n"+
		"healthcheck: {test: [CMD, sh, -c, 'until test -e /go/go; do sleep 0.05; done; exit 1'], interval: 100ms, timeout: 1h, retries: 1}\n"+
		"command: [sleep, infinity]"+traceless, "TimeoutStartSec=1h").startAsync()
	await(t, "it is checked", func() bool { return slices.Contains(processes(t, c.leaf()), "sleep infinity") })
	anew(t, func() {
		writeFile(t, dir+"/go", "")
		await(t, "the check has failed", func() bool {
			health, _ := os.ReadFile("/run/unitc/" + c.name + "/health")
			return strings.HasPrefix(string(health), "unhealthy")
		})
		await(t, "the relay has asked", func() bool { return !c.runs("systemctl") })
	})
	c.await("ActiveState", "failed")
	c.expect(c.unit(), "Result=watchdog")
}
