// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// probePlacements: beside its own relay a payload may have a log that passes it
// or not, and one of two cgroups.
var probePlacements = []placement{scoped, {"scope", "direct"}, {"service", "direct"}}

func everyProbePlacement(t *testing.T, test func(t *testing.T, p placement)) {
	for _, p := range probePlacements {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// startAsync starts without waiting for the unit to be active.
func (c *container) startAsync() *container {
	c.t.Helper()
	must(c.t, "systemctl", "start", "--no-block", "--", c.unit())
	return c
}

// defineProbe is define with more keys of the systemd block.
func (p placement) defineProbe(t *testing.T, name, definition, systemd string, directives ...string) *container {
	t.Helper()
	if systemd != "" {
		place(t, "/etc/unitc/"+name+"-"+p.String()+".yaml.d/probe.yaml", "systemd: {"+systemd+"}\n")
	}
	return p.define(t, name, definition, directives...)
}

func (c *container) signal(name string) {
	c.t.Helper()
	must(c.t, "systemctl", "kill", "--kill-whom=main", "--signal="+name, c.unit())
}

func (c *container) awaitStatus(text string) {
	c.t.Helper()
	await(c.t, fmt.Sprintf("the status of %s has %q", c.unit(), text), func() bool { return strings.Contains(c.show("StatusText"), text) })
}

const quickly = "healthcheck: {interval: 200ms, timeout: 5s, retries: 100000, start_interval: 100ms}\n"

// "READY=1 when first healthy; failures shown in STATUS=": each kind of probe.
func TestProbesGateReadiness(t *testing.T) {
	t.Parallel()
	// Nobody accepts: the queue is long enough for all tries.
	server := `exec perl -MIO::Socket::INET -MIO::Socket::UNIX -e '`
	for kind, c := range map[string]struct{ probe, script, starting string }{
		"file": {"file: /run/app/ready", `trap "touch /run/app/ready" USR1; echo up; while sleep 0.05; do :; done`, "starting: file /run/app/ready: "},
		"tcp":  {"tcp: 4711", server + `$SIG{USR1}=sub{$s=IO::Socket::INET->new(LocalAddr=>"127.0.0.1",LocalPort=>4711,Listen=>4000)}; $|=1; print "up\n"; while(1){select(undef,undef,undef,0.05)}'`, "starting: tcp localhost:4711: connection refused"},
		"unix": {"unix: /run/app/s", server + `$SIG{USR1}=sub{$s=IO::Socket::UNIX->new(Local=>"/run/app/s",Listen=>4000)}; $|=1; print "up\n"; while(1){select(undef,undef,undef,0.05)}'`, "starting: unix /run/app/s: "},
		"http": {`http: "http://:4712/health"`, server + `$SIG{USR1}=sub{$ok=1}; $s=IO::Socket::INET->new(LocalAddr=>"127.0.0.1",LocalPort=>4712,Listen=>5); $|=1; print "up\n"; while(1){$c=$s->accept or next; while(<$c>){last if /^\r/} print $c ($ok?"HTTP/1.1 200 OK\r\n\r\n":"HTTP/1.1 503 No\r\n\r\n"); close $c}'`, "starting: http 503 on /health"},
	} {
		t.Run(kind, func(t *testing.T) {
			everyProbePlacement(t, func(t *testing.T, p placement) {
				u := p.defineProbe(t, "probe-"+kind, "rootfs: host\nstop_signal: SIGKILL\ntmpfs: [/run/app]\n"+quickly+"command: [sh, -c, "+strconv.Quote(strings.ReplaceAll(c.script, "$", "$$"))+"]", "probe: {"+c.probe+"}").startAsync()
				u.awaitOutput("up\n") // before that a signal is lost
				u.awaitStatus(c.starting)
				u.expect(u.unit(), "ActiveState=activating")
				u.signal("USR1")
				u.await("ActiveState", "active")
				u.expect(u.unit(), "StatusText=healthy")
			})
		})
	}
}

// A line of the payload's output makes it ready.
func TestLogProbe(t *testing.T) {
	t.Parallel()
	u := scoped.defineProbe(t, "probe-log", "rootfs: host\nstop_signal: SIGKILL\n"+quickly+"command: [sh, -c, 'trap \"echo server is ready to serve\" USR1; echo up; while sleep 0.05; do :; done']", `probe: {log: "ready .* serve$$"}`).startAsync()
	u.awaitOutput("up\n")
	u.expect(u.unit(), "ActiveState=activating")
	u.signal("USR1")
	u.await("ActiveState", "active")
	u.awaitOutput("server is ready to serve\n")
}

// "Unhealthy → WATCHDOG trigger → systemd's Restart=."
func TestUnhealthyIsRestarted(t *testing.T) {
	t.Parallel()
	everyProbePlacement(t, func(t *testing.T, p placement) {
		script := `trap "rm -f /run/app/ready" USR1; trap "exit 0" TERM; touch /run/app/ready; while sleep 0.05; do :; done`
		u := p.defineProbe(t, "unwell", "rootfs: host\nrestart: on-failure\ntmpfs: [/run/app]\nhealthcheck: {interval: 100ms, retries: 3}\ncommand: [sh, -c, '"+script+"']", "probe: {file: /run/app/ready}", "RestartSec=100ms").start()
		u.expect(u.unit(), "ActiveState=active", "StatusText=healthy", "NRestarts=0")
		u.signal("USR1")
		// systemd 252 counts once more for each reload that comes before the restart.
		await(t, "a restart", func() bool { return u.show("NRestarts") != "0" })
		u.await("ActiveState", "active")
		out := must(t, "journalctl", "-u", u.unit(), "-o", "cat", "--no-pager")
		if want := "unhealthy: file /run/app/ready: no such file or directory, 3 of 3"; !strings.Contains(out, want) {
			t.Errorf("the journal does not say %q:\n%s", want, out)
		}
	})
}

// Without a restart policy an unhealthy payload goes on, and is told of; a
// start that never gets healthy has failed.
func TestUnhealthyWithoutRestart(t *testing.T) {
	t.Parallel()
	u := scoped.defineProbe(t, "unwell-told", "rootfs: host\ntmpfs: [/run/app]\nhealthcheck: {interval: 100ms, retries: 2}\ncommand: [sh, -c, 'trap \"rm /run/app/ready\" USR1; touch /run/app/ready; while sleep 0.05; do :; done']", "probe: {file: /run/app/ready}").start()
	u.signal("USR1")
	u.awaitStatus("unhealthy: file /run/app/ready: no such file or directory, 2 of 2")
	u.expect(u.unit(), "ActiveState=active")
	never := scoped.defineProbe(t, "unwell-never", "rootfs: host\nstop_grace_period: 1s\nhealthcheck: {interval: 100ms, retries: 2}\ncommand: [sleep, infinity]", "probe: {file: /run/nothing}")
	if out, status := command(t, "systemctl", "start", never.unit()); status == 0 {
		t.Errorf("a payload that never gets healthy has started:\n%s", out)
	}
	never.expect(never.unit(), "Result=watchdog")
}

// What fails once and is well again is told as healthy, by all who tell.
func TestFailingOnceIsHealthyAgain(t *testing.T) {
	t.Parallel()
	u := scoped.defineProbe(t, "once-unwell", "rootfs: host\nrestart: on-failure\ntmpfs: [/run/app]\nhealthcheck: {interval: 100ms, retries: 100000}\ncommand: [sh, -c, 'trap \"rm /run/app/ready\" USR1; trap \"touch /run/app/ready\" USR2; touch /run/app/ready; while sleep 0.05; do :; done']", "probe: {file: /run/app/ready}").start()
	lists := func(health string) bool {
		return must(t, "unitc", "ps", "-q", "--filter", "health="+health, u.name) != ""
	}
	u.signal("USR1")
	u.awaitStatus("failing: file /run/app/ready: ")
	await(t, "ps tells that it fails", func() bool { return lists("failing") })
	if !lists("healthy") || lists("unhealthy") {
		t.Error("it is not healthy as long as it has not failed often enough")
	}
	u.signal("USR2")
	u.awaitStatus("healthy")
	await(t, "ps tells that it is well", func() bool { return !lists("failing") && lists("healthy") })
}

// "systemd.notify: container": the payload's own words reach systemd, and those
// that would let it act for its service do not.
func TestNotifyFromInside(t *testing.T) {
	t.Parallel()
	everyProbePlacement(t, func(t *testing.T, p placement) {
		script := `echo up; trap : USR1; until sleep 0.05 && test -e /run/app/go; do :; done
systemd-notify --no-block STATUS=lies MAINPID=1 FDSTORE=1 WATCHDOG_USEC=1 NOTIFYACCESS=none BUSERROR=x
systemd-notify --ready --status="all set"
echo told; exec sleep infinity`
		u := p.defineProbe(t, "notify", "rootfs: host\nuser: \"1000\"\nstop_signal: SIGKILL\ntmpfs: [\"/run/app:mode=0777\"]\ncommand: [sh, -c, "+strconv.Quote(script)+"]", "notify: container").startAsync()
		u.awaitOutput("up\n")
		u.expect(u.unit(), "ActiveState=activating")
		pid := u.mainPID()
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/root/run/app/go", pid), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		u.await("ActiveState", "active")
		u.awaitOutput("told\n")
		u.expect(u.unit(), "StatusText=all set", "NotifyAccess=all", "NFileDescriptorStore=0", fmt.Sprint("MainPID=", pid))
		env := file(t, fmt.Sprintf("/proc/%d/environ", pid))
		if !strings.Contains(env, "NOTIFY_SOCKET=/run/host/notify\x00") {
			t.Errorf("the payload's environment is %q", env)
		}
	})
}

// "Nothing of unitc is resident but the relay": where there are probes it is
// ours, it ends with the payload, and it costs little.
func TestRelayOfOurOwn(t *testing.T) {
	t.Parallel()
	everyProbePlacement(t, func(t *testing.T, p placement) {
		u := p.defineProbe(t, "company", "rootfs: host\nstop_signal: SIGKILL\nhealthcheck: {interval: 100ms}\ncommand: [sleep, infinity]", "probe: {file: /usr}").start()
		group := "/unitc.slice/" + u.unit()
		if p.cgroup == "service" {
			group += "/relay"
		}
		await(t, "the relay is alone", func() bool { return fmt.Sprint(processes(t, group)) == "[unitc-relay]" })
		checkRelaySize(t, group)
		u.stop()
		await(t, "the relay is gone", func() bool { return len(pids(group)) == 0 })
	})
}

// checkRelaySize holds the only process of a cgroup to what a relay may cost.
func checkRelaySize(t *testing.T, group string) {
	t.Helper()
	own := 0
	for line := range strings.Lines(file(t, "/proc/"+pids(group)[0]+"/smaps_rollup")) {
		// Not what is private: the binary's pages are, as long as no other relay runs.
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Anonymous:" {
			n, _ := strconv.Atoi(f[1])
			own += n
		}
	}
	t.Logf("the relay has %d KiB of its own", own)
	if own == 0 || own > 900 {
		t.Errorf("the relay has %d KiB of its own", own)
	}
}

// An https URL is asked by a program of its own, which believes the certificate
// where an authority is named, and is gone between checks.
//
//lab:once
func TestTLSProbe(t *testing.T) {
	t.Parallel()
	var well atomic.Bool
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !well.Load() || r.URL.Path != "/health" {
			w.WriteHeader(503)
		}
	}))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	ca := t.TempDir() + "/ca.pem"
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	const body = "rootfs: host\nnetwork_mode: host\nstop_signal: SIGKILL\n" + quickly + "command: [sleep, infinity]\n"
	withCA := body + "volumes: [\"" + ca + ":/etc/ca.pem:ro\"]\n"
	probe := func(more string) string { return `probe: {http: "` + s.URL + `/health"` + more + "}" }
	for name, c := range map[string]struct{ definition, probe, starting string }{
		"any":     {body, probe(""), "starting: http 503 on /health"},
		"checked": {withCA, probe(", tls: {ca: /etc/ca.pem, server_name: example.com}"), "starting: http 503 on /health"},
	} {
		t.Run(name, func(t *testing.T) {
			well.Store(false)
			u := scoped.defineProbe(t, "tls-"+name, c.definition, c.probe).startAsync()
			u.awaitStatus(c.starting)
			u.expect(u.unit(), "ActiveState=activating")
			well.Store(true)
			u.await("ActiveState", "active")
			group := "/unitc.slice/" + u.unit()
			await(t, "the relay is alone", func() bool { return fmt.Sprint(processes(t, group)) == "[unitc-relay]" })
			checkRelaySize(t, group)
		})
	}
	for name, c := range map[string]struct{ definition, probe, starting string }{
		"name": {withCA, probe(", tls: {ca: /etc/ca.pem, server_name: other.example}"), "not other.example"},
		"ca":   {body, probe(", tls: {ca: /etc/ca.pem}"), "starting: tls: ca /etc/ca.pem: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			u := scoped.defineProbe(t, "tls-"+name, c.definition, c.probe).startAsync()
			u.awaitStatus(c.starting)
			u.expect(u.unit(), "ActiveState=activating")
		})
	}
}

// "Never loses the last lines", also with probes beside.
func TestRelayKeepsLastLines(t *testing.T) {
	t.Parallel()
	u := scoped.defineProbe(t, "lastlines", "rootfs: host\nhealthcheck: {interval: 50ms}\ncommand: [sh, -c, 'i=0; while [ $$i -lt 20000 ]; do i=$$((i+1)); echo line $$i; done; sleep 0.5; echo last words; exit 3']", "probe: {file: /usr}")
	u.start()
	u.await("ActiveState", "failed")
	u.expect(u.unit(), "ExecMainStatus=3")
	u.awaitOutput("last words\n")
	if got := strings.Count(u.output(), "line "); got != 20000 {
		t.Errorf("%d lines of 20000 arrived", got)
	}
}

// chain is a database that others wait for, a job, and who needs both.
const chain = `services:
  web:
    rootfs: host
    init: true
    command: [sleep, infinity]
    depends_on:
      db: {condition: service_healthy}
      job: {condition: service_completed_successfully}
  db:
    rootfs: host
    stop_signal: SIGKILL
    restart: on-failure
    tmpfs: [/run/app]
    healthcheck: {interval: 200ms, start_interval: 100ms, retries: 100000}
    command: [sh, -c, 'trap "touch /run/app/ready" USR1; while sleep 0.05; do :; done']
    systemd: {probe: {file: /run/app/ready}}
  job:
    rootfs: host
    tmpfs: [/run/app]
    command: [sh, -c, 'until test -e /run/app/go; do sleep 0.05; done; echo job is done; exit $$(cat /run/app/go)']
`

// "`depends_on` with `service_healthy` holds at boot, at restart and for host
// units"; a dependent starts only after the job has exited with 0.
func TestDependsOnConditions(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"chain.yaml", chain)
	place(t, "/run/systemd/system/chain-host.service", "[Unit]\nRequires=chain-db.service\nAfter=chain-db.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n")
	reload(t)
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "chain.target", "chain-web", "chain-db", "chain-job", "chain-host")
		command(t, "systemctl", "reset-failed", "chain-web", "chain-db", "chain-job")
	})
	state := func(name string) string {
		return property(t, "chain-"+name, "ActiveState") + "/" + property(t, "chain-"+name, "SubState")
	}
	expect := func(name, want string) {
		t.Helper()
		await(t, name+" is "+want, func() bool { return state(name) == want })
	}
	finish := func(status string) {
		t.Helper()
		path := "/proc/" + property(t, "chain-job", "MainPID") + "/root/run/app/"
		if err := os.WriteFile(path+"new", []byte(status), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+"new", path+"go"); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "systemctl", "start", "--no-block", "chain.target", "chain-host")
	expect("db", "activating/start")
	expect("job", "activating/start")
	awaitStatus := func() {
		await(t, "the payloads run", func() bool {
			return strings.Contains(property(t, "chain-db", "StatusText"), "no such file") && strings.Contains(property(t, "chain-job", "StatusText"), "waiting for its end")
		})
	}
	awaitStatus()
	if got := state("host"); got != "inactive/dead" {
		t.Errorf("db is not ready, and the host's unit is %s", got)
	}
	must(t, "systemctl", "kill", "--kill-whom=main", "--signal=USR1", "chain-db")
	expect("db", "active/running")
	expect("host", "active/exited")
	if got := state("web"); got != "inactive/dead" {
		t.Errorf("the job is not done, and web is %s", got)
	}
	finish("0")
	expect("job", "active/exited")
	expect("web", "active/running")
	if code := property(t, "chain-job", "ExecMainCode") + property(t, "chain-job", "ExecMainStatus") + property(t, "chain-job", "Result"); code != "10success" {
		t.Errorf("the job's end is %s", code)
	}
	// A restart of what others need is a restart of theirs, in the same order.
	before, beforeHost := property(t, "chain-web", "InvocationID"), property(t, "chain-host", "InvocationID")
	must(t, "systemctl", "restart", "--no-block", "chain-db")
	expect("db", "activating/start")
	for _, name := range []string{"web", "host"} {
		if got := state(name); strings.HasPrefix(got, "active/") {
			t.Errorf("db restarts, and %s is %s", name, got)
		}
	}
	await(t, "db is probed again", func() bool { return strings.Contains(property(t, "chain-db", "StatusText"), "no such file") })
	must(t, "systemctl", "kill", "--kill-whom=main", "--signal=USR1", "chain-db")
	expect("web", "active/running")
	expect("host", "active/exited")
	if property(t, "chain-web", "InvocationID") == before || property(t, "chain-host", "InvocationID") == beforeHost {
		t.Error("web or the host's unit was not started again")
	}
	// A job that fails keeps its dependents from starting.
	must(t, "systemctl", "stop", "chain-web", "chain-job")
	must(t, "systemctl", "start", "--no-block", "chain-web")
	await(t, "the job runs", func() bool { return strings.Contains(property(t, "chain-job", "StatusText"), "waiting for its end") })
	finish("3")
	expect("job", "failed/failed")
	expect("web", "inactive/dead")
	if code := property(t, "chain-job", "ExecMainStatus") + property(t, "chain-job", "Result"); code != "3exit-code" {
		t.Errorf("the job's end is %s", code)
	}
}

// facts of a process that its check must share.
const factsScript = `for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$$n; done; grep -E "^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)" /proc/self/status; grep ^0:: /proc/self/cgroup; env | grep -v -E "^(PWD|SHLVL|_|OLDPWD)=" | sort; ulimit -n; pwd`

// "Probes that run programs inside must join all the payload's namespaces,
// cgroup, ids, capabilities, seccomp and no_new_privs (no weaker than the payload)."
//
//lab:once
func TestHealthcheckIsConfinedAsThePayload(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{
		"default": "",
		"user":    "user: \"1000:1000\"\ngroup_add: [\"50\"]\nworking_dir: /run/app\n",
		"host":    "userns_mode: host\ncap_drop: [ALL]\n",
		"init":    "init: true\nulimits: {nofile: 99}\n",
	} {
		t.Run(name, func(t *testing.T) {
			everyProbePlacement(t, func(t *testing.T, p placement) {
				u := p.define(t, "confined-"+name, "rootfs: host\nstop_signal: SIGKILL\ntmpfs: [\"/run/app:mode=0777\"]\nenvironment: {A: b}\n"+more+
					"command: [sh, -c, '("+factsScript+") >/run/app/payload; exec sleep infinity']\n"+
					"healthcheck: {interval: 1s, timeout: 20s, retries: 100000, test: [CMD, sh, -c, '("+factsScript+") >/run/app/check.new && mv /run/app/check.new /run/app/check && cmp /run/app/payload /run/app/check']}").startAsync()
				await(t, "the check is well", func() bool {
					state := u.show("StatusText")
					if strings.Contains(state, "differ") {
						root := fmt.Sprintf("/proc/%d/root/run/app/", u.mainPID())
						t.Fatalf("%s: the payload has\n%s\nand the check\n%s", state, file(t, root+"payload"), file(t, root+"check"))
					}
					return u.show("ActiveState") == "active"
				})
			})
		})
	}
}

// A check that fails is told of with its output, one that hangs is killed with
// what it has started, one that cannot be run says why.
//
//lab:once
func TestHealthcheckFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ test, want string }{
		"exit":    {`[CMD-SHELL, "echo no database; exit 7"]`, "starting: exit status 7: no database"},
		"late":    {`"sleep 4711 & sleep 4711"`, "starting: no end in 1s"},
		"absent":  {`[CMD, /nowhere/check]`, "starting: /nowhere/check: no such file or directory"},
		"killed":  {`"kill -9 $$$$"`, "starting: killed by SIGKILL"},
		"chatter": {`"yes"`, "starting: no end in 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := scoped.define(t, "check-"+name, "rootfs: host\nstop_signal: SIGKILL\ncommand: [sleep, infinity]\nhealthcheck: {interval: 100ms, timeout: 1s, retries: 100000, test: "+c.test+"}").startAsync()
			u.awaitStatus(c.want)
			if name == "late" {
				await(t, "one check is there at most", func() bool {
					return strings.Count(strings.Join(processes(t, u.leaf()), "\n"), "sleep 4711") <= 2
				})
			}
		})
	}
}

// A stop signal that reaches the relay does not end it: what the payload says
// on its way out arrives.
func TestRelaySurvivesTheStop(t *testing.T) {
	t.Parallel()
	u := scoped.defineProbe(t, "parting", `rootfs: host
stop_grace_period: 30s
healthcheck: {interval: 50ms}
command: [sh, -c, 'trap "seq -f \"parting %.0f\" 5000; sleep 0.3; echo farewell; exit 0" TERM; echo up; while sleep 0.05; do :; done']`, "probe: {file: /usr}").start()
	u.awaitOutput("up\n")
	u.stop()
	u.awaitOutput("farewell\n")
	out := u.output()
	if strings.Count(out, "parting ") != 5000 || !strings.HasSuffix(out, "farewell\n") {
		t.Errorf("%d of 5000 lines arrived, and the last is %q", strings.Count(out, "parting "), out[max(0, len(out)-20):])
	}
}
