// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/unitc/unitc/internal/unitfile"
)

// dumpTo makes the test binary a program that writes its arguments and
// environment to a file: what the kernel was given, byte for byte.
const dumpTo = "UNITC_TEST_DUMP"

type dump struct{ Args, Env [][]byte }

func init() {
	path := os.Getenv(dumpTo)
	if path == "" {
		return
	}
	var d dump
	for _, arg := range os.Args[1:] {
		d.Args = append(d.Args, []byte(arg))
	}
	for _, e := range os.Environ() {
		d.Env = append(d.Env, []byte(e))
	}
	data, err := json.Marshal(d)
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// hostile strings of SECURITY §3 row 2.
var hostile = []string{
	"", " ", "two words", " lead and trail ", "tab\there", "line\nbreak", "x\nExecStartPost=/bin/touch /run/escaped", "cr\rhere", `back\slash`, `end\`, `"`, `'`, `it's "so"`,
	"%", "%i", "%%", "%n%N", "$", "$HOME", "${HOME}", "$$", ";", ";;", "#", "-x", "@x", ":x", "+x", "!x", "|x", "[Service]",
	"A=b", "é", "\u2028", "\x1b[31m", "\x7f", "\u202e", "a;b", "{}", "*", "~", `\x41`, `\n`, "\a\b\v\f", "\U0001f433", strings.Repeat("long ", 4000),
}

// What unitfile quotes, the real PID 1 hands to the real kernel unchanged.
func TestStringsReachTheKernel(t *testing.T) {
	cleanReload(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join("/run", "dump.json")
	t.Cleanup(func() { os.Remove(out) })

	args := append(slices.Clone(hostile), "\xff\xfe", "ü\x80ü")
	env := []string{dumpTo + "=" + out}
	for i, s := range hostile {
		if isEnvValue(s) {
			env = append(env, fmt.Sprintf("V%d=%s", i, s))
		}
	}
	var w unitfile.Writer
	w.Section("Service")
	w.Set("Type", "oneshot")
	for _, e := range env {
		w.Set("Environment", unitfile.Word(e))
	}
	w.Set("ExecStart", unitfile.Exec(self, args...))
	text, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	place(t, "/run/systemd/system/strings.service", string(text))
	reload(t)
	if lines, _ := command(t, "systemd-analyze", "verify", "/run/systemd/system/strings.service"); strings.Contains(lines, "strings.service") {
		t.Errorf("systemd-analyze verify says\n%s", lines)
	}
	must(t, "systemctl", "start", "strings.service")

	var got dump
	data, err := os.ReadFile(out)
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Args) != len(args) {
		t.Fatalf("%d arguments arrived, %d were written: %q", len(got.Args), len(args), got.Args)
	}
	for i, arg := range args {
		if string(got.Args[i]) != arg {
			t.Errorf("argument %.80q arrived as %.80q", arg, got.Args[i])
		}
	}
	for _, e := range env {
		if !slices.ContainsFunc(got.Env, func(have []byte) bool { return string(have) == e }) {
			t.Errorf("%.80q is not in the environment", e)
		}
	}
}

// isEnvValue holds for what systemd takes as a variable's value at all
// (env_value_is_valid: UTF-8 and no control characters but tab and newline).
func isEnvValue(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\t' && r != '\n'
	})
}

// Whatever an operator, or the image's author, writes into a definition: the
// unit has the directives that it always has, and verifies.
func TestStringsAddNoDirective(t *testing.T) {
	cleanReload(t)
	names := map[string]string{}
	for i, s := range hostile {
		quoted, err := json.Marshal(s) // is a YAML string too
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("s%d", i)
		names[name] = s
		place(t, definitions+name+".yaml", fmt.Sprintf(`rootfs: host
command: [/bin/true, %[1]s]
environment: {A: %[1]s}
hostname: h
labels: {org.opencontainers.image.title: %[1]s}
volumes: [{type: bind, source: %[2]s, target: /mnt}]
systemd: {unit: {Documentation: %[1]s}, service: {SyslogIdentifier: %[1]s}}
`, quoted, mustJSON(t, "/srv/"+s)))
	}
	reload(t)
	for name, s := range names {
		unit := name + ".service"
		if state := property(t, unit, "LoadState"); state != "loaded" {
			t.Errorf("with %.60q the unit is %s", s, state)
		}
		for _, none := range []string{"ExecStartPost", "ExecStartPre", "ExecReload", "ExecStop", "ExecCondition"} {
			if value := property(t, unit, none); value != "" {
				t.Errorf("with %.60q the unit has %s=%s", s, none, value)
			}
		}
		if value := property(t, unit, "ExecStart"); strings.Count(value, "path=") != 1 || !strings.Contains(value, "argv[]=/usr/local/lib/unitc/unitc-exec start "+generated+".unitc/"+name+".json ;") {
			t.Errorf("with %.60q the unit has ExecStart=%s", s, value)
		}
		if _, err := os.Stat("/run/escaped"); err == nil {
			t.Fatalf("with %.60q a file was made", s)
		}
	}
}

func mustJSON(t *testing.T, s string) string {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
