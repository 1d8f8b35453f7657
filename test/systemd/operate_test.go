// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// "`systemd.notify: container` proxies sd_notify through a filtered socket
// (READY, STATUS, WATCHDOG, RELOADING, STOPPING, ERRNO, EXTEND_TIMEOUT only)":
// systemd does what each of them says.
func TestNotifyWordsReachSystemd(t *testing.T) {
	t.Parallel()
	const script = `echo up
say() { until test -e /run/app/$1; do sleep 0.05; done; shift; systemd-notify --no-block "$@"; }
until test -e /run/app/ready; do systemd-notify --no-block EXTEND_TIMEOUT_USEC=600000000 ERRNO=5; sleep 0.05; done
systemd-notify --no-block --ready
say reloading RELOADING=1
say reloaded READY=1
say trigger WATCHDOG=trigger
exec sleep infinity`
	u := scoped.defineProbe(t, "notify-words", "rootfs: host\nstop_signal: SIGKILL\ntmpfs: [\"/run/app\"]\ncommand: [sh, -c, "+strconv.Quote(strings.ReplaceAll(script, "$", "$$"))+"]", "notify: container", "TimeoutStartSec=10min").startAsync()
	u.awaitOutput("up\n")
	step := func(name string) {
		t.Helper()
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/root/run/app/%s", u.mainPID(), name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Said again and again: systemd 252 forgets ERRNO= when it is reloaded, as other tests do.
	u.await("StatusErrno", "5")
	u.expect(u.unit(), "ActiveState=activating")
	step("ready")
	u.await("ActiveState", "active")
	step("reloading")
	u.await("ActiveState", "reloading")
	step("reloaded")
	u.await("ActiveState", "active")
	step("trigger")
	u.await("ActiveState", "failed")
	u.expect(u.unit(), "Result=watchdog")
}

// WATCHDOG=1 keeps a service with WatchdogSec= alive, and STOPPING=1 says that
// its end is meant.
func TestWatchdogFromInside(t *testing.T) {
	t.Parallel()
	const script = `trap "systemd-notify --no-block STOPPING=1; touch /run/app/stopping; until test -e /run/app/end; do sleep 0.05; done; exit 0" TERM
systemd-notify --ready; echo "every $WATCHDOG_USEC"; while sleep 0.1; do systemd-notify --no-block WATCHDOG=1; done`
	u := scoped.defineProbe(t, "notify-dog", "rootfs: host\nstop_grace_period: 1m\ntmpfs: [\"/run/app\"]\ncommand: [sh, -c, "+strconv.Quote(strings.ReplaceAll(script, "$", "$$"))+"]", "notify: container, service: {WatchdogSec: 1h}").start()
	u.awaitOutput("every 3600000000\n")
	first := u.show("WatchdogTimestampMonotonic")
	await(t, "systemd has heard WATCHDOG=1", func() bool { return u.show("WatchdogTimestampMonotonic") != first && first != "0" })
	pid := u.mainPID()
	u.signal("TERM")
	await(t, "the payload stops", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/root/run/app/stopping", pid))
		return err == nil
	})
	u.await("ActiveState", "deactivating")
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/root/run/app/end", pid), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	u.await("ActiveState", "inactive")
	u.expect(u.unit(), "Result=success")
}

// "No timers, no journal noise, no orphan": checks that succeed, and one that
// fails now and then, leave no line, no unit and no process.
func TestChecksAreSilent(t *testing.T) {
	t.Parallel()
	everyProbePlacement(t, func(t *testing.T, p placement) {
		u := p.define(t, "silent-check", `rootfs: host
stop_signal: SIGKILL
tmpfs: ["/run/app"]
command: [sleep, infinity]
healthcheck: {interval: 50ms, retries: 100, test: [CMD, sh, -c, 'echo noise; echo noise >&2; echo x >>/run/app/count; sleep 0.01 & test $$(($$(wc -l </run/app/count) % 3)) != 2']}`).start()
		count := fmt.Sprintf("/proc/%d/root/run/app/count", u.mainPID())
		await(t, "it was looked at thirty times", func() bool {
			data, _ := os.ReadFile(count)
			return strings.Count(string(data), "\n") >= 30
		})
		must(t, "journalctl", "--sync")
		// One word of the relay's own, when the first has succeeded.
		if out, want := must(t, "journalctl", "-q", "--no-pager", "-o", "cat", "_SYSTEMD_UNIT="+u.unit(), "+", "_SYSTEMD_UNIT="+u.payloadUnit()), u.unit()+" is healthy\n"; out != want {
			t.Errorf("the service has written\n%s", out)
		}
		if out := must(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "*silent-check*"); strings.Contains(out, ".timer") || strings.Contains(out, "run-") {
			t.Errorf("there are units\n%s", out)
		}
		await(t, "no check is left behind", func() bool {
			out := strings.Join(processes(t, u.leaf()), "\n")
			return strings.Count(out, "\n") <= 1 || strings.Count(out, "sleep 0.01") <= 1
		})
	})
}

// "Configs (file, environment, content, external)", "`environment`": each way in,
// for the payload's user, and not to be written.
//
//lab:once
func TestConfigsOfEveryKind(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"site.conf", "from a file\n")
	place(t, definitions+"forms.env", "SITE=from a variable\n")
	pipe(t, "from the system", "unitc", "secret", "set", "forms-site")
	t.Cleanup(func() { must(t, "unitc", "secret", "rm", "forms-site"); os.Remove("/etc/credstore.encrypted") })
	place(t, definitions+"forms.yaml", `services:
  app:
    rootfs: host
    user: "1000"
    init: true
    configs: [{source: file, target: /etc/app/file}, {source: variable, target: /etc/app/variable}, {source: content, target: /etc/app/content}, {source: system, target: /etc/app/system}]
    command: [sh, -c, 'cd /etc/app; for f in file variable content system; do cat $$f; echo; (echo x >>$$f) 2>/dev/null && echo writable; done; echo told; exec sleep infinity']
configs:
  file: {file: ./site.conf}
  variable: {environment: SITE}
  content: {content: "from ${SITE}"}
  system: {external: true, name: forms-site}
`)
	reload(t)
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "forms-app")
		command(t, "systemctl", "reset-failed", "forms-app")
	})
	if _, status := command(t, "systemctl", "start", "forms-app"); status != 0 {
		out, _ := command(t, "systemctl", "status", "-l", "forms-app")
		t.Fatalf("it does not start:\n%s", out)
	}
	awaitLine(t, "forms-app", "told")
	if out := must(t, "journalctl", "-q", "-o", "cat", "-u", "forms-app", "_TRANSPORT=stdout"); out != "from a file\nfrom a variable\nfrom from a variable\nfrom the system\ntold\n" {
		t.Errorf("the payload says\n%s", out)
	}
}

// "A payload without a shell": who wants one is told, and all else works.
//
//lab:once
func TestPayloadWithoutAShell(t *testing.T) {
	root := "/run/verb-bare"
	t.Cleanup(func() { os.RemoveAll(root) })
	for _, dir := range []string{"bin", "dev", "proc", "sys", "tmp", "etc", "run"} {
		if err := os.MkdirAll(root+"/"+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sleep", "true"} {
		must(t, "cp", "/bin/busybox", root+"/bin/"+name)
	}
	const definition = "rootfs: /run/verb-bare\ninit: true\ncommand: [/bin/sleep, \"1000000\"]\n"
	defineFor(t, "verb-bare", definition)
	defineFor(t, "verb-bare-check", definition+"healthcheck: {test: \"test -e /x\", interval: 100ms, retries: 100000}\n")
	must(t, "systemctl", "start", "verb-bare")
	must(t, "systemctl", "start", "--no-block", "verb-bare-check")
	must(t, "unitc", "exec", "verb-bare", "/bin/true")
	if out, status := command(t, "unitc", "exec", "verb-bare", "sh"); status != 127 || !strings.Contains(out, `verb-bare has no program "sh"`) {
		t.Errorf("a shell: %d\n%s", status, out)
	}
	must(t, "unitc", "cp", "/etc/os-release", "verb-bare:/tmp/file")
	must(t, "unitc", "cp", "verb-bare:/tmp/file", t.TempDir())
	await(t, "the check says that there is no shell", func() bool {
		return strings.Contains(property(t, "verb-bare-check", "StatusText"), "starting: /bin/sh: no such file or directory")
	})
}
