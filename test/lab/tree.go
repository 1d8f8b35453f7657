// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// suite is a Debian release to test on, named as mmdebstrap knows it.
type suite struct {
	name string
	// apt holds options for a suite whose Release file is not kept fresh.
	apt []string
}

var suites = []suite{
	{name: "trixie"},   // systemd 257
	{name: "bookworm"}, // systemd 252, the oldest we support
	{name: "forky", apt: []string{`Acquire::Check-Valid-Until "false"`}}, // the newest
}

// What a tree holds beside minbase. The kernel is fetched but not installed:
// only the VM lane needs it, and its postinst would want an initramfs maker.
var treeIncludes = []string{
	"systemd", "systemd-sysv", "dbus", "udev", "kmod",
	"procps", "iproute2", "iputils-ping", "nftables",
	"busybox-static", "strace", "ca-certificates",
}

// Nobody reads manuals in a tree, and every run copies it.
var treeExcludes = []string{"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"}

// fetchKernel resolves the metapackage by hand: apt-get download does not
// follow dependencies.
const fetchKernel = `cd /tmp && apt-get -qq download $(apt-cache depends linux-image-cloud-amd64 |
	sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -n1) && mv linux-image-*.deb /kernel.deb`

func findSuite(name string) (suite, error) {
	i := slices.IndexFunc(suites, func(s suite) bool { return s.name == name })
	if i < 0 {
		return suite{}, fmt.Errorf("suite %q: not one of the lab's: trixie, bookworm, forky", name)
	}
	return suites[i], nil
}

func (s suite) recipe() []string {
	args := []string{
		"--quiet", "--variant=minbase", "--format=directory",
		"--include=" + strings.Join(treeIncludes, ","),
		"--aptopt=APT::Install-Recommends \"false\"",
	}
	for _, opt := range s.apt {
		args = append(args, "--aptopt="+opt)
	}
	for _, pattern := range treeExcludes {
		args = append(args, "--dpkgopt=path-exclude="+pattern)
	}
	return append(args, "--customize-hook=chroot \"$1\" sh -c '"+strings.ReplaceAll(fetchKernel, "'", `'\''`)+"'")
}

// tree returns a directory with `root`, the unpacked suite, and `kernel.deb`.
func (s suite) tree() (string, error) {
	recipe := s.recipe()
	sum := sha256.Sum256([]byte(strings.Join(recipe, "\x00")))
	return cached(fmt.Sprintf("%s-%x", s.name, sum[:6]), func(dir string) error {
		if err := ensurePackages(treePackages); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "lab: making the %s tree\n", s.name)
		root := filepath.Join(dir, "root")
		args := append(slices.Clone(recipe), s.name, root, "http://deb.debian.org/debian")
		if err := quietly(nil, "mmdebstrap", args...); err != nil {
			return err
		}
		return os.Rename(filepath.Join(root, "kernel.deb"), filepath.Join(dir, "kernel.deb"))
	})
}

func cmdTree(args []string) error {
	for _, name := range args {
		s, err := findSuite(name)
		if err != nil {
			return err
		}
		path, err := s.tree()
		if err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}
