// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	definitions = "/etc/unitc/"
	generated   = "/run/systemd/generator.late/"
	generator   = "/usr/local/lib/systemd/system-generators/unitc-generator"

	yamlGenerator = "/usr/local/lib/unitc/unitc-generator-yaml"
)

// working is a definition that runs until it is stopped.
const working = "rootfs: host\ninit: true\ncommand: [/bin/sleep, infinity]\n"

// A broken definition still gives its unit; starting it fails at once, and
// `systemctl status` says where, what and what to do (issue 2; DESIGN §4).
func TestBrokenDefinitions(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"good.yaml", working)
	place(t, "/etc/systemd/system/native.service", "[Service]\nExecStart=/bin/true\n")
	reload(t)
	before := must(t, "systemctl", "cat", "good")

	for _, c := range []struct {
		unit, file, content string
		status              []string // what `systemctl status` says
	}{
		{"b-syntax", "b-syntax.yaml", "rootfs: host\ncommand: [a\n", []string{"/etc/unitc/b-syntax.yaml:", ": error: "}},
		{"b-key", "b-key.yaml", working + "comand: x\n", []string{"/etc/unitc/b-key.yaml:4:1: error: comand: unknown key; did you mean command?"}},
		{"b-type", "b-type.yaml", working + "cpus: [1]\n", []string{"/etc/unitc/b-type.yaml:4:7: error: cpus: "}},
		{"b-rootfs", "b-rootfs.yaml", "command: [/bin/true]\n", []string{"/etc/unitc/b-rootfs.yaml:1:1: error: ", "no root file system; write rootfs:"}},
		{"b-nodir", "b-nodir.yaml", "rootfs: /srv/nowhere\ncommand: [/bin/true]\n", []string{"/etc/unitc/b-nodir.yaml", "/srv/nowhere", "no such file or directory"}},
		{"b-dir", "b-dir.yaml/x", "", []string{"/etc/unitc/b-dir.yaml: error: a directory, not a file; write the definition into a file of this name"}},
		{"b-link", "b-link.yaml", "-> /var/nowhere.yaml", []string{"/etc/unitc/b-link.yaml: error: a link to /var/nowhere.yaml: no such file or directory; correct the link"}},
		{"b-laughs", "b-laughs.yaml", laughs(9) + working, []string{"/etc/unitc/b-laughs.yaml:", "aliases", "; "}},
		{"b-large", "b-large.yaml", strings.Repeat(laughs(9), 10<<20/len(laughs(9))), []string{"/etc/unitc/b-large.yaml: error: ", "more than the 1 MiB", "; keep data in files of their own"}},
		{"unitc-conflict-native", "native.yaml", working, []string{"/etc/unitc/native.yaml: error: the unit native.service exists already: /etc/systemd/system/native.service; rename the definition"}},
		{"sysinit-web", "sysinit.yaml", "services:\n  web: {rootfs: host, command: [/bin/true]}\n", []string{"/etc/unitc/sysinit.yaml: error: the unit sysinit.target exists already: /usr/lib/systemd/system/sysinit.target; rename the definition"}},
		{`b\x20name`, "b name.yaml", working, []string{"/etc/unitc/b name.yaml: error: ", "; rename the file"}},
		{"b-capitals", "b-capitals.YAML", working, []string{`/etc/unitc/b-capitals.YAML: error: the name of a definition ends in ".yaml"; rename it to b-capitals.yaml`}},
		{"b-drop-in", "b-drop-in.yaml.d/10-safe.conf", "read_only: true", []string{`/etc/unitc/b-drop-in.yaml.d/10-safe.conf: error: the name of a drop-in ends in ".yaml"; rename it to 10-safe.yaml`}},
		{"b-ending", "b-ending.yml", working, []string{`/etc/unitc/b-ending.yml: error: the name of a definition ends in ".yaml"; rename it to b-ending.yaml`}},
	} {
		t.Run(c.unit, func(t *testing.T) {
			cleanReload(t)
			path, _, _ := strings.Cut(c.file, "/")
			place(t, definitions+c.file, c.content)
			if strings.Contains(c.file, ".yaml.d/") {
				place(t, definitions+c.unit+".yaml", working)
			}
			t.Cleanup(func() { os.RemoveAll(definitions + path) })
			reload(t)
			checkFailsAtOnce(t, c.unit+".service", c.status)
			if after := must(t, "systemctl", "cat", "good"); after != before {
				t.Errorf("the neighbour changed:\n%s", after)
			}
		})
	}
	must(t, "systemctl", "start", "good")
	must(t, "systemctl", "stop", "good")
}

// Where the program that reads all of YAML is lost, what is plain still starts, and
// the rest says what to do.
func TestWithoutYAMLGenerator(t *testing.T) {
	cleanReload(t)
	const away = "/run/yaml-generator"
	must(t, "mv", yamlGenerator, away)
	back := sync.OnceFunc(func() { must(t, "mv", away, yamlGenerator) })
	t.Cleanup(back)
	place(t, definitions+"lost-plain.yaml", working)
	place(t, definitions+"lost-anchor.yaml", "x-a: &a infinity\nrootfs: host\ninit: true\ncommand: [/bin/sleep, *a]\n")
	reload(t)
	must(t, "systemctl", "start", "lost-plain")
	must(t, "systemctl", "stop", "lost-plain")
	checkFailsAtOnce(t, "lost-anchor.service", []string{"/etc/unitc/lost-anchor.yaml: error: ", yamlGenerator + ", which cannot be run: no such file or directory", "; make install, or install the package"})
	if f := examine(t, 1, "unitc", "doctor", "--json")["systemd/generator"]; f.State != "failed" || !strings.Contains(f.What, yamlGenerator) {
		t.Errorf("unitc doctor: %+v", f)
	}
	back()
	reload(t)
	must(t, "systemctl", "start", "lost-anchor")
	must(t, "systemctl", "stop", "lost-anchor")
}

func checkFailsAtOnce(t *testing.T, unit string, want []string) {
	t.Helper()
	if state := property(t, unit, "LoadState"); state != "loaded" {
		t.Fatalf("%s is %s", unit, state)
	}
	begin := time.Now()
	out, status := command(t, "systemctl", "start", unit)
	if status == 0 {
		t.Errorf("starting %s succeeded", unit)
	}
	if spent := time.Since(begin); spent > 5*time.Second {
		t.Errorf("starting %s took %v", unit, spent)
	}
	if result := property(t, unit, "Result"); result != "exit-code" {
		t.Errorf("the result of %s is %s:\n%s", unit, result, out)
	}
	must(t, "journalctl", "--sync")
	shown, _ := command(t, "systemctl", "status", "--full", unit)
	for _, text := range want {
		if !strings.Contains(shown, text) {
			t.Errorf("`systemctl status %s` does not say %q:\n%s", unit, text, shown)
		}
	}
	must(t, "systemctl", "reset-failed", unit)
}

// laughs is a mapping whose aliases expand to 10^depth values.
func laughs(depth int) string {
	var b strings.Builder
	b.WriteString("x-0: &a0 [ha]\n")
	for i := 1; i <= depth; i++ {
		fmt.Fprintf(&b, "x-%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10))
	}
	return b.String()
}

// What administrators do to any unit works on a generated one.
func TestAdministratorsVerbs(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"web.yaml", working)
	reload(t)
	if text := must(t, "systemctl", "cat", "web"); !strings.HasPrefix(text, "# "+generated+"web.service\n# Generated by unitc-generator from /etc/unitc/web.yaml\n") {
		t.Errorf("systemctl cat prints\n%s", text)
	}
	if source := property(t, "web", "SourcePath"); source != "/etc/unitc/web.yaml" {
		t.Errorf("SourcePath is %s", source)
	}

	t.Run("mask", func(t *testing.T) {
		must(t, "systemctl", "mask", "web")
		if state := property(t, "web", "LoadState"); state != "masked" {
			t.Errorf("web is %s", state)
		}
		if state := property(t, "unitc-conflict-web", "LoadState"); state != "not-found" {
			t.Errorf("the mask was taken for a unit of another kind")
		}
		must(t, "systemctl", "unmask", "web")
		if state := property(t, "web", "LoadState"); state != "loaded" {
			t.Errorf("web is %s", state)
		}
	})
	t.Run("edit", func(t *testing.T) {
		edit(t, "printf '[Service]\\nNice=7\\n' >", "web")
		t.Cleanup(func() { must(t, "systemctl", "revert", "web") })
		if nice := property(t, "web", "Nice"); nice != "7" {
			t.Errorf("Nice is %s", nice)
		}
	})
	t.Run("edit --full", func(t *testing.T) {
		edit(t, "sed -i s/TimeoutStopSec=10s/TimeoutStopSec=77s/", "--full", "web")
		t.Cleanup(func() { os.Remove("/etc/systemd/system/web.service"); reload(t) })
		reload(t)
		if timeout := property(t, "web", "TimeoutStopUSec"); timeout != "1min 17s" {
			t.Errorf("TimeoutStopUSec is %s", timeout)
		}
		if state := property(t, "unitc-conflict-web", "LoadState"); state != "not-found" {
			t.Errorf("the edited copy was taken for a unit of another kind")
		}
		must(t, "systemctl", "start", "web")
		must(t, "systemctl", "stop", "web")
	})
	t.Run("changed on disk", func(t *testing.T) {
		// The warning of systemctl looks at the time of SourcePath (G-10); a unit
		// that does not run may be loaded anew by the question.
		must(t, "systemctl", "start", "web")
		t.Cleanup(func() { must(t, "systemctl", "stop", "web") })
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(definitions+"web.yaml", later, later); err != nil {
			t.Fatal(err)
		}
		if need := property(t, "web", "NeedDaemonReload"); need != "yes" {
			t.Errorf("NeedDaemonReload is %s", need)
		}
	})
}

// edit runs `systemctl edit` with a shell command as the editor, whose last
// argument is the file; it asks for a terminal, which script(1) gives.
func edit(t *testing.T, editor string, args ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "editor")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nfor last; do :; done\n"+editor+" \"$last\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, "script", "-qec", "SYSTEMD_EDITOR="+path+" systemctl edit "+strings.Join(args, " "), "/dev/null")
}

// An instance's name is escaped, and systemd's own directories fail on that.
func TestInstances(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"worker@.yaml", working+"hostname: w-%i\n")
	reload(t)
	for _, instance := range []string{"1", `a\x2db`, "a:b"} {
		unit := "worker@" + instance + ".service"
		must(t, "systemctl", "start", unit)
		if description := property(t, unit, "Description"); description != "Container worker@"+instance {
			t.Errorf("the description is %s", description)
		}
		must(t, "systemctl", "stop", unit)
		if result := property(t, unit, "Result"); result != "success" {
			t.Errorf("the result of %s is %s", unit, result)
		}
		if _, err := os.Stat("/run/unitc/worker@" + instance); !os.IsNotExist(err) {
			t.Errorf("the state of %s is left: %v", unit, err)
		}
	}
}

// Two reloads at once, and runs of the generator in between, never show half a
// unit (G-16).
func TestTwoReloadsAtOnce(t *testing.T) {
	cleanReload(t)
	for i := range 30 {
		place(t, fmt.Sprintf("%sr%d.yaml", definitions, i), working+"restart: always\n")
	}
	reload(t)
	want, err := os.ReadFile(generated + "r7.service")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for _, args := range [][]string{{"systemctl", "daemon-reload"}, {"systemctl", "daemon-reload"}, {generator, generated}} {
		work.Go(func() {
			for range 10 {
				// The generator may find its directory gone under a reload.
				if out, status := command(t, args[0], args[1:]...); status != 0 && args[0] != generator {
					t.Errorf("%q exits with %d: %s", args, status, out)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	whole := 0
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		text, err := os.ReadFile(generated + "r7.service")
		switch {
		case os.IsNotExist(err):
		case err != nil || string(text) != string(want):
			t.Fatalf("half a unit: %v\n%s", err, text)
		default:
			whole++
		}
	}
	if whole == 0 {
		t.Error("no unit was seen")
	}
	reload(t)
	for i := range 30 {
		if state := property(t, fmt.Sprintf("r%d", i), "LoadState"); state != "loaded" {
			t.Errorf("r%d is %s", i, state)
		}
	}
}

// A container that nothing starts at boot stays loaded, before its start and after
// its stop, until its definition has gone; and it may be started by hand more often
// than five times in ten seconds.
func TestContainersStayLoaded(t *testing.T) {
	cleanReload(t)
	path := definitions + "staying.yaml"
	place(t, path, working)
	reload(t)
	loaded := func() bool {
		return strings.Contains(must(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "staying.service"), "staying.service loaded ")
	}
	if !loaded() {
		t.Fatalf("systemd has not loaded it, where its slice is\n%s", must(t, "systemctl", "cat", "--", "-.slice"))
	}
	for range 8 {
		must(t, "systemctl", "start", "staying")
		must(t, "systemctl", "stop", "staying")
	}
	if !loaded() {
		t.Error("systemd has forgotten it after a stop")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	reload(t)
	if loaded() {
		t.Error("it is loaded without a definition")
	}
}
