// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A start of unitc-postmortem.service that is asked for while it works is kept until
// it has ended: its own start is done by then, also where a reload keeps PID 1 from
// hearing of that.
func TestStartsOfThePostMortemAreKept(t *testing.T) {
	cleanReload(t)
	stamp := func(name string) int {
		n, err := strconv.Atoi(property(t, "unitc-postmortem", name+"TimestampMonotonic"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 20 {
		var both sync.WaitGroup
		both.Go(func() { command(t, "systemctl", "start", "--no-block", "unitc-postmortem") })
		both.Go(func() { command(t, "systemctl", "daemon-reload") })
		both.Wait()
		await(t, "it has ended", func() bool {
			return property(t, "unitc-postmortem", "Job")+property(t, "unitc-postmortem", "ActiveState") == "inactive"
		})
		if began, started, ended := stamp("InactiveExit"), stamp("ActiveEnter"), stamp("InactiveEnter"); started < began || started > ended {
			t.Fatalf("it begins at %d µs, is started at %d and ends at %d", began, started, ended)
		}
	}
}

// A reload wipes what the generator has left, and PID 1 answers nobody until it is
// over: a failure that is looked into meanwhile is told all the same.
//
//lab:once
func TestPostMortemWithinALongReload(t *testing.T) {
	const generator, slow = "/run/systemd/generator.late/.unitc", "/run/systemd/system-generators/lab-slow"
	c := scoped.define(t, fresh("postmortem-reload"), "rootfs: host\ncommand: [sh, -c, 'exit 7']"+traceless)
	must(t, "systemctl", "mask", "--runtime", "unitc-postmortem")
	t.Cleanup(func() {
		os.Remove(slow)
		must(t, "systemctl", "unmask", "--runtime", "unitc-postmortem")
	})
	c.startAsync().await("ActiveState", "failed")
	place(t, slow, "#!/bin/sh\ntouch /run/lab-slow; sleep 5\n")
	if err := os.Chmod(slow, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove("/run/lab-slow") })
	var reloaded sync.WaitGroup
	reloaded.Go(func() { reload(t) })
	await(t, "PID 1 waits for a generator, and ours has ended", func() bool {
		_, err := os.Stat("/run/lab-slow")
		_, missing := os.Stat(generator)
		return err == nil && missing == nil
	})
	if err := os.Rename(generator, generator+".hidden"); err != nil {
		t.Fatal(err)
	}
	reloaded.Go(func() {
		time.Sleep(4 * time.Second)
		if err := os.Rename(generator+".hidden", generator); err != nil {
			t.Error(err)
		}
	})
	must(t, helper, "postmortem")
	reloaded.Wait()
	if list := c.entries(); len(list) != 1 || list[0]["UNITC_CAUSE"] != "exited with status 7" {
		t.Errorf("the entries are %q", list)
	}
}

// What floods the journal keeps nobody from being told why another container has failed.
//
//lab:once
func TestWhyInAFlood(t *testing.T) {
	flood := scoped.define(t, "why-flood", "rootfs: host\ncommand: [sh, -c, 'for i in 1 2 3; do while :; do echo flood; done & done; while :; do echo flood; done']"+traceless).start()
	c := scoped.define(t, fresh("why-in-a-flood"), "rootfs: host\ncommand: [sh, -c, 'echo last words; exit 3']"+traceless)
	await(t, "the flood has come", func() bool { return flood.log("-n", "1") != "" })
	c.startAsync().await("ActiveState", "failed")
	if got := why(t, c.name); got["cause"] != "exited with status 3" {
		t.Errorf("%v", got)
	}
	if text := must(t, "unitc", "why", c.name); strings.Contains(text, "does not answer") || !strings.Contains(text, "last words") {
		t.Errorf("it says\n%s", text)
	}
	flood.kill()
}
