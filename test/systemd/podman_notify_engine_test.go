// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"os"
	"strings"
	"testing"
)

// Units that start Podman: with each --sdnotify the unit is active when it should be,
// one of Quadlet's with Notify=yes too, and a socket of systemd's is the payload's.
func TestEnginePodmanNotify(t *testing.T) {
	place(t, "/etc/containers/containers.conf", podmanConfig)
	b := newBundle(t, ociRuntime)
	t.Cleanup(func() { os.RemoveAll(b.dir) })
	if err := b.withHostPrograms(); err != nil {
		t.Fatal(err)
	}
	must(t, "mkdir", "-p", b.dir+"/rootfs/usr", b.dir+"/rootfs/run")
	options := " --network none -e PATH=/bin:/usr/bin -v /usr:/usr:ro "
	const says = `sh -c "trap 'exit 0' TERM; until test -e /tmp/go; do sleep 0.05; done; systemd-notify --ready --status=well; while :; do sleep 0.05; done"`
	service := func(name, podman string) {
		place(t, "/run/systemd/system/"+name+".service", "[Service]\nType=notify\nNotifyAccess=all\nTimeoutStartSec=30\nExecStart=podman run --rm -d --replace --name "+name+options+podman+
			"\nExecStop=podman stop -t 10 "+name+"\n")
	}
	service("say-container", "--sdnotify=container --rootfs "+b.dir+"/rootfs "+says)
	service("say-conmon", "--sdnotify=conmon --rootfs "+b.dir+"/rootfs "+says)
	service("say-healthy", "--sdnotify=healthy --health-cmd true --health-interval 1s --rootfs "+b.dir+"/rootfs "+says)
	place(t, "/etc/containers/systemd/say-quadlet.container", "[Container]\nRootfs="+b.dir+"/rootfs\nNetwork=none\nNotify=yes\nEnvironment=PATH=/bin:/usr/bin\nVolume=/usr:/usr:ro\nExec="+says+"\n")
	must(t, "systemctl", "daemon-reload")
	for _, name := range []string{"say-container", "say-conmon", "say-healthy", "say-quadlet"} {
		unit := name + ".service"
		_ = os.Remove(b.dir + "/rootfs/tmp/go")
		must(t, "systemctl", "start", "--no-block", unit)
		if waits := name == "say-container" || name == "say-quadlet"; waits {
			await(t, "the payload of "+name+" runs", func() bool {
				for _, id := range []string{name, "systemd-" + name} {
					if out, status := command(t, "podman", "inspect", "--format", "{{.State.Status}}", id); status == 0 && strings.TrimSpace(out) == "running" {
						return true
					}
				}
				return false
			})
			if got := property(t, unit, "ActiveState"); got != "activating" {
				t.Errorf("%s is %s before its payload is ready", unit, got)
			}
			if err := os.WriteFile(b.dir+"/rootfs/tmp/go", nil, 0o644); err != nil {
				t.Fatal(err)
			}
			await(t, name+" shows what the payload says", func() bool { return property(t, unit, "StatusText") == "well" })
		}
		await(t, name+" is active", func() bool { return property(t, unit, "ActiveState") == "active" })
		must(t, "systemctl", "stop", unit)
		if got := property(t, unit, "Result"); got != "success" {
			t.Errorf("the end of %s is %q", name, got)
		}
	}
	place(t, "/run/systemd/system/given.socket", "[Socket]\nListenStream=/run/given.sock\nFileDescriptorName=web\n")
	place(t, "/run/systemd/system/given.service", "[Service]\nExecStart=podman run --rm --name given"+options+"--rootfs "+b.dir+`/rootfs sh -c "echo $$LISTEN_FDS $$LISTEN_PID $$LISTEN_FDNAMES; ls /proc/self/fd | tr '\\n' ' '" `+"\n")
	must(t, "systemctl", "daemon-reload")
	must(t, "systemctl", "start", "given.socket", "given.service")
	awaitOutput(t, 1, "1 1 web\n0 1 2 3 4\n", "journalctl", "-q", "-o", "cat", "-t", "podman")
	await(t, "given.service has ended", func() bool { return property(t, "given.service", "ActiveState") == "inactive" })
	must(t, "systemctl", "stop", "given.socket")
	if entries, _ := os.ReadDir("/run/unitc-runtime"); len(entries) != 0 {
		t.Errorf("state is left: %v", entries)
	}
	_, _ = command(t, "systemctl", "stop", "machine.slice")
}
