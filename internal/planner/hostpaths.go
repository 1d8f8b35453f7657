// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"path"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// Paths of the host, cleaned, whose content is the host's own. Links are not
// followed: a check says the same on another machine.

// systemDirs are noted as they are, and what is below them is not, for others
// put there what is theirs.
var systemDirs = []string{"/home", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/local", "/usr/local/bin", "/etc", "/var", "/var/lib",
	"/etc/passwd", "/etc/group", "/etc/crontab", "/etc/ld.so.preload"}

// systemTrees are noted with all that is below them, read-only too.
var systemTrees = append([]string{
	"/boot", "/efi", "/etc/cron.d", "/etc/pam.d", "/etc/sudoers", "/etc/sudoers.d", "/etc/systemd", "/etc/unitc", "/usr/lib/systemd", "/lib/systemd",
	"/var/lib/containerd", "/var/lib/containers", "/var/lib/docker", "/var/lib/dpkg", "/var/lib/kubelet", "/var/lib/rpm",
}, keyTrees...)

// keyTrees are where the host keeps hashes, keys and other people's secrets.
var keyTrees = []string{
	"/etc/NetworkManager/system-connections", "/etc/credstore", "/etc/credstore.encrypted", "/etc/gshadow", "/etc/gshadow-", "/etc/krb5.keytab", "/etc/pki/tls/private",
	"/etc/shadow", "/etc/shadow-", "/etc/ssh", "/etc/ssl/private", "/etc/wireguard", "/root", "/var/backups", "/var/lib/private", "/var/lib/systemd", "/var/lib/unitc", "/var/spool/cron",
}

// programTrees are what the host runs, or is told how to run: to read it tells
// nothing, to write it is to be root.
var programTrees = []string{"/etc", "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin"}

func below(p string, trees []string) bool {
	return slices.ContainsFunc(trees, func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") })
}

func hostSystem(p string, writable bool) bool {
	return slices.Contains(systemDirs, p) || below(p, systemTrees) || isHome(p) || inHiddenHome(p) || writable && below(p, programTrees)
}

// isHome is true of a home directory itself: keys and the shell's start-up files
// are in it.
func isHome(p string) bool { return path.Dir(p) == "/home" }

// inHiddenHome is true of what is behind a dot there.
func inHiddenHome(p string) bool {
	rest, ok := strings.CutPrefix(p, "/home/")
	_, rest, deeper := strings.Cut(rest, "/")
	return ok && deeper && strings.HasPrefix(rest, ".")
}

// kernelTrees are noted with all that is below them.
var kernelTrees = []string{"/proc", "/sys", "/run/credentials", "/run/systemd", "/run/udev", "/run/unitc", "/run/unitc-volumes", "/run/user"}

// hostKernel are directories with sockets of daemons and the kernel's own.
func hostKernel(p string) bool {
	p = underRun(p)
	return p == "/run" || p == "/dev" || below(p, kernelTrees) && !rootSocket(p)
}

// underRun gives the other name of what is below /var/run.
func underRun(p string) string {
	if below(p, []string{"/var/run"}) {
		return strings.TrimPrefix(p, "/var")
	}
	return p
}

// rootSockets are sockets whose daemon is root and does as it is told, and their
// directories.
var rootSockets = []string{
	"/run/containerd", "/run/crio", "/run/dbus", "/run/docker", "/run/docker.sock", "/run/libvirt", "/run/podman", "/run/systemd/private",
}

func rootSocket(p string) bool { return below(underRun(p), rootSockets) }

// isHosts tells of a root file system what the rows on volumes tell of theirs.
func isHosts(p string) bool {
	return p == "/" || hostSystem(p, true) || hostKernel(p) || rootSocket(p)
}

// secretFile tells whether a file is one that a container's own secret would not
// be in.
func secretFile(name string) bool {
	p := underRun(path.Clean(name))
	return below(p, keyTrees) || inHiddenHome(p) || below(p, []string{"/proc", "/sys", "/dev", "/run"})
}

// hostSecrets finds the keys by which such a file's content comes to the payload.
func hostSecrets(s *definition.Service) []string {
	paths := indexed("env_file", len(s.EnvFiles), func(i int) bool { return secretFile(s.EnvFiles[i].Path) })
	granted := func(key string, list []definition.Grant) []string {
		return indexed(key, len(list), func(i int) bool { return list[i].File != "" && secretFile(list[i].File) })
	}
	paths = append(paths, granted("secrets", s.Secrets)...)
	paths = append(paths, granted("configs", s.Configs)...)
	return append(paths, directives("service", s.System.Service, func(d definition.Directive) bool {
		_, file, _ := strings.Cut(d.Value, ":")
		return strings.HasPrefix(d.Name, "LoadCredential") && path.IsAbs(file) && secretFile(file)
	})...)
}

// harmlessTypes are of file systems whose content comes from memory or from
// another machine.
var harmlessTypes = []string{"tmpfs", "nfs", "nfs4", "cifs", "smb3", "ceph"}

func mountsAnything(v *definition.NamedVolume) bool {
	return v.MountPoint() != "" && !slices.Contains(harmlessTypes, v.Option("type"))
}
