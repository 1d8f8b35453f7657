// SPDX-License-Identifier: Apache-2.0

package realm

import (
	"os"
	"strings"
	"testing"
)

func become(t *testing.T, env map[string]string) error {
	t.Helper()
	t.Cleanup(BecomeSystem)
	return Become(os.Geteuid(), false, func(name string) string { return env[name] })
}

func TestBecome(t *testing.T) {
	run := t.TempDir()
	if err := os.Chmod(run, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := become(t, map[string]string{"HOME": "/home/a", "XDG_RUNTIME_DIR": run + "/", "XDG_DATA_HOME": "relative"}); err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		Run: run + "/unitc", Store: "/home/a/.local/share/unitc", Config: "/home/a/.config/unitc", Units(): run + "/systemd/generator.late",
		Definitions()[0]: "/home/a/.config/unitc", Definitions()[1]: "/etc/unitc/user", NativeUnits()[0]: "/home/a/.config/systemd/user",
		BootTarget(): "default.target", Kind(): "user", UnitField(): "USER_UNIT",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	BecomeSystem()
	if Own() != nil || Run != "/run/unitc" || Units() != "/run/systemd/generator.late" || Definitions()[0] != "/etc/unitc" || Told() != nil {
		t.Error("the places are not the system's again")
	}
}

// A directory that others may write to, or a link, is no place for what runs.
func TestBecomeRefuses(t *testing.T) {
	open, file := t.TempDir(), t.TempDir()+"/link"
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), file); err != nil {
		t.Fatal(err)
	}
	for want, env := range map[string]map[string]string{
		"HOME is not set":              {"XDG_RUNTIME_DIR": "/run"},
		"XDG_RUNTIME_DIR is not set":   {"HOME": "/home/a"},
		"no such file":                 {"HOME": "/home/a", "XDG_RUNTIME_DIR": "/nowhere"},
		"not a directory of this user": {"HOME": "/home/a", "XDG_RUNTIME_DIR": open},
		"is not a directory of this":   {"HOME": "/home/a", "XDG_RUNTIME_DIR": file},
	} {
		if err := become(t, env); err == nil || !strings.Contains(err.Error(), want) || Own() != nil {
			t.Errorf("%v gives %v, want %q", env, err, want)
		}
	}
}

// Whatever the environment says, root of the host is root of the host.
func TestBeginAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	t.Setenv(entered, "1500")
	t.Cleanup(BecomeSystem)
	if err := Begin(); err != nil || Own() != nil {
		t.Errorf("root's places are a user's: %v", err)
	}
}

func TestWords(t *testing.T) {
	run := t.TempDir()
	_ = os.Chmod(run, 0o700)
	const text = "a: start it: systemctl start a; `unitc pull x`, `unitc --user ps`, `systemctl edit user@.service`, as root: `systemctl start x`, as root: systemctl start x"
	if got := Words(text); got != text {
		t.Errorf("root is told %q", got)
	}
	if err := become(t, map[string]string{"HOME": "/home/a", "XDG_RUNTIME_DIR": run}); err != nil {
		t.Fatal(err)
	}
	if got, want := Words(text), "a: start it: systemctl --user start a; `unitc --user pull x`, `unitc --user ps`, `systemctl edit user@.service`, as root: `systemctl start x`, as root: systemctl start x"; got != want {
		t.Errorf("a user is told %q", got)
	}
}

// Who is in a namespace within the user's own is told how the host maps its ids.
func TestIDMap(t *testing.T) {
	file := t.TempDir() + "/uid_map"
	if err := os.WriteFile(file, []byte("0 0 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for told, want := range map[string]string{"": "0 0 1\n", "0 1500 1\n": "0 1500 1\n"} {
		t.Setenv(entered, "1500")
		t.Setenv(mapEnv+"uid_map", told)
		if got, err := IDMap(file); err != nil || string(got) != want {
			t.Errorf("told %q it is %q: %v", told, got, err)
		}
	}
}

// What a login has set its systemd may not have.
func TestElsewhere(t *testing.T) {
	run := t.TempDir()
	_ = os.Chmod(run, 0o700)
	if err := become(t, map[string]string{"HOME": "/home/a", "XDG_RUNTIME_DIR": run, "XDG_CONFIG_HOME": "/home/a/etc"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ env, want string }{
		{"HOME=/home/a/ XDG_CONFIG_HOME=/home/a/etc", ""},
		{"HOME=/home/a", "XDG_CONFIG_HOME /home/a/etc /home/a/.config"},
		{"HOME=/home/a XDG_CONFIG_HOME=/home/a/etc XDG_DATA_HOME=/srv", "XDG_DATA_HOME /home/a/.local/share /srv"},
		{"HOME=/home/b", "HOME /home/a /home/b"},
		{"LANG=C", ""},
	} {
		name, here, there := Own().Elsewhere(strings.Fields(c.env))
		if got := strings.TrimSpace(name + " " + here + " " + there); got != c.want {
			t.Errorf("of %q it is %q, want %q", c.env, got, c.want)
		}
	}
}
