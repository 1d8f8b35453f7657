// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The secrets of the tests, one for each way in. What is looked for everywhere
// is never an argument of a command, which the journal may keep.
var secretWords = []string{"swordfish-file", "swordfish-variable", "swordfish-stored", "swordfish-encrypted", "swordfish-inline"}

const withSecrets = `services:
  app:
    rootfs: host
    user: "1000:1000"
    stop_signal: SIGKILL
    secrets:
      - token
      - {source: variable, uid: "1000", gid: "1000", mode: 0o400}
      - stored
      - encrypted
      - inline
      - {source: token, target: /etc/app/key, mode: 0o440}
      - {source: token, target: named, uid: daemon, gid: daemon, mode: "0440"}
    configs:
      - {source: site, target: /etc/app/site.conf}
      - site
    command:
      - sh
      - -c
      - |
        cd /run/secrets
        for f in token variable stored encrypted inline /etc/app/key; do test -r $$f && sha256sum <$$f | cut -c1-12; done
        cat /etc/app/site.conf /site
        stat -c '%n %a %u %g' token variable named /etc/app/site.conf
        touch token 2>/dev/null && echo writable
        grep -E ' (/run/secrets|/etc/app/site.conf) ' /proc/self/mountinfo | grep -c 'ro,.* ramfs '
        echo dir=$$CREDENTIALS_DIRECTORY
        echo told; exec sleep infinity
secrets:
  token: {file: ./token}
  variable: {environment: TOKEN}
  stored: {external: true, name: stored}
  encrypted: {encrypted: ./token.cred}
  inline: {encrypted: "INLINE"}
configs:
  site: {content: "listen 80"}
`

// pipe runs a command with input on its standard input.
func pipe(t *testing.T, input string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.String())
	}
	return string(out)
}

func encrypt(t *testing.T, name, secret string) string {
	t.Helper()
	return pipe(t, secret, "systemd-creds", "encrypt", "--quiet", "--with-key=host", "--name="+name, "-", "-")
}

// "Secrets and configs … delivered as read-only files in a non-swappable mount,
// `$CREDENTIALS_DIRECTORY` set; … never in the unit file, the environment of the
// helper, the plan on disk, the journal or `unitc inspect`."
func TestSecrets(t *testing.T) {
	for _, runtime := range []string{"", "crun", "runc"} {
		t.Run("runtime "+runtime, func(t *testing.T) { testSecrets(t, runtime) })
	}
}

func testSecrets(t *testing.T, runtime string) {
	since := strings.TrimSpace(must(t, "date", "+%s"))
	cleanReload(t)
	place(t, definitions+"token", secretWords[0])
	place(t, definitions+"vault.env", "TOKEN="+secretWords[1]+"\n")
	pipe(t, secretWords[2], "unitc", "secret", "set", "stored")
	t.Cleanup(func() { must(t, "unitc", "secret", "rm", "stored"); os.Remove("/etc/credstore.encrypted") })
	if out := must(t, "unitc", "secret", "ls"); !strings.Contains(out, "stored") {
		t.Errorf("unitc secret ls: %s", out)
	}
	place(t, definitions+"token.cred", encrypt(t, "vault_encrypted", secretWords[3]))
	inline := strings.Join(strings.Fields(encrypt(t, "vault_inline", secretWords[4])), "")
	place(t, definitions+"vault.yaml", strings.NewReplacer("INLINE", inline, "rootfs: host\n", "rootfs: host\n    runtime: \""+runtime+"\"\n").Replace(withSecrets))
	reload(t)
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "vault-app")
		command(t, "systemctl", "reset-failed", "vault-app")
	})
	if _, status := command(t, "systemctl", "start", "vault-app"); status != 0 {
		out, _ := command(t, "systemctl", "status", "-l", "vault-app")
		t.Fatalf("it does not start:\n%s", out)
	}
	awaitLine(t, "vault-app", "told")
	out := must(t, "journalctl", "-q", "-o", "cat", "-u", "vault-app", "_TRANSPORT=stdout", "_SYSTEMD_INVOCATION_ID="+property(t, "vault-app", "InvocationID"))
	want := ""
	for _, word := range append(secretWords, secretWords[0]) {
		want += pipe(t, word, "sh", "-c", "sha256sum | cut -c1-12")
	}
	want += "listen 80listen 80token 444 0 0\nvariable 400 1000 1000\nnamed 440 1 1\n/etc/app/site.conf 444 0 0\n2\ndir=/run/secrets\ntold\n"
	lines := strings.Split(strings.TrimSuffix(want, "\n"), "\n")
	lines = append(lines[:5], lines[6:]...) // /etc/app/key is root's with 0440
	if want = strings.Join(lines, "\n") + "\n"; out != want {
		t.Errorf("the payload says\n%s\nand should say\n%s", out, want)
	}
	searchSecrets(t, since)
}

// searchSecrets looks wherever unitc and systemd have left anything since a moment.
func searchSecrets(t *testing.T, since string) {
	t.Helper()
	places := map[string]string{
		"the journal": must(t, "journalctl", "-q", "-o", "export", "--no-pager", "--since=@"+since),
		"show":        must(t, "systemctl", "show", "vault-app.service", "unitc-vault-app.scope"),
		"cat":         must(t, "systemctl", "cat", "vault-app.service"),
		"plan":        must(t, "unitc", "plan", "--json", "vault-app"),
		"spec":        must(t, "unitc", "spec", "vault-app"),
		"inspect":     must(t, "unitc", "inspect", "vault-app"),
		"ps":          must(t, "unitc", "ps", "--json", "vault-app"),
		"top":         must(t, "unitc", "top", "--json", "vault-app"),
		"diff":        must(t, "unitc", "diff", "vault-app"),
	}
	for _, dir := range []string{"/run", "/tmp", "/var/tmp", "/var/lib/unitc", "/etc/credstore.encrypted"} {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case path == "/run/credentials": // systemd's own, which root alone reads
				return fs.SkipDir
			case err != nil || !d.Type().IsRegular():
				return nil
			}
			if info, err := d.Info(); err == nil && info.Size() < 16<<20 && info.Mode().Perm()&0o111 == 0 {
				if data, err := os.ReadFile(path); err == nil {
					places[path] = string(data)
				}
			}
			return nil
		})
	}
	ofProcesses, _ := filepath.Glob("/proc/[0-9]*/environ")
	arguments, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range append(ofProcesses, arguments...) {
		if data, err := os.ReadFile(path); err == nil {
			places[path] = string(data)
		}
	}
	for _, name := range []string{"/run/systemd/generator.late/.unitc", "/run/unitc/vault-app/plan.json"} {
		if places[name] == "" {
			t.Errorf("%s was not looked at", name)
		}
	}
	if !strings.Contains(places["the journal"], "UNIT=vault-app.service") {
		t.Error("the journal has nothing of it")
	}
	for where, text := range places {
		for _, word := range secretWords {
			if strings.Contains(text, word) {
				t.Errorf("%s has %s", where, word)
			}
		}
	}
}

// What a start would give now and the payload does not have is a difference, and
// apply restarts for it.
//
//lab:once
func TestDiffOfSecrets(t *testing.T) {
	cleanReload(t)
	secret := func(word string) { t.Helper(); place(t, definitions+"changes.token", word) }
	secret("one")
	place(t, definitions+"changes.env", "TOKEN=one\n")
	pipe(t, "one", "unitc", "secret", "set", "changes")
	t.Cleanup(func() { must(t, "unitc", "secret", "rm", "changes"); os.Remove("/etc/credstore.encrypted") })
	place(t, definitions+"changes.yaml", "services: {app: {rootfs: host, init: true, network_mode: none, command: [sleep, infinity], secrets: [token, variable, changes], configs: [site]}}\n"+
		"secrets: {token: {file: ./changes.token}, variable: {environment: TOKEN}, changes: {external: true}}\nconfigs: {site: {file: ./changes.token}}\n")
	reload(t)
	must(t, "systemctl", "start", "changes-app")
	t.Cleanup(func() { must(t, "systemctl", "stop", "changes-app") })
	if out := must(t, "unitc", "diff", "--exit-code"); out != "" {
		t.Errorf("what was just started differs:\n%s", out)
	}
	for _, c := range []struct {
		change func()
		fields string
	}{
		{func() { secret("two") }, "secrets[token] configs[site]"},
		{func() { place(t, definitions+"changes.env", "TOKEN=two\n") }, "secrets[variable]"},
		{func() { pipe(t, "two", "unitc", "secret", "set", "changes") }, "secrets[changes]"},
	} {
		c.change()
		d := difference(t, "changes-app")
		var fields []string
		for _, f := range d.Changes {
			fields = append(fields, f.Field)
		}
		if got := strings.Join(fields, " "); got != c.fields || d.Effort != "restart" {
			t.Errorf("it differs in %s with the effort %s, want %s", got, d.Effort, c.fields)
		}
		must(t, "unitc", "apply")
		if out := must(t, "unitc", "diff", "--exit-code"); out != "" {
			t.Errorf("after apply it differs:\n%s", out)
		}
	}
}

// A secret that is not there is named, with what to do.
func TestMissingSecrets(t *testing.T) {
	cleanReload(t)
	for name, c := range map[string]struct{ definition, want string }{
		"gone":   {"services: {app: {rootfs: host, command: [\"true\"], secrets: [s]}}\nsecrets: {s: {external: true}}\n", "secrets[0]: the system has no credential s; set it with `unitc secret set s`"},
		"nofile": {"services: {app: {rootfs: host, command: [\"true\"], secrets: [s]}}\nsecrets: {s: {file: /nowhere/token}}\n", "open /nowhere/token: no such file or directory; correct the path"},
		"unset":  {"services: {app: {rootfs: host, command: [\"true\"], secrets: [s]}}\nsecrets: {s: {environment: NOBODY}}\n", "no file beside the definition sets NOBODY; set it in /etc/unitc/unset.env"},
	} {
		place(t, definitions+name+".yaml", c.definition)
		reload(t)
		unit := name + "-app"
		if _, status := command(t, "systemctl", "start", unit); status == 0 {
			t.Errorf("%s starts", unit)
		}
		out, _ := command(t, "systemctl", "status", "-l", unit)
		if !strings.Contains(out, c.want) || !strings.Contains(out, "243/CREDENTIALS") {
			t.Errorf("the status of %s does not say %q:\n%s", unit, c.want, out)
		}
		command(t, "systemctl", "reset-failed", unit)
	}
}

// A file of variables that cannot be read is told with its line, and nothing of what
// stands there: it may be the lines of a key.
func TestFaultsOfSecretsTellNothing(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"leak.yaml", "services: {app: {rootfs: host, command: [\"true\"], secrets: [s]}}\nsecrets: {s: {environment: KEY}}\n")
	for _, text := range []string{"KEY=-----BEGIN\nMIIswordfish/AA==\n", "KEY=\"sword\"MIIswordfish\"\n"} {
		place(t, definitions+"leak.env", text)
		since := strings.TrimSpace(must(t, "date", "+%s"))
		command(t, "systemctl", "daemon-reload")
		if _, status := command(t, "systemctl", "start", "leak-app"); status == 0 {
			t.Errorf("it starts with %q", text)
		}
		status, _ := command(t, "systemctl", "status", "-l", "leak-app")
		check, _ := command(t, "unitc", "check")
		for where, told := range map[string]string{"the journal": must(t, "journalctl", "-q", "--since=@"+since), "the status": status, "check": check} {
			if strings.Contains(told, "sword") || strings.Contains(told, "MII") {
				t.Errorf("%s has a part of the secret:\n%s", where, told)
			}
		}
		if !strings.Contains(status, "leak.env:") {
			t.Errorf("the status does not say where it is:\n%s", status)
		}
		command(t, "systemctl", "reset-failed", "leak-app")
	}
}

// A secret that is typed is not shown, and one that is empty takes no other's place.
//
//lab:once
func TestSecretSetOnTerminal(t *testing.T) {
	kept := "/etc/credstore.encrypted/typed"
	t.Cleanup(func() { os.Remove(kept); os.Remove("/etc/credstore.encrypted") })
	decrypted := func() string { t.Helper(); return must(t, "systemd-creds", "decrypt", "--name=typed", kept, "-") }
	cmd, terminal := onTerminal(t, "sh", "-c", "unitc secret set typed; echo status $?; exec cat")
	readUntil(t, terminal, "Secret typed (one line): ")
	io.WriteString(terminal, "swordfish-typed\n")
	if seen := shownUntil(t, terminal, "status 0"); strings.Contains(seen, "swordfish") {
		t.Errorf("the terminal shows %q", seen)
	}
	io.WriteString(terminal, "seen again\n")
	readUntil(t, terminal, "seen again")
	cmd.Process.Kill()
	if got := decrypted(); got != "swordfish-typed" {
		t.Errorf("it is %q", got)
	}
	_, terminal = onTerminal(t, "sh", "-c", "trap : INT; unitc secret set typed; echo status $?; exec cat")
	readUntil(t, terminal, "Secret typed (one line): ")
	io.WriteString(terminal, "half\x03")
	readUntil(t, terminal, "status 130")
	if out, status := command(t, "sh", "-c", "false | unitc secret set typed"); status != 2 || !strings.Contains(out, "secret is empty") {
		t.Errorf("an empty one: %d, %s", status, out)
	}
	if got := decrypted(); got != "swordfish-typed" {
		t.Errorf("now it is %q", got)
	}
}
