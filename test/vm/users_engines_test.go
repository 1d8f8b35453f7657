// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package vm

import (
	"os"
	"strings"
	"testing"
)

// The limits of a user's container are the kernel's, as far as the user's systemd has
// controllers; a start says of the others that they do not hold.
func TestEngineUserLimits(t *testing.T) {
	run(t, "useradd", "-m", "-u", "1500", "somebody")
	const dropIn = "/run/systemd/system/user@.service.d/test.conf" // without a logind and its PAM module
	for path, text := range map[string]string{
		"/etc/subuid": "somebody:100000:65536\n", "/etc/subgid": "somebody:100000:65536\n",
		dropIn:                                  "[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n",
		"/home/somebody/.config/unitc/lim.yaml": "rootfs: host\nnetwork_mode: none\ninit: true\nmem_limit: 30m\nmemswap_limit: 30m\ncpus: 0.5\npids_limit: 50\ncpuset: \"0\"\ncommand: [/bin/sleep, \"1000\"]\n",
		"/home/somebody/.config/unitc/oom.yaml": "rootfs: host\nnetwork_mode: none\ninit: true\nmem_limit: 30m\nmemswap_limit: 30m\ncommand: [/usr/bin/tail, /dev/zero]\n",
	} {
		run(t, "mkdir", "-p", path[:strings.LastIndexByte(path, '/')])
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "chown", "-R", "somebody:somebody", "/home/somebody")
	run(t, "install", "-d", "-o", "somebody", "-g", "somebody", "-m", "0700", "/run/user/1500")
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", "start", "user@1500.service")
	t.Cleanup(func() {
		run(t, "systemctl", "stop", "user@1500.service")
		os.Remove(dropIn)
		run(t, "userdel", "-r", "somebody")
		run(t, "systemctl", "daemon-reload")
	})
	user := func(command string) string {
		t.Helper()
		return run(t, "runuser", "-u", "somebody", "--", "env", "HOME=/home/somebody", "XDG_RUNTIME_DIR=/run/user/1500", "sh", "-c", command)
	}
	user("systemctl --user start lim")
	held(t, "a user's scope", "/sys/fs/cgroup/user.slice/user-1500.slice/user@1500.service/unitc.slice/unitc-lim.scope",
		"memory.max=31457280", "memory.swap.max=0", "cpu.max=50000 100000", "pids.max=50")
	run(t, "journalctl", "--sync")
	if text := user("journalctl --user -u lim -o cat"); !strings.Contains(text, "cpuset does not hold: this user's systemd has no controller") || strings.Contains(text, "mem_limit does not hold") {
		t.Errorf("the start says\n%s", text)
	}
	text := user("systemctl --user start oom; for i in $(seq 100); do systemctl --user is-failed -q oom && break; sleep 0.2; done; unitc --user why oom || true")
	if !strings.Contains(text, "the memory limit of its cgroup was hit") {
		t.Errorf("of a container without memory unitc why says\n%s", text)
	}
	user("systemctl --user stop lim")
}
