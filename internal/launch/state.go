// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/clock"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/idrange"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/quickjson"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/relay/order"
	"github.com/unitc/unitc/internal/runtime"
	"github.com/unitc/unitc/internal/seccomp"
)

// writeState leaves the definition and the plan below /run for those who ask
// what runs and how it differs from the file by now, and makes
// the point at which the child attaches its root. systemd made the directory
// (RuntimeDirectory=) and removes it with the service, but for names that its
// executor cannot read (see the generator): then both are ours to do.
func (s *starter) writeState() error {
	if s.stateDir == "" {
		s.stateDir = realm.StateDir(strings.TrimSuffix(s.plan.Unit, ".service"))
		if err := os.MkdirAll(s.stateDir, 0o700); err != nil {
			return err
		}
	}
	if err := os.Mkdir(s.stateDir+"/root", 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.writeBundle(); err != nil {
		return err
	}
	if s.plan.Scope != nil {
		removeLimits(s.plan.Scope.Name)
	}
	if t := s.service.IdleTimeout; t > 0 {
		if err := writeIdle(s.stateDir, idleness{timeout: t, since: clock.Monotonic()}); err != nil {
			return err
		}
	}
	// The plan comes last: it says that all is there.
	if err := os.WriteFile(s.stateDir+"/definition.json", s.resolved, 0o600); err != nil {
		return err
	}
	data := quickjson.Append(make([]byte, 0, 16<<10), s.plan)
	tmp := s.stateDir + "/.plan.json"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, s.stateDir+"/plan.json")
}

// writeBundle leaves the configuration for hooks, which look in the bundle for
// the place of the root file system (runtime-spec bundle.md).
func (s *starter) writeBundle() error {
	if s.plan.Spec.Hooks == nil || s.plan.Runtime != "" {
		return nil
	}
	spec := *s.plan.Spec
	root := *spec.Root
	root.Path, spec.Root = s.stateDir+"/root", &root
	return os.WriteFile(s.stateDir+"/config.json", quickjson.Append(nil, &spec), 0o600)
}

// stateDirOf is the directory of a unit for which systemd made none.
// removeState takes it away again: by the names of what is in it, as its root
// may be a mount.
func removeState(dir string) {
	_ = os.RemoveAll(dir + "/runtime") // another runtime's own state
	for n := range order.HealthChecks {
		_ = os.Remove(dir + "/" + order.HealthFile + strconv.Itoa(n))
	}
	for _, name := range []string{"/.plan.json", "/plan.json", "/definition.json", "/config.json", "/pid", "/runtime.log", "/health", "/health.new", "/notify", drainingFile, idleFile, "/attach", "/console", "/stdin", "/hosts", "/resolv.conf", "/hostname", "/.newhosts", "/.newresolv.conf", "/.newhostname", "/root", ""} {
		_ = os.Remove(dir + name)
	}
}

// gather asks the host what the planner needs to know, and claims an id range.
func gather(s *definition.Service) (planner.Facts, neighbours, error) {
	s, err := planner.Expand(s)
	if err != nil {
		return planner.Facts{}, nil, err
	}
	f, beside, err := inspect(s)
	if err == nil {
		err = claim(s, &f)
	}
	return f, beside, err
}

func claim(s *definition.Service, f *planner.Facts) (err error) {
	volumes := volumeFinder{service: s, make: true}
	if s.Image != "" {
		img, upper, err := useImage(s)
		if err != nil {
			return err
		}
		volumes.image, f.Image = img, imageFacts(img, upper)
		f.NameLinks = nameLinks(f.Image.Lowers)
	}
	if f.Volumes, err = volumes.findVolumes(f.Image); err != nil {
		return err
	}
	if !planner.WantsUserNamespace(s) || f.Joined.User != "" {
		return nil
	}
	r, err := idrange.Default().Claim(s.UnitName())
	f.IDStart = r.Start
	return err
}

// inspect is gather without what changes the host.
func inspect(s *definition.Service) (planner.Facts, neighbours, error) {
	f := planner.Facts{WatchdogUSec: os.Getenv("WATCHDOG_USEC")}
	if err := inspectHost(s, &f); err != nil {
		return f, nil, err
	}
	joined, beside, err := joinedNamespaces(s)
	f.Joined = joined
	return f, beside, err
}

func inspectHost(s *definition.Service, f *planner.Facts) (err error) {
	if f.EnvFiles, err = readEnvFiles(s); err != nil {
		return err
	}
	if err := inspectDevices(s, f); err != nil {
		return err
	}
	if path := planner.SeccompFile(s); path != "" {
		var err error
		if f.Seccomp, err = readSeccomp(path); err != nil {
			return &planner.KeyError{Key: "security_opt", What: err.Error(), Cure: "correct the profile, or use `seccomp=builtin`"}
		}
		f.Kernel = kernelVersion()
	}
	if planner.WantsLabels(s) && runtime.SELinux() {
		f.SELinux = ContainerLabels()
	}
	f.AppArmor = planner.WantsAppArmor(s) && runtime.AppArmorHas(planner.AppArmorProfile)
	if planner.WantsLandlock(s) {
		version, err := runtime.Landlock()
		if err != nil {
			return err
		}
		f.Landlock = version >= runtime.LandlockSockets
	}
	f.HardLimits = map[string]uint64{}
	for name, nr := range map[string]int{"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK} {
		var l unix.Rlimit
		if err := unix.Getrlimit(nr, &l); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		f.HardLimits[name] = l.Max
	}
	if s.RootFS == "host" {
		for _, path := range planner.HostEtc() {
			if unix.Access(path, unix.F_OK) == nil {
				f.HostEtc = append(f.HostEtc, path)
			}
		}
	}
	if f.Bundle, err = readBundle(s); err != nil {
		return err
	}
	if s.RootFS != "" && s.RootFS != "host" {
		f.NameLinks = nameLinks([]string{s.RootFS})
	}
	return nil
}

// selinuxDir has a directory for each policy (selinux_config(5)).
const selinuxDir = "/etc/selinux"

// ContainerLabels is what the host's policy has for containers, and whether the
// kernel has that policy.
func ContainerLabels() *planner.SELinux {
	l := containerContexts(selinuxDir)
	l.Loaded = runtime.SELinuxKnows(l.Process) && runtime.SELinuxKnows(l.File)
	return l
}

// containerContexts reads what the host's policy has for containers; empty
// contexts where it names none.
func containerContexts(dir string) *planner.SELinux {
	value := func(path, key string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			return ""
		}
		for line := range strings.Lines(string(text)) {
			if k, v, ok := strings.Cut(line, "="); ok && strings.TrimSpace(k) == key {
				return strings.Trim(strings.TrimSpace(v), `"`)
			}
		}
		return ""
	}
	contexts := filepath.Join(dir, filepath.Base(value(dir+"/config", "SELINUXTYPE")), "contexts/lxc_contexts")
	return &planner.SELinux{Process: value(contexts, "process"), File: value(contexts, "file")}
}

// maxProfile bounds a seccomp profile, in bytes; Docker's has 15 KiB.
const maxProfile = 1 << 20

func readSeccomp(path string) (*seccomp.Profile, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxProfile {
		return nil, fmt.Errorf("%s is larger than %d KiB", path, maxProfile>>10)
	}
	p, err := seccomp.ParseProfile(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// kernelVersion is the running kernel's; 0.0 meets no minKernel condition.
func kernelVersion() seccomp.Kernel {
	var u unix.Utsname
	var k seccomp.Kernel
	if err := unix.Uname(&u); err == nil {
		// "6.12.48+deb13-amd64": what does not scan stays 0.
		_, _ = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &k.Major, &k.Minor)
	}
	return k
}
