// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

type differs struct {
	Name, Effort string
	Removed      bool
	Changes      []struct{ Field, Running, File, Effort string }
}

func difference(t *testing.T, name string) differs {
	t.Helper()
	var list []differs
	out := must(t, "unitc", "diff", "--json", name)
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v in\n%s", err, out)
	}
	return list[0]
}

func mainPID(t *testing.T, name string) string {
	t.Helper()
	return property(t, name+".service", "MainPID")
}

// Limits change in a container that goes on, and hold through reloads; what
// cannot be changed in it takes a restart, and nothing takes more than it must.
func TestDiffAndApply(t *testing.T) {
	const path = "/etc/unitc/verb-apply.yaml"
	rewrite := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(sleeper+text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	defineFor(t, "verb-apply", sleeper+"mem_limit: 64m\ncpus: 0.5\n")
	defineFor(t, "verb-other", sleeper)
	leavesNothing(t, func() {
		must(t, "systemctl", "start", "verb-apply", "verb-other")
		if out := must(t, "unitc", "diff", "--exit-code"); out != "" {
			t.Errorf("what was just started differs:\n%s", out)
		}
		pid, other := mainPID(t, "verb-apply"), mainPID(t, "verb-other")

		rewrite("mem_limit: 128m\npids_limit: 50\nrestart: on-failure\n")
		d := difference(t, "verb-apply")
		if d.Effort != "live" || len(d.Changes) != 4 {
			t.Errorf("%+v", d)
		}
		// A file that is broken by now keeps no other from being compared.
		place(t, "/etc/unitc/verb-other.yaml", sleeper+"comand: x\n")
		if out, status := command(t, "unitc", "diff"); status != 0 || !strings.Contains(out, "mem_limit") || !strings.Contains(out, "verb-other would not start") {
			t.Errorf("beside a broken definition: %d\n%s", status, out)
		}
		place(t, "/etc/unitc/verb-other.yaml", sleeper)
		if _, status := command(t, "unitc", "diff", "--exit-code"); status != 1 {
			t.Errorf("exit status %d with a difference, want 1", status)
		}
		must(t, "unitc", "apply")
		for name, want := range map[string]string{"MemoryMax": "134217728", "TasksMax": "50", "CPUQuotaPerSecUSec": "infinity"} {
			if got := property(t, "unitc-verb-apply.scope", name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
		if got := property(t, "verb-apply.service", "Restart"); got != "on-failure" {
			t.Errorf("Restart is %s", got)
		}
		must(t, "systemctl", "daemon-reload")
		if got := property(t, "unitc-verb-apply.scope", "MemoryMax"); got != "134217728" {
			t.Errorf("after another reload MemoryMax is %s", got)
		}
		if d := difference(t, "verb-apply"); d.Effort != "" {
			t.Errorf("after apply it still differs: %+v", d)
		}
		if got := mainPID(t, "verb-apply"); got != pid {
			t.Errorf("it was restarted: %s, before %s", got, pid)
		}

		// What is written of them is whole, or not there.
		const limits = "/run/systemd/transient/unitc-verb-apply.scope.d"
		names := func() string {
			t.Helper()
			items, err := os.ReadDir(limits)
			if err != nil {
				t.Error(err)
			}
			var list []string
			for _, item := range items {
				// The limits that a scope was made with are systemd's own files.
				if name := item.Name(); name == "50-unitc.conf" || !strings.HasSuffix(name, ".conf") {
					list = append(list, name)
				}
			}
			return strings.Join(list, " ")
		}
		if got := names(); got != "50-unitc.conf" {
			t.Errorf("apply has left %s", got)
		}
		if err := errors.Join(os.Rename(limits+"/50-unitc.conf", limits+"/kept"), os.MkdirAll(limits+"/50-unitc.conf/full", 0o755)); err != nil {
			t.Fatal(err)
		}
		if out, status := command(t, "unitc", "update-limits", "verb-apply", "mem_limit=48m"); status != 1 || names() != "50-unitc.conf kept" {
			t.Errorf("limits that can't be written: %d, left are %s\n%s", status, names(), out)
		}
		if err := errors.Join(os.RemoveAll(limits+"/50-unitc.conf"), os.Rename(limits+"/kept", limits+"/50-unitc.conf")); err != nil {
			t.Fatal(err)
		}

		// By hand, until it stops.
		must(t, "unitc", "update-limits", "verb-apply", "mem_limit=32m")
		if got := property(t, "unitc-verb-apply.scope", "MemoryMax"); got != "33554432" {
			t.Errorf("after update-limits MemoryMax is %s", got)
		}
		if d := difference(t, "verb-apply"); d.Effort != "live" || len(d.Changes) != 1 || d.Changes[0].Running != "32m" {
			t.Errorf("after update-limits it is %+v", d)
		}
		if out, status := command(t, "unitc", "update-limits", "verb-apply", "mem_limt=1m"); status != 2 || !strings.Contains(out, "did you mean mem_limit") {
			t.Errorf("a mistyped limit: %d\n%s", status, out)
		}
		if out, status := command(t, "unitc", "update-limits", "verb-apply", "mem_limit=much"); status != 1 || !strings.Contains(out, "mem_limit") {
			t.Errorf("a wrong limit: %d\n%s", status, out)
		}

		rewrite("mem_limit: 128m\npids_limit: 50\nenvironment: {A: b}\n")
		if d := difference(t, "verb-apply"); d.Effort != "restart" {
			t.Errorf("%+v", d)
		}
		must(t, "unitc", "apply", "--no-restart")
		if got := mainPID(t, "verb-apply"); got != pid {
			t.Error("apply --no-restart restarts")
		}
		if got := property(t, "unitc-verb-apply.scope", "MemoryMax"); got != "134217728" {
			t.Errorf("after apply --no-restart MemoryMax is %s", got)
		}
		must(t, "unitc", "apply", "verb-apply")
		if got := mainPID(t, "verb-apply"); got == pid || got == "0" {
			t.Errorf("after apply its process is %s, before %s", got, pid)
		}
		if got := mainPID(t, "verb-other"); got != other {
			t.Error("a container that does not differ was restarted")
		}
		if _, err := os.Stat("/run/systemd/transient/unitc-verb-apply.scope.d"); err == nil {
			t.Error("the limits of the scope before are still there")
		}

		// Other ids make it another container.
		rewrite("userns_mode: host\n")
		if d := difference(t, "verb-apply"); d.Effort != "recreate" {
			t.Errorf("%+v", d)
		}
		must(t, "unitc", "apply", "verb-apply")
		if got := strings.Fields(file(t, "/proc/"+mainPID(t, "verb-apply")+"/uid_map")); got[1] != "0" {
			t.Errorf("after apply its root is %s on the host", got[1])
		}

		// What would not start is not stopped.
		pid = mainPID(t, "verb-apply")
		rewrite("devices: [/dev/no-such-device]\n")
		if out, status := command(t, "unitc", "apply", "verb-apply"); status != 1 || !strings.Contains(out, "would not start") {
			t.Errorf("apply of what would not start: %d\n%s", status, out)
		}
		if got := mainPID(t, "verb-apply"); got != pid {
			t.Error("it was ended all the same")
		}
		must(t, "systemctl", "stop", "verb-apply", "verb-other")
	})
}

func TestLimitsPersist(t *testing.T) {
	defineFor(t, "verb-persist", sleeper+"mem_limit: 64m\n")
	t.Cleanup(func() { os.RemoveAll("/etc/unitc/verb-persist.yaml.d") })
	must(t, "systemctl", "start", "verb-persist")
	must(t, "unitc", "update-limits", "--persist", "verb-persist", "mem_limit=96m")
	must(t, "unitc", "update-limits", "--persist", "verb-persist", "pids_limit=77")
	if d := difference(t, "verb-persist"); d.Effort != "" {
		t.Errorf("what is kept differs: %+v", d)
	}
	must(t, "systemctl", "restart", "verb-persist")
	for name, want := range map[string]string{"MemoryMax": "100663296", "TasksMax": "77"} {
		if got := property(t, "unitc-verb-persist.scope", name); got != want {
			t.Errorf("after a restart %s is %s, want %s", name, got, want)
		}
	}
	must(t, "systemctl", "stop", "verb-persist")
	if out, status := command(t, "unitc", "update-limits", "verb-persist", "cpus=1"); status != 1 || !strings.Contains(out, "is not running") {
		t.Errorf("limits of what does not run: %d\n%s", status, out)
	}
}

// A network stays as it was made while somebody is in it. diff and a start say so;
// apply has all leave it and come back, and what stops with them, or leaves all as
// it is: nothing is stopped that was not named, or could not start again.
//
//lab:once
func TestNetworkThatHasChanged(t *testing.T) {
	service := "    " + strings.ReplaceAll(strings.TrimSuffix(sleeper, "\n"), "\n", "\n    ") + "\n"
	project := func(subnet, address string) string {
		return "services:\n  web:\n" + service + "    networks: {front: {" + address + "}, verb-lan: {}}\n  db:\n" + service + "    networks: [front]\n" +
			"networks: {front: {ipam: {config: [{subnet: " + subnet + "}]}}, verb-lan: {external: true}}\n"
	}
	place(t, "/etc/unitc/verb-lan.network.yaml", "ipam: {config: [{subnet: 198.51.100.0/24}]}\n")
	defineFor(t, "verb-net", project("192.0.2.0/24", ""), "verb-net.target", "verb-net-web.service", "verb-net-db.service")
	// It goes with verb-net-db, is in no network of it and has to come back.
	defineFor(t, "verb-follows", sleeper+"network_mode: none\nsystemd: {unit: {Requires: verb-net-db.service, After: verb-net-db.service}}\n")
	leavesNothing(t, func() {
		must(t, "systemctl", "start", "verb-net.target", "verb-follows")
		if out := must(t, "unitc", "diff", "--exit-code"); out != "" {
			t.Errorf("what was just started differs:\n%s", out)
		}
		place(t, "/etc/unitc/verb-net.yaml", project("203.0.113.0/24", "ipv4_address: 203.0.113.9"))
		place(t, "/etc/unitc/verb-lan.network.yaml", "internal: true\nipam: {config: [{subnet: 198.51.100.0/24}]}\n")
		out, _ := command(t, "unitc", "diff")
		for _, want := range []string{"networks.verb-net_front.ipv4", "192.0.2.0/24", "203.0.113.0/24", "networks.verb-lan.internal", "restart of verb-net-db verb-net-web"} {
			if !strings.Contains(out, want) {
				t.Errorf("diff does not say %q:\n%s", want, out)
			}
		}
		pids := func() string {
			return mainPID(t, "verb-net-web") + " " + mainPID(t, "verb-net-db") + " " + mainPID(t, "verb-follows")
		}
		before := pids()
		for _, c := range []struct {
			words []string
			want  string
		}{
			{[]string{"verb-net-web"}, "verb-net_front stays as it was made: verb-net-db is in it, too; unitc apply verb-net-db verb-net-web"},
			{[]string{"--no-restart"}, "verb-net_front stays as it was made: it takes a restart of verb-net-db verb-net-web"},
			{[]string{"--dry-run"}, "restart of verb-net-db verb-net-web"},
		} {
			if out, _ := command(t, "unitc", append([]string{"apply"}, c.words...)...); !strings.Contains(out, c.want) || pids() != before {
				t.Errorf("apply %s:\n%s", c.words, out)
			}
		}
		if out, status := command(t, "systemctl", "restart", "verb-net-web"); status == 0 {
			t.Errorf("it starts: %s", out)
		}
		if got := property(t, "verb-net-web.service", "StatusText"); !strings.Contains(got, "before its definition changed; stop all that is in it: systemctl stop verb-net-db") {
			t.Errorf("the start says %s", got)
		}
		// A restart of the only one that is in it is enough.
		must(t, "systemctl", "restart", "verb-net-db")
		must(t, "systemctl", "start", "verb-net-web")
		if got := must(t, "unitc", "network", "inspect", "verb-net_front"); !strings.Contains(got, "203.0.113.9") {
			t.Errorf("the network is\n%s", got)
		}
		place(t, "/etc/unitc/verb-net.yaml", project("192.0.2.0/24", ""))
		must(t, "systemctl", "daemon-reload")
		must(t, "systemctl", "restart", "verb-net-web")
		if log := must(t, "journalctl", "-b", "-o", "cat", "-u", "verb-net-web"); !strings.Contains(log, "has ipv4 203.0.113.0/24, and not 192.0.2.0/24") {
			t.Errorf("the journal has\n%s", log)
		}

		// One that would not start again keeps the others where they are.
		must(t, "systemctl", "stop", "verb-net.target", "verb-net-web", "verb-net-db", "verb-follows") // of parts nobody waits
		must(t, "systemctl", "start", "verb-net.target", "verb-follows")
		before = pids()
		place(t, "/etc/unitc/verb-net.yaml", strings.Replace(project("203.0.113.0/24", "ipv4_address: 203.0.113.9"), "networks: [front]", "networks: [front]\n    devices: [/dev/no-such-device]", 1))
		if out, status := command(t, "unitc", "apply"); status != 1 || !strings.Contains(out, "verb-net-db is in it and would not start again") || !strings.Contains(out, "cannot give 203.0.113.9") || pids() != before {
			t.Errorf("apply with one that would not start: %d\n%s", status, out)
		}

		place(t, "/etc/unitc/verb-net.yaml", project("203.0.113.0/24", "ipv4_address: 203.0.113.9"))
		out = must(t, "unitc", "apply")
		if !strings.Contains(out, "To make the network verb-net_front anew") || !strings.Contains(out, "these stop and start again: verb-follows.service verb-net-db.service verb-net-web.service") {
			t.Errorf("apply says\n%s", out)
		}
		after := pids()
		for i, pid := range strings.Fields(after) {
			if pid == "0" || pid == strings.Fields(before)[i] {
				t.Errorf("the processes are %s, before %s", after, before)
			}
		}
		if got := must(t, "unitc", "network", "inspect", "verb-net_front"); !strings.Contains(got, "203.0.113.9") {
			t.Errorf("the network is\n%s", got)
		}
		if out := must(t, "unitc", "diff", "--exit-code"); out != "" {
			t.Errorf("what was made anew differs:\n%s", out)
		}
		must(t, "systemctl", "stop", "verb-net.target", "verb-net-web", "verb-net-db", "verb-follows") // of parts nobody waits
	})
}

// An image of the same files with another command is another image.
//
//lab:once
func TestDiffOfAnImageWithOtherWords(t *testing.T) {
	root, archive := t.TempDir(), t.TempDir()+"/root.tar"
	if _, err := os.Stat("/var/lib/unitc"); os.IsNotExist(err) {
		t.Cleanup(func() { must(t, "rm", "-rf", "/var/lib/unitc") })
	}
	must(t, "sh", "-c", `mkdir "$1/bin" && cp /usr/bin/busybox "$1/bin" && chmod 755 "$1" && tar -C "$1" -cf "$2" .`, "sh", root, archive)
	load := func(seconds string) {
		t.Helper()
		must(t, "unitc", "load", "-q", "--rootfs", "--name", "localhost/verb-words:1", "--cmd", "/bin/busybox", "--cmd", "sleep", "--cmd", seconds, archive)
	}
	load("1000")
	t.Cleanup(func() { command(t, "unitc", "rmi", "--force", "localhost/verb-words:1"); command(t, "unitc", "prune") })
	defineFor(t, "verb-words", "image: localhost/verb-words:1\ninit: true\nnetwork_mode: none\n")
	must(t, "systemctl", "start", "verb-words")
	load("1000")
	if out := must(t, "unitc", "diff", "--exit-code", "verb-words"); out != "" {
		t.Errorf("the same image differs:\n%s", out)
	}
	load("2000")
	if d := difference(t, "verb-words"); d.Effort != "recreate" || len(d.Changes) != 1 || d.Changes[0].Field != "image" {
		t.Errorf("%+v", d)
	}
	must(t, "unitc", "apply", "verb-words")
	if out := must(t, "unitc", "diff", "--exit-code", "verb-words"); out != "" {
		t.Errorf("after apply it differs:\n%s", out)
	}
}
