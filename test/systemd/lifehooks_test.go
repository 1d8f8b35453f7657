// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"strings"
	"testing"
)

// post_start runs in the container, with what the hook says and otherwise as the
// payload, and the unit is active after it; pre_stop runs before the stop signal.
func TestLifecycleHooks(t *testing.T) {
	t.Parallel()
	everyProbePlacement(t, func(t *testing.T, p placement) {
		c := p.define(t, "hooks", `rootfs: host
user: "1000"
environment: {ONE: "1", TWO: "2"}
working_dir: /usr
tmpfs: ["/srv:mode=1777"]
command: [sh, -c, 'trap "cat /srv/drained; exit 0" TERM; echo up; while sleep 0.05; do :; done']
post_start:
  - command: [sh, -c, 'echo "post $$(id -u) $$ONE $$TWO $$PWD"; echo $$$$ >/srv/pid']
    environment: {TWO: two}
  - command: sh -c 'test -s /srv/pid && echo "root $$(id -u) $$PWD" && chown 1000 /srv/pid && grep Cap /proc/self/status'
    user: root
    working_dir: /srv
  - command: [sh, -c, 'grep -E "CapEff|Seccomp:|NoNewPrivs" /proc/self/status']
    user: root
    privileged: true
pre_stop:
  - command: [sh, -c, 'sleep 0.3; echo drained by $$(id -u) >/srv/drained']
`).start()
		c.awaitOutput("up\n")
		for _, want := range []string{"post 1000 1 two /usr\n", "root 0 /srv\n", "Seccomp:\t0", "NoNewPrivs:\t0", "CapEff:\t000001ffffffffff"} {
			c.awaitOutput(want) // journald is behind the start
		}
		c.stop()
		c.expect(c.unit(), "Result=success")
		c.awaitOutput("drained by 1000\n")
	})
}

// What makes the payload healthy may depend on a hook: it runs first.
func TestPostStartBeforeHealthy(t *testing.T) {
	t.Parallel()
	c := scoped.define(t, "hooks-healthy", sleeper+"tmpfs: [/srv]\npost_start: [{command: [touch, /srv/prepared]}]\n"+
		"healthcheck: {test: [CMD, test, -e, /srv/prepared], interval: 100ms, start_interval: 100ms, retries: 100000}\n").start()
	c.expect(c.unit(), "ActiveState=active", "StatusText=healthy")
	// A job is active when it has ended, which is too late for any hook.
	place(t, "/etc/unitc/hooks-p.yaml", `services:
  job:
    rootfs: host
    tmpfs: [/srv]
    command: [sh, -c, 'until test -e /srv/prepared; do sleep 0.05; done; echo prepared']
    post_start: [{command: [touch, /srv/prepared]}]
  after:
    rootfs: host
    command: [sh, -c, 'trap exit TERM; sleep infinity & wait']
    depends_on: {job: {condition: service_completed_successfully}}
`)
	reload(t)
	t.Cleanup(func() { must(t, "systemctl", "stop", "hooks-p.target", "hooks-p-job", "hooks-p-after") })
	must(t, "systemctl", "start", "hooks-p-after")
	(&container{t: t, name: "hooks-p-job", placement: scoped}).awaitOutput("prepared\n")
}

// A failing post_start is a failing start, whoever runs it; a failing or endless
// pre_stop is told, and the payload stops in order.
func TestHooksThatFail(t *testing.T) {
	t.Parallel()
	for name, healthy := range map[string]string{"hooks-fail": "", "hooks-fail-healthy": "healthcheck: {test: [CMD, 'true'], interval: 100ms}\n"} {
		c := scoped.define(t, name, sleeper+healthy+"post_start: [{command: [sh, -c, exit 3]}, {command: [echo, never]}]\n")
		if out, status := command(t, "systemctl", "start", c.unit()); status == 0 {
			t.Errorf("%s: started\n%s", name, out)
		}
		c.await("ActiveState", "failed")
		c.awaitOutput("post_start[0]: exit status 3\n")
		if strings.Contains(c.output(), "never\n") {
			t.Errorf("%s: the second hook was run", name)
		}
	}
	c := scoped.define(t, "hooks-late", "rootfs: host\nstop_grace_period: 2s\ncommand: [sh, -c, 'trap \"echo in order; exit 0\" TERM; echo up; while sleep 0.05; do :; done']\n"+
		"pre_stop: [{command: [sh, -c, 'echo draining; exec sleep 1000']}]\n").start()
	c.awaitOutput("up\n")
	c.stop()
	c.expect(c.unit(), "Result=success")
	for _, want := range []string{"draining\n", "pre_stop[0]: no end within stop_grace_period\n", "in order\n"} {
		c.awaitOutput(want)
	}
}
