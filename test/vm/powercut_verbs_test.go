// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cutCuts is how often the power is cut, each time in another place.
func cutCuts() int {
	n, _ := strconv.Atoi(os.Getenv("UNITC_LAB_CUTS"))
	return max(n, 1)
}

const (
	cutFiles   = 150 // in the image's directory
	cutImage   = "localhost/cut-first:1"
	cutDir     = "/var/lib/lab-cut"
	cutSleeper = "rootfs: host\nnetwork_mode: none\ncommand: [sleep, infinity]\nrestart: always\n"
)

// cutDefinition has another number each time, and a file of variables that has to
// have the same.
func cutDefinition(n int) string {
	return fmt.Sprintf("%slabels: {number: '%d'}\nenv_file: %s/number.env\n", cutSleeper, n, cutDir)
}

// What a verb has done by the time that it ends no power cut undoes; what it is at is
// done wholly or not at all, and leaves nothing. The clock of the next boot is one of
// more than a year before.
//
//lab:once
func TestBootPowerCutBehindVerbs(t *testing.T) {
	prepare := func(n int) {
		beforeReboot = append(beforeReboot, func() error { return cutVerbs(n) })
	}
	boots := []func(*testing.T){
		func(*testing.T) {}, // its end is no power cut
		func(t *testing.T) {
			loadBusybox(t, cutImage, cutFiles, "/bin/sh", "-c", "echo first words; exec busybox sleep infinity")
			if err := os.MkdirAll(cutDir, 0o700); err != nil {
				t.Fatal(err)
			}
			run(t, "mv", busyboxArchive(t, "localhost/cut-load:1", cutFiles), cutDir+"/image.tar")
			run(t, "tar", "-C", "/usr/share/zoneinfo", "-cf", cutDir+"/volume.tar", "Europe", "America")
			write(t, cutDir+"/editor", "#!/bin/sh\ncp "+cutDir+"/edited \"$1\"\n")
			run(t, "chmod", "+x", cutDir+"/editor")
			for _, name := range []string{"cut-off", "cut-edit"} {
				write(t, "/etc/unitc/"+name+".yaml", cutSleeper)
			}
			prepare(1)
		},
	}
	for n := 1; n <= cutCuts(); n++ {
		boots = append(boots, func(t *testing.T) {
			expectCut(t, n)
			if n == cutCuts() {
				forgetCut(t)
			} else {
				// Its next start is a first one again.
				run(t, "systemctl", "stop", "cut-first")
				run(t, "unitc", "volume", "rm", "cut-data")
				prepare(n + 1)
			}
		})
	}
	phases(t, boots...)
	if n, _ := strconv.Atoi(os.Getenv("UNITC_LAB_BOOT")); n > 1 && n < len(boots) && !t.Failed() {
		write(t, "/run/unitc-lab/reboot", "reset")
	}
}

// cutVerbs is what is done right before the n-th cut.
func cutVerbs(n int) error {
	var failed error
	do := func(stdin, name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Stdin, cmd.Env = strings.NewReader(stdin), append(os.Environ(), "EDITOR="+cutDir+"/editor")
		if out, err := cmd.CombinedOutput(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s %q: %w: %s", name, args, err, out))
		}
	}
	set := func(path, text string) { failed = errors.Join(failed, os.WriteFile(path, []byte(text), 0o644)) }
	set(cutDir+"/cut-down.yaml", cutSleeper)
	do("", "unitc", "up", "--no-start", cutDir+"/cut-down.yaml")
	do("the secret", "unitc", "secret", "set", "cut-gone")
	do("", "unitc", "volume", "create", "cut-removed")
	set("/etc/unitc/cut-first.yaml", "image: "+cutImage+"\nnetwork_mode: none\nrestart: always\nvolumes: ['cut-data:/data']\n")
	set(cutDir+"/cut-up.yaml", cutDefinition(n))
	set(cutDir+"/number.env", fmt.Sprintf("NUMBER=%d\n", n))
	set(cutDir+"/edited", cutDefinition(0)[:len(cutSleeper)]+fmt.Sprintf("labels: {number: '%d'}\n", n))
	do("", "unitc", "enable", "cut-off")
	do("", "sync")
	// From now on nothing is there for good that nobody has seen to.
	do("", "mount", "-o", "remount,commit=300", "/")
	ahead := unix.NsecToTimeval(time.Now().Add(400 * 24 * time.Hour).UnixNano())
	failed = errors.Join(failed, unix.Settimeofday(&ahead))

	set("/etc/unitc/cut-fails.yaml", "rootfs: host\nnetwork_mode: none\ncommand: [sh, -c, 'read boot </proc/sys/kernel/random/boot_id; echo in $$boot; exit 3']\n")
	do("", "systemctl", "daemon-reload")
	_ = exec.Command("systemctl", "start", "cut-fails").Run()
	do("", "unitc", "why", "cut-fails")
	do("", "journalctl", "--sync")
	do("", "unitc", "tag", cutImage, fmt.Sprintf("localhost/cut-tag:%d", n))
	do("", "unitc", "volume", "rm", "cut-removed")
	do(fmt.Sprintf("secret %d", n), "unitc", "secret", "set", "cut-new")
	do("", "unitc", "up", "--no-start", cutDir+"/cut-up.yaml")
	do("", "unitc", "edit", "cut-edit")
	do("", "unitc", "secret", "rm", "cut-gone")
	do("", "unitc", "down", "--purge", "cut-down")
	do("", "unitc", "disable", "cut-off")
	// And in the middle of these the power goes.
	for _, script := range []string{
		"systemctl start --no-block cut-first",
		"while unitc volume import cut-import " + cutDir + "/volume.tar && unitc volume rm cut-import; do :; done",
		"while unitc load --quiet " + cutDir + "/image.tar && unitc rmi localhost/cut-load:1; do :; done",
		"while echo middle | unitc secret set cut-middle; do :; done",
		"while echo '" + cutSleeper + "' >" + cutDir + "/cut-middle.yaml && unitc up --no-start " + cutDir + "/cut-middle.yaml && unitc down --purge cut-middle; do :; done",
	} {
		failed = errors.Join(failed, exec.Command("sh", "-c", script).Start())
	}
	time.Sleep(time.Duration(rand.IntN(4000*cutCuts())) * time.Millisecond)
	return failed
}

// expectCut is what there is behind the n-th cut.
func expectCut(t *testing.T, n int) {
	t.Helper()
	for path, want := range map[string]string{
		"/etc/unitc/cut-up.yaml": fmt.Sprintf("number: '%d'", n), "/etc/unitc/cut-edit.yaml": fmt.Sprintf("number: '%d'", n),
	} {
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s is %q, %v; want %s", path, text, err, want)
		}
	}
	if out, err := exec.Command("unitc", "check", "/etc/unitc/cut-up.yaml", "/etc/unitc/cut-edit.yaml", "/etc/unitc/cut-off.yaml", "/etc/unitc/cut-first.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Lstat("/etc/unitc/cut-down.yaml"); !os.IsNotExist(err) {
		t.Errorf("what was taken down is there: %v", err)
	}
	if secrets := run(t, "unitc", "secret", "ls"); !strings.Contains(secrets, "cut-new") || strings.Contains(secrets, "cut-gone") {
		t.Errorf("secrets are %s", secrets)
	} else if text := run(t, "systemd-creds", "decrypt", "--name=cut-new", "/etc/credstore.encrypted/cut-new", "-"); text != fmt.Sprintf("secret %d", n) {
		t.Errorf("the secret is %q", text)
	}
	if strings.Contains(run(t, "unitc", "secret", "ls"), "cut-middle") {
		if text := run(t, "systemd-creds", "decrypt", "--name=cut-middle", "/etc/credstore.encrypted/cut-middle", "-"); text != "middle" {
			t.Errorf("the secret that was set in the middle is %q", text)
		}
	}
	if text, err := os.ReadFile("/etc/unitc/cut-middle.yaml"); err == nil && string(text) != cutSleeper+"\n" {
		t.Errorf("the definition that was installed in the middle is %q", text)
	}
	for _, dir := range []string{"/etc/unitc", "/etc/credstore.encrypted"} {
		if left, _ := filepath.Glob(dir + "/.*"); len(left) > 0 {
			t.Errorf("there is left: %q", left)
		}
	}
	for _, name := range []string{"cut-up", "cut-edit", "cut-first"} {
		await(t, name+" runs", func() bool { return show(t, name, "ActiveState") == "active" })
	}
	if state := show(t, "cut-off", "ActiveState"); state != "inactive" {
		t.Errorf("what was disabled is %s", state)
	}
	whole := func(volume string, want int) {
		t.Helper()
		data := "/var/lib/unitc/volumes/" + volume + "/data"
		if files := strings.Fields(run(t, "find", data, "-type", "f", "-size", "+0")); len(files) != want {
			t.Errorf("the volume %s has %d files instead of %d", volume, len(files), want)
		}
	}
	whole("cut-data", cutFiles)
	if exec.Command("unitc", "volume", "inspect", "cut-import").Run() == nil {
		whole("cut-import", strings.Count(run(t, "tar", "-tvf", cutDir+"/volume.tar"), "\n-")) // a directory is first
	}
	if exec.Command("unitc", "volume", "inspect", "cut-removed").Run() == nil {
		t.Error("a volume that was removed is there")
	}
	if list := run(t, "unitc", "images"); !strings.Contains(list, fmt.Sprintf("localhost/cut-tag:%d", n)) {
		t.Errorf("images are\n%s", list)
	}
	run(t, "unitc", "verify")
	// Its words of this boot, and not those of the boot in the future.
	await(t, "it has spoken", func() bool {
		return strings.Contains(run(t, "journalctl", "-b", "-o", "cat", "-u", "cut-first"), "first words")
	})
	if said := run(t, "unitc", "logs", "-n", "1", "cut-first"); !strings.Contains(said, "first words") {
		t.Errorf("its log is %q", said)
	}
	_ = exec.Command("systemctl", "start", "cut-fails").Run()
	boot := run(t, "cat", "/proc/sys/kernel/random/boot_id")
	await(t, "it has failed", func() bool { return show(t, "cut-fails", "ActiveState") == "failed" })
	if said := run(t, "unitc", "why", "cut-fails"); !strings.Contains(said, "in "+boot) {
		t.Errorf("it has failed in boot %s, and unitc why says:\n%s", boot, said)
	}
	if out := run(t, "unitc", "ps", "cut-first"); strings.Contains(out, "in the future") {
		t.Errorf("%s", out)
	}
}

func forgetCut(t *testing.T) {
	t.Helper()
	names := []string{"cut-up", "cut-edit", "cut-first"}
	if _, err := os.Lstat("/etc/unitc/cut-middle.yaml"); err == nil {
		names = append(names, "cut-middle")
	}
	run(t, "unitc", append([]string{"down", "--purge", "cut-off", "cut-fails"}, names...)...)
	for _, secret := range strings.Fields(run(t, "unitc", "secret", "ls")) {
		if strings.HasPrefix(secret, "cut-") {
			run(t, "unitc", "secret", "rm", secret)
		}
	}
	for _, volume := range []string{"cut-data", "cut-import"} {
		_ = exec.Command("unitc", "volume", "rm", volume).Run()
	}
	images := []string{"rmi", "--force", "localhost/cut-load:1", cutImage}
	for n := 1; n <= cutCuts(); n++ {
		images = append(images, fmt.Sprintf("localhost/cut-tag:%d", n))
	}
	_ = exec.Command("unitc", images...).Run() // the first may not be there
	run(t, "unitc", "prune", "--partial")
	for _, dir := range []string{"staging", "trash", "leases"} {
		left, err := os.ReadDir("/var/lib/unitc/" + dir)
		if err != nil || len(left) > 0 {
			t.Errorf("%s holds %v, %v", dir, left, err)
		}
	}
	os.RemoveAll(cutDir)
}
