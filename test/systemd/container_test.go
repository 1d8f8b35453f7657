// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for something that takes a moment on an idle
// machine: the build machine may be busy.
const patience = 60 * time.Second

// placement is where the payload's cgroup is and how its output travels.
type placement struct{ cgroup, driver string }

var (
	scoped     = placement{"scope", "journald"} // the default
	placements = []placement{scoped, {"scope", "direct"}, {"service", "journald"}, {"service", "direct"}}
)

func (p placement) String() string { return p.cgroup + "-" + p.driver }

// everywhere runs a test in all placements at once.
func everywhere(t *testing.T, test func(t *testing.T, p placement)) {
	for _, p := range placements {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// container is one definition, placed and read by systemd.
type container struct {
	t    *testing.T
	name string
	placement
}

// fresh is a name that no run of the test before has had (-test.count): the journal
// keeps what containers of that name have said.
func fresh(name string) string {
	freshNames.Lock()
	defer freshNames.Unlock()
	n := freshNames.given[name] + 1
	freshNames.given[name] = n
	if n == 1 {
		return name
	}
	return name + "-" + strconv.Itoa(n)
}

var freshNames = struct {
	sync.Mutex
	given map[string]int
}{given: map[string]int{}}

// define writes NAME-PLACEMENT.yaml, or NAME-PLACEMENT@.yaml, and has systemd read it; directives are
// lines of the unit's [Service] section that no definition may set.
func (p placement) define(t *testing.T, name, definition string, directives ...string) *container {
	t.Helper()
	c := &container{t: t, name: name + "-" + p.String(), placement: p}
	if prefix, isTemplate := strings.CutSuffix(name, "@"); isTemplate {
		c.name = prefix + "-" + p.String() + "@"
	}
	text := fmt.Sprintf("%s\nlogging: {driver: %s}\nsystemd: {cgroup: %s}\n", strings.TrimSpace(definition), p.driver, p.cgroup)
	cleanReload(t)
	place(t, "/etc/unitc/"+c.name+".yaml", text)
	if len(directives) > 0 {
		dir := "/run/systemd/system/" + c.unit() + ".d"
		t.Cleanup(func() { os.RemoveAll(dir) })
		place(t, dir+"/test.conf", "[Service]\n"+strings.Join(directives, "\n")+"\n")
	}
	t.Cleanup(c.end)
	reload(t)
	return c
}

// end stops the container, or all instances of a template, without the grace
// period. It runs while the definition is still there: a unit that lost its
// file has lost its clean-up with it (G-8).
func (c *container) end() {
	names := c.name
	if strings.HasSuffix(names, "@") {
		names += "*"
	}
	c.instance(c.t, strings.TrimPrefix(names, c.name)).kill()
	must(c.t, "systemctl", "stop", "--", names+".service")
	command(c.t, "systemctl", "reset-failed", "--", names+".service")
	if c.t.Failed() {
		out, _ := command(c.t, "journalctl", "--no-pager", "-n", "160", "-o", "short-precise", "-u", names+".service")
		c.t.Logf("the journal of %s:\n%s", c.name, out)
	}
}

// kill ends what runs in the payload's cgroup, whose name may be a pattern.
func (c *container) kill() {
	leaves, _ := filepath.Glob("/sys/fs/cgroup" + c.leaf())
	for _, leaf := range leaves {
		_ = os.WriteFile(leaf+"/cgroup.kill", []byte("1"), 0) // it may be gone by now
	}
}

func (c *container) unit() string { return c.name + ".service" }

// payloadUnit is the unit whose delegated cgroup holds the payload. No scope can
// be an instance, so the name of an instance's has ":" in place of "@".
func (c *container) payloadUnit() string {
	if c.cgroup == "service" {
		return c.unit()
	}
	return "unitc-" + strings.Replace(c.name, "@", ":", 1) + ".scope"
}

func (c *container) leaf() string { return "/unitc.slice/" + c.payloadUnit() + "/payload" }

// instance is an instance of a template.
func (c *container) instance(t *testing.T, name string) *container {
	return &container{t: t, name: c.name + name, placement: c.placement}
}

func (c *container) start() *container {
	c.t.Helper()
	must(c.t, "systemctl", "start", "--", c.unit())
	return c
}

func (c *container) stop() { c.t.Helper(); must(c.t, "systemctl", "stop", "--", c.unit()) }

func (c *container) show(name string) string { c.t.Helper(); return property(c.t, c.unit(), name) }

// expect demands the values of properties, given as NAME=VALUE.
func (c *container) expect(unit string, want ...string) {
	c.t.Helper()
	args, values := []string{"show"}, map[string][]string{}
	for _, w := range want {
		name, _, _ := strings.Cut(w, "=")
		args = append(args, "-p", name)
	}
	for line := range strings.Lines(must(c.t, "systemctl", append(args, "--", unit)...)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		values[name] = append(values[name], value)
	}
	for _, w := range want {
		name, value, _ := strings.Cut(w, "=")
		if got := strings.Join(values[name], "\n"); got != value {
			c.t.Errorf("%s: %s is %q, not %q", unit, name, got, value)
		}
	}
}

// await waits until a property of the service has a value.
func (c *container) await(name, value string) {
	c.t.Helper()
	reached := false
	defer func() {
		if !reached {
			out, _ := exec.Command("journalctl", "-u", c.unit(), "-u", "init.scope", "-o", "short-monotonic", "--no-pager", "-n", "60").CombinedOutput()
			c.t.Logf("%s", out)
		}
	}()
	await(c.t, fmt.Sprintf("%s of %s is %s", name, c.unit(), value), func() bool { return c.show(name) == value })
	reached = true
}

// await waits for a condition that nothing announces. Who asks takes little of the
// machine, however busy it is: many tests run and ask side by side.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		asked := time.Now()
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is still not so that %s", patience, what)
		}
		pause(asked)
	}
}

// pause is what lies between two questions, by what the last one took.
func pause(asked time.Time) {
	time.Sleep(min(max(50*time.Millisecond, 5*time.Since(asked)), 500*time.Millisecond))
}

// log runs journalctl on what the payload wrote. The lines that a payload in a
// scope writes without a relay are the scope's, for journald asks for the
// writer's cgroup, but the service's again if the writer is gone by then.
func (c *container) log(args ...string) string {
	c.t.Helper()
	which := []string{"-u", c.unit()}
	if c.driver == "direct" {
		which = []string{"-t", c.name}
	}
	return must(c.t, "journalctl", append(append(which, "-o", "cat", "--no-pager", "-q", "_TRANSPORT=stdout"), args...)...)
}

func (c *container) output() string { c.t.Helper(); return c.log() }

// awaitOutput waits until the payload's output has the text.
func (c *container) awaitOutput(text string) {
	c.t.Helper()
	await(c.t, fmt.Sprintf("the output of %s has %q", c.unit(), text), func() bool { return strings.Contains(c.output(), text) })
}

// mainPID is the payload's first process.
func (c *container) mainPID() int {
	c.t.Helper()
	pid, err := strconv.Atoi(c.show("MainPID"))
	if err != nil || pid == 0 {
		c.t.Fatalf("%s has no main process", c.unit())
	}
	return pid
}

// processes lists the commands in a cgroup and in all below it.
func processes(t *testing.T, cgroup string) []string {
	t.Helper()
	var list []string
	for _, pid := range pids(cgroup) {
		if args, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil {
			list = append(list, strings.TrimSpace(strings.ReplaceAll(string(args), "\x00", " ")))
		}
	}
	return list
}

func pids(cgroup string) []string {
	files, _ := filepath.Glob("/sys/fs/cgroup" + cgroup + "/cgroup.procs")
	below, _ := filepath.Glob("/sys/fs/cgroup" + cgroup + "/*/cgroup.procs")
	var list []string
	for _, file := range append(files, below...) {
		data, _ := os.ReadFile(file)
		list = append(list, strings.Fields(string(data))...)
	}
	return list
}

// file reads a file that must be there.
func file(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
