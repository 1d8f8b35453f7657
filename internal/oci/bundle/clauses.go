// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/protection"
)

// checkHooks looks at the hooks of all points before anything is made: one for
// after the start, or for the end, would else be found wrong when it is too late
// to refuse the container.
func checkHooks(h *specs.Hooks) []error {
	if h == nil {
		return nil
	}
	var errs []error
	for _, point := range []struct {
		name  string
		hooks []specs.Hook
	}{
		//lint:ignore SA1019 still specified
		{"prestart", h.Prestart}, {"createRuntime", h.CreateRuntime}, {"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer}, {"poststart", h.Poststart}, {"poststop", h.Poststop},
	} {
		for i, hook := range point.hooks {
			if !filepath.IsAbs(hook.Path) {
				errs = append(errs, fmt.Errorf("hooks.%s[%d]: path %q is not absolute", point.name, i, hook.Path))
			}
			if hook.Timeout != nil && *hook.Timeout <= 0 {
				errs = append(errs, fmt.Errorf("hooks.%s[%d]: timeout %d is not above zero", point.name, i, *hook.Timeout))
			}
		}
	}
	return errs
}

// checkPaths finds paths and numbers of the Linux part that the kernel would be
// told as something else.
func checkPaths(l *specs.Linux) []error {
	var errs []error
	for _, list := range []struct {
		key   string
		paths []string
	}{{"maskedPaths", l.MaskedPaths}, {"readonlyPaths", l.ReadonlyPaths}} {
		for i, p := range list.paths {
			if !filepath.IsAbs(p) {
				errs = append(errs, fmt.Errorf("linux.%s[%d]: %q is not absolute", list.key, i, p))
			}
		}
	}
	for i, d := range l.Devices {
		if filepath.Clean("/"+d.Path) == "/" {
			errs = append(errs, fmt.Errorf("linux.devices[%d]: path %q names no device", i, d.Path))
		}
		if d.Type != "p" && (d.Major < 0 || d.Major >= 1<<12 || d.Minor < 0 || d.Minor >= 1<<20) {
			errs = append(errs, fmt.Errorf("linux.devices[%d] %s: there is no device %d:%d (dev_t has 12 and 20 bits)", i, d.Path, d.Major, d.Minor))
		}
	}
	return errs
}

// checkOffsets: a namespace that is joined has its offsets, and only an empty one
// takes any (time_namespaces(7)).
func checkOffsets(s *specs.Spec) error {
	if len(s.Linux.TimeOffsets) == 0 {
		return nil
	}
	i := slices.IndexFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.TimeNamespace })
	switch {
	case i < 0:
		return errors.New("time namespace offsets specified, but time namespace isn't enabled in the config")
	case s.Linux.Namespaces[i].Path != "":
		return fmt.Errorf("linux.timeOffsets: the time namespace %s is joined, and has its offsets", s.Linux.Namespaces[i].Path)
	}
	for clock := range s.Linux.TimeOffsets {
		if clock != "monotonic" && clock != "boottime" {
			return fmt.Errorf("linux.timeOffsets: %q is not a clock of time namespaces (monotonic, boottime)", clock)
		}
	}
	return nil
}

// supplyDev gives a container whose configuration has nothing at /dev a place for
// the devices that each has (config-linux.md, "Default Devices"). Into what the
// root file system has there nothing is written (CVE-2026-41579).
func supplyDev(s *specs.Spec) {
	if protection.Off("own-dev") || protection.Off("own-null") {
		return // it would be in the way of both attacks
	}
	for _, m := range s.Mounts {
		if filepath.Clean("/"+m.Destination) == "/dev" {
			return
		}
	}
	dev := specs.Mount{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}}
	s.Mounts = append([]specs.Mount{dev}, s.Mounts...)
}
