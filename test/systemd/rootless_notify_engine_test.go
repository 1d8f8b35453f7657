// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A unit of a user without privilege that calls the runtime by hand: systemd believes
// the process that it has started, and the payload is known by another one's words,
// inside a user namespace. Its sockets are passed on as well.
func TestEngineRootlessNotify(t *testing.T) {
	b := newBundle(t, ociRuntime)
	t.Cleanup(func() { os.RemoveAll(b.dir) })
	_, run := becomeSomebody(t)
	if out, status := run(ociRuntime, "spec", "--rootless", "--bundle", "/home/"+somebody); status != 0 {
		t.Fatal(out)
	}
	b.spec = &specs.Spec{}
	if err := json.Unmarshal([]byte(file(t, "/home/"+somebody+"/config.json")), b.spec); err != nil {
		t.Fatal(err)
	}
	b.spec.Process.Terminal, b.spec.Root.Readonly = false, false
	b.spec.Process.Args = []string{"sh", "-c", `trap 'exit 0' TERM; echo "$LISTEN_FDS $LISTEN_PID $WATCHDOG_PID $$" >/tmp/env; ls /proc/self/fd | wc -l >>/tmp/env; systemd-notify MAINPID=1 STATUS=well --ready; while :; do sleep 0.05; done`}
	if err := b.withHostPrograms(); err != nil {
		t.Fatal(err)
	}
	must(t, "chmod", "755", b.dir)
	must(t, "chown", "-R", somebody, b.dir)
	place(t, "/run/systemd/system/rootless-say.socket", "[Socket]\nListenStream=/run/rootless-say.sock\n")
	for _, verb := range []string{"run", "run --detach"} {
		_ = os.Remove(b.dir + "/rootfs/tmp/env")
		place(t, "/run/systemd/system/rootless-say.service", "[Service]\nType=notify\nNotifyAccess=main\nWatchdogSec=1h\nUser="+somebody+"\nEnvironment=XDG_RUNTIME_DIR=/run/user/1500\nTimeoutStartSec=20\nExecStart="+
			ociRuntime+" "+verb+" --bundle "+b.dir+" box\nExecStopPost="+ociRuntime+" delete --force box\n")
		must(t, "systemctl", "daemon-reload")
		must(t, "systemctl", "start", "rootless-say.socket", "rootless-say.service")
		const unit = "rootless-say.service"
		if got := property(t, unit, "StatusText"); got != "well" {
			t.Errorf("%s: its status is %q", verb, got)
		}
		want := "1 1 1 1\n5\n"
		if verb != "run" {
			want = "1 1  1\n5\n"
			out, _ := run(ociRuntime, "state", "box")
			if pid := property(t, unit, "MainPID"); !strings.Contains(out, `"pid": `+pid+",") {
				t.Errorf("its main process is %s and not the payload: %s", pid, out)
			}
		}
		if got := file(t, b.dir+"/rootfs/tmp/env"); got != want {
			t.Errorf("%s: the payload has %q, want %q", verb, got, want)
		}
		must(t, "systemctl", "stop", "rootless-say.socket", unit)
		_, _ = command(t, "systemctl", "reset-failed", unit)
		noState(t, "/run/user/1500/unitc-runtime")
	}
}
