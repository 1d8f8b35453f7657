// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"os"
	"strings"
	"testing"
)

// What carries log lines is made of this processor's own instructions: it is there,
// in place of cat(1), and goes on with the next journald where one has closed its
// stream.
//
//lab:once
func TestLogRelayOutlivesJournald(t *testing.T) {
	const dir = "/run/systemd/system/systemd-journald.service.d"
	write(t, dir+"/forgetful.conf", "[Service]\nFileDescriptorStorePreserve=no\n")
	t.Cleanup(func() {
		os.RemoveAll(dir)
		run(t, "systemctl", "daemon-reload")
	})
	c := define(t, "log-relay", "scope", "rootfs: host\ninit: true\nnetwork_mode: none\ncommand: [sh, -c, 'i=0; while :; do echo line $$((i+=1)); sleep 0.05; done']\n")
	c.awaitWord("line 3")
	pid := c.show("MainPID")
	relays := strings.Fields(run(t, "cat", "/sys/fs/cgroup/unitc.slice/"+c.name+".service/cgroup.procs"))
	if len(relays) != 1 || command(t, relays[0]) != "unitc-relay" {
		t.Errorf("beside the payload there is %q", relays)
	}
	units := []string{"systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald.service"}
	run(t, "systemctl", append([]string{"stop"}, units...)...)
	run(t, "sleep", "1")
	run(t, "systemctl", append([]string{"start"}, units...)...)
	before := strings.Count(c.journal(), "line")
	await(t, "lines arrive again", func() bool { return strings.Count(c.journal(), "line") > before+10 })
	if now := c.show("MainPID"); now != pid {
		t.Errorf("the payload is %s and not %s", now, pid)
	}
}
