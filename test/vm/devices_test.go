// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Devices that a definition does not list are closed, whatever node leads to
// them: one of the payload's own making, for the host's kernel log. A rule lets it
// be made, another opened, so that it is the rules that close it.
func TestDevicesAreClosed(t *testing.T) {
	const text = `rootfs: host
userns_mode: host
cap_add: [MKNOD, SYSLOG]
security_opt: [seccomp=unconfined, apparmor=unconfined]
command: [sh, -c, 'mknod /dev/log c 1 11 && cat /dev/null </dev/log; echo status $$?; exec sleep infinity']
`
	wants := []string{"mknod: /dev/log: Operation not permitted", "cannot open /dev/log: Operation not permitted", "status 0"}
	list := place(t, definition{"closed", "scope", text},
		definition{"closedm", "scope", text + "device_cgroup_rules: ['c 1:11 m']\n"},
		definition{"closedrm", "scope", text + "device_cgroup_rules: ['c 1:11 rm']\n"})
	for i, c := range list {
		c.start(t)
		if said := c.awaitWord("status"); !strings.Contains(said, wants[i]) {
			t.Errorf("%s says %q, want %q", c.name, said, wants[i])
		}
	}
}

// `privileged: true` is all at once; with nothing but the namespaces left.
//
//lab:once
func TestPrivileged(t *testing.T) {
	c := define(t, "privileged", "scope", `rootfs: host
privileged: true
command:
- sh
- -c
- |
  grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\t'
  awk '{print "map " $$1 " " $$2}' /proc/self/uid_map
  mknod /dev/log c 1 11 && cat /dev/null </dev/log && echo opened
  test -w /proc/sys/kernel/core_pattern && echo writable
  mount -t tmpfs none /mnt && echo mounted
  ls /sys/module | head -n1 | grep -q . && echo unmasked
  readlink /proc/self/ns/pid
  echo done
  exec sleep infinity
`)
	said := c.awaitWord("done")
	for _, want := range []string{"CapEff:000001ffffffffff", "CapBnd:000001ffffffffff", "NoNewPrivs:0", "Seccomp:0", "map 0 0", "opened", "writable", "mounted", "unmasked"} {
		if !strings.Contains(said, want) {
			t.Errorf("%s is missing:\n%s", want, said)
		}
	}
	if own := run(t, "readlink", "/proc/self/ns/pid"); strings.Contains(said, own) {
		t.Errorf("it is in the host's PID namespace:\n%s", said)
	}
}

// Shared memory is the container's: it counts against its limit, and goes with it
// (CVE-2024-3056).
//
//lab:once
func TestSharedMemoryIsCharged(t *testing.T) {
	const text = "rootfs: host\nshm_size: 1g\ncommand: [sh, -c, 'head -c 100M /dev/zero >/dev/shm/x; echo status $$?; exec sleep infinity']\n"
	list := place(t, definition{"shm", "scope", text}, definition{"shm-limited", "scope", text + "mem_limit: 50m\nmemswap_limit: 50m\n"})
	c, limited := list[0], list[1]
	c.start(t)
	if said := c.awaitWord("status"); !strings.Contains(said, "status 0") {
		t.Errorf("without a limit it says %q", said)
	}
	if got := c.stat("memory.stat", "shmem "); got < 100<<20 {
		t.Errorf("%d bytes are charged to it", got)
	}
	limited.start(t)
	await(t, "the limit has been hit", func() bool {
		return limited.show("ActiveState") == "failed" || strings.Contains(limited.journal(), "status")
	})
	if said := limited.journal(); strings.Contains(said, "status 0") {
		t.Errorf("with a limit of 50 MiB it says %q", said)
	}
}

func (c *container) journal() string {
	c.t.Helper()
	return run(c.t, "journalctl", "-q", "-o", "cat", "_SYSTEMD_UNIT="+c.name+".service")
}

// awaitWord waits for a word of the payload's and gives all that it has said.
func (c *container) awaitWord(word string) (said string) {
	c.t.Helper()
	await(c.t, c.name+" has said "+word, func() bool {
		said = c.journal()
		return strings.Contains(said, word)
	})
	return said
}

// The kernel grants some things to each user, and root of the host is one: a container
// that takes all of them, inotify(7) instances say, takes them from itself alone, or systemd
// and all other containers could have none. With the host's ids it takes root's.
//
//lab:once
func TestCountsOfRootStayRoots(t *testing.T) {
	const setting = "/proc/sys/fs/inotify/max_user_instances"
	before, err := os.ReadFile(setting)
	if err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(setting, before, 0)
	if err := os.WriteFile(setting, []byte("64"), 0); err != nil {
		t.Fatal(err)
	}
	const text = "rootfs: host\nnetwork_mode: none\ninit: true\n" +
		"command: [sh, -c, 'for i in $$(seq 80); do tail -f /etc/passwd >/dev/null 2>&1 & done; sleep 2; echo all taken; exec sleep infinity']\n"
	list := place(t, definition{"counts", "scope", text}, definition{"counts-host", "scope", text + "userns_mode: host\n"})
	try := func() error {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	if err := try(); err != nil {
		t.Fatalf("before: %v", err)
	}
	for i, want := range []error{nil, unix.EMFILE} {
		c := list[i]
		c.start(t)
		c.awaitWord("all taken")
		if err := try(); !errors.Is(err, want) {
			t.Errorf("%s: root of the host gets %v, want %v", c.name, err, want)
		}
		run(t, "systemctl", "stop", c.name)
	}
}
