// SPDX-License-Identifier: Apache-2.0

package change

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/definition"
)

// bytes and spans are fields whose numbers an operator writes with a unit.
var (
	bytes = []string{"mem_limit", "mem_reservation", "memswap_limit", "shm_size"}
	spans = []string{"stop_grace_period", "restart.delay", "restart.window", "pull_refresh_after",
		"healthcheck.interval", "healthcheck.timeout", "healthcheck.start_period", "healthcheck.start_interval",
		"update_config.delay", "update_config.monitor"}
)

func human(field string, v float64) string {
	switch {
	case slices.Contains(spans, field):
		return time.Duration(v).String()
	case slices.Contains(bytes, field) && v > 0:
		n, unit := int64(v), ""
		for _, u := range []string{"k", "m", "g", "t"} {
			if n%1024 != 0 {
				break
			}
			n, unit = n/1024, u
		}
		return strconv.FormatInt(n, 10) + unit
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// Limits gives the text of a drop-in that turns the directives of one cgroup
// into those of another, "" if they are the same. An empty assignment takes a
// directive back (systemd.resource-control(5)).
func Limits(section string, running, file []definition.Directive) string {
	var b strings.Builder
	for _, name := range names(running, file) {
		was, is := values(running, name), values(file, name)
		if slices.Equal(was, is) {
			continue
		}
		fmt.Fprintf(&b, "%s=\n", name)
		for _, v := range is {
			fmt.Fprintf(&b, "%s=%s\n", name, v)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "[" + section + "]\n" + b.String()
}

func names(lists ...[]definition.Directive) []string {
	var all []string
	for _, list := range lists {
		for _, d := range list {
			if !slices.Contains(all, d.Name) {
				all = append(all, d.Name)
			}
		}
	}
	return all
}

func values(list []definition.Directive, name string) []string {
	var all []string
	for _, d := range list {
		if d.Name == name {
			all = append(all, d.Value)
		}
	}
	return all
}

// LiveOnly is the definition that runs with everything of the file's that takes
// no restart.
func LiveOnly(running, file *definition.Service) *definition.Service {
	s := *running
	s.Resources = file.Resources
	s.Restart, s.StopSignal, s.StopGracePeriod = file.Restart, file.StopSignal, file.StopGracePeriod
	s.DependsOn, s.Profiles, s.Active, s.Replicas, s.Rollout = file.DependsOn, file.Profiles, file.Active, file.Replicas, file.Rollout
	s.PullPolicy, s.PullRefreshAfter, s.WaitFor = file.PullPolicy, file.PullRefreshAfter, file.WaitFor
	s.System.Scope, s.System.Unit, s.System.Install, s.System.Timer = file.System.Scope, file.System.Unit, file.System.Install, file.System.Timer
	// What is no limit of a cgroup is the kernel's for the whole life of a process.
	s.Resources.MemSwappiness, s.Resources.OOMKillDisable = running.Resources.MemSwappiness, running.Resources.OOMKillDisable
	return &s
}

// lists are directives of which each assignment adds to those before it.
var lists = []string{"IODeviceWeight", "IOReadBandwidthMax", "IOWriteBandwidthMax", "IOReadIOPSMax", "IOWriteIOPSMax", "IODeviceLatencyTargetSec", "DeviceAllow", "IPAddressAllow", "IPAddressDeny"}

// settable begin the names of directives that systemd changes in a running unit.
var settable = []string{"Memory", "CPU", "IO", "Tasks", "Allowed", "Startup", "Device", "IPAddress", "ManagedOOM"}

// Assignments are what `systemctl set-property` is told to turn the limits of
// one definition into another's. A reload alone loads them and leaves the
// kernel's as they are (seen on systemd 257).
func Assignments(running, file []definition.Directive) []string {
	var list []string
	for _, name := range names(running, file) {
		was, is := values(running, name), values(file, name)
		if slices.Equal(was, is) || !slices.ContainsFunc(settable, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		if len(is) == 0 || slices.Contains(lists, name) {
			list = append(list, name+"=")
		} else {
			is = is[len(is)-1:]
		}
		for _, v := range is {
			list = append(list, name+"="+v)
		}
	}
	return list
}
