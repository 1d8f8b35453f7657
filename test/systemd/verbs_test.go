// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// awaitText asks until the answer is the wanted one.
func awaitText(t *testing.T, what, want string, ask func() string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = ask(); got == want {
			return
		}
	}
	t.Fatalf("%s is %q after a minute, not %q", what, got, want)
}

func stateOf(t *testing.T, name string) string {
	t.Helper()
	return list(t, "unitc", "ps", "-a", "--json", name)[name].State
}

// What is signalled and frozen is the payload, and systemd knows of it.
func TestSignalsAndFreezer(t *testing.T) {
	defineFor(t, "verb-kill", "rootfs: host\ncommand: [/bin/sh, -c, 'trap \"exit 7\" USR1; trap exit TERM; while :; do sleep 0.01; done']\n")
	defineFor(t, "verb-inside", sleeper+"systemd: {cgroup: service}\n")
	must(t, "systemctl", "start", "verb-kill", "verb-inside")

	for _, name := range []string{"verb-kill", "verb-inside"} {
		must(t, "unitc", "pause", name)
		if got := stateOf(t, name); got != "paused" {
			t.Errorf("a paused container is %s", got)
		}
		must(t, "unitc", "unpause", name)
		if got := stateOf(t, name); got != "running" {
			t.Errorf("after unpause it is %s", got)
		}
	}

	wait := exec.Command("unitc", "wait", "verb-kill")
	out, err := wait.StdoutPipe()
	if err == nil {
		err = wait.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer wait.Process.Kill()
	must(t, "unitc", "kill", "-s", "USR1", "verb-kill")
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "7\n" {
		t.Errorf("wait says %q, want the payload's exit status 7", line)
	}
	if err := wait.Wait(); err != nil {
		t.Error(err)
	}
	awaitText(t, "the state", "failed", func() string { return stateOf(t, "verb-kill") })
	if got := must(t, "unitc", "wait", "verb-kill"); got != "7\n" {
		t.Errorf("wait for one that has ended says %q", got)
	}
	must(t, "unitc", "kill", "--all", "verb-inside")
	if got := must(t, "unitc", "wait", "verb-inside"); got != "137\n" {
		t.Errorf("after SIGKILL wait says %q", got)
	}

	if out, status := command(t, "unitc", "kill", "verb-kill"); status != 1 || !strings.Contains(out, "is not running (failed)") {
		t.Errorf("kill of one that has failed: %d\n%s", status, out)
	}
	if out, status := command(t, "unitc", "pause", "dbus"); status != 3 || !strings.Contains(out, "not a unit of unitc's") {
		t.Errorf("a unit of others: %d\n%s", status, out)
	}
}

// The name of a project is those of its containers that run: its networks are units
// too, and services of other profiles stay as they are.
//
//lab:once
func TestVerbsOfAProject(t *testing.T) {
	defineFor(t, "verb-blog", `services:
  db: {rootfs: host, init: true, command: [sleep, infinity], networks: [default, back], ports: ["127.0.0.1:18610:80"]}
  web: {rootfs: host, init: true, command: [sleep, infinity], networks: [default, back], ports: ["127.0.0.1:18611:80"]}
  job: {rootfs: host, command: ["false"], profiles: [jobs]}
networks: {back: {}}
`)
	place(t, definitions+"verb-of@.yaml", sleeper)
	reload(t)
	t.Cleanup(func() { must(t, "systemctl", "stop", "verb-blog.target", "verb-blog-db", "verb-blog-web", "verb-of@1") })
	must(t, "systemctl", "start", "verb-blog.target", "verb-blog-db", "verb-blog-web", "verb-of@1")
	for _, argv := range [][]string{{"pause"}, {"unpause"}, {"kill", "-s", "WINCH"}} {
		if out := must(t, "unitc", append(argv, "verb-blog.target")...); out != "verb-blog-db\nverb-blog-web\n" {
			t.Errorf("%v says\n%s", argv, out)
		}
	}
	if out := must(t, "unitc", "why", "verb-blog"); strings.Contains(out, "network") {
		t.Errorf("why says\n%s", out)
	}
	if out := must(t, "unitc", "ps", "-q", "verb-blog.target"); out != "verb-blog-db\nverb-blog-job\nverb-blog-web\n" {
		t.Errorf("ps lists\n%s", out)
	}
	if out := must(t, "unitc", "port", "verb-blog"); out != "verb-blog-db 80/tcp -> 127.0.0.1:18610\nverb-blog-web 80/tcp -> 127.0.0.1:18611\n" {
		t.Errorf("port says\n%s", out)
	}
	if out := must(t, "unitc", "port", "--json", "verb-blog"); strings.Count(out, `"container": "verb-blog-`) != 2 {
		t.Errorf("port says\n%s", out)
	}
	if out, status := command(t, "unitc", "exec", "verb-blog", "true"); status != 125 || !strings.Contains(out, "is a project of 3 services") {
		t.Errorf("exec: %d, %s", status, out)
	}
	if out, status := command(t, "unitc", "update", "--dry-run", "verb-blog"); status != 2 || !strings.Contains(out, "has no x-update:") {
		t.Errorf("update: %d, %s", status, out)
	}
	if out, status := command(t, "unitc", "exec", "verb-of@1", "/etc"); status != 126 || !strings.Contains(out, `may not run "/etc"`) || strings.Contains(out, "as root") {
		t.Errorf("exec of a directory: %d, %s", status, out)
	}
	// An instance that was never started has a state too.
	if out := must(t, "unitc", "inspect", "verb-of@2"); !strings.Contains(out, `"name": "verb-of@2"`) || !strings.Contains(out, `"state": "stopped"`) {
		t.Errorf("inspect says %s", out)
	}
	must(t, "systemctl", "stop", "verb-blog-db", "verb-blog-web")
	if out, status := command(t, "unitc", "pause", "verb-blog"); status != 1 || strings.Count(out, "is not running") != 3 {
		t.Errorf("pause of one of which nothing runs: %d\n%s", status, out)
	}
}

// Who may not see what was launched is told so, and not that nothing differs or runs.
//
//lab:once
func TestWhoSeesNothing(t *testing.T) {
	defineFor(t, "verb-unseen", sleeper)
	must(t, "systemctl", "start", "verb-unseen")
	for _, verb := range []string{"diff", "apply"} {
		if out, status := command(t, "setpriv", asNobody(verb)...); status != 4 || !strings.Contains(out, "run it as root") {
			t.Errorf("%s: %d, %s", verb, status, out)
		}
	}
	if out, status := command(t, "setpriv", asNobody("stats")...); status != 0 || !strings.Contains(out, "verb-unseen") {
		t.Errorf("stats: %d, %s", status, out)
	}
}

//lab:once
func TestKillNeedsRoot(t *testing.T) {
	defineFor(t, "verb-denied", sleeper)
	must(t, "systemctl", "start", "verb-denied")
	out, status := command(t, "setpriv", asNobody("kill", "verb-denied")...)
	if status != 4 || !strings.Contains(out, "run it as root") {
		t.Errorf("exit status %d, want 4:\n%s", status, out)
	}
	if got := stateOf(t, "verb-denied"); got != "running" {
		t.Errorf("it is %s all the same", got)
	}
}

// What runs is told from what was launched, also when the file says otherwise
// by now.
func TestStatsAndInspect(t *testing.T) {
	defineFor(t, "verb-stats", sleeper+"environment: {WHICH: first}\n")
	must(t, "systemctl", "start", "verb-stats")
	place(t, "/etc/unitc/verb-stats.yaml.d/10-other.yaml", "rootfs: /srv/other\nenvironment: {WHICH: second}\n")
	must(t, "systemctl", "daemon-reload")
	if got := list(t, "unitc", "ps", "--json")["verb-stats"].Image; got != "rootfs:host" {
		t.Errorf("the image that runs is %s", got)
	}
	var found []struct {
		MainPID   int `json:"main_pid"`
		Processes []int
		Cgroup    string
		Launched  struct {
			RootFS      string
			Environment []struct{ Name, Value string }
		}
		Plan struct{ Unit string }
	}
	out := must(t, "unitc", "inspect", "verb-stats")
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) != 1 {
		t.Fatalf("%v in\n%s", err, out)
	}
	i := found[0]
	if i.MainPID == 0 || len(i.Processes) == 0 || !strings.HasSuffix(i.Cgroup, "/unitc.slice/unitc-verb-stats.scope") ||
		i.Launched.RootFS != "host" || len(i.Launched.Environment) != 1 || i.Launched.Environment[0].Value != "first" || i.Plan.Unit != "verb-stats.service" {
		t.Errorf("inspect says\n%s", out)
	}
	if out := must(t, "setpriv", asNobody("inspect", "verb-stats")...); strings.Contains(out, "WHICH") {
		t.Errorf("another user reads variables:\n%s", out)
	}

	var samples []struct {
		Name string
		Pids int
		CPU  *int64 `json:"cpu_usec"`
	}
	out = must(t, "unitc", "stats", "--no-stream", "--json", "verb-stats")
	if err := json.Unmarshal([]byte(out), &samples); err != nil || len(samples) != 1 || samples[0].Pids < 1 || samples[0].CPU == nil {
		t.Errorf("%v: stats say\n%s", err, out)
	}
	// The stream goes on, and ends with its reader.
	cmd := exec.Command("unitc", "stats", "--json", "-i", "100ms", "verb-stats")
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	lines := bufio.NewScanner(pipe)
	for n := range 3 {
		if !lines.Scan() || !strings.Contains(lines.Text(), `"verb-stats"`) {
			t.Errorf("line %d is %q", n, lines.Text())
		}
	}
	pipe.Close()
	cmd.Wait()
	if !watchdog.Stop() {
		t.Error("stats go on without a reader")
	}
}

func TestEvents(t *testing.T) {
	defineFor(t, "verb-events", "rootfs: host\ncommand: [/bin/sh, -c, exit 5]\n")
	cmd := exec.Command("unitc", "events", "--json")
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer watchdog.Stop()
	defer cmd.Wait()
	defer cmd.Process.Kill()
	// Whether journalctl follows already cannot be seen: it is started until an
	// event comes.
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			exec.Command("systemctl", "restart", "verb-events").Run()
			select {
			case <-done:
				return
			case <-time.After(time.Second):
			}
		}
	}()
	lines := bufio.NewScanner(pipe)
	exited := false
	var started time.Time
	for lines.Scan() {
		var e struct {
			Name, Event string
			ExitStatus  *int `json:"exit_status"`
			Time        time.Time
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		if e.Name != "verb-events" {
			continue
		}
		// Following may begin in the middle of a start.
		switch e.Event {
		case "starting":
			started = e.Time
		case "exited":
			exited = !started.IsZero() && e.ExitStatus != nil && *e.ExitStatus == 5
		case "failed":
			if exited {
				cmd.Process.Kill()
			}
		}
	}
	if !exited {
		t.Error("no start and then an exit with 5")
	}
}

// Files go in as the container's root's, with the ids that it has on the host,
// and come out as the caller's.
//
//lab:once
func TestCopyInAndOut(t *testing.T) {
	defineFor(t, "verb-cp", sleeper+"tmpfs: [/data]\nvolumes: ['/run/verb-cp:/mnt']\n")
	defineFor(t, "verb-cp-host", sleeper+"userns_mode: host\ntmpfs: [/data]\n")
	place(t, "/run/verb-cp/in/sub/file", "content\n")
	must(t, "systemctl", "start", "verb-cp", "verb-cp-host")
	for _, name := range []string{"verb-cp", "verb-cp-host"} {
		must(t, "unitc", "cp", "/run/verb-cp/in", name+":/data")
		pid := property(t, name+".service", "MainPID")
		// Root inside owns it, in the container's own words.
		ids := strings.Fields(must(t, "awk", "NR==1{print $2}", "/proc/"+pid+"/uid_map"))[0]
		if got := must(t, "stat", "-c", "%u", "/proc/"+pid+"/root/data/in/sub/file"); got != ids+"\n" {
			t.Errorf("%s: the file belongs to %s, root inside is %s", name, got, ids)
		}
		out := t.TempDir()
		must(t, "unitc", "cp", name+":/data/in/.", out)
		if got := must(t, "stat", "-c", "%u", out+"/sub/file"); got != "0\n" {
			t.Errorf("%s: what came out belongs to %s", name, got)
		}
		if got := must(t, "cat", out+"/sub/file"); got != "content\n" {
			t.Errorf("%s: what came out is %q", name, got)
		}
		if got := must(t, "sh", "-c", "unitc cp "+name+":/data/in - | tar -tf -"); got != "in/\nin/sub/\nin/sub/file\n" {
			t.Errorf("%s: the tar has\n%s", name, got)
		}
		must(t, "sh", "-c", "tar -C /run/verb-cp/in -cf - sub | unitc cp - "+name+":/data")
		must(t, "test", "-f", "/proc/"+pid+"/root/data/sub/file")
	}
	// Into a volume of the host, and from one container into another.
	must(t, "unitc", "cp", "/run/verb-cp/in/sub/file", "verb-cp:/mnt/new")
	must(t, "unitc", "cp", "verb-cp:/data/in/sub/file", "verb-cp-host:/data/other")
	if out, status := command(t, "unitc", "cp", "/run/verb-cp/in", "verb-cp:/usr"); status != 1 || !strings.Contains(out, "read-only") {
		t.Errorf("into a read-only place: %d\n%s", status, out)
	}
	if out, status := command(t, "unitc", "cp", "verb-cp:/no/such", "/tmp"); status != 1 || !strings.Contains(out, "verb-cp:/no/such: no such file") {
		t.Errorf("a file that is not there: %d\n%s", status, out)
	}
	must(t, "systemctl", "stop", "verb-cp")
	if out, status := command(t, "unitc", "cp", "verb-cp:/data", "/tmp"); status != 1 || !strings.Contains(out, "is not running") {
		t.Errorf("out of one that does not run: %d\n%s", status, out)
	}
}
