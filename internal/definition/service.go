// SPDX-License-Identifier: Apache-2.0

// Package definition is what an operator wrote, resolved: types and their JSON
// form, nothing else. The compose package makes these values from YAML, the
// generator turns them into units and writes them as JSON beside the unit, and
// the helper reads that JSON at start. So this room imports no YAML, does no
// I/O and knows no defaults that depend on a host.
//
// Names are the Compose Specification's; what Compose lacks is under System.
package definition

import (
	"strings"
	"time"
)

// WritableCgroups is the option of SecurityOpt that lets the payload make cgroups of
// its own, "true" or "false".
const WritableCgroups = "writable-cgroups"

// Service is one container, resolved: short forms expanded, drop-ins merged,
// variables interpolated, every value checked.
type Service struct {
	// Name is the unit's name without ".service": "web", "blog-db" or, for a
	// template, "worker@". At start the helper sets Instance for a template.
	Name     string `json:"name"`
	Instance string `json:"instance,omitempty"`
	Source   Source `json:"source"`

	// Project is the name of the compose file's project, "" without one, and
	// Key the service's name in it ("db" of "blog-db"), by which its
	// neighbours know it.
	Project string `json:"project,omitempty"`
	Key     string `json:"key,omitempty"`

	// RootFS is an absolute directory or the word "host"; exactly one of
	// RootFS, Image and Bundle is set.
	RootFS string `json:"rootfs,omitempty"`
	Image  string `json:"image,omitempty"`
	Bundle string `json:"bundle,omitempty"`

	// Entrypoint and Command: nil means "not given" (take the image's), an
	// empty list means "cleared".
	Entrypoint  []string  `json:"entrypoint"`
	Command     []string  `json:"command"`
	Environment []Env     `json:"environment,omitempty"` // in the order of the file, no key twice
	EnvFiles    []EnvFile `json:"env_file,omitempty"`
	// OwnVariables is NAME.env where it stands in another directory than the definition.
	OwnVariables string `json:"own_variables,omitempty"`
	// Variables are further files that EnvFiles may use, of an included compose file: of
	// each list the last that sets a variable wins, of the lists the first. Those beside
	// the definition win over all.
	Variables  [][]string `json:"variables,omitempty"`
	WorkingDir string     `json:"working_dir,omitempty"`
	User       string     `json:"user,omitempty"` // "name", "uid", "name:group", "uid:gid"; looked up inside the rootfs
	GroupAdd   []string   `json:"group_add,omitempty"`
	Hostname   string     `json:"hostname,omitempty"`
	Domainname string     `json:"domainname,omitempty"`

	Volumes           []Volume `json:"volumes,omitempty"` // volumes: and tmpfs:, in the order of the file
	ReadOnly          bool     `json:"read_only,omitempty"`
	Devices           []Device `json:"devices,omitempty"`
	DeviceCgroupRules []string `json:"device_cgroup_rules,omitempty"`
	ShmSize           int64    `json:"shm_size,omitempty"` // bytes; 0 = 64 MiB

	Resources   Resources  `json:"resources"`
	Ulimits     []Ulimit   `json:"ulimits,omitempty"`
	Sysctls     []KeyValue `json:"sysctls,omitempty"`
	OOMScoreAdj *int       `json:"oom_score_adj,omitempty"`

	NetworkMode string `json:"network_mode,omitempty"` // "none", "host", "" (bridge), "service:UNIT", "container:UNIT", "ns:/a/path"
	UsernsMode  string `json:"userns_mode,omitempty"`  // "", "auto", "host"
	OfUser      bool   `json:"of_user,omitempty"`      // the user's own systemd runs it
	PID         string `json:"pid,omitempty"`          // "", "host", "service:NAME", "container:NAME"
	IPC         string `json:"ipc,omitempty"`
	UTS         string `json:"uts,omitempty"`
	Cgroup      string `json:"cgroup,omitempty"` // cgroup namespace: "", "private", "host"

	CapAdd      []string `json:"cap_add,omitempty"` // CAP_ names in capitals with the prefix, or "ALL"
	CapDrop     []string `json:"cap_drop,omitempty"`
	SecurityOpt []string `json:"security_opt,omitempty"` // "no-new-privileges=false", "seccomp=unconfined", "apparmor=…", "label=…": always with "="
	Privileged  bool     `json:"privileged,omitempty"`

	Init      bool `json:"init,omitempty"`
	TTY       bool `json:"tty,omitempty"`
	StdinOpen bool `json:"stdin_open,omitempty"`

	StopSignal      string        `json:"stop_signal,omitempty"`       // "SIGTERM"; "" = the image's, then SIGTERM
	StopGracePeriod time.Duration `json:"stop_grace_period,omitempty"` // nanoseconds; 0 = 10 s
	Restart         Restart       `json:"restart"`
	Logging         Logging       `json:"logging"`

	Labels      []KeyValue `json:"labels,omitempty"`
	Annotations []KeyValue `json:"annotations,omitempty"`

	Runtime string `json:"runtime,omitempty"` // "" = unitc's own

	Platform         string        `json:"platform,omitempty"`    // "linux/arm64/v8"
	PullPolicy       string        `json:"pull_policy,omitempty"` // always, never, missing (""), daily, weekly, "every_12h"
	PullRefreshAfter time.Duration `json:"pull_refresh_after,omitempty"`
	// Build is how the image is made, nil = it is found. No start needs it.
	Build *Build `json:"-"`
	// Persist keeps what the container writes to the image's root file system.
	Persist bool `json:"x_persist,omitempty"`
	// Update says where newer images come from and what is done with them:
	// UpdateRegistry and its like, "" = none is looked for.
	Update string `json:"x_update,omitempty"`
	// ContainerName is a further name by which neighbours know the service.
	ContainerName string `json:"container_name,omitempty"`

	// WaitFor is what a start waits for on the host: WaitDNS, WaitTCP, WaitAddress or
	// WaitPath, a colon, and what it is about.
	WaitFor []string `json:"x_wait_for,omitempty"`
	// IdleTimeout is how long nobody is connected to its activated ports when it is
	// stopped; 0 = it runs on.
	IdleTimeout time.Duration `json:"x_idle_timeout,omitempty"`

	DependsOn []Dependency `json:"depends_on,omitempty"` // the implied ones too (links, network_mode: service:…)
	// AwaitedCompletion is true if another service waits for this one to end
	// well: then it is a job, active once it has exited.
	AwaitedCompletion bool `json:"awaited_completion,omitempty"`
	// Profiles, if there are any, keep the project's target from starting the
	// service, unless Active: one of them is in COMPOSE_PROFILES.
	Profiles []string `json:"profiles,omitempty"`
	Active   bool     `json:"active,omitempty"`
	Replicas *int     `json:"replicas,omitempty"` // nil = 1, without an instance's number
	Rollout  *Rollout `json:"update_config,omitempty"`

	Networks   []Attachment `json:"networks,omitempty"`
	Ports      []Port       `json:"ports,omitempty"`
	Expose     []string     `json:"expose,omitempty"`
	DNS        []string     `json:"dns,omitempty"`
	DNSSearch  []string     `json:"dns_search,omitempty"`
	DNSOpt     []string     `json:"dns_opt,omitempty"`
	ExtraHosts []Host       `json:"extra_hosts,omitempty"`
	Links      []Link       `json:"links,omitempty"`
	MACAddress string       `json:"mac_address,omitempty"`
	// NetDevices are interfaces of the host's by their names there and in the
	// container.
	NetDevices []KeyValue `json:"x_net_devices,omitempty"`
	// NFTables is a file of nft(8) that is loaded in the payload's own network.
	NFTables string `json:"x_nftables,omitempty"` // absolute

	Secrets     []Grant      `json:"secrets,omitempty"`
	Configs     []Grant      `json:"configs,omitempty"`
	Healthcheck *Healthcheck `json:"healthcheck,omitempty"`
	PostStart   []Hook       `json:"post_start,omitempty"`
	PreStop     []Hook       `json:"pre_stop,omitempty"`
	// CDI are devices by the names that their vendors gave them, those of gpus:
	// among them.
	CDI []CDIDevice `json:"cdi,omitempty"`
	// TimeOffsets set the clocks that count from boot.
	TimeOffsets *TimeOffsets `json:"x_time_offsets,omitempty"`

	System System `json:"systemd"`
}

// UnitName is the name of the service unit, the instance included.
func (s *Service) UnitName() string { return s.Name + s.Instance + ".service" }

// StartsWithProject leaves out the services whose profiles nobody has asked for,
// and those that are to have no instance.
func (s *Service) StartsWithProject() bool {
	return (len(s.Profiles) == 0 || s.Active) && (s.Replicas == nil || *s.Replicas > 0)
}

// ByTime tells that a timer starts the service, and nothing else does by itself.
func (s *Service) ByTime() bool { return len(s.System.Timer) > 0 }

// Triggers are the units that start the service by time or at a connection.
func (s *Service) Triggers() (names []string) {
	if s.ByTime() {
		names = append(names, s.Name+s.Instance+".timer")
	}
	if len(s.System.Socket) > 0 {
		names = append(names, s.Name+s.Instance+".socket")
	}
	return names
}

// PortSockets are those of its ports with x-activation.
func (s *Service) PortSockets() (names []string) {
	for _, p := range s.Ports {
		if p.Activation {
			names = append(names, PortUnit(s.Name, p.Target)+".socket")
		}
	}
	return names
}

// ScopeName is the name of the transient scope that holds the payload. A scope
// can be no instance of a template (systemd.scope(5); PID 1 says "Invalid
// argument"), so ":" stands for the "@": no definition's name has it.
func (s *Service) ScopeName() string {
	return "unitc-" + strings.Replace(s.Name, "@", ":", 1) + strings.ReplaceAll(s.Instance, "@", `\x40`) + ".scope"
}

// Source is where the definition stands: the file that SourcePath= names and
// the place of the service in it.
type Source struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
	// Lines maps a key's path ("command", "volumes[0].source") to its place,
	// so that a fault found at start is shown at its line.
	Lines Lines `json:"lines,omitzero"`
}

// Position is a place in a file that contributed to the definition.
type Position struct {
	File string `json:"file,omitempty"` // "" = Source.File
	Line int    `json:"line"`
	Col  int    `json:"col"`
}

// Env is one variable. A nil Value is Compose's `- NAME` without a value that no
// file of variables sets: the variable is unset, the image's too.
type Env struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

// EnvFile is read by the helper at start, as systemd's EnvironmentFile= is.
type EnvFile struct {
	Path     string `json:"path"` // absolute
	Optional bool   `json:"optional,omitempty"`
	Raw      bool   `json:"raw,omitempty"` // format: raw
}

// KeyValue is one pair of a mapping whose order is kept.
type KeyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Volume types.
const (
	VolumeBind  = "bind"
	VolumeTmpfs = "tmpfs"
	VolumeNamed = "volume"
	VolumeImage = "image"
)

// Volume is a mount at Target, an absolute path inside the rootfs.
type Volume struct {
	Type     string `json:"type"`
	Source   string `json:"source,omitempty"` // bind: absolute host path; volume: name, "" = anonymous; image: its reference
	Target   string `json:"target"`
	ReadOnly bool   `json:"read_only,omitempty"`
	// Bind
	CreateHostPath bool   `json:"create_host_path,omitempty"`
	Propagation    string `json:"propagation,omitempty"` // rprivate (default), private, rslave, slave, rshared, shared
	Recursive      string `json:"recursive,omitempty"`   // "" enabled, "disabled", "readonly", "writable"
	SELinux        string `json:"selinux,omitempty"`     // "z", "Z"
	NoSuid         bool   `json:"nosuid,omitempty"`
	NoDev          bool   `json:"nodev,omitempty"`
	NoExec         bool   `json:"noexec,omitempty"`
	IDMap          *bool  `json:"idmap,omitempty"` // nil: as the user namespace asks
	// Tmpfs
	Size int64  `json:"size,omitempty"` // bytes; 0 = the kernel's default (half of memory)
	Mode uint32 `json:"mode,omitempty"` // 0 = 01777
	UID  int64  `json:"uid,omitempty"`  // owner, as an id inside the container
	GID  int64  `json:"gid,omitempty"`
	// CopyUp begins a tmpfs with what the root file system has at its place.
	CopyUp bool `json:"copy_up,omitempty"`
	// Named
	NoCopy bool `json:"nocopy,omitempty"`
	// Named, image
	Subpath string `json:"subpath,omitempty"`
	// Declared is what is said of the volume beyond its name.
	Declared *NamedVolume `json:"declared,omitempty"`
}

// Device makes a host device node visible in the container.
type Device struct {
	Source      string `json:"source"`
	Target      string `json:"target"`
	Permissions string `json:"permissions"` // of "rwm"
}

// Resources are the limits, in Compose's words. 0 and "" mean "not given";
// the resource package turns them into systemd's directives.
type Resources struct {
	MemLimit          int64        `json:"mem_limit,omitempty"`       // bytes
	MemReservation    int64        `json:"mem_reservation,omitempty"` // bytes
	MemswapLimit      int64        `json:"memswap_limit,omitempty"`   // bytes, memory included; -1 = unlimited
	MemSwappiness     *int         `json:"mem_swappiness,omitempty"`
	CPUs              float64      `json:"cpus,omitempty"`
	CPUShares         int64        `json:"cpu_shares,omitempty"` // 2…262144, 1024 = normal
	CPUPeriod         int64        `json:"cpu_period,omitempty"` // µs
	CPUQuota          int64        `json:"cpu_quota,omitempty"`  // µs
	CPUSet            string       `json:"cpuset,omitempty"`     // "0-3,5"
	PidsLimit         *int64       `json:"pids_limit,omitempty"` // nil = 2048, -1 = unlimited
	OOMKillDisable    bool         `json:"oom_kill_disable,omitempty"`
	BlkioWeight       int          `json:"blkio_weight,omitempty"` // 10…1000
	BlkioWeightDevice []DeviceRate `json:"blkio_weight_device,omitempty"`
	DeviceReadBps     []DeviceRate `json:"device_read_bps,omitempty"` // bytes a second
	DeviceWriteBps    []DeviceRate `json:"device_write_bps,omitempty"`
	DeviceReadIOps    []DeviceRate `json:"device_read_iops,omitempty"` // operations a second
	DeviceWriteIOps   []DeviceRate `json:"device_write_iops,omitempty"`
}

// DeviceRate is a rate or weight of one block device.
type DeviceRate struct {
	Path string `json:"path"`
	Rate int64  `json:"rate"`
}

// Ulimit is one resource limit of setrlimit(2); -1 = unlimited.
type Ulimit struct {
	Name string `json:"name"` // "nofile"
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}

// Restart policies of Compose.
const (
	RestartNo            = "no"
	RestartAlways        = "always"
	RestartUnlessStopped = "unless-stopped"
	RestartOnFailure     = "on-failure"
)

// Restart is Compose's restart policy; the zero value is "no".
type Restart struct {
	Policy     string        `json:"policy,omitempty"`
	MaxRetries int           `json:"max_retries,omitempty"` // on-failure:N
	Delay      time.Duration `json:"delay,omitempty"`       // deploy.restart_policy: between two starts
	Window     time.Duration `json:"window,omitempty"`      // in which MaxRetries are counted
}

// Logging drivers.
const (
	LogJournald = "journald" // a relay in the service's cgroup (the default)
	LogDirect   = "direct"   // the journal stream itself; nothing of unitc is resident
	LogNone     = "none"     // /dev/null
)

// Logging says where standard output and error go; "" = journald.
type Logging struct {
	Driver  string     `json:"driver,omitempty"`
	Options []KeyValue `json:"options,omitempty"`
}

// Options of logging.
const (
	LogFormat         = "format" // LogFormatJSON, or as it is
	LogFormatJSON     = "json"
	LogTag            = "tag"                 // SYSLOG_IDENTIFIER
	LogRateInterval   = "rate_limit_interval" // in which
	LogRateBurst      = "rate_limit_burst"    // so many lines are kept
	LogFormatVerbatim = "plain"
)

// Option is the value of an option, and whether it is given.
func (l *Logging) Option(name string) (string, bool) {
	for _, o := range l.Options {
		if o.Key == name {
			return o.Value, true
		}
	}
	return "", false
}

// NeedsRelay tells whether the payload's output has to pass the relay, also where
// journald would know its lines by themselves: it knows those of a user's container
// while the process lives that wrote them, and not behind its end.
func (s *Service) NeedsRelay() bool {
	if s.TTY {
		return true
	}
	if s.Logging.Driver == LogDirect || s.Logging.Driver == LogNone {
		return false
	}
	format, _ := s.Logging.Option(LogFormat)
	return s.OfUser || s.StdinOpen || format == LogFormatJSON || s.System.Probe != nil && s.System.Probe.Kind == ProbeLog
}

// What a start can wait for.
const (
	WaitDNS     = "dns"     // a name has an address
	WaitTCP     = "tcp"     // HOST:PORT takes a connection
	WaitAddress = "address" // the host has it
	WaitPath    = "path"    // an absolute path is there
)

// Placements of the payload's cgroup (DESIGN, launch).
const (
	CgroupScope   = "scope"   // a transient, delegated scope (the default)
	CgroupService = "service" // the service's own delegated cgroup
)

// System is the `systemd:` block: what Compose lacks, in systemd's words.
// Directives keep the order of the file; a list gives one line an item.
type System struct {
	Unit    []Directive `json:"unit,omitempty"`
	Service []Directive `json:"service,omitempty"`
	Install []Directive `json:"install,omitempty"`
	Scope   []Directive `json:"scope,omitempty"`
	Socket  []Directive `json:"socket,omitempty"`
	Timer   []Directive `json:"timer,omitempty"`
	Slice   string      `json:"slice,omitempty"`  // "" = unitc.slice
	Cgroup  string      `json:"cgroup,omitempty"` // CgroupScope or CgroupService, "" = scope
	Notify  string      `json:"notify,omitempty"` // NotifyStarted, …; "" = healthy where there is a check
	Probe   *Probe      `json:"probe,omitempty"`
}

// What makes the unit active.
const (
	NotifyStarted   = "started"   // the payload's first instruction
	NotifyHealthy   = "healthy"   // the first check that succeeds
	NotifyContainer = "container" // the payload's own READY=1 (sd_notify(3))
	NotifyCompleted = "completed" // the payload's end with status 0
)

// Kinds of probe.
const (
	ProbeExec = "exec"
	ProbeFile = "file"
	ProbeHTTP = "http"
	ProbeLog  = "log"
	ProbeTCP  = "tcp"
	ProbeUnix = "unix"
)

// Probe is a check that the image need not bring. How often it is made and what
// its failures mean stands in Healthcheck.
type Probe struct {
	Kind    string   `json:"kind"`
	Target  string   `json:"target,omitempty"`  // path, address, URL or expression
	Command []string `json:"command,omitempty"` // exec
	TLS     ProbeTLS `json:"tls,omitzero"`
}

// ProbeTLS is how a probe of an https URL knows that it speaks with the right
// one; without CA it takes any certificate.
type ProbeTLS struct {
	CA         string `json:"ca,omitempty"`          // a file of the container, PEM
	ServerName string `json:"server_name,omitempty"` // "" = the URL's host
}

// Directive is one assignment of a unit file, its value as written.
type Directive struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
