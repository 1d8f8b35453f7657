// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// patience with PID 1, which may be busy.
const patience = 10 * time.Second

func systemdVersion(m Machine) result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	version, err := m.Systemd(ctx)
	if err != nil {
		return bad("boot with systemd as PID 1; where it is, systemctl list-jobs tells whether it is busy", "systemd does not answer: %v", err)
	}
	var number int
	if _, err := fmt.Sscanf(version, "%d", &number); err != nil {
		return warn("see that what it was made from is 252 or newer", "systemd %s, which is no version that is known here", version)
	}
	if number < 252 {
		return bad("update systemd", "systemd %s; 252 is the oldest that works", version)
	}
	return good("systemd %s", version)
}

func privateSocket(m Machine) result {
	path := m.Run + "/systemd/private"
	err := unix.Access(path, unix.W_OK)
	switch {
	case errors.Is(err, unix.EACCES):
		return asRoot("PID 1 answers without a bus")
	case isMissing(err):
		return warn("systemctl daemon-reexec makes it anew", "no %s: containers start only after dbus", path)
	case err != nil:
		return bad("systemctl daemon-reexec makes it anew", "%s: %v", path, err)
	}
	return good("PID 1 answers without a bus")
}

func generator(m Machine) result {
	for _, dir := range m.Generators {
		path := dir + "/unitc-generator"
		if unix.Access(path, unix.X_OK) == nil {
			if err := unix.Access(m.YAMLGenerator, unix.X_OK); err != nil {
				return bad("make install, or install the package", "%s: %v: only plain definitions become units", m.YAMLGenerator, err)
			}
			return good("%s", path)
		}
		if target, err := os.Readlink(path); err == nil && target == "/dev/null" {
			return bad("remove the link, and systemctl daemon-reload", "%s is a link to /dev/null: definitions become no units", path)
		}
	}
	return bad("make install, or install the package", "unitc-generator is in none of systemd's directories: definitions become no units")
}

func helper(m Machine) result {
	for _, path := range []string{m.Helper, m.Relay} {
		if err := unix.Access(path, unix.X_OK); err != nil {
			return bad("make install, or install the package", "%s: %v", path, err)
		}
	}
	if _, err := exec.LookPath("cat"); err != nil {
		return bad("install coreutils", "no cat(1), which carries the logs")
	}
	return good("%s", filepath.Dir(m.Helper))
}

// sweepUnits begin and are what takes away what containers leave; all of them must be
// there.
var sweepUnits = []string{"unitc-sweep.timer", "unitc-sweep-begin.service", "unitc-sweep.service"}

// sweep: nothing but disk space tells that nobody takes away what is left.
func sweep(m Machine) result {
	const lost = "what containers leave at their end stays until they start again"
	where := ""
	for _, unit := range sweepUnits {
		found := ""
		for _, dir := range m.Units {
			path := dir + "/" + unit
			target, err := os.Readlink(path)
			if err == nil && target == "/dev/null" {
				return warn("systemctl unmask "+unit, "%s is a link to /dev/null: %s", path, lost)
			}
			if _, err := os.Stat(path); err == nil {
				found = path
				break
			}
		}
		if found == "" {
			return warn("make install, or install the package", "no %s: %s", unit, lost)
		}
		where = found
	}
	return good("%s", where)
}

func journal(m Machine) result {
	if _, err := os.Stat(m.Run + "/systemd/journal/stdout"); err != nil {
		return warn("systemctl start systemd-journald", "journald does not listen: logs are lost")
	}
	if _, err := exec.LookPath("journalctl"); err != nil {
		return warn("install systemd's tools, or correct $PATH", "no journalctl: unitc logs and events do not work")
	}
	if _, err := os.Stat("/var/log/journal"); err != nil {
		return good("in memory: logs end with the boot (Storage= in journald.conf(5))")
	}
	return good("on disk")
}
