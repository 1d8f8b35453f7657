// SPDX-License-Identifier: Apache-2.0

// Package bundle reads the configuration of an OCI bundle, config.json, and
// refuses what the specification forbids. What a runtime or a kernel cannot do is
// refused where it would be done. The room starts nothing.
package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/quickjson"
)

// MaxFile bounds config.json and other files of configurations, in bytes.
const MaxFile = 64 << 20

// errNoConfig has runc's words, and the nature of what it tells.
var errNoConfig = &missing{"JSON specification file config.json not found"}

type missing struct{ what string }

func (e *missing) Error() string { return e.what }

func (e *missing) Unwrap() error { return fs.ErrNotExist }

// ErrNoProcess has runc's words. A configuration without a process is one of a
// container that can be created, and not started (runtime-spec, config.md).
var ErrNoProcess = errors.New("process property must not be empty")

// Read is ReadToCreate for a container that is to be started as well.
func Read(dir string, seal func() error) (*specs.Spec, error) {
	spec, err := ReadToCreate(dir, seal)
	if err == nil && spec.Process == nil {
		return nil, ErrNoProcess
	}
	return spec, err
}

// ReadToCreate reads and checks the configuration of the bundle in dir. seal is
// called as soon as it is known that the container will share this user
// namespace, at most twice: it may start the program once more, so nothing may be
// open yet that is needed later. nil = nothing is called.
func ReadToCreate(dir string, seal func() error) (*specs.Spec, error) {
	if seal == nil {
		seal = func() error { return nil }
	}
	b, err := ReadFile(filepath.Join(dir, "config.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, errNoConfig
	}
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(b, []byte(`"user"`)) {
		if err := seal(); err != nil { // cheaper than after parsing
			return nil, err
		}
	}
	spec, err := parse(b)
	if err != nil {
		return nil, err
	}
	if err := check(spec); err != nil {
		return nil, err
	}
	if !HasNamespace(spec, specs.UserNamespace) {
		if err := seal(); err != nil {
			return nil, err
		}
	}
	supplyDev(spec)
	return spec, resolvePaths(spec, dir)
}

// ReadFile reads a regular file of at most MaxFile bytes.
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is no regular file", path))
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(b) > MaxFile {
		err = fmt.Errorf("%s is larger than %d MiB", path, MaxFile>>20)
	}
	return b, err
}

func parse(b []byte) (*specs.Spec, error) {
	// A NUL would cut a string short on its way to the kernel.
	if bytes.Contains(b, []byte(`\u0000`)) || bytes.IndexByte(b, 0) >= 0 {
		return nil, errors.New("config.json: a string has a NUL byte")
	}
	if !utf8.Valid(b) {
		return nil, errors.New("config.json: not UTF-8") // what is not would be read as something else
	}
	spec := &specs.Spec{}
	if quickjson.ParseKnown(b, spec) == nil {
		return spec, nil
	}
	// It takes other spellings of names, and has the words that callers know.
	spec = &specs.Spec{}
	if err := json.Unmarshal(b, spec); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	return spec, nil
}

// HasNamespace tells whether a namespace of a kind is listed, new or joined.
func HasNamespace(s *specs.Spec, kind specs.LinuxNamespaceType) bool {
	for _, n := range s.Linux.Namespaces {
		if n.Type == kind {
			return true
		}
	}
	return false
}

// check refuses what the specification forbids, all of it at once. What
// this runtime or kernel cannot do is refused where it would be done.
func check(s *specs.Spec) error {
	if err := CheckVersion(s.Version); err != nil {
		return err
	}
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	var errs []error
	wrong := func(is bool, format string, a ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	wrong(s.Root == nil || s.Root.Path == "", "root.path is missing")
	wrong(s.Windows != nil || s.Solaris != nil || s.VM != nil || s.ZOS != nil || s.FreeBSD != nil, "the configuration is for another platform")
	if s.Process != nil {
		errs = append(errs, CheckProcess(s.Process))
	}
	for i, m := range s.Mounts {
		wrong(m.Destination == "", "mounts[%d]: destination is empty", i)
	}
	errs = append(errs, CheckNamespaces(s)...)
	errs = append(errs, CheckNetDevices(s)...)
	errs = append(errs, checkHooks(s.Hooks)...)
	errs = append(errs, checkPaths(s.Linux)...)
	_, unnamed := s.Annotations[""]
	wrong(unnamed, "annotations: a key is empty")
	wrong((s.Hostname != "" || s.Domainname != "") && !HasNamespace(s, specs.UTSNamespace), "unable to set hostname or domainname without a private UTS namespace")
	for key := range s.Linux.Sysctl {
		errs = append(errs, CheckSysctl(s, key))
	}
	return errors.Join(errs...)
}

// CheckVersion takes the versions of the specification whose configurations
// this one reads: those of the same major number.
func CheckVersion(v string) error {
	rest, build, hasBuild := strings.Cut(v, "+")
	core, pre, hasPre := strings.Cut(rest, "-")
	parts := strings.Split(core, ".")
	good := len(parts) == 3 && (!hasPre || identifiers(pre, true)) && (!hasBuild || identifiers(build, false))
	for _, p := range parts {
		_, err := strconv.ParseUint(p, 10, 16)
		good = good && err == nil && identifiers(p, true)
	}
	if !good {
		return fmt.Errorf("ociVersion %q is not a version such as %s", v, specs.Version)
	}
	if parts[0] != strconv.Itoa(specs.VersionMajor) {
		return fmt.Errorf("ociVersion %q is not supported; this runtime reads 1.0.0 to %s", v, specs.Version)
	}
	return nil
}

// identifiers tells whether a part of a version is as SemVer 2.0.0, 9 and 10,
// has it; numbers of what comes before a release begin with no zero.
func identifiers(s string, numbers bool) bool {
	for id := range strings.SplitSeq(s, ".") {
		digits := true
		for _, r := range id {
			digit := r >= '0' && r <= '9'
			digits = digits && digit
			if !digit && r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
				return false
			}
		}
		if id == "" || numbers && digits && len(id) > 1 && id[0] == '0' {
			return false
		}
	}
	return true
}

// CheckProcess is the same for one process.
func CheckProcess(p *specs.Process) error {
	var errs []error
	if len(p.Args) == 0 {
		errs = append(errs, errors.New("args must not be empty"))
	} else if p.Args[0] == "" {
		errs = append(errs, errors.New("process.args[0] is empty"))
	}
	if p.Cwd == "" {
		//lint:ignore ST1005 runc's words
		errs = append(errs, errors.New("Cwd property must not be empty"))
	} else if !filepath.IsAbs(p.Cwd) {
		//lint:ignore ST1005 runc's words
		errs = append(errs, errors.New("Cwd must be an absolute path"))
	}
	seen := map[string]bool{}
	for _, r := range p.Rlimits {
		if seen[r.Type] {
			errs = append(errs, fmt.Errorf("process.rlimits: %s is there twice", r.Type))
		}
		if r.Soft > r.Hard {
			errs = append(errs, fmt.Errorf("process.rlimits: %s: soft limit %d is above the hard one, %d", r.Type, r.Soft, r.Hard))
		}
		seen[r.Type] = true
	}
	if u := p.User.Umask; u != nil && *u > 0o777 { // the kernel would cut it
		errs = append(errs, fmt.Errorf("process.user.umask %#o is not from 0 to 0777", *u))
	}
	if o := p.OOMScoreAdj; o != nil && (*o < -1000 || *o > 1000) {
		errs = append(errs, fmt.Errorf("process.oomScoreAdj %d is not from -1000 to 1000", *o))
	}
	return errors.Join(errs...)
}

// maxMappings is the kernel's (user_namespaces(7)).
const maxMappings = 340

// CheckNamespaces finds what is wrong with linux.namespaces and what hangs on them.
func CheckNamespaces(s *specs.Spec) []error {
	var errs []error
	seen := map[specs.LinuxNamespaceType]bool{}
	known := map[specs.LinuxNamespaceType]bool{
		specs.PIDNamespace: true, specs.NetworkNamespace: true, specs.MountNamespace: true, specs.IPCNamespace: true,
		specs.UTSNamespace: true, specs.UserNamespace: true, specs.CgroupNamespace: true, specs.TimeNamespace: true,
	}
	for i, n := range s.Linux.Namespaces {
		if !known[n.Type] {
			errs = append(errs, fmt.Errorf("namespace %q does not exist", n.Type))
		}
		if seen[n.Type] {
			errs = append(errs, fmt.Errorf("linux.namespaces[%d]: malformed spec file: duplicated ns %q", i, n.Type))
		}
		if n.Path != "" && !filepath.IsAbs(n.Path) {
			errs = append(errs, fmt.Errorf("linux.namespaces[%d]: path %q is not absolute", i, n.Path))
		}
		seen[n.Type] = true
	}
	uids, gids := s.Linux.UIDMappings, s.Linux.GIDMappings
	switch {
	case !seen[specs.UserNamespace]:
		if len(uids)+len(gids) > 0 {
			errs = append(errs, errors.New("user namespace mappings specified, but user namespace isn't enabled in the config"))
		}
	case len(uids) > maxMappings || len(gids) > maxMappings:
		errs = append(errs, fmt.Errorf("%d and %d id mappings: the kernel takes %d", len(uids), len(gids), maxMappings))
	}
	if err := checkOffsets(s); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// CheckSysctl lets those pass that a namespace of the container's own keeps
// (CVE-2022-0811: anything else is the host's).
func CheckSysctl(s *specs.Spec, key string) error {
	if protection.Off("sysctl-names") {
		return nil
	}
	if key == "" || strings.Contains(key, "..") || strings.ContainsAny(key, " +\n") {
		return fmt.Errorf("sysctl %q: not a name", key)
	}
	name := key
	if first := strings.IndexAny(name, "./"); first >= 0 && name[first] == '/' {
		// As sysctl(8): with slashes first, dots are part of a name.
		name = strings.NewReplacer("/", ".", ".", "/").Replace(name)
	}
	if strings.Contains(name, "/") && !strings.HasPrefix(name, "net.") {
		return fmt.Errorf("sysctl %q: not a name", key)
	}
	for _, rule := range []struct {
		prefix string
		exact  bool
		kind   specs.LinuxNamespaceType
	}{
		{"net.", false, specs.NetworkNamespace}, {"fs.mqueue.", false, specs.IPCNamespace},
		{"kernel.msgmax", true, specs.IPCNamespace}, {"kernel.msgmnb", true, specs.IPCNamespace}, {"kernel.msgmni", true, specs.IPCNamespace},
		{"kernel.sem", true, specs.IPCNamespace}, {"kernel.shmall", true, specs.IPCNamespace}, {"kernel.shmmax", true, specs.IPCNamespace},
		{"kernel.shmmni", true, specs.IPCNamespace}, {"kernel.shm_rmid_forced", true, specs.IPCNamespace},
		{"kernel.domainname", true, specs.UTSNamespace},
	} {
		if name == rule.prefix || !rule.exact && strings.HasPrefix(name, rule.prefix) {
			if !HasNamespace(s, rule.kind) {
				return fmt.Errorf("sysctl %q is not allowed in the hosts %s namespace", key, rule.kind)
			}
			return nil
		}
	}
	if name == "kernel.hostname" {
		return fmt.Errorf("sysctl %q is not allowed as it conflicts with the OCI hostname field", key)
	}
	return fmt.Errorf("sysctl %q is not in a separate kernel namespace", key)
}

// resolvePaths makes what is relative to the bundle absolute.
func resolvePaths(s *specs.Spec, bundle string) error {
	if !filepath.IsAbs(s.Root.Path) {
		s.Root.Path = filepath.Join(bundle, s.Root.Path)
	}
	for i, m := range s.Mounts {
		if isBind(m) && !filepath.IsAbs(m.Source) {
			s.Mounts[i].Source = filepath.Join(bundle, m.Source)
		}
	}
	if _, elsewhere := s.Annotations[plan.RootAnnotation]; elsewhere {
		return nil
	}
	st, err := os.Stat(s.Root.Path)
	if err != nil {
		return fmt.Errorf("invalid rootfs: %w", err)
	}
	if !st.IsDir() {
		return fmt.Errorf("invalid rootfs: %s is not a directory", s.Root.Path)
	}
	return nil
}

func isBind(m specs.Mount) bool {
	if m.Type == "bind" {
		return true
	}
	for _, o := range m.Options {
		if o == "bind" || o == "rbind" {
			return true
		}
	}
	return false
}
