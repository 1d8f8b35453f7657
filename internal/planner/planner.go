// SPDX-License-Identifier: Apache-2.0

// Package planner makes the plan of a launch from a definition and facts of
// the host. It is pure: no files, no system calls, no clock. The defaults that
// confine a payload are tables in defaults.go.
package planner

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/idrange"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/resource"
	"github.com/unitc/unitc/internal/usernet"
)

// Build makes the plan. Errors name the key of the definition.
func Build(s *definition.Service, f Facts) (*plan.Plan, error) {
	s, err := Expand(s)
	if err != nil {
		return nil, err
	}
	for key, value := range map[string]string{
		"working_dir": s.WorkingDir, "hostname": s.Hostname, "domainname": s.Domainname, "user": s.User, "rootfs": s.RootFS, "bundle": s.Bundle,
	} {
		if err := noNUL(key, value); err != nil {
			return nil, err
		}
	}
	if s.Runtime != "" && s.Init {
		return nil, &KeyError{"init", "unitc's init does not go with another runtime", "drop `init:` or `runtime:`"}
	}
	if s.Runtime != "" && s.Domainname != "" && path.Base(s.Runtime) != "crun" {
		return nil, &KeyError{"domainname", "it is passed over by releases of " + s.Runtime + " that do not know it", "drop `domainname:` or `runtime:`"}
	}
	b := &builder{s: s, f: f, spec: &specs.Spec{Version: specs.Version, Linux: &specs.Linux{}}}
	b.plan = &plan.Plan{Unit: s.UnitName(), Spec: b.spec, User: s.User, Groups: s.GroupAdd, Runtime: s.Runtime, Init: s.Init, Logging: s.Logging.Driver}
	if b.plan.Logging == "" {
		b.plan.Logging = definition.LogJournald
	}
	if b.plan.Logging == definition.LogJournald && s.System.Cgroup == definition.CgroupService && !s.NeedsRelay() {
		// Its lines come from the service's own cgroup: they need no relay.
		b.plan.Logging = definition.LogDirect
	}
	parts := []func() error{
		b.process, b.imageConfig, b.capabilities, b.filter, b.root, b.namespaces, b.mounts, b.volumes, b.network, b.netDevices, b.rules, b.devices, b.kernel, b.securityOptions, b.scopeSockets, b.placement, b.cdi, b.logging, b.health, b.files, b.sockets, b.relabelling, b.hooks,
	}
	if s.Bundle != "" {
		parts = []func() error{b.bundle, b.bundleNetwork, b.netDevices, b.rules, b.placement, b.logging, b.health, b.sockets, b.hooks}
	}
	for _, part := range parts {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return b.plan, nil
}

// umask is that of the service's processes (UMask=), of which the payload is one.
// 022 is what the runtime gives it anyway.
func (b *builder) umask() *uint32 {
	if b.f.Umask == nil || *b.f.Umask == 0o022 {
		return nil
	}
	return b.f.Umask
}

type builder struct {
	s    *definition.Service
	f    Facts
	spec *specs.Spec
	plan *plan.Plan
}

func (b *builder) process() error {
	args := b.args()
	if len(args) == 0 {
		return &KeyError{"command", "nothing to run", "write `command:` with the program and its arguments"}
	}
	if err := noNUL("command", args...); err != nil {
		return err
	}
	cwd := b.s.WorkingDir
	if cwd == "" && b.f.Image != nil {
		cwd = b.f.Image.WorkingDir
	}
	if cwd == "" {
		cwd = "/"
	}
	env, err := b.environment()
	if err != nil {
		return err
	}
	b.spec.Process = &specs.Process{
		Terminal:        b.s.TTY,
		User:            specs.User{Umask: b.umask()},
		Args:            args,
		Cwd:             cwd,
		Env:             env,
		NoNewPrivileges: b.noNewPrivileges(),
		Rlimits:         b.rlimits(),
		OOMScoreAdj:     b.s.OOMScoreAdj,
	}
	return nil
}

func (b *builder) noNewPrivileges() bool {
	if v, ok := securityOption(b.s, "no-new-privileges"); ok && v == "false" {
		return false
	}
	return !b.s.Privileged
}

// args follows Compose: an entrypoint of the definition clears the image's
// command too, a command of the definition takes the image's command's place.
func (b *builder) args() []string {
	entrypoint, command := b.s.Entrypoint, b.s.Command
	if i := b.f.Image; i != nil {
		if entrypoint == nil {
			entrypoint = i.Entrypoint
			if command == nil {
				command = i.Cmd
			}
		}
	}
	return slices.Concat(entrypoint, command)
}

// environment is, later entries winning: what the container interface of
// systemd asks for (K-6), the files of env_file, then `environment`.
func (b *builder) environment() ([]string, error) {
	env := []string{defaultPath, "container=unitc"}
	if b.s.TTY {
		env = append(env, "TERM=xterm")
	}
	all := slices.Concat(b.imageEnv(), slices.Concat(b.f.EnvFiles...), b.s.Environment)
	for _, e := range all {
		if e.Name == "" || strings.ContainsAny(e.Name, "=\x00") {
			return nil, &KeyError{"environment", fmt.Sprintf("bad variable name %q", e.Name), "use letters, digits and _"}
		}
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, e.Name+"=") })
		if e.Value == nil {
			continue
		}
		if err := noNUL("environment."+e.Name, *e.Value); err != nil {
			return nil, err
		}
		env = append(env, e.Name+"="+*e.Value)
	}
	return env, nil
}

// sockets adds the variables that speak of the sockets of `systemd: socket:` as sd_listen_fds(3)
// reads them: to the process of one id, which has to be known beforehand.
func (b *builder) sockets() error {
	if b.f.Sockets == 0 {
		return nil
	}
	if b.s.Runtime != "" {
		return &KeyError{"runtime", "sockets of `systemd: socket:` do not go with another runtime", "drop `runtime:`, or the sockets"}
	}
	env := slices.DeleteFunc(b.spec.Process.Env, func(old string) bool { return strings.HasPrefix(old, "LISTEN_") })
	env = append(env, "LISTEN_FDS="+strconv.Itoa(b.f.Sockets))
	b.plan.OwnPID = []string{"LISTEN_PID"}
	if b.f.SocketNames != "" {
		env = append(env, "LISTEN_FDNAMES="+b.f.SocketNames)
	}
	b.spec.Process.Env = env
	return nil
}

// imageEnv are the image's variables. An entry without a name or "=" is left
// out: it must never bring in one of the host's (CVE-2026-57231).
func (b *builder) imageEnv() []definition.Env {
	if b.f.Image == nil {
		return nil
	}
	var env []definition.Env
	for _, e := range b.f.Image.Env {
		if name, value, ok := strings.Cut(e, "="); ok && name != "" && !strings.ContainsRune(e, 0) {
			env = append(env, definition.Env{Name: name, Value: &value})
		} else if protection.Off("image-environment") {
			env = append(env, definition.Env{Name: e, Value: &value})
		}
	}
	return env
}

func (b *builder) rlimits() []specs.POSIXRlimit {
	limits := slices.Clone(defaultRlimits)
	for i := range limits {
		if bound, ok := b.f.HardLimits[limits[i].Type]; ok {
			limits[i].Hard = min(limits[i].Hard, bound)
			limits[i].Soft = min(limits[i].Soft, limits[i].Hard)
		}
	}
	for _, u := range b.s.Ulimits {
		l := specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(u.Name), Soft: uint64(u.Soft), Hard: uint64(u.Hard)}
		limits = slices.DeleteFunc(limits, func(old specs.POSIXRlimit) bool { return old.Type == l.Type })
		limits = append(limits, l)
	}
	return limits
}

func (b *builder) root() error {
	b.spec.Root = &specs.Root{Readonly: b.s.ReadOnly}
	switch {
	case b.s.Image != "":
		i := b.f.Image
		if i == nil {
			return &KeyError{"image", "the image " + b.s.Image + " is not on this host", "fetch it with `unitc pull " + b.s.Image + "`"}
		}
		b.plan.Root = plan.Root{Kind: plan.RootOverlay, Lowers: i.Lowers, Upper: i.Upper, Work: i.Work}
		b.spec.Root.Path = realm.Run + "/" + strings.TrimSuffix(b.plan.Unit, ".service") + "/root"
		if b.s.User == "" {
			b.plan.User = i.User
		}
	case b.s.RootFS == "host":
		b.plan.Root = plan.Root{Kind: plan.RootHost}
		b.spec.Root.Path = realm.Run + "/" + strings.TrimSuffix(b.plan.Unit, ".service") + "/root"
	case b.s.RootFS != "":
		b.plan.Root = plan.Root{Kind: plan.RootDirectory, Path: b.s.RootFS}
		b.spec.Root.Path = b.s.RootFS
	default:
		return &KeyError{"rootfs", "no root file system", "write `rootfs: /a/directory` or `rootfs: host`"}
	}
	return nil
}

func (b *builder) namespaces() error {
	add := func(t specs.LinuxNamespaceType) {
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: t})
	}
	add(specs.MountNamespace)
	if b.s.Cgroup != "host" {
		add(specs.CgroupNamespace)
	}
	join := func(t specs.LinuxNamespaceType, key, mode, path string) error {
		if path == "" {
			return &KeyError{key, mode + " is not there to be joined", "start it first"}
		}
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: t, Path: path})
		return nil
	}
	switch {
	case definition.JoinsContainer(b.s.PID):
		if err := join(specs.PIDNamespace, "pid", b.s.PID, b.f.Joined.PID); err != nil {
			return err
		}
	case b.s.PID != "host":
		add(specs.PIDNamespace)
	}
	switch {
	case definition.JoinsContainer(b.s.IPC):
		if err := join(specs.IPCNamespace, "ipc", b.s.IPC, b.f.Joined.IPC); err != nil {
			return err
		}
	case b.s.IPC != "host":
		add(specs.IPCNamespace)
	}
	if b.s.UTS != "host" {
		add(specs.UTSNamespace)
		b.spec.Hostname, b.spec.Domainname = b.hostname(), b.s.Domainname
	}
	switch kind, _, _ := strings.Cut(b.s.NetworkMode, ":"); kind {
	case "host":
	case "service", "container", "ns":
		if err := join(specs.NetworkNamespace, "network_mode", b.s.NetworkMode, b.f.Joined.Network); err != nil {
			return err
		}
	default:
		add(specs.NetworkNamespace)
	}
	if o := b.s.TimeOffsets; o != nil {
		add(specs.TimeNamespace)
		b.spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": timeOffset(o.Boottime), "monotonic": timeOffset(o.Monotonic)}
	}
	switch {
	case !WantsUserNamespace(b.s):
	case b.f.Joined.User != "":
		return join(specs.UserNamespace, "pid", b.s.PID, b.f.Joined.User)
	case b.f.IDStart > 0:
		add(specs.UserNamespace)
		m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: b.f.IDStart, Size: idrange.Size}}
		b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings = m, slices.Clone(m)
	}
	return nil
}

// timeOffset rounds down, as nanoseconds are counted up from the second.
func timeOffset(d time.Duration) specs.LinuxTimeOffset {
	o := specs.LinuxTimeOffset{Secs: int64(d / time.Second)}
	rest := d % time.Second
	if rest < 0 {
		o.Secs, rest = o.Secs-1, rest+time.Second
	}
	o.Nanosecs = uint32(rest)
	return o
}

// WantsUserNamespace tells whether a definition gets ids of its own: always,
// unless it says otherwise, or a bundle says it.
func WantsUserNamespace(s *definition.Service) bool {
	return s.Bundle == "" && s.UsernsMode != "host" && !s.Privileged
}

// hostname is at most 63 octets, as a DNS label must be; the unit's name is
// the container's where none is given.
func (b *builder) hostname() string {
	h := b.s.Hostname
	if h == "" {
		h = strings.TrimSuffix(b.plan.Unit, ".service")
		h = strings.Map(func(r rune) rune {
			if r == '-' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
				return r
			}
			return '-'
		}, h)
	}
	return h[:min(len(h), 63)]
}

// has tells whether the payload gets a namespace of its own.
func (b *builder) has(t specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(b.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == t })
}

// ownNetwork tells whether that of the network is new: one that is joined is
// as its owner made it.
func (b *builder) ownNetwork() bool {
	return slices.ContainsFunc(b.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.NetworkNamespace && n.Path == ""
	})
}

// kernel is the part of the plan that keeps the payload away from the kernel's
// own interfaces.
func (b *builder) kernel() error {
	l := b.spec.Linux
	l.Sysctl = map[string]string{}
	if b.ownNetwork() {
		// Ports and ping without a capability: the namespace is the payload's own.
		l.Sysctl["net.ipv4.ip_unprivileged_port_start"] = "0"
		l.Sysctl["net.ipv4.ping_group_range"] = "0 2147483647"
		if realm.Own() != nil {
			l.Sysctl["net.ipv4.ping_group_range"] = "0 65535" // none that is not mapped
		}
	}
	for _, kv := range b.s.Sysctls {
		if err := b.sysctlAllowed(kv.Key); err != nil {
			return err
		}
		if b.plan.Network != nil && ofInterface(kv.Key) {
			b.plan.Network.Sysctls = append(b.plan.Network.Sysctls, kv)
			continue
		}
		l.Sysctl[kv.Key] = kv.Value
	}
	if !b.s.Privileged {
		l.MaskedPaths = slices.Clone(maskedPaths)
		l.ReadonlyPaths = slices.Clone(readonlyPaths)
	}
	return nil
}

// sysctlAllowed refuses what is not of a namespace that the payload owns: it
// would change the host (CVE-2022-0811 and its kind).
func (b *builder) sysctlAllowed(key string) error {
	path := "sysctls." + key
	if strings.ContainsAny(key, "/ +=\x00\n") || strings.Contains(key, "..") {
		return &KeyError{path, "not a sysctl name", "write it with dots, as in net.core.somaxconn"}
	}
	switch {
	case strings.HasPrefix(key, "net.") && b.ownNetwork():
	case strings.HasPrefix(key, "fs.mqueue.") && b.has(specs.IPCNamespace):
	case slices.Contains(ipcSysctls, key) && b.has(specs.IPCNamespace):
	case key == "kernel.hostname" || key == "kernel.domainname":
		return &KeyError{path, "set by its own key", "use `hostname:` or `domainname:`"}
	default:
		return &KeyError{path, "would change the host: it is not of a namespace that this container has of its own",
			"set it on the host with sysctl.d(5), or drop the key"}
	}
	return nil
}

// ipcSysctls are per IPC namespace (ipc_namespaces(7)).
var ipcSysctls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}

func (b *builder) placement() error {
	name := strings.TrimSuffix(b.plan.Unit, ".service")
	slice := b.s.System.Slice
	if slice == "" {
		slice = "unitc.slice"
	}
	b.spec.Linux.CgroupsPath = slice + ":unitc:" + name
	if b.s.System.Cgroup == definition.CgroupService {
		return nil
	}
	b.plan.Scope = &plan.Scope{
		Name:        b.s.ScopeName(),
		Slice:       slice,
		Description: "Payload of " + b.plan.Unit,
		BoundTo:     b.plan.Unit,
		Properties:  b.scopeProperties(),
	}
	if realm.Own() != nil && b.s.NetworkMode == "" {
		// Whatever the definition says by the time of a reload.
		b.plan.Scope.Needs = usernet.Unit
	}
	return nil
}

// defaultGrace is Compose's stop_grace_period where the definition has none.
const defaultGrace = 10 * time.Second

// scopeProperties are the limits, and what a scope does not inherit from its
// service (S-5, S-13); the definition's own `systemd.scope` comes last and wins.
// Those of a bundle stand between.
func (b *builder) scopeProperties() []definition.Directive {
	list := append(stopSignals(b.s), ScopeProperties(b.s)...)
	if b.f.Bundle == nil {
		return list
	}
	limits := b.f.Bundle.Limits
	if b.s.Resources.PidsLimit == nil && slices.ContainsFunc(limits, func(d definition.Directive) bool { return d.Name == "TasksMax" }) {
		list = slices.DeleteFunc(list, func(d definition.Directive) bool { return d.Name == "TasksMax" }) // unitc's default
	}
	return slices.Concat(limits, list)
}

// stopSignals is the signal by which a stop of the scope alone is told, as by its RuntimeMaxSec=. A stop of the
// service, which is ordered first, leaves nobody in it. It is said where it is not SIGTERM, and not where processes
// of a PID namespace that is not the payload's own may be left: their end is meant then, whatever its signal is.
func stopSignals(s *definition.Service) []definition.Directive {
	if s.StopSignal == "" || s.StopSignal == "SIGTERM" || s.PID != "" || s.Bundle != "" {
		return nil
	}
	return []definition.Directive{{Name: "KillSignal", Value: s.StopSignal}}
}

// ScopeProperties are the same for those who change a scope that runs.
func ScopeProperties(s *definition.Service) []definition.Directive {
	grace := s.StopGracePeriod
	if grace <= 0 {
		grace = defaultGrace
	}
	own := []definition.Directive{
		{Name: "TimeoutStopSec", Value: strconv.FormatInt(grace.Milliseconds(), 10) + "ms"},
		{Name: "OOMPolicy", Value: resource.OOMPolicy(s)},
	}
	limits := resource.Directives(s)
	if realm.Own() != nil {
		// A user's systemd can load no program into the kernel. Nodes of devices are
		// the host's, with the host's owners.
		limits = resource.WithoutDevices(limits)
	}
	return append(own, limits...)
}

// KeyError is a fault of the definition that shows only against the host; the
// helper puts the key's place in front of it.
type KeyError struct{ Key, What, Cure string }

func (e *KeyError) Error() string { return e.Key + ": " + e.What + "; " + e.Cure }

func noNUL(key string, values ...string) error {
	for _, v := range values {
		if strings.ContainsRune(v, 0) {
			return &KeyError{key, "a NUL byte cannot be passed to a program", "remove it"}
		}
	}
	return nil
}
