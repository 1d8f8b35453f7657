// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"strconv"
	"sync"
	"testing"
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
