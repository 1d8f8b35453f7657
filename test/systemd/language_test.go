// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/busvalue"
	"github.com/unitc/unitc/internal/compose"
)

// systemdVersion is the number that systemctl tells.
func systemdVersion(t *testing.T) int {
	t.Helper()
	words := strings.Fields(must(t, "systemctl", "--version"))
	version, err := strconv.Atoi(words[1])
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// Every directive that the language passes on is one that systemd has, in the section
// that it is written to: of what it does not know it says so, and goes on without.
func TestEveryDirectiveIsSystemds(t *testing.T) {
	var text strings.Builder
	text.WriteString("rootfs: host\ncommand: [sleep, infinity]\nsystemd:\n  cgroup: service\n")
	passed := 0
	for _, block := range compose.SystemdDirectives() {
		if block.Block == "install" {
			continue // the generator reads it, and not systemd
		}
		fmt.Fprintf(&text, "  %s:\n", block.Block)
		for _, name := range block.Names {
			if name == "ListenStream" || name == "OnCalendar" {
				continue
			}
			fmt.Fprintf(&text, "    %s: ''\n", name) // as it was before any line
			passed++
		}
		switch block.Block {
		case "socket":
			text.WriteString("    ListenStream: '81'\n")
		case "timer":
			text.WriteString("    OnCalendar: daily\n")
		}
	}
	const out = "/run/directives-test"
	t.Cleanup(func() { os.RemoveAll(out) })
	must(t, "mkdir", "-p", out)
	place(t, definitions+"every.yaml", text.String())
	must(t, "unitc", "check", "-q", definitions+"every.yaml")
	must(t, generator, out)
	var units []string
	lines := 0
	for _, suffix := range []string{"service", "socket", "timer"} {
		unit := filepath.Join(out, "every."+suffix)
		units = append(units, unit)
		lines += strings.Count(file(t, unit), "=\n")
	}
	if passed < 250 || lines < passed {
		t.Fatalf("%d directives, %d lines without a value in the units", passed, lines)
	}
	said, _ := command(t, "systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...)
	var unknown []string
	for line := range strings.Lines(said) {
		if strings.Contains(line, out) && (strings.Contains(line, "Unknown ") || strings.Contains(line, "not supported in")) {
			unknown = append(unknown, strings.TrimSpace(line))
		}
	}
	version := systemdVersion(t)
	t.Logf("%d directives, of which systemd %d does not know %d", passed, version, len(unknown))
	switch {
	case version >= 262 && len(unknown) > 0: // the table is that version's
		t.Errorf("systemd %d says\n%s", version, strings.Join(unknown, "\n"))
	case version < 262 && (len(unknown) == 0 || len(unknown) > passed/3):
		t.Errorf("systemd %d says of %d of %d directives that it has none such", version, len(unknown), passed)
	}
}

// What systemd has for cgroups beyond numbers reaches the scope, too.
func TestDirectivesOfAScope(t *testing.T) {
	t.Parallel()
	directives := map[string]string{"SocketBindDeny": "any", "SocketBindAllow": "[tcp:8080, 'ipv6:udp:1000-1999']", "RestrictNetworkInterfaces": "~nosuch0"}
	want := []string{"SocketBindDeny=any", "SocketBindAllow=tcp:8080", "SocketBindAllow=ipv6:udp:1000-1999", "RestrictNetworkInterfaces=~nosuch0"}
	version := systemdVersion(t)
	if version >= 255 {
		directives["NFTSet"] = "cgroup:inet:nosuch:set"
		want = append(want, "NFTSet=cgroup:inet:nosuch:set")
	}
	if version >= 261 {
		directives["CPUPressureWatch"], directives["CPUPressureThresholdSec"] = "'on'", "150ms"
		// systemd writes down the name that its bus has, which it does not know in a file: it
		// forgets the value at a reload.
		want = append(want, "CPUPressureWatch=yes", "CPUPressureThresholdUSec=150000")
	}
	var list []string
	for name, value := range directives {
		list = append(list, name+": "+value)
	}
	c := scoped.defineProbe(t, "odd-limits", sleeper, "scope: {"+strings.Join(list, ", ")+"}").start()
	unit := file(t, "/run/systemd/transient/"+c.payloadUnit())
	for _, line := range want {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("%s is not in\n%s", line, unit)
		}
	}
}

// What the language takes as a value of a scope's directive systemd takes, and what it
// refuses systemd refuses.
//
//lab:once
func TestScopeValuesAreSystemds(t *testing.T) {
	version := systemdVersion(t)
	for _, c := range []struct {
		name   string
		values []string
	}{
		{"MemoryMax", []string{"64M", "1.5G", "67108864", "infinity", "50%", "100%", "101%", "0", "much", "-1", "64m", "64MB"}},
		{"MemoryLow", []string{"0", "0%", "1K", "x"}},
		{"MemorySwapMax", []string{"0", "1G", "200%"}},
		{"TasksMax", []string{"1", "0", "1.5", "10%", "infinity"}},
		{"CPUWeight", []string{"1", "10000", "0", "10001", "idle", "-1"}},
		{"IOWeight", []string{"1", "10000", "0", "10001"}},
		{"CPUQuota", []string{"1%", "250%", "0%", "50"}},
		{"CPUQuotaPeriodSec", []string{"10ms", "soon"}},
		{"AllowedCPUs", []string{"0", "0-1", "0,1", "x"}},
		{"DevicePolicy", []string{"auto", "closed", "strict", "open"}},
		{"DeviceAllow", []string{"/dev/null rw", "/dev/null", "char-pts rwm", "block-* r", "/etc/passwd r", "/dev/null x"}},
		{"IPAddressDeny", []string{"any", "localhost", "192.0.2.0/24", "2001:db8::1", "here", "192.0.2.0/33"}},
		{"IOReadBandwidthMax", []string{"/dev/null 5M", "/dev/null x", "null 5M"}},
		{"SocketBindDeny", []string{"any", "ipv4:tcp:1-2", "udp", "80", "0", "sctp:80", "2-1", "ipv6:any", "tcp:any", "70000"}},
		{"ManagedOOMPreference", []string{"none", "avoid", "omit", "no"}},
		{"ManagedOOMMemoryPressureLimit", []string{"50%", "101%", "x"}},
		{"OOMPolicy", []string{"continue", "kill", "never"}},
		{"RuntimeMaxSec", []string{"1h 30min", "infinity", "soon"}},
		{"MemoryAccounting", []string{"yes", "off", "T", "n", "maybe"}},
		{"MemoryPressureWatch", []string{"auto", "on", "ON", "y", "F", "skip", "never"}},
		{"CPUPressureWatch", []string{"auto", "1", "never"}},
		{"IOPressureWatch", []string{"no", "f", "never"}},
		{"CPUSetPartition", []string{"member", "root", "isolated", "none"}},
		{"KillMode", []string{"control-group", "mixed", "process", "none", "group"}},
		{"NFTSet", []string{"cgroup:inet:a:b", "address:inet:a:b", "cgroup:x:a:b", "cgroup:inet:a"}},
		{"BPFProgram", []string{"egress:/sys/fs/bpf/x", "egress", "x:/y"}},
	} {
		if version < 255 && (c.name == "NFTSet" || c.name == "MemoryPressureWatch" || c.name == "OOMPolicy") {
			continue
		}
		if version < 261 && (c.name == "CPUPressureWatch" || c.name == "IOPressureWatch" || c.name == "CPUSetPartition") {
			continue
		}
		for _, value := range c.values {
			_, _, err := busvalue.Of(c.name, value)
			said, status := command(t, "systemd-run", "--quiet", "--scope", "--property="+c.name+"="+value, "true")
			if (err == nil) != (status == 0) {
				t.Errorf("%s=%s: unitc says %v, systemd %d %s", c.name, value, err, status, said)
			}
		}
	}
}

// A limit that systemd would not take is no limit: the start is refused, and says where
// it stands, in either placement.
func TestLimitThatIsNone(t *testing.T) {
	for _, cgroup := range []string{"scope", "service"} {
		name := "no-limit-" + cgroup
		defineFor(t, name, sleeper+"systemd:\n  scope:\n    MemoryMax: much\n  cgroup: "+cgroup+"\n")
		checkFailsAtOnce(t, name+".service", []string{"/etc/unitc/" + name + `.yaml:5:16: error: systemd.scope.MemoryMax: "much" is not a size`})
	}
}

// Other definitions, and units of the host, wait for the end of one that says so.
func TestCompletedOutsideOfAProject(t *testing.T) {
	cleanReload(t)
	const job = "rootfs: host\ntmpfs: [/run/app]\ncommand: [sh, -c, 'echo begun; until test -e /run/app/go; do sleep 0.05; done; exit $$(cat /run/app/go)']\nsystemd: {notify: completed}\n"
	place(t, definitions+"alone-job.yaml", job)
	place(t, definitions+"alone-web.yaml", working+"depends_on: {alone-job: {condition: service_completed_successfully}}\n")
	place(t, "/run/systemd/system/alone-host.service", "[Unit]\nRequires=alone-job.service\nAfter=alone-job.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n")
	if said, status := command(t, "unitc", "check", "-q", "--strict"); status != 0 {
		t.Errorf("unitc check exits with %d: %s", status, said)
	}
	reload(t)
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "alone-web", "alone-job", "alone-host")
		command(t, "systemctl", "reset-failed", "alone-web", "alone-job", "alone-host")
	})
	finish := func(status string) {
		t.Helper()
		path := "/proc/" + property(t, "alone-job", "MainPID") + "/root/run/app/"
		if err := os.WriteFile(path+"new", []byte(status), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+"new", path+"go"); err != nil {
			t.Fatal(err)
		}
	}
	begin := func() {
		t.Helper()
		must(t, "systemctl", "start", "--no-block", "alone-web", "alone-host")
		await(t, "the job runs", func() bool { return strings.Contains(property(t, "alone-job", "StatusText"), "waiting for its end") })
		for _, unit := range []string{"alone-web", "alone-host"} {
			if state := property(t, unit, "ActiveState"); state != "inactive" {
				t.Errorf("the job runs, and %s is %s", unit, state)
			}
		}
	}
	begin()
	finish("3")
	await(t, "the job has failed", func() bool { return property(t, "alone-job", "ActiveState") == "failed" })
	await(t, "nobody waits for it", func() bool { return property(t, "alone-web", "Job") == "" || property(t, "alone-web", "Job") == "0" })
	if state := property(t, "alone-web", "ActiveState"); state != "inactive" {
		t.Errorf("the job has failed, and web is %s", state)
	}
	begin()
	finish("0")
	for _, unit := range []string{"alone-web", "alone-host"} {
		await(t, unit+" is there", func() bool { return property(t, unit, "ActiveState") == "active" })
	}
	if state := property(t, "alone-job", "SubState"); state != "exited" {
		t.Errorf("the job is %s", state)
	}
}

// `required: false` goes on without one that fails or is of a profile that nobody has
// chosen, and `restart: true` restarts with it.
func TestOptionalAndRestartingDependencies(t *testing.T) {
	cleanReload(t)
	const sleeps = "rootfs: host, init: true, command: [/bin/sleep, infinity]"
	place(t, definitions+"deps.yaml", `services:
  web: {`+sleeps+`, depends_on: {bad: {condition: service_healthy, required: false}, other: {condition: service_started, required: false}, gone: {condition: service_started, required: false}, db: {condition: service_started, restart: true}}}
  strict: {`+sleeps+`, depends_on: {bad: {condition: service_healthy}}}
  loose: {`+sleeps+`, depends_on: [db]}
  db: {`+sleeps+`}
  other: {`+sleeps+`, profiles: [never]}
  bad: {rootfs: host, command: ['false'], restart: 'no', systemd: {probe: {file: /nowhere}}}
`)
	reload(t)
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "deps.target", "deps-web", "deps-db", "deps-loose", "deps-strict", "deps-bad", "deps-other")
		command(t, "systemctl", "reset-failed", "deps-bad", "deps-strict")
	})
	must(t, "systemctl", "start", "deps-web", "deps-loose")
	if out, status := command(t, "systemctl", "start", "deps-strict"); status == 0 {
		t.Errorf("one that needs what fails has started: %s", out)
	}
	for unit, want := range map[string]string{"deps-web": "active", "deps-db": "active", "deps-bad": "failed", "deps-other": "inactive", "deps-strict": "inactive"} {
		if state := property(t, unit, "ActiveState"); state != want {
			t.Errorf("%s is %s, want %s", unit, state, want)
		}
	}
	web, loose := property(t, "deps-web", "InvocationID"), property(t, "deps-loose", "InvocationID")
	must(t, "systemctl", "restart", "deps-db")
	// Behind the start of what it depends on, for which systemctl waits, comes its own.
	await(t, "what has restart: true is restarted with it", func() bool {
		return property(t, "deps-web", "InvocationID") != web && property(t, "deps-web", "ActiveState") == "active"
	})
	if property(t, "deps-loose", "InvocationID") != loose {
		t.Error("one without it was restarted, too")
	}
}
