// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// A user's unit of Quadlet, with this runtime by the unit's own words and by the
// configuration: the user's systemd starts and stops it, its cgroup is below
// theirs, its words are in their journal.
func TestEngineQuadletRootless(t *testing.T) {
	place(t, "/etc/containers/containers.conf", strings.Replace(podmanConfig, "runtime = \"unitc-runtime\"\n", "", 1))
	place(t, "/etc/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	root := engineRoot(t)
	home, _ := becomeSomebody(t)
	must(t, "chown", "-R", somebody, root)
	// A user's containers of Quadlet wait until the system is on the network
	// (podman-user-wait-network-online.service).
	must(t, "systemctl", "start", "network-online.target", "user@1500.service")
	t.Cleanup(func() { must(t, "systemctl", "stop", "user@1500.service", "user-1500.slice", "network-online.target") })
	user := func(args ...string) (string, int) {
		return command(t, "runuser", append([]string{"-u", somebody, "--", "env", "-C", home, "HOME=" + home, "XDG_RUNTIME_DIR=/run/user/1500"}, args...)...)
	}
	says := func(want string, wantStatus int, args ...string) {
		t.Helper()
		out, status := user(args...)
		if status != wantStatus || !strings.Contains(out, want) {
			t.Errorf("%q exits with %d and says %q, want %d and %q", args, status, out, wantStatus, want)
		}
	}
	// In this order: containers.conf stays.
	for _, by := range [][2]string{{"unit", "GlobalArgs=--runtime " + ociRuntime + "\n"}, {"containers.conf", ""}} {
		way, words := by[0], by[1]
		if words == "" {
			place(t, home+"/.config/containers/containers.conf", "[engine]\nruntime = \"unitc-runtime\"\n")
		}
		place(t, home+"/.config/containers/systemd/quad.container", "[Container]\nRootfs="+root+"\nNetwork=none\nExec=sh -c 'echo a line of "+way+"; trap exit TERM; while :; do sleep 0.1; done'\n"+words+"[Install]\nWantedBy=default.target\n")
		must(t, "chown", "-R", somebody, home)
		says("", 0, "systemctl", "--user", "daemon-reload")
		says("", 0, "timeout", "60", "systemctl", "--user", "start", "quad")
		says("unitc-runtime running", 0, "podman", "inspect", "--format", "{{.OCIRuntime}} {{.State.Status}}", "systemd-quad")
		says("uid=0", 0, "podman", "exec", "systemd-quad", "id")
		says("", 7, "podman", "exec", "systemd-quad", "sh", "-c", "exit 7")
		group, _ := user("podman", "inspect", "--format", "{{.State.CgroupPath}}", "systemd-quad")
		if !strings.Contains(group, "/user@1500.service/") {
			t.Errorf("%s: its cgroup is %s", way, group)
		}
		if err := eventually(func() error {
			out, err := exec.Command("journalctl", "-q", "-o", "cat", "_UID=1500").CombinedOutput()
			if err == nil && !strings.Contains(string(out), "a line of "+way) {
				err = fmt.Errorf("the journal of the user has no line of %s: %s", way, out)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		says("", 0, "systemctl", "--user", "stop", "quad")
		says("success", 0, "systemctl", "--user", "show", "-p", "Result", "quad")
		says("", 0, "podman", "ps", "-aq")
		noState(t, "/run/user/1500/unitc-runtime")
	}
}
