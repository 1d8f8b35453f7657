// SPDX-License-Identifier: Apache-2.0

package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/resolved"
	"github.com/unitc/unitc/internal/syntax/library"
)

// Variables that make the test binary a generator: which of the two programs, of
// which root, and what the first becomes.
const (
	asGenerator = "UNITC_TEST_GENERATOR"
	withRoot    = "UNITC_TEST_ROOT"
	withYAML    = "UNITC_TEST_YAML"
)

func TestMain(m *testing.M) {
	root = os.Getenv(withRoot)
	if root != "" {
		newLog = func() log { return standardError{} }
	}
	switch os.Getenv(asGenerator) {
	case "":
		os.Exit(m.Run())
	case "plain":
		if err := os.Setenv(asGenerator, "full"); err != nil {
			panic(err)
		}
		os.Exit(RunPlain(os.Args[1:], os.Getenv(withYAML)))
	}
	os.Exit(Run(os.Args[1:], library.Full))
}

type standardError struct{}

func (standardError) Problem(p diag.Problem) { fmt.Fprintln(os.Stderr, p) }
func (standardError) Error(err error)        { fmt.Fprintln(os.Stderr, err) }

func generatorCommand(t *testing.T, program string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append([]string{withYAML + "=" + self, asGenerator + "=" + program}, env...)
	return cmd
}

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		env    []string
		args   []string
		status int
	}{
		{nil, nil, 2},
		{nil, []string{t.TempDir(), t.TempDir()}, 2},
		{nil, []string{t.TempDir()}, 0},
		{nil, []string{t.TempDir(), t.TempDir(), t.TempDir()}, 0},
		{nil, []string{"/nowhere/at/all"}, 1},
		{[]string{"SYSTEMD_IN_INITRD=1"}, []string{"/nowhere/at/all"}, 0},
		{[]string{"SYSTEMD_SCOPE=user"}, []string{"/nowhere/at/all"}, 0},
		{[]string{"SYSTEMD_IN_INITRD=0", "SYSTEMD_SCOPE=system"}, []string{"/nowhere/at/all"}, 1},
	} {
		for _, program := range []string{"plain", "full"} {
			err := generatorCommand(t, program, c.env, c.args...).Run()
			var exit *exec.ExitError
			status := 0
			if errors.As(err, &exit) {
				status = exit.ExitCode()
			}
			if status != c.status {
				t.Errorf("%s %q %q exits with %d, want %d", program, c.env, c.args, status, c.status)
			}
		}
	}
}

func TestLateDirectoryIsTheOutput(t *testing.T) {
	for args, want := range map[string]string{"/n": "/n", "/n /e /l": "/l", "/n/../m/": "/m"} {
		if got, ok := outputDir(strings.Fields(args)); !ok || got != want {
			t.Errorf("%q gives %s, want %s", args, got, want)
		}
	}
}

// G-18: whatever the umask of who calls, everybody reads the units, nobody else
// writes them, and what may have passwords in it is root's alone.
func TestModesOfWhatIsWritten(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "etc/unitc")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const definition = "rootfs: host\ncommand: [/bin/true]\nrestart: always\nenvironment: {PASSWORD: x}\n"
	if err := os.WriteFile(filepath.Join(dir, "web.yaml"), []byte(definition), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, umask := range []string{"000", "022", "077"} {
		out := t.TempDir()
		generate := generatorCommand(t, "plain", []string{withRoot + "=" + root}, out)
		cmd := exec.Command("/bin/sh", append([]string{"-c", "umask " + umask + ` && exec "$@"`, "sh"}, generate.Args...)...)
		cmd.Env = generate.Env
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("umask %s: %v: %s", umask, err, said)
		}
		for name, want := range map[string]os.FileMode{"web.service": 0o644, "multi-user.target.wants": 0o755, ".unitc": 0o600} {
			st, err := os.Stat(filepath.Join(out, name))
			if err != nil || st.Mode().Perm() != want {
				t.Errorf("umask %s: %s: %v, want %v (%v)", umask, name, st, want, err)
			}
		}
	}
}

// SECURITY §3 row 1: whatever lies in the search path, the generator ends well
// and soon, and good definitions are generated.
func TestHostileSearchPath(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	dir := filepath.Join(root, "etc/unitc")
	if err := os.MkdirAll(filepath.Join(dir, "directory.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	const working = "rootfs: /srv\ncommand: [/bin/true]\n"
	files := map[string]string{
		"good": working, "also": working, "syntax": "rootfs: [\n", "key": working + "comand: x\n", "type": working + "cpus: many\n",
		"utf8": "rootfs: /srv\xff\n", "nul": "rootfs: /srv\x00\n", "empty": "", "two": working + "---\n" + working,
		"laughs": laughs(9), "deep": strings.Repeat("[", 100_000), "flat": "rootfs: /srv\ncommand: [" + strings.Repeat("a,", 400_000) + "]\n",
		"name\n": working, "a b": working, "-x": working, "control": "rootfs: /srv\nlabels: {org.opencontainers.image.title: \"a\\nExecStart=/x\\e[1m\"}\n",
		"twolines": working + "systemd: {service: {Nice: \"1\\nExecStartPost=/x\"}}\n", "outside": working + "systemd: {install: {WantedBy: ../../x.target}}\n",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(
		unix.Mkfifo(filepath.Join(dir, "fifo.yaml"), 0o644),
		os.Symlink("/dev/zero", filepath.Join(dir, "zero.yaml")),
		os.Symlink("/nowhere", filepath.Join(dir, "dangling.yaml")),
		os.WriteFile(filepath.Join(dir, "large.yaml"), nil, 0o644),
		os.Truncate(filepath.Join(dir, "large.yaml"), 100<<20))
	if err != nil {
		t.Fatal(err)
	}
	cmd := generatorCommand(t, "plain", []string{withRoot + "=" + root}, out)
	log, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); cpu > time.Second {
		t.Errorf("it took %v of processor time", cpu)
	}
	good := map[string]bool{"good": true, "also": true, "control": true}
	all, err := os.ReadFile(filepath.Join(out, resolved.FileName))
	members := resolved.Members(all)
	if err != nil || len(members) != len(files)+5 {
		t.Errorf("%d resolved definitions of %d files (%v)", len(members), len(files)+5, err)
	}
	for name := range members {
		checkUnit(t, out, name, good[name])
	}
}

func checkUnit(t *testing.T, out, name string, good bool) {
	t.Helper()
	var r definition.Resolved
	data, err := resolved.Read(resolved.Path(out, name))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil || r.Problems.HasErrors() == good {
		t.Errorf("%s: problems %s(%v)", name, r.Problems, err)
	}
	text, err := os.ReadFile(filepath.Join(out, name+".service"))
	if err != nil || strings.Count(string(text), "\nExec")+strings.Count(string(text), "\nOnSuccess=") != 2 || strings.Count(string(text), "\n[") != 2 {
		t.Errorf("%s: %v\n%s", name, err, text)
	}
	if broken := strings.Contains(string(text), "(broken: "); broken == good {
		t.Errorf("%s: broken is %t\n%s", name, broken, text)
	}
}

// laughs is a mapping whose aliases expand to 10^depth values.
func laughs(depth int) string {
	var b strings.Builder
	b.WriteString("x-0: &a0 [ha]\n")
	for i := 1; i <= depth; i++ {
		fmt.Fprintf(&b, "x-%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10))
	}
	return b.String() + "rootfs: /srv\ncommand: *a" + fmt.Sprint(depth) + "\n"
}
