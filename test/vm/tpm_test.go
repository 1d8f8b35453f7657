// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// "`encrypted:` through systemd credentials (`systemd-creds`, TPM where present)":
// a secret sealed with the TPM alone, and one of `unitc secret set`. Without its
// TPM the machine can read neither.
func TestSecretsOfTPM(t *testing.T) {
	if os.Getenv("UNITC_LAB_SUITE") != "trixie" {
		t.Skip("no TPM: the VM of trixie has one")
	}
	// systemd takes a TPM by itself where the machine's UEFI tells of one too
	// (systemd-creds(1)); this machine has a BIOS.
	const firmware = `mount -t tmpfs none /sys/firmware && cd /sys/firmware && mkdir -p efi acpi/tables && touch acpi/tables/TPM2 && exec "$@"`
	feed(t, "of the host\n", "unshare", "-m", "sh", "-ec", firmware, "sh", "unitc", "secret", "set", "word")
	t.Cleanup(func() { run(t, "unitc", "secret", "rm", "word") })
	// The text begins with the kind of its keys.
	stored, err := os.ReadFile("/etc/credstore.encrypted/word")
	if err != nil {
		t.Fatal(err)
	}
	chosen := feed(t, "x", "systemd-creds", "encrypt", "--with-key=host+tpm2", "--name=word", "-", "-")
	if string(stored[:20]) != chosen[:20] {
		t.Errorf("`unitc secret set` chose other keys: %.20s, not %.20s", stored, chosen)
	}
	var all []*container
	for _, placement := range placements {
		project := "tpm" + placement
		sealed := filepath.Join(t.TempDir(), "sealed.cred")
		feed(t, "of the TPM\n", "systemd-creds", "encrypt", "--with-key=tpm2", "--name="+project+"_sealed", "-", sealed)
		c := &container{t: t, name: project + "-app"}
		path := "/etc/unitc/" + project + ".yaml"
		writeDown(t, path, `services:
  app:
    rootfs: host
    systemd: {cgroup: `+placement+`}
    secrets: [sealed, word]
    command: [sh, -c, 'cat /run/secrets/*; ls /dev/tpm* 2>/dev/null; echo read; exec sleep infinity']
secrets:
  sealed: {encrypted: `+sealed+`}
  word: {external: true, name: word}
`)
		t.Cleanup(func() {
			run(t, "systemctl", "stop", c.name)
			os.Remove(path)
			_ = exec.Command("systemctl", "reset-failed", c.name).Run() // nothing to reset is an error
		})
		all = append(all, c)
	}
	run(t, "systemctl", "daemon-reload")
	for _, c := range all {
		run(t, "systemctl", "start", c.name)
		if said := c.awaitWord("read"); !strings.Contains(said, "of the TPM\nof the host\nread") {
			t.Errorf("%s says:\n%s", c.name, said)
		}
		run(t, "systemctl", "stop", c.name)
	}
	// Bound again it may be another device; no other test wants it in this boot.
	if err := os.WriteFile("/sys/bus/platform/drivers/tpm_tis/unbind", []byte("MSFT0101:00"), 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		out, err := exec.Command("systemctl", "start", c.name).CombinedOutput()
		if status := c.show("ExecMainStatus"); err == nil || status != "243" {
			t.Errorf("without the TPM the start of %s says %v with status %s: %s", c.name, err, status, out)
		}
	}
}

// feed runs a command with a secret on its standard input.
func feed(t *testing.T, secret, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(secret)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.String())
	}
	return string(out)
}
