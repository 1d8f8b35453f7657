// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// suite is a Debian release to test on, named as mmdebstrap knows it.
type suite struct {
	name string
	// apt holds options for a suite whose Release file is not kept fresh.
	apt []string
	// release is the Debian release where it is not called as the suite.
	release string
	// include is what the tree holds beside treeIncludes.
	include []string
	// prepare is run in the tree when all packages are there.
	prepare string
	// tpm gives its VM a TPM.
	tpm bool
	// arch is its processor, as Go and Debian call it, where it is not this machine's.
	arch string
}

func (s suite) debian() string {
	if s.release != "" {
		return s.release
	}
	return s.name
}

// daemons is a machine with the programs that people run in containers, with both
// kinds of packages, and with the firewalls and the shells that hosts have.
var daemons = suite{
	name: "daemons", release: "trixie",
	include: []string{"nginx-light", "redis-server", "postgresql", "python3", "nodejs", "rpm", "firewalld", "ufw", "bash-completion", "zsh", "fish", "python3-prometheus-client",
		"prometheus-node-exporter", "haproxy", "openssh-server", "openssh-client", "cron", "mosquitto", "mosquitto-clients"},
	// They are run by unitc, not by their own units, or by the tests.
	prepare: "cd /etc/systemd/system/multi-user.target.wants && rm -f nginx.service redis-server.service postgresql.service firewalld.service ufw.service prometheus-node-exporter.service haproxy.service ssh.service cron.service mosquitto.service",
}

// engines is a machine with the engines that drive an OCI runtime. They are
// started by the tests, not by their own units.
var engines = suite{
	name: "engines", release: "trixie", apt: []string{`Acquire::Check-Valid-Until "false"`},
	include: []string{
		"podman", "conmon", "containerd", "netavark", "aardvark-dns", "passt", "catatonit",
		"docker.io", "docker-cli", "containernetworking-plugins",
	},
	prepare: enginesPrepare,
}

// The newest containerd lies beside Debian's own: it wants no newer libc. Of the
// plugins for networks the tests use three; each run copies the whole tree.
const enginesPrepare = `set -e
	cd /etc/systemd/system
	rm -f multi-user.target.wants/containerd.service multi-user.target.wants/docker.service sockets.target.wants/docker.socket \
		multi-user.target.wants/podman*.service default.target.wants/podman*.service sockets.target.wants/podman.socket timers.target.wants/podman*.timer \
		default.target.wants/netavark* sockets.target.wants/netavark*
	cd /usr/lib/cni && find . -type f ! -name bridge ! -name host-local ! -name loopback -delete
	mkdir /opt/containerd-2 && cd /opt/containerd-2
	sed "s/ trixie / forky /" /etc/apt/sources.list >/etc/apt/sources.list.d/newest.list
	apt-get -qq update && apt-get -qq download containerd/forky
	dpkg-deb --fsys-tarfile containerd_*.deb | tar -x --strip-components=3 ./usr/bin
	rm containerd_*.deb /etc/apt/sources.list.d/newest.list`

// extras are machines of their own, so that the others stay small: each has a
// lane of tests with a build tag of its name.
var extras = []suite{daemons, engines}

// extraTests is how the names of their tests begin, as a regular expression.
var extraTests = map[string]string{daemons.name: "Test(Daemon|Package|Shell)", engines.name: "TestEngine"}

func isExtra(suiteName string) bool { return extraTests[suiteName] != "" }

var suites = []suite{
	{name: "trixie", // systemd 257
		// systemd opens the libraries of TPMs when it has one.
		include: []string{"apparmor", "libtss2-esys-3.0.2-0t64", "libtss2-rc0t64", "systemd-resolved"}, tpm: true,
		// Compiling the profiles of other programs takes the VM half a minute.
		prepare: "find /etc/apparmor.d -maxdepth 1 -type f -delete; " + noResolved},
	// systemd 252, the oldest we support
	{name: "bookworm", include: []string{"systemd-resolved"}, prepare: noResolved},
	// the newest
	{name: "forky", include: []string{"systemd-resolved"}, prepare: noResolved, apt: []string{`Acquire::Check-Valid-Until "false"`}},
}

// noResolved leaves systemd-resolved to the tests that start it.
const noResolved = "find /etc/systemd/system -name \"systemd-resolved*\" -delete"

// What a tree holds beside minbase. The kernel is fetched but not installed:
// only the VM lane needs it, and its postinst would want an initramfs maker.
var treeIncludes = []string{
	"systemd", "systemd-sysv", "dbus", "udev", "kmod",
	"procps", "iproute2", "iputils-ping", "nftables",
	"busybox-static", "strace", "ca-certificates",
	"crun", "runc", // `runtime:` is tested with both
	"uidmap", "dbus-user-session", // containers of users
}

// Nobody reads manuals in a tree, and every run copies it.
var treeExcludes = []string{"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"}

// fetchKernel unpacks the kernel's packages beside the tree's own files. They
// are found by hand, for apt-get download follows no dependencies: the image
// package holds everything up to Debian 13, and next to nothing after it.
const fetchKernel = `set -e
	names() { apt-cache depends "$1" | sed -n "s/.*Depends: \(linux-\($2\)-[0-9][^ ]*\).*/\1/p"; }
	image=$(names linux-image-cloud-amd64 image | head -n1)
	mkdir /kernel /kernel/deb && cd /kernel/deb
	apt-get -qq download $image $(names $image "binary\|modules")
	for deb in *.deb; do dpkg-deb -x $deb /kernel; done
	rm -r /kernel/deb`

// treeFormat is part of each tree's key: raise it when what is done to a tree
// after mmdebstrap changes.
const treeFormat = "2"

func findSuite(name string) (suite, error) {
	all := append(slices.Concat(suites, extras), peers, foreign)
	i := slices.IndexFunc(all, func(s suite) bool { return s.name == name })
	if i < 0 {
		return suite{}, fmt.Errorf("suite %q: not one of the lab's: trixie, bookworm, forky, daemons, engines, peers, arm64", name)
	}
	return all[i], nil
}

func (s suite) recipe() []string {
	if s.isForeign() {
		like, _ := findSuite(s.debian())
		return append(like.recipe(), s.arch)
	}
	args := []string{
		"--quiet", "--variant=minbase", "--format=directory",
		"--include=" + strings.Join(append(slices.Clone(treeIncludes), s.include...), ","),
		"--aptopt=APT::Install-Recommends \"false\"",
	}
	for _, opt := range s.apt {
		args = append(args, "--aptopt="+opt)
	}
	for _, pattern := range treeExcludes {
		args = append(args, "--dpkgopt=path-exclude="+pattern)
	}
	if slices.Contains(s.include, "systemd-resolved") {
		// Its installation has the tree ask a server that does not run there.
		args = append(args, `--customize-hook=rm -f "$1/etc/resolv.conf"; cat /etc/resolv.conf >"$1/etc/resolv.conf"`)
	}
	if s.prepare != "" {
		args = append(args, "--customize-hook=chroot \"$1\" sh -c '"+s.prepare+"'")
	}
	return append(args, "--customize-hook=chroot \"$1\" sh -c '"+strings.ReplaceAll(fetchKernel, "'", `'\''`)+"'")
}

// tree returns a directory with `root`, the unpacked suite, and what
// makeBootable leaves beside it.
func (s suite) tree() (string, error) {
	recipe := append(s.recipe(), treeFormat)
	sum := sha256.Sum256([]byte(strings.Join(recipe, "\x00")))
	return cached(fmt.Sprintf("%s-%x", s.name, sum[:6]), func(dir string) error {
		if err := ensurePackages(treePackages); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "lab: making the %s tree\n", s.name)
		root := filepath.Join(dir, "root")
		mirror, err := mirror()
		if err != nil {
			return err
		}
		if s.isForeign() {
			err = s.makeForeignTree(root, mirror)
		} else {
			err = quietly(nil, "mmdebstrap", append(s.recipe(), s.debian(), root, mirror)...)
		}
		if err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(root, "kernel"), filepath.Join(dir, "kernel")); err != nil {
			return err
		}
		return makeBootable(dir)
	})
}

// mirror is where this machine has its own packages from.
func mirror() (string, error) {
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI)").Output()
	if err != nil {
		return "", fmt.Errorf("asking apt for a mirror of Debian: %w", err)
	}
	for uri := range strings.Lines(string(out)) {
		if uri = strings.TrimSpace(uri); strings.HasSuffix(uri, "/debian/") {
			return uri, nil
		}
	}
	return "", errors.New("apt on this machine knows no mirror of Debian; add one to its sources")
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
