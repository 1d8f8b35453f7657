// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CheckNetDevices finds what is wrong with linux.netDevices before anything is
// made.
func CheckNetDevices(s *specs.Spec) []error {
	devices := s.Linux.NetDevices
	if len(devices) == 0 {
		return nil
	}
	var errs []error
	if !HasNamespace(s, specs.NetworkNamespace) {
		errs = append(errs, errors.New("linux.netDevices: devices are moved only into a network namespace, and linux.namespaces has none"))
	}
	taken := map[string]string{}
	for _, from := range slices.Sorted(maps.Keys(devices)) {
		to := devices[from].Name
		if !deviceName(from) {
			errs = append(errs, fmt.Errorf("linux.netDevices: %q is no name of a device", from))
		}
		if to == "" {
			to = from
		}
		name, template := strings.CutSuffix(to, "%d")
		if !deviceName(name) && !(template && name == "") || len(to) >= unix.IFNAMSIZ {
			errs = append(errs, fmt.Errorf("linux.netDevices: %s: %q is no name for a device", from, to))
		}
		if other, ok := taken[to]; ok && !template {
			errs = append(errs, fmt.Errorf("linux.netDevices: %s and %s are both to be %s", other, from, to))
		}
		taken[to] = from
	}
	return errs
}

// deviceName is what the kernel takes (dev_valid_name, net/core/dev.c), without
// the sign that makes a template of it.
func deviceName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) < unix.IFNAMSIZ && !strings.ContainsAny(name, "/:% \t\n\v\f\r\x00")
}
