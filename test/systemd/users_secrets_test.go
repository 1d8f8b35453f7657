// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
)

// onDisk makes a directory one that is in no file system in memory, as systemd has it:
// there it makes no key for users.
func onDisk(t *testing.T, dir string) {
	t.Helper()
	over := t.TempDir()
	must(t, "mkdir", over+"/upper", over+"/work")
	must(t, "mount", "-t", "overlay", "overlay", "-o", "lowerdir="+dir+",upperdir="+over+"/upper,workdir="+over+"/work", dir)
	t.Cleanup(func() {
		must(t, "umount", dir)
		must(t, "systemctl", "stop", `system-systemd\x2dcreds.slice`)
		must(t, "systemctl", "daemon-reload")
	})
}

// Secrets of a user's, encrypted by systemd for them alone, as TestSecrets has root's.
// An older systemd has none, which is said.
func TestUserSecrets(t *testing.T) {
	s := newSession(t)
	const sums = "cd /run/secrets; for f in *; do echo $$f is $$(sha256sum <$$f | cut -c1-12); done; stat -c '%n %a %u' stored; grep -c ' /run/secrets ro,.* ramfs ' /proc/self/mountinfo; "
	inline := "./inline.cred"
	project := func(secrets string) string {
		return "services:\n  app:\n    rootfs: host\n    network_mode: none\n    user: \"33\"\n    stop_signal: SIGKILL\n    secrets: [" + secrets + "]\n    command: [sh, -c, \"" + sums + "echo told; exec sleep infinity\"]\n" +
			"secrets:\n  stored: {external: true, name: stored}\n  encrypted: {encrypted: ./token.cred}\n  inline: {encrypted: \"" + inline + "\"}\n"
	}
	if _, err := os.Stat("/run/systemd/io.systemd.Credentials"); err != nil {
		s.define("vault.yaml", project("stored"))
		if out, status := s.run("systemctl", "--user", "start", "vault-app"); status == 0 {
			t.Errorf("it starts:\n%s", out)
		}
		const want = "systemd here keeps no secrets of users: it does from version 256 on"
		if text := s.property("vault-app", "StatusText"); !strings.Contains(text, want) || !strings.Contains(text, "vault.yaml:") || !strings.Contains(text, "write `file:`") {
			t.Errorf("its status is %q", text)
		}
		if out, status := s.run("unitc", "--user", "secret", "set", "stored", "/etc/hostname"); status != 1 || !strings.Contains(out, want) {
			t.Errorf("unitc secret set exits with %d: %s", status, out)
		}
		return
	}
	onDisk(t, "/var/lib/systemd")
	must(t, "systemd-creds", "setup")
	place(t, s.home+"/words", "swordfish-stored")
	s.must("unitc", "--user", "secret", "set", "stored", s.home+"/words")
	if out := s.must("unitc", "--user", "secret", "ls"); !strings.Contains(out, "stored") {
		t.Errorf("unitc secret ls: %s", out)
	}
	if st, err := os.Stat(s.home + "/.config/credstore.encrypted/stored"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the secret's file: %v, %v", st, err)
	}
	encrypt := func(name, secret string) string {
		return pipe(t, secret, "systemd-creds", "encrypt", "--quiet", "--uid=1500", "--with-key=host", "--name="+name, "-", "-")
	}
	s.define("token.cred", encrypt("vault_encrypted", "swordfish-encrypted"))
	inline = strings.Join(strings.Fields(encrypt("vault_inline", "swordfish-inline")), "")
	s.define("vault.yaml", project("stored, encrypted, inline"))
	s.must("systemctl", "--user", "start", "vault-app")
	lines := []string{"stored 444 0\n", "told"}
	for _, name := range []string{"stored", "encrypted", "inline"} {
		lines = append(lines, name+" is "+pipe(t, "swordfish-"+name, "sh", "-c", "sha256sum | cut -c1-12"))
	}
	s.says("vault-app", lines...)
	if out, _ := command(t, "grep", "-rl", "swordfish-", sessionRun, s.home+"/.config", "/proc/"+s.property("vault-app", "MainPID")+"/environ"); out != "" {
		t.Errorf("a secret stands in %s", out)
	}
	s.must("systemctl", "--user", "stop", "vault-app")

	// What was encrypted for another, or under another name, is none of the user's.
	for want, text := range map[string]string{
		"for the system or for another user": pipe(t, "x", "systemd-creds", "encrypt", "--quiet", "--with-key=host", "--name=vault_inline", "-", "-"),
		"with another name":                  encrypt("other", "x"),
		"cannot decrypt it":                  strings.Repeat("YWJj", 30),
	} {
		inline = strings.Join(strings.Fields(text), "")
		s.define("vault.yaml", project("inline"))
		if out, status := s.run("systemctl", "--user", "start", "vault-app"); status == 0 {
			t.Errorf("it starts with what was encrypted %s:\n%s", want, out)
		}
		if text := s.property("vault-app", "StatusText"); !strings.Contains(text, want) || !strings.Contains(text, "systemd-creds encrypt --user --name=vault_inline") {
			t.Errorf("the status is %q, want %q", text, want)
		}
	}
	s.must("unitc", "--user", "secret", "rm", "stored")
	s.define("vault.yaml", project("stored"))
	if _, status := s.run("systemctl", "--user", "start", "vault-app"); status == 0 || !strings.Contains(s.property("vault-app", "StatusText"), "`unitc --user secret set stored`") {
		t.Errorf("without it: %d, %s", status, s.property("vault-app", "StatusText"))
	}
}
