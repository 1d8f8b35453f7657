// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

const endless = "rootfs: host\ncommand: [sleep, infinity]"

// "The payload is the service's main PID, its parent is PID 1, its cgroup is
// the `payload` leaf of `unitc-NAME.scope` in `unitc.slice`."
func TestPayloadIsTheMainProcess(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p placement) {
		c := p.define(t, "main", endless).start()
		pid := c.mainPID()
		proc := fmt.Sprintf("/proc/%d/", pid)
		if args := file(t, proc+"cmdline"); args != "sleep\x00infinity\x00" {
			t.Errorf("the main process is %q", args)
		}
		if status := file(t, proc+"status"); !strings.Contains(status, "\nPPid:\t1\n") {
			t.Errorf("its parent is not PID 1:\n%s", status)
		}
		if cgroup := file(t, proc+"cgroup"); !strings.Contains(cgroup, "0::"+c.leaf()+"\n") {
			t.Errorf("it is not in %s but in\n%s", c.leaf(), cgroup)
		}
	})
}

// The helper lets its own timers be later (internal/slack), and nobody else's.
func TestTimerSlack(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p placement) {
		texts := map[string]string{"slack": endless}
		if p.driver != "direct" {
			texts["slack-terminal"] = endless + "\ntty: true" // with a relay of its own
		}
		for name, definition := range texts {
			c := p.define(t, name, definition, "TimerSlackNSec=70us").start()
			// The helper may be about to end.
			if err := eventually(func() error {
				all := append(pids("/unitc.slice/"+c.unit()), pids(c.leaf())...)
				if len(all) == 0 {
					return fmt.Errorf("%s has no process", c.unit())
				}
				for _, pid := range all {
					got, err := os.ReadFile("/proc/" + pid + "/timerslack_ns")
					if err == nil && string(got) != "70000\n" {
						args, _ := os.ReadFile("/proc/" + pid + "/cmdline")
						return fmt.Errorf("timers of %q may be %s ns late", args, bytes.TrimSpace(got))
					}
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
	})
}

const limited = endless + `
mem_limit: 64m
mem_reservation: 32m
memswap_limit: 96m
cpus: 0.5
cpu_shares: 2048
cpuset: "0"
pids_limit: 50
devices: ["/dev/fuse"]
blkio_config:
  weight: 600
  device_read_bps: [{path: /dev/null, rate: 1mb}]
  device_write_iops: [{path: /dev/null, rate: 100}]`

// "The scope has `Delegate=yes` and carries every limit."
func TestScopeIsDelegatedAndCarriesEveryLimit(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p placement) {
		c := p.define(t, "limits", limited).start()
		c.expect(c.payloadUnit(),
			"Delegate=yes", "Slice=unitc.slice", "ActiveState=active",
			"MemoryMax=67108864", "MemoryLow=33554432", "MemorySwapMax=33554432",
			"CPUQuotaPerSecUSec=500ms", "CPUWeight=174", "AllowedCPUs=0", "TasksMax=50",
			"IOWeight=120", "IOReadBandwidthMax=/dev/null 1048576", "IOWriteIOPSMax=/dev/null 100",
			"DevicePolicy=closed", "DeviceAllow=/dev/fuse rwm")
		if c.cgroup == "scope" {
			c.expect(c.payloadUnit(), "BindsTo="+c.unit(), "CollectMode=inactive-or-failed")
			if before := property(t, c.payloadUnit(), "Before"); !strings.Contains(" "+before+" ", " "+c.unit()+" ") {
				t.Errorf("the scope is before %s, not before its service", before)
			}
		}
	})
}

// "Nothing of unitc is resident but the relay, and with `logging: {driver:
// direct}` nothing at all." In the service's own cgroup the payload's lines
// need no relay either.
func TestNothingIsResidentButTheRelay(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p placement) {
		c := p.define(t, "resident", endless).start()
		want := []string{}
		if p == scoped {
			want = append(want, "unitc-relay")
		}
		if p.cgroup == "service" {
			want = append(want, "sleep infinity")
		}
		// With nothing to become, the helper exits a moment after READY=1.
		await(t, fmt.Sprintf("%s has the processes %q", c.unit(), want), func() bool {
			return fmt.Sprint(processes(t, "/unitc.slice/"+c.unit())) == fmt.Sprint(want)
		})
		if p == scoped {
			relay := pids("/unitc.slice/" + c.unit())[0]
			if exe, err := os.Readlink("/proc/" + relay + "/exe"); err != nil || exe != "/memfd:unitc-relay (deleted)" {
				t.Errorf("the relay is %s (%v)", exe, err)
			}
		}
		if list := processes(t, c.leaf()); len(list) != 1 || list[0] != "sleep infinity" {
			t.Errorf("in the payload's cgroup are %q", list)
		}
	})
}
