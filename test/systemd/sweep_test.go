// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// written are the directories in which containers have written.
func written() string {
	left, _ := filepath.Glob("/var/lib/unitc/containers/*")
	return strings.Join(left, " ")
}

// What has been left by containers that have ended is in nobody's way as long as no
// sweep comes: they start again, another one gets their ports, and their image can
// be removed. The next sweep takes all of it away.
func TestSweepThatComesLate(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			const gate = "/run/lab-sweep"
			cleanReload(t)
			loadBusybox(t, "localhost/late:1")
			t.Cleanup(func() { os.Remove("/run/systemd/system/" + sweepUnit + ".d") })
			place(t, "/run/systemd/system/"+sweepUnit+".d/late.conf", "[Unit]\nConditionPathExists="+gate+"\n")
			ports := "\nports: ['127.0.0.1:18097:80']\n"
			place(t, definitions+"late-a.yaml", "image: localhost/late:1\ninit: true"+ports)
			place(t, definitions+"late-b.yaml", endless+"\ninit: true"+ports)
			place(t, definitions+"late-c.yaml", endless+"\ninit: true\n")
			reload(t)
			t.Cleanup(func() { must(t, "systemctl", "stop", "late-a", "late-b", "late-c") })
			must(t, "systemctl", "start", "late-c") // the network stays
			for range 2 {
				must(t, "systemctl", "start", "late-a")
				awaitLine(t, "late-a", "from the image")
				must(t, "systemctl", "stop", "late-a")
			}
			const record = "/run/unitc/.networks/unitc0/late-a.json"
			if _, err := os.Stat(record); err != nil || written() == "" {
				t.Fatalf("it was swept up all the same: %v, %q", err, written())
			}
			must(t, "systemctl", "start", "late-b")
			if _, err := os.Stat(record); !os.IsNotExist(err) {
				t.Errorf("the record of who had the port: %v", err)
			}
			must(t, "unitc", "rmi", "localhost/late:1")
			place(t, gate, "")
			must(t, "systemctl", "stop", "late-b", "late-c")
			await(t, "all is swept up", func() bool {
				notes, _ := filepath.Glob("/run/unitc/.images/*")
				records, _ := filepath.Glob("/run/unitc/.networks/unitc0/late-b.json")
				return written() == "" && len(notes)+len(records) == 0
			})
		})
	})
}

// Records of invocations that are over have no names and keep no network as it was, also
// where the same containers start again together before any sweep.
func TestNetworkOfInvocationsBefore(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			const gate = "/run/lab-sweep"
			cleanReload(t)
			t.Cleanup(func() { os.Remove("/run/systemd/system/" + sweepUnit + ".d") })
			place(t, "/run/systemd/system/"+sweepUnit+".d/late.conf", "[Unit]\nConditionPathExists="+gate+"\n")
			names := []string{"invoked-a", "invoked-b", "invoked-c"}
			for _, name := range names {
				place(t, definitions+name+".yaml", endless+"\ninit: true\nnetworks: [invoked]\n")
			}
			t.Cleanup(func() { must(t, "systemctl", append([]string{"stop"}, names...)...) })
			for _, subnet := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"} {
				place(t, definitions+"invoked.network.yaml", "ipam: {config: [{subnet: "+subnet+"}]}\n")
				reload(t)
				must(t, "systemctl", append([]string{"start"}, names...)...)
				if got := must(t, "unitc", "network", "inspect", "invoked"); !strings.Contains(got, subnet) {
					t.Errorf("the network is not %s:\n%s", subnet, got)
				}
				must(t, "systemctl", "stop", names[1], names[2])
				if out, _ := command(t, "unitc", "exec", names[0], "--", "sh", "-c", "getent hosts "+names[1]+" "+names[0]); !strings.Contains(out, names[0]) || strings.Contains(out, names[1]) {
					t.Errorf("the names of who runs and who has ended are\n%s", out)
				}
				must(t, "systemctl", "stop", names[0])
				if left, _ := filepath.Glob("/run/unitc/.networks/invoked/invoked-*.json"); len(left) != len(names) {
					t.Fatalf("they were swept up all the same: %q", left)
				}
			}
			place(t, gate, "")
			must(t, "systemctl", "start", names[0])
			must(t, "systemctl", "stop", names[0])
			await(t, "all is swept up", func() bool {
				_, err := os.Stat("/run/unitc/.networks")
				return os.IsNotExist(err)
			})
		})
	})
}

// Nobody is forgotten who ends while others are swept up after.
func TestSweepOfManyEnds(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			const count = 8
			cleanReload(t)
			loadBusybox(t, "localhost/ends:1")
			var names []string
			for i := range count {
				names = append(names, fmt.Sprint("ends-", i))
				place(t, definitions+names[i]+".yaml", "image: localhost/ends:1\ninit: true\n")
			}
			reload(t)
			t.Cleanup(func() { must(t, "systemctl", append([]string{"stop"}, names...)...) })
			for _, apart := range []time.Duration{7 * time.Millisecond, 30 * time.Millisecond, 90 * time.Millisecond} {
				must(t, "systemctl", append([]string{"start"}, names...)...)
				var stops sync.WaitGroup
				for i, name := range names {
					stops.Go(func() {
						time.Sleep(time.Duration(i) * apart)
						command(t, "systemctl", "stop", name)
					})
				}
				stops.Wait()
				await(t, "all is swept up", func() bool {
					_, err := os.Stat("/run/unitc/.networks")
					return written() == "" && os.IsNotExist(err)
				})
			}
		})
	})
}

// Who ends when a sweep has looked, and is not over yet, has another behind it.
func TestEndBehindTheLookOfASweep(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			cleanReload(t)
			t.Cleanup(func() { os.Remove("/run/systemd/system/" + sweepUnit + ".d") })
			place(t, "/run/systemd/system/"+sweepUnit+".d/slow.conf", "[Service]\nExecStopPost=/bin/sleep 1\n")
			names := []string{"looks-a", "looks-b", "looks-c"}
			for _, name := range names {
				place(t, definitions+name+".yaml", endless+"\ninit: true\n")
			}
			reload(t)
			t.Cleanup(func() { must(t, "systemctl", append([]string{"stop"}, names...)...) })
			must(t, "systemctl", append([]string{"start"}, names...)...)
			for i, name := range names {
				must(t, "systemctl", "stop", name)
				await(t, name+" is swept up", func() bool {
					_, err := os.Stat("/run/unitc/.networks/unitc0/" + name + ".json")
					return os.IsNotExist(err)
				})
				if state := property(t, sweepUnit, "ActiveState"); i == 0 && state != "deactivating" {
					t.Fatalf("the sweep is %s", state)
				}
			}
			await(t, "the last sweep is over", isSettled)
		})
	})
}

// What a sweep leaves that is killed is not there until some other container ends.
func TestSweepThatIsKilled(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			const killed = "/run/lab-sweep-killed"
			cleanReload(t)
			loadBusybox(t, "localhost/killed:1")
			t.Cleanup(func() { os.Remove("/run/systemd/system/" + sweepUnit + ".d"); os.Remove(killed) })
			place(t, "/run/systemd/system/"+sweepUnit+".d/killed.conf",
				"[Service]\nRestartSec=100ms\nExecStart=\nExecStart=/bin/sh -c 'test -e "+killed+" && exec "+helper+" sweep; echo >"+killed+"; kill -KILL $$$$'\n")
			place(t, definitions+"killed-sweep.yaml", "image: localhost/killed:1\ninit: true\n")
			reload(t)
			t.Cleanup(func() { must(t, "systemctl", "stop", "killed-sweep") })
			must(t, "systemctl", "start", "killed-sweep")
			must(t, "systemctl", "stop", "killed-sweep")
			await(t, "it is swept up by another one", func() bool {
				_, err := os.Stat(killed)
				notes, _ := filepath.Glob("/run/unitc/.images/*")
				return err == nil && written() == "" && len(notes) == 0
			})
			await(t, "the sweep is over", func() bool { return property(t, sweepUnit, "ActiveState") == "inactive" })
		})
	})
}

// A network goes behind its last container, whatever that has for clean-up and
// whoever wrote its unit: an earlier version had a unit for that.
func TestNetworkGoesWithItsLastContainer(t *testing.T) {
	for name, c := range map[string]struct{ more, service, unit string }{
		"swept":   {},
		"cleaned": {more: "\npid: host"},
		"earlier": {
			service: "[Unit]\nWants=unitc-network-use@unitc0.service\n[Service]\nExecStopPost=" + helper + " clean %N unitc0\n",
			unit:    "[Unit]\nStopWhenUnneeded=yes\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStop=" + helper + " network-idle %i\nSlice=unitc.slice\n",
		},
	} {
		sameNetworks(t, func() {
			t.Run(name, func(t *testing.T) {
				cleanReload(t)
				dropIn, use := "/run/systemd/system/goes.service.d", "/run/systemd/system/unitc-network-use@.service"
				t.Cleanup(func() { os.RemoveAll(dropIn); os.Remove(use) })
				if c.unit != "" {
					place(t, dropIn+"/earlier.conf", c.service)
					place(t, use, c.unit)
				}
				place(t, definitions+"goes.yaml", endless+"\ninit: true"+c.more)
				reload(t)
				t.Cleanup(func() { must(t, "systemctl", "stop", "goes") })
				for range 2 {
					must(t, "systemctl", "start", "goes")
					must(t, "ip", "link", "show", "unitc0")
					must(t, "systemctl", "stop", "goes")
					await(t, "the network has gone", func() bool {
						_, err := os.Stat("/run/unitc/.networks")
						return os.IsNotExist(err)
					})
				}
				if out := must(t, "systemctl", "list-units", "--failed", "--plain", "--no-legend", "unitc-*"); out != "" {
					t.Errorf("failed: %s", out)
				}
			})
		})
	}
}

// An instance that has stopped is forgotten by systemd: there may be any number of
// them.
func TestStoppedInstanceIsForgotten(t *testing.T) {
	c := placements[0].defineTemplate(t, "forgotten@", endless)
	for _, instance := range []string{"1", "2"} {
		i := c.instance(t, instance)
		must(t, "systemctl", "start", i.unit())
		i.end()
	}
	time.Sleep(600 * time.Millisecond) // a sweep that were behind them would have come
	await(t, "no instance is loaded", func() bool {
		return must(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "forgotten@*") == ""
	})
}
