// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// piped runs a command with something on its standard input.
func piped(t *testing.T, in string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(in)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// Who logs in once has the images of units fetched, without anything of a session: with
// no environment, and from a file that is root's alone.
//
//lab:once
func TestLogin(t *testing.T) {
	r := startRegistry(t)
	name := r.offer(t, "kept:1", saying("let in"))
	r.protect("ci", "s3cret word")
	defineFor(t, "login", "image: "+name+"\ninit: true\nnetwork_mode: none\n")
	const kept = "/etc/unitc/auth.json"
	t.Cleanup(func() { os.Remove(kept) })

	if out, status := command(t, "unitc", "pull", name); status != 1 || !strings.Contains(out, "`unitc login "+r.host+"`") {
		t.Errorf("a pull without credentials: %d, %s", status, out)
	}
	if out, status := piped(t, "wrong\n", "unitc", "login", "-u", "ci", "--password-stdin", r.host); status != 1 || !strings.Contains(out, "does not take this user and password") || strings.Contains(out, "wrong") {
		t.Errorf("a wrong password: %d, %s", status, out)
	}
	if _, err := os.Stat(kept); err == nil {
		t.Error("it was kept")
	}
	if out, status := piped(t, "s3cret word\n", "unitc", "login", "-u", "ci", "--password-stdin", r.host); status != 0 || !strings.Contains(out, r.host+": logged in as ci") {
		t.Fatalf("login: %d, %s", status, out)
	}
	if st, err := os.Stat(kept); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	must(t, "systemctl", "start", "login")
	awaitLine(t, "login", "let in")
	must(t, "systemctl", "stop", "login")
	// Another one in its place is told of where it is from.
	r.protect("ci", "another")
	must(t, "unitc", "rmi", name)
	if out, status := command(t, "unitc", "pull", name); status != 1 || !strings.Contains(out, "not for whom "+kept+" names: `unitc login "+r.host+"` takes other credentials") {
		t.Errorf("a pull with old credentials: %d, %s", status, out)
	}
	if out := must(t, "unitc", "logout", r.host); !strings.Contains(out, r.host+": logged out") {
		t.Errorf("logout says %s", out)
	}
	if _, err := os.Stat(kept); err == nil {
		t.Error("an empty file stays")
	}
	if out, status := command(t, "unitc", "logout", r.host); status != 1 || !strings.Contains(out, "not logged in") {
		t.Errorf("a second logout: %d, %s", status, out)
	}
	place(t, "/root/.docker/config.json", `{"auths":{"`+r.host+`":{"auth":"Y2k6YW5vdGhlcg=="}}}`)
	if out, status := command(t, "unitc", "logout", r.host); status != 1 || !strings.Contains(out, "those of /root/.docker/config.json are shown") {
		t.Errorf("logout from docker's: %d, %s", status, out)
	}
	if out, status := command(t, "setpriv", asNobody("login", "-u", "ci", r.host)...); status != 4 || !strings.Contains(out, "run it as root") {
		t.Errorf("somebody else: %d, %s", status, out)
	}
	if out, status := command(t, "unitc", "login", "-u", "ci", r.host); status != 2 || !strings.Contains(out, "--password-stdin") {
		t.Errorf("without a terminal: %d, %s", status, out)
	}
	if out, status := command(t, "unitc", "login", "-u", "ci", "-p", "another", r.host); status != 2 || !strings.Contains(out, "all users of the machine see arguments") {
		t.Errorf("with a password as an argument: %d, %s", status, out)
	}
}

// The terminal does not show the password, and is as it was behind that, also when the
// question is interrupted.
//
//lab:once
func TestLoginOnTerminal(t *testing.T) {
	r := startRegistry(t)
	r.protect("ci", "s3cret")
	kept := t.TempDir() + "/auth.json"
	echoes := func(f *os.File) {
		t.Helper()
		io.WriteString(f, "seen again\n")
		readUntil(t, f, "seen again")
	}
	cmd, terminal := onTerminal(t, "sh", "-c", "unitc login --authfile "+kept+" "+r.host+"; echo status $?; exec cat")
	readUntil(t, terminal, "User of "+r.host+": ")
	io.WriteString(terminal, "ci\n")
	readUntil(t, terminal, "Password of ci: ")
	io.WriteString(terminal, "s3cret\n")
	seen := shownUntil(t, terminal, "status 0")
	if strings.Contains(seen, "s3cret") || !strings.Contains(seen, "logged in as ci") {
		t.Errorf("the terminal shows %q", seen)
	}
	echoes(terminal)
	cmd.Process.Kill()

	cmd, terminal = onTerminal(t, "sh", "-c", "trap : INT; unitc login -u ci --authfile "+kept+".2 "+r.host+"; echo status $?; exec cat")
	readUntil(t, terminal, "Password of ci: ")
	io.WriteString(terminal, "half\x03")
	if seen := shownUntil(t, terminal, "status 130"); strings.Contains(seen, "half") {
		t.Errorf("the terminal shows %q", seen)
	}
	echoes(terminal)
	cmd.Process.Kill()
	if _, err := os.Stat(kept + ".2"); err == nil {
		t.Error("something was kept")
	}
}

// shownUntil is readUntil, and gives what was shown.
func shownUntil(t *testing.T, f io.Reader, text string) string {
	t.Helper()
	var seen strings.Builder
	readUntil(t, io.TeeReader(f, &seen), text)
	return seen.String()
}

// A user's credentials are in the user's own directory, and are theirs alone.
//
//lab:once
func TestUserLogin(t *testing.T) {
	r := startRegistry(t)
	name := r.offer(t, "mine:1", saying("let the user in"))
	r.protect("me", "word")
	s := newSession(t)
	s.define("mine.yaml", "image: "+name+"\ninit: true\nnetwork_mode: none\n")
	if out, status := s.run("unitc", "--user", "pull", name); status != 1 || !strings.Contains(out, "`unitc --user login "+r.host+"`") {
		t.Errorf("a pull without credentials: %d, %s", status, out)
	}
	s.must("sh", "-c", "echo word | unitc --user login -u me --password-stdin "+r.host)
	kept := s.home + "/.config/unitc/auth.json"
	if out := must(t, "stat", "-c", "%U %a", kept); out != somebody+" 600\n" {
		t.Errorf("%s is of %s", kept, out)
	}
	s.must("systemctl", "--user", "start", "mine")
	s.says("mine", "let the user in")
	s.must("systemctl", "--user", "stop", "mine")
	s.must("unitc", "--user", "logout", "--all")
	if _, err := os.Stat(kept); err == nil {
		t.Error("an empty file stays")
	}
	if _, err := os.Stat("/etc/unitc/auth.json"); err == nil {
		t.Error("a user's login is root's")
	}
}
