// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Debian packages of the build machine, by what needs them.
var (
	treePackages    = []string{"mmdebstrap", "debian-archive-keyring", "util-linux", "make", "kmod", "xz-utils"}
	vmPackages      = []string{"qemu-system-x86", "e2fsprogs", "swtpm"}
	foreignPackages = []string{"qemu-system-arm"}
)

func cmdInstall([]string) error {
	return ensurePackages(append(append([]string{}, treePackages...), vmPackages...))
}

// ensurePackages asks dpkg first: refreshing the package lists takes longer
// than everything else when nothing is missing.
func ensurePackages(names []string) error {
	var missing []string
	for _, name := range names {
		if !installed(name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("missing Debian packages: %s; install them or run as root", strings.Join(missing, " "))
	}
	if err := os.MkdirAll(cacheDir(), 0o755); err != nil {
		return err
	}
	// Two labs at once would fight for dpkg's own lock, which does not wait.
	unlock, err := lockFile(filepath.Join(cacheDir(), "apt.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	fmt.Fprintf(os.Stderr, "lab: installing %s\n", strings.Join(missing, " "))
	if err := quietly(nil, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	args := append([]string{"install", "-qq", "-y", "--no-install-recommends"}, missing...)
	return quietly([]string{"DEBIAN_FRONTEND=noninteractive"}, "apt-get", args...)
}

func installed(name string) bool {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${db:Status-Status}", name).Output()
	return err == nil && string(out) == "installed"
}

// quietly runs a command whose output matters only when it goes wrong.
func quietly(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
