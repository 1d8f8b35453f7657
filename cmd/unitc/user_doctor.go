// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
	"github.com/unitc/unitc/internal/cli/doctor"
	"github.com/unitc/unitc/internal/enter"
	"github.com/unitc/unitc/internal/generator"
	"github.com/unitc/unitc/internal/launch"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/usernet"
)

// examine is what unitc doctor looks at: of the machine, or of what a user's
// containers need of it.
func (a *app) examine() []doctor.Finding {
	m := a.machine()
	u := realm.Own()
	if u == nil {
		return append(doctor.Examine(m), a.examineDefinitions(), a.examineLinks())
	}
	for i, dir := range m.Generators {
		m.Generators[i] = strings.Replace(dir, "system-generators", "user-generators", 1)
	}
	common := []string{"version", "seccomp", "security module", "hierarchy", "pressure", "generator", "helper", "journal", "kinds"}
	list := slices.DeleteFunc(doctor.Examine(m), func(f doctor.Finding) bool { return !slices.Contains(common, f.Check) })
	list = append(list, userDirectories(), userNamespace(u), userIDs(u), userImages(u), userControllers(u), userPasta(), userKeeper(), userSweep(), userLingers(u))
	return append(list, a.examineDefinitions(), a.examineLinks())
}

// finding is one of the user's own.
func finding(check string, state doctor.State, cure, format string, args ...any) doctor.Finding {
	return doctor.Finding{Area: "user", Check: check, State: state, What: fmt.Sprintf(format, args...), Cure: cure}
}

// userDirectories are those of the user's systemd, or nothing that is done here is found.
func userDirectories() doctor.Finding {
	const check = "directories"
	if what, cure := otherPlaces(); what != "" {
		return finding(check, doctor.Failed, cure, "%s", what)
	}
	return finding(check, doctor.OK, "", "definitions in %s, images in %s", realm.Config, realm.Store)
}

// userNamespace makes one, as a start does.
func userNamespace(u *realm.User) doctor.Finding {
	const check = "namespace"
	child, err := enter.Fork(u, []string{"/bin/true"}, enter.Options{})
	if err == nil {
		defer child.Close()
		if err = child.Release(); err == nil && enter.Await(child.PID) != 0 {
			err = fmt.Errorf("a program in the user's namespace has failed")
		}
	}
	if err != nil {
		what, cure, _ := strings.Cut(err.Error(), "; ")
		return finding(check, doctor.Failed, cure, "%s", what)
	}
	return finding(check, doctor.OK, "", "the user's own, with the ids of /etc/subuid and /etc/subgid")
}

// userIDs: newuidmap(1) asks nobody whether it gives the same ids to two.
func userIDs(u *realm.User) doctor.Finding {
	const check = "ids"
	shared, err := enter.Shared(u.UID)
	switch {
	case err != nil: // the namespace's line says it
		return finding(check, doctor.Unknown, "", "%v", err)
	case len(shared) > 0:
		return finding(check, doctor.Warning, "have root give each user ids that are nobody else's (usermod --add-subuids)", "%s; what runs under them is not apart", strings.Join(shared, "; "))
	}
	return finding(check, doctor.OK, "", "the subordinate ids are nobody else's")
}

// userImages mounts an overlay where the user's images are, or would be.
func userImages(u *realm.User) doctor.Finding {
	const check = "images"
	at := realm.Store
	for at != "/" && unix.Access(at, unix.F_OK) != nil {
		at = filepath.Dir(at)
	}
	dir, err := os.MkdirTemp(at, ".unitc-doctor-")
	if err != nil {
		return finding(check, doctor.Failed, "have a file system for "+realm.Store+" that the user may write to", "%v", err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return finding(check, doctor.Unknown, "", "%v", err)
		}
	}
	child, err := enter.Fork(u, []string{"/bin/true"}, enter.Options{Before: func(p *program.Program) {
		p.Call("chdir", dir, unix.SYS_CHDIR, p.Str(dir))
		p.Call("mount", "overlay", unix.SYS_MOUNT, p.Str("overlay"), p.Str("lower"), p.Str("overlay"), 0, p.Str("lowerdir=lower,upperdir=upper,workdir=work,userxattr"))
	}})
	if err != nil {
		return finding(check, doctor.Unknown, "", "no namespace to try it in") // whose line says why
	}
	defer child.Close()
	err = child.Release()
	switch {
	case errors.Is(err, unix.EINVAL):
		return finding(check, doctor.Warning, "have it on ext4, xfs, btrfs or tmpfs (XDG_DATA_HOME), or write `rootfs:`", "the file system of %s takes no overlay (an overlay itself, NFS and others do not): images do not start", at)
	case errors.Is(err, unix.ENODEV):
		return finding(check, doctor.Warning, "have root load it: modprobe overlay", "the kernel has no overlay file system: images do not start")
	case err != nil:
		_ = child.Kill()
		return finding(check, doctor.Warning, "look at `findmnt -T "+at+"`", "an overlay on %s: %v; images do not start", at, err)
	}
	_ = enter.Await(child.PID)
	return finding(check, doctor.OK, "", "%s takes overlays", at)
}

func userControllers(u *realm.User) doctor.Finding {
	const check = "controllers"
	data, err := os.ReadFile(cgroupfs.Mount() + cgroupfs.OwnRoot() + "/cgroup.controllers")
	if err != nil {
		return finding(check, doctor.Failed, "log in as the user, or `loginctl enable-linger`", "the user's systemd has no cgroup: %v", err)
	}
	have := strings.Fields(string(data))
	var missing []string
	for _, c := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if !slices.Contains(have, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return finding(check, doctor.Warning, launch.DelegateCure, "limits by %s do not hold: the user's systemd does not have them", strings.Join(missing, ", "))
	}
	return finding(check, doctor.OK, "", "all that limits need")
}

func userPasta() doctor.Finding {
	const check = "network"
	for _, path := range launch.PastaPaths {
		if unix.Access(path, unix.X_OK) == nil {
			return finding(check, doctor.OK, "", "%s", path)
		}
	}
	return finding(check, doctor.Warning, "install passt, or write `network_mode: host` or `none`, or `internal: true` at networks", "pasta(1), which connects a user's containers, is not installed")
}

// userKeeper keeps the networks of a user's containers, and is a package's unit.
func userKeeper() doctor.Finding {
	const check = "networks"
	path, masked := userUnit(usernet.Unit)
	switch {
	case masked:
		return finding(check, doctor.Failed, "systemctl --user unmask "+usernet.Unit, "%s is masked: containers on networks do not start", usernet.Unit)
	case path == "":
		return finding(check, doctor.Failed, installAgain, "%s is missing: containers on networks do not start", usernet.Unit)
	}
	return finding(check, doctor.OK, "", "%s", path)
}

const installAgain = "install unitc again: its packages and `make install` bring it"

// userUnit finds a unit that is not the generator's.
func userUnit(name string) (path string, masked bool) {
	for _, dir := range realm.NativeUnits() {
		path := dir + "/" + name
		if target, err := os.Readlink(path); err == nil && target == "/dev/null" {
			return path, true
		}
		if _, err := os.Stat(path); err == nil {
			return path, false
		}
	}
	return "", false
}

// userSweep: what comes behind the end of containers are a package's units.
func userSweep() doctor.Finding {
	const check, cost = "sweep", "each container has clean-up of its own, and its stop takes longer"
	where := ""
	for _, unit := range generator.Behind {
		path, masked := userUnit(unit)
		switch {
		case masked:
			return finding(check, doctor.Warning, "systemctl --user unmask "+unit+", and daemon-reload", "%s is masked: %s", unit, cost)
		case path == "":
			return finding(check, doctor.Warning, installAgain+"; then systemctl --user daemon-reload", "%s is missing: %s", unit, cost)
		}
		where = filepath.Dir(path)
	}
	if !generator.ReadsJournal("") {
		return finding(check, doctor.Warning, "have root keep the journal on the disk (mkdir /var/log/journal, Storage= and SplitMode= in journald.conf(5)), or add the user to the group systemd-journal; then systemctl --user daemon-reload",
			"the user may not read what their systemd tells the journal, and neither unitc logs nor unitc why has anything to show: %s", cost)
	}
	return finding(check, doctor.OK, "", "%s", where)
}

// userLingers: without it all ends with the user's last login (loginctl(1)).
func userLingers(u *realm.User) doctor.Finding {
	const check = "at boot"
	own, err := user.LookupId(fmt.Sprint(u.UID))
	if err != nil {
		return finding(check, doctor.Unknown, "", "%v", err)
	}
	if _, err := os.Stat("/var/lib/systemd/linger/" + own.Username); err != nil {
		return finding(check, doctor.Warning, "loginctl enable-linger", "containers end when %s logs out, and do not start at boot", own.Username)
	}
	return finding(check, doctor.OK, "", "the user's systemd starts with the system")
}
