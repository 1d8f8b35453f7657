// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/unitfile"
)

// devicePolicy: the host's console (5:1) is not in the closed set and is not
// added as docker does; the container's /dev/console is a pty.
func devicePolicy(s *definition.Service) []string {
	if s.Privileged {
		// Any DeviceAllow= would turn auto into a list, so there is none.
		return []string{"auto"}
	}
	return []string{"closed"}
}

func deviceAllow(s *definition.Service) []string {
	if s.Privileged {
		return nil
	}
	var values []string
	for _, d := range s.Devices {
		if canName(d.Source) {
			values = append(values, unitfile.Word(d.Source)+" "+d.Permissions)
		}
	}
	if s.NetworkMode == "pasta" {
		values = append(values, "/dev/net/tun rw") // its process is under the payload's limits
	}
	for _, rule := range s.DeviceCgroupRules {
		// What Check refuses gives no directive: it stays denied.
		allowed, _ := parseDeviceRule(rule)
		values = append(values, allowed...)
	}
	return values
}

// parseDeviceRule turns a rule of cgroup v1's devices.allow, "c 10:229 rwm",
// into values of DeviceAllow=. /dev/char/M:N needs no such node to exist:
// systemd reads the numbers (device_path_parse_major_minor). A minor "*" is
// char-M, which systemd takes as a bare major (bpf_devices_allow_list_major).
func parseDeviceRule(rule string) ([]string, error) {
	fields := strings.Fields(rule)
	if len(fields) != 3 {
		return nil, fmt.Errorf("%q is not of the form \"c 10:229 rwm\"", rule)
	}
	major, minor, found := strings.Cut(fields[1], ":")
	switch {
	case !found || !isNumberOrStar(major) || !isNumberOrStar(minor):
		return nil, fmt.Errorf("%q is not MAJOR:MINOR of numbers or \"*\"", fields[1])
	case strings.Trim(fields[2], "rwm") != "" || len(fields[2]) > 3:
		return nil, fmt.Errorf("%q is not made of \"r\", \"w\" and \"m\"", fields[2])
	case major == "*" && minor != "*":
		return nil, fmt.Errorf("%q: systemd has no rule for one minor number of every driver", rule)
	}
	var kinds []string
	switch fields[0] {
	case "c":
		kinds = []string{"char"}
	case "b":
		kinds = []string{"block"}
	case "a":
		kinds = []string{"char", "block"}
	default:
		return nil, fmt.Errorf("%q is none of \"a\", \"b\", \"c\"", fields[0])
	}
	var values []string
	for _, kind := range kinds {
		device := kind + "-" + major
		if minor != "*" {
			device = "/dev/" + kind + "/" + major + ":" + minor
		}
		values = append(values, device+" "+fields[2])
	}
	return values, nil
}

// WithoutDevices leaves out the rules for devices.
func WithoutDevices(list []definition.Directive) []definition.Directive {
	return slices.DeleteFunc(slices.Clone(list), func(d definition.Directive) bool { return d.Name == "DevicePolicy" || d.Name == "DeviceAllow" })
}

// canName tells whether a directive can name a device: these are read without
// C escapes, and "\x01" would name another device.
func canName(path string) bool { return unitfile.Printable(path) == path && unitfile.ValidPath(path) }

// isNumberOrStar bounds the number as the kernel's dev_t does for minors.
func isNumberOrStar(s string) bool {
	if s == "*" {
		return true
	}
	_, err := strconv.ParseUint(s, 10, 20)
	return err == nil && s[0] != '+'
}

// Check finds what systemd cannot express.
func Check(s *definition.Service) diag.List {
	var problems diag.List
	unnamable := func(path, device string) {
		if !canName(device) {
			problems = append(problems, s.Problem(path, fmt.Sprintf("%q: no directive can name this device", device), "give the device a link with a plain name"))
		}
	}
	for i, d := range s.Devices {
		unnamable(fmt.Sprintf("devices[%d]", i), d.Source)
	}
	r := &s.Resources
	for _, list := range [][]definition.DeviceRate{r.BlkioWeightDevice, r.DeviceReadBps, r.DeviceWriteBps, r.DeviceReadIOps, r.DeviceWriteIOps} {
		for _, d := range list {
			unnamable("blkio_config", d.Path)
		}
	}
	for i, rule := range s.DeviceCgroupRules {
		if _, err := parseDeviceRule(rule); err != nil {
			path := fmt.Sprintf("device_cgroup_rules[%d]", i)
			problems = append(problems, s.Problem(path, err.Error(), `write for example "c 10:229 rwm" or "c 10:* r"`))
		}
	}
	return problems
}
