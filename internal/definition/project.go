// SPDX-License-Identifier: Apache-2.0

package definition

import "time"

// Conditions of depends_on.
const (
	ServiceStarted   = "service_started"
	ServiceHealthy   = "service_healthy"
	ServiceCompleted = "service_completed_successfully"
)

// Dependency is a service that has to come before this one.
type Dependency struct {
	// Service is the other unit's name without ".service".
	Service   string `json:"service"`
	Condition string `json:"condition"`
	// Optional goes on without it (required: false).
	Optional bool `json:"optional,omitempty"`
	// Restart restarts this service whenever that one is restarted.
	Restart bool `json:"restart,omitempty"`
}

// NamedVolume is one entry of a project's `volumes:`.
type NamedVolume struct {
	Key      string     `json:"key"`
	Name     string     `json:"name"` // what Volume.Source says
	Source   Position   `json:"source"`
	External bool       `json:"external,omitempty"`
	Driver   string     `json:"driver,omitempty"` // "" = local
	Options  []KeyValue `json:"driver_opts,omitempty"`
	Labels   []KeyValue `json:"labels,omitempty"`
}

// Material is one entry of a project's `secrets:` or `configs:`. Exactly one of
// File, Environment, Content and External is given. Neither the content of a
// secret's file nor a variable's value is ever here (DESIGN §4).
type Material struct {
	Key         string   `json:"key"`
	Name        string   `json:"name"`
	Source      Position `json:"source"`
	File        string   `json:"file,omitempty"` // absolute
	Environment string   `json:"environment,omitempty"`
	Content     *string  `json:"content,omitempty"` // configs only
	// Encrypted is a credential of systemd-creds(1): its text, or its absolute path.
	Encrypted string     `json:"encrypted,omitempty"`
	External  bool       `json:"external,omitempty"`
	Labels    []KeyValue `json:"labels,omitempty"`
}

// Grant mounts a secret or config into a service.
type Grant struct {
	// Source is Material.Key; a service without a project means a credential
	// of the system by that name.
	Source string `json:"source"`
	Target string `json:"target,omitempty"` // absolute; "" = /run/secrets/SOURCE or /SOURCE
	UID    string `json:"uid,omitempty"`
	GID    string `json:"gid,omitempty"`
	Mode   uint32 `json:"mode,omitempty"` // 0 = 0444

	// Where it comes from, as of the Material. Name is that of a credential,
	// EnvFiles are where a variable is looked up, the first that has it.
	Name        string   `json:"name,omitempty"`
	File        string   `json:"file,omitempty"`
	Environment string   `json:"environment,omitempty"`
	EnvFiles    []string `json:"env_files,omitempty"`
	Content     *string  `json:"content,omitempty"`
	Encrypted   string   `json:"encrypted,omitempty"`
}

// Healthcheck says how to find out whether the payload is well. Zero values
// mean the image's, then Docker's defaults: 30 s, 30 s, 3, 0, 5 s.
type Healthcheck struct {
	// Test is what is run, ["CMD", …] or ["CMD-SHELL", …]; nil is the image's.
	Test          []string      `json:"test,omitempty"`
	Disable       bool          `json:"disable,omitempty"`
	Interval      time.Duration `json:"interval,omitempty"`
	Timeout       time.Duration `json:"timeout,omitempty"`
	Retries       int           `json:"retries,omitempty"`
	StartPeriod   time.Duration `json:"start_period,omitempty"`
	StartInterval time.Duration `json:"start_interval,omitempty"`
}

// Hook is a command that is run in the container.
type Hook struct {
	Command     []string `json:"command"`
	User        string   `json:"user,omitempty"`
	Privileged  bool     `json:"privileged,omitempty"`
	WorkingDir  string   `json:"working_dir,omitempty"`
	Environment []Env    `json:"environment,omitempty"`
}

// CDIDevice is a device of the Container Device Interface.
type CDIDevice struct {
	Name string `json:"name"` // vendor.com/class=name
	Key  string `json:"key"`  // of the definition that asks for it: "devices[0]"
}

// TimeOffsets are added to the clocks of time_namespaces(7).
type TimeOffsets struct {
	Boottime  time.Duration `json:"boottime,omitempty"`
	Monotonic time.Duration `json:"monotonic,omitempty"`
}
