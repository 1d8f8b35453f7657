// SPDX-License-Identifier: Apache-2.0

package runtime

func hasSELinuxLabel(l *Launch) bool    { return l.spec.Process.SelinuxLabel != "" }
func hasAppArmorProfile(l *Launch) bool { return l.spec.Process.ApparmorProfile != "" }

// setSELinuxLabel sets the context that execve(2) enters. The write goes to the
// private procfs: through the container's own /proc it could be redirected
// (CVE-2019-16884). Where the host has no SELinux the write fails, and with it
// the start: a label that was asked for is never left away.
func setSELinuxLabel(c *compiler) {
	c.writeProc("thread-self/attr/exec", c.spec.Process.SelinuxLabel)
}

// setAppArmorProfile sets the profile that execve(2) enters. Kernels before 5.8
// and those with one LSM have the file in attr itself.
func setAppArmorProfile(c *compiler) {
	c.writeProc("thread-self/attr/apparmor/exec", "exec "+c.spec.Process.ApparmorProfile)
}

// contextOption labels a file system that the launch makes (mount(8), context=).
func (c *compiler) contextOption(kind string) []string {
	switch kind {
	case "proc", "sysfs", "cgroup2", "mqueue":
		return nil // these have contexts of their own
	}
	if label := c.spec.Linux.MountLabel; label != "" {
		return []string{"context=" + label}
	}
	return nil
}
