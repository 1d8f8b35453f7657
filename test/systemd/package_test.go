// SPDX-License-Identifier: Apache-2.0

//go:build lab && daemons

package systemd

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const (
	debPackage = "/root/unitc.deb"
	rpmPackage = "/root/unitc.rpm"
)

// packageDefinition is of a container that outlives an update of the package.
const packageDefinition = "rootfs: host\ncommand: [sleep, infinity]\nstop_signal: SIGKILL\n"

// A package brings what `make install` does; containers go on when it is
// updated; removed it leaves nothing but the operator's definitions.
func TestPackageOfDebian(t *testing.T) {
	keepInstall(t)
	installer(t, "uninstall")
	must(t, "dpkg", "--install", debPackage)
	t.Cleanup(func() { command(t, "dpkg", "--purge", "unitc") })
	if info, err := os.Stat("/run/unitc"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("/run/unitc: %v %v", info, err)
	}
	place(t, "/etc/unitc/packed.yaml", packageDefinition)
	reload(t)
	must(t, "/usr/bin/unitc", "enable", "packed")
	must(t, "systemctl", "start", "packed")
	before := property(t, "packed.service", "MainPID")

	must(t, "dpkg", "--install", debPackage)
	if after := property(t, "packed.service", "MainPID"); after != before || property(t, "packed.service", "ActiveState") != "active" {
		t.Errorf("the update left it with the main process %s, before it was %s", after, before)
	}
	must(t, "systemctl", "restart", "packed")

	must(t, "dpkg", "--remove", "unitc")
	if got := property(t, "packed.service", "ActiveState"); got != "inactive" {
		t.Errorf("packed.service is %s", got)
	}
	if _, err := os.Stat("/etc/unitc/packed.yaml"); err != nil {
		t.Error(err)
	}
	if err := os.Remove("/etc/unitc/packed.yaml"); err != nil {
		t.Fatal(err)
	}
	must(t, "dpkg", "--purge", "unitc")
	command(t, "rmdir", "/etc/unitc") // dpkg leaves it when it was not empty at the removal
	if left := traces(t); left != "" {
		t.Errorf("the package leaves:\n%s", left)
	}
}

func TestPackageHasWhatIsInstalled(t *testing.T) {
	root := t.TempDir()
	must(t, "sh", "-c", "dpkg-deb --extract "+debPackage+" "+root)
	files := func(dir string) []string {
		return strings.Fields(must(t, "sh", "-c", "cd "+dir+" && find . -type f -name '*unitc*' | sort"))
	}
	if err := os.Rename(root+"/usr/share/zsh/vendor-completions", root+"/usr/share/zsh/site-functions"); err != nil {
		t.Error(err) // where Debian's zsh looks
	}
	packed := files(root + "/usr")
	if installed := files("/usr/local"); len(installed) < 10 || !slices.Equal(packed, installed) {
		t.Errorf("the package has\n%q\nand `make install` installs\n%q", packed, installed)
	}
	var listed []string
	for name := range strings.FieldsSeq(must(t, "rpm", "--query", "--list", "--package", rpmPackage)) {
		if info, err := os.Lstat(root + name); err != nil {
			t.Errorf("only the RPM package has %s", name)
		} else if rest, ok := strings.CutPrefix(name, "/usr/"); ok && info.Mode().IsRegular() && strings.Contains(name[strings.LastIndexByte(name, '/'):], "unitc") {
			listed = append(listed, "./"+rest)
		}
	}
	slices.Sort(listed)
	if !slices.Equal(listed, packed) {
		t.Errorf("the RPM package has\n%q\nand the Debian one\n%q", listed, packed)
	}
	if scripts := must(t, "rpm", "--query", "--scripts", "--package", rpmPackage); !strings.Contains(scripts, "stop_units") || !strings.Contains(scripts, "daemon-reload") {
		t.Errorf("the scripts of the RPM package are\n%s", scripts)
	}
}
