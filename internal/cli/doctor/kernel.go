// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func kernelVersion(Machine) result {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return bad("update the kernel", "uname: %v", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return warn("boot a kernel whose version is known to be 5.15 or newer", "Linux %s, which is no version that is known here", release)
	}
	switch v := major*1000 + minor; {
	case v < 5015:
		return bad("update the kernel", "Linux %s; 5.15 is the oldest that works", release)
	case v < 6001:
		return warn("update the kernel", "Linux %s; overlay file systems with id-mapped layers need 5.19, the target is 6.1", release)
	}
	return good("Linux %s", release)
}

func seccomp(m Machine) result {
	data, err := os.ReadFile(m.Proc + "/sys/kernel/seccomp/actions_avail")
	if err != nil {
		return bad("build the kernel with CONFIG_SECCOMP_FILTER", "no seccomp filters: %v", err)
	}
	have := strings.Fields(string(data))
	for _, want := range []string{"errno", "kill_process", "allow"} {
		if !slices.Contains(have, want) {
			return bad("update the kernel", "seccomp has no action %s", want)
		}
	}
	return good("filters, with the actions %s", strings.Join(have, " "))
}

func securityModule(m Machine) result {
	data, err := os.ReadFile(m.Sys + "/kernel/security/lsm")
	if err != nil {
		return good("none that is visible; containers are confined without")
	}
	list := strings.TrimSpace(string(data))
	if strings.Contains(list, "selinux") {
		mode := "permissive"
		if text, err := os.ReadFile(m.Sys + "/fs/selinux/enforce"); err == nil && strings.TrimSpace(string(text)) == "1" {
			mode = "enforcing"
		}
		return selinux(m, list+"; SELinux is "+mode)
	}
	if strings.Contains(list, "apparmor") {
		if _, err := os.Stat(m.Sys + "/kernel/security/apparmor/policy"); err != nil {
			return good("%s; AppArmor has no policy loaded that can be seen", list)
		}
		profiles, err := os.ReadFile(m.Sys + "/kernel/security/apparmor/profiles")
		switch {
		case err != nil:
			return good("%s; only root sees which profiles of AppArmor are loaded", list)
		case strings.Contains("\n"+string(profiles), "\nunitc-default ("):
			return good("%s; containers run under AppArmor's profile unitc-default", list)
		}
		return good("%s; AppArmor's profile unitc-default is not loaded, and containers run without it: apparmor_parser -r /etc/apparmor.d/unitc-default", list)
	}
	return good("%s", list)
}

// landlock says whether a container in the host's network reaches abstract sockets
// there. It is a second line: no start fails for the lack of it.
func landlock(m Machine) result {
	if m.Landlock == nil {
		return good("not looked at")
	}
	version, scopes, err := m.Landlock()
	const reached = "containers with `network_mode: host` reach the host's abstract sockets"
	switch {
	case err != nil:
		return warn("take SystemCallFilter= out of what this runs under", "%v", err)
	case version == 0:
		return good("none (CONFIG_SECURITY_LANDLOCK, lsm=); %s", reached)
	case version < scopes:
		return good("version %d; version %d, of Linux 6.12, scopes abstract sockets: %s", version, scopes, reached)
	}
	return good("version %d; containers with `network_mode: host` reach no abstract sockets of the host's", version)
}

// selinux says under what label containers run. Where none is set by default they
// run, held by the rest.
func selinux(m Machine, mode string) result {
	label, loaded := "", false
	if m.Label != nil {
		label, loaded = m.Label()
	}
	switch {
	case loaded:
		if m.Enters != nil {
			if helper, ok := m.Enters(label); !ok {
				return warn("semodule -i unitc.cil, then restorecon (FILES in unitc(1)), or security_opt: [label=disable]",
					"%s; the helper runs as %s, which may begin no container as %s", mode, helper, label)
			}
		}
		return good("%s; containers run as %s with categories of their own", mode, label)
	case label == "":
		return good("%s; its policy names no label for containers (/etc/selinux/*/contexts/lxc_contexts), and they run without: install container-selinux", mode)
	}
	return good("%s; the policy that is loaded does not know %s, and containers run without a label: install container-selinux", mode, label)
}

func hierarchy(m Machine) result {
	var st unix.Statfs_t
	if err := unix.Statfs(m.Sys+"/fs/cgroup", &st); err != nil {
		return bad("boot with systemd", "%s/fs/cgroup: %v", m.Sys, err)
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return bad("boot with systemd.unified_cgroup_hierarchy=1", "%s/fs/cgroup is not cgroup v2 alone", m.Sys)
	}
	if data, err := os.ReadFile(m.Proc + "/self/mounts"); err == nil && !favorsMoves(string(data), m.Sys+"/fs/cgroup") {
		// Moving a process waits for a grace period of RCU otherwise, once in each
		// start (cgroup-v2, favordynmods; since Linux 6.0).
		return good("cgroup v2; mount -o remount,favordynmods %s/fs/cgroup would make starts some milliseconds quicker, and forks and exits slower", m.Sys)
	}
	return good("cgroup v2")
}

// favorsMoves looks for the option of a mount in mounts (proc_pid_mounts(5)).
func favorsMoves(mounts, place string) bool {
	for line := range strings.Lines(mounts) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == place {
			return slices.Contains(strings.Split(f[3], ","), "favordynmods")
		}
	}
	return true // not known
}

// wanted controllers and what is lost without each.
var wanted = []struct{ name, loss string }{
	{"memory", "mem_limit"}, {"cpu", "cpus and cpu_shares"}, {"pids", "pids_limit"}, {"io", "blkio_config"}, {"cpuset", "cpuset"},
}

func controllers(m Machine) result {
	data, err := os.ReadFile(m.Sys + "/fs/cgroup/cgroup.controllers")
	if errors.Is(err, os.ErrPermission) {
		return asRoot("limits hold")
	}
	if err != nil {
		return bad("boot with systemd.unified_cgroup_hierarchy=1", "no list of controllers: %v", err)
	}
	have := strings.Fields(string(data))
	var missing, loss []string
	for _, w := range wanted {
		if !slices.Contains(have, w.name) {
			missing, loss = append(missing, w.name), append(loss, w.loss)
		}
	}
	if len(missing) > 0 {
		return warn("free them from cgroup v1, or build the kernel with them", "without %s, limits by %s do not hold", strings.Join(missing, ", "), strings.Join(loss, ", "))
	}
	return good("%s", strings.Join(have, " "))
}

func pressure(m Machine) result {
	if _, err := os.ReadFile(m.Proc + "/pressure/cpu"); err != nil {
		return warn("boot with psi=1", "no pressure information: unitc stats has none, and systemd-oomd does not work")
	}
	return good("pressure stall information")
}
