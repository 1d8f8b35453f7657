// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// rooms is the set of unit-file sections, or groups of them, that a directive
// belongs to: one man page each.
type rooms uint16

const (
	inUnit     rooms = 1 << iota // systemd.unit(5), [Unit]
	inInstall                    // systemd.unit(5), [Install]
	inService                    // systemd.service(5)
	inExec                       // systemd.exec(5)
	inKill                       // systemd.kill(5)
	inResource                   // systemd.resource-control(5)
	inScope                      // systemd.scope(5)
	inSocket                     // systemd.socket(5)
	inTimer                      // systemd.timer(5)
)

// directive is one name of directives_table.go, sorted by name.
type directive struct {
	name  string
	rooms rooms
	since uint16 // systemd version that has it; 0 = before they were noted
}

func findDirective(name string) *directive {
	low, high := 0, len(directives)
	for low < high {
		middle := (low + high) / 2
		switch strings.Compare(directives[middle].name, name) {
		case 0:
			return &directives[middle]
		case -1:
			low = middle + 1
		default:
			high = middle
		}
	}
	return nil
}

// section is one pass-through block of `systemd:`.
type section struct {
	key     string
	rooms   rooms
	refused func(*directive) string // the cure, "" if the directive may stand
	into    func(*definition.System) *[]definition.Directive
}

var sections = [...]section{
	{"unit", inUnit, refusedUnit, func(s *definition.System) *[]definition.Directive { return &s.Unit }},
	{"service", inService | inExec | inKill | inResource, refusedService, func(s *definition.System) *[]definition.Directive { return &s.Service }},
	{"install", inInstall, refusedInstall, func(s *definition.System) *[]definition.Directive { return &s.Install }},
	{"scope", inScope | inKill | inResource, refusedScope, func(s *definition.System) *[]definition.Directive { return &s.Scope }},
	{"socket", inSocket, refusedSocket, func(s *definition.System) *[]definition.Directive { return &s.Socket }},
	{"timer", inTimer, refusedTimer, func(s *definition.System) *[]definition.Directive { return &s.Timer }},
}

func refusedUnit(d *directive) string {
	if d.name == "SourcePath" {
		return "remove it; unitc sets it to the definition" // G-10
	}
	return ""
}

func refusedInstall(d *directive) string {
	if d.name == "Also" {
		// Links are made by the generator, not by systemctl enable (G-14).
		return "link the other unit by its own WantedBy="
	}
	return ""
}

// launchKeys says which of our keys does the job of a directive that belongs to
// the launch. The reasons are DESIGN §5 and SYSTEMD.md V-1 to V-8.
var launchKeys = [...]struct{ name, cure string }{
	{"AmbientCapabilities", "write cap_add:"},
	{"AppArmorProfile", "write security_opt: [apparmor=PROFILE]"},
	{"BindPaths", "write volumes:"},
	{"BindReadOnlyPaths", "write volumes:"},
	{"BusName", "remove it; unitc starts every service as Type=notify"},
	{"CPUSchedulingResetOnFork", "remove it; the payload is a child of unitc's helper, and would be reset itself"},
	{"CapabilityBoundingSet", "write cap_add: and cap_drop:"},
	{"Delegate", "write systemd: cgroup:"},
	{"DelegateSubgroup", "write systemd: cgroup:"},
	{"DynamicUser", "write user:"},
	{"Environment", "write environment:"},
	{"EnvironmentFile", "write env_file:"},
	{"ExecSearchPath", "write PATH under environment:"},
	{"ExecStart", "write entrypoint: and command:"},
	{"ExitType", "remove it; the payload's first process is the service's main process"},
	{"FinalKillSignal", "remove it; the payload is killed after stop_grace_period:"},
	{"Group", "write user: NAME:GROUP"},
	{"GuessMainPID", "remove it; unitc names the main process itself"},
	{"KillMode", "remove it; the relay needs control-group to keep the last lines"},
	{"KillSignal", "write stop_signal:"},
	{"NetworkNamespacePath", "write network_mode:"},
	{"NoNewPrivileges", "write security_opt: [no-new-privileges:true]"},
	{"NonBlocking", "remove it; it would change the launch's own descriptors"},
	{"NotifyAccess", "remove it; unitc reports readiness itself"},
	{"OOMScoreAdjust", "write oom_score_adj:"},
	{"OOMPolicy", "write it under systemd: scope:, where the payload is"},
	{"PAMName", "write user:"},
	{"PIDFile", "remove it; unitc names the main process itself"},
	{"PassEnvironment", "write environment:"},
	{"PrivateDevices", "write devices:"},
	{"PrivateIPC", "write ipc:"},
	{"PrivateNetwork", "write network_mode: none"},
	{"PrivateTmp", "write tmpfs: /tmp"},
	{"PrivateUsers", "write userns_mode:"},
	{"ReadOnlyPaths", "write volumes: with :ro, or read_only:"},
	{"ReadWritePaths", "write volumes:"},
	{"RefreshOnReload", "remove it; it acts on the launch's own mounts"},
	{"ReloadSignal", "write ExecReload=, with unitc kill; it is for Type=notify-reload, and unitc starts every service as Type=notify"},
	{"RemainAfterExit", "remove it; clean-up runs when the payload exits"},
	{"RestartKillSignal", "write stop_signal:"},
	{"RootDirectory", "write rootfs:"},
	{"RootDirectoryStartOnly", "write rootfs:"},
	{"RootImage", "write image: or rootfs:"},
	{"SELinuxContext", "write security_opt: [label=…]"},
	{"SendSIGHUP", "write stop_signal:"},
	{"SendSIGKILL", "remove it; the payload is killed after stop_grace_period:"},
	{"Slice", "write systemd: slice:"},
	{"StandardError", "write logging:"},
	{"StandardInput", "write stdin_open: or tty:"},
	{"StandardInputData", "write stdin_open:"},
	{"StandardInputText", "write stdin_open:"},
	{"StandardOutput", "write logging:"},
	{"SupplementaryGroups", "write group_add:"},
	{"SystemCallFilter", "write security_opt: [seccomp=PROFILE]"},
	{"TemporaryFileSystem", "write tmpfs:"},
	{"TimeoutSec", "write stop_grace_period: for the stop, TimeoutStartSec for the start"},
	{"TimeoutStopFailureMode", "remove it; the payload is killed after stop_grace_period:"},
	{"TimeoutStopSec", "write stop_grace_period:"},
	{"Type", "remove it; unitc starts every service as Type=notify"},
	{"USBFunctionDescriptors", "remove it; it does not reach the container"},
	{"USBFunctionStrings", "remove it; it does not reach the container"},
	{"UnsetEnvironment", "write environment:"},
	{"User", "write user:"},
	{"UtmpIdentifier", "remove it; it does not reach the container"},
	{"UtmpMode", "remove it; it does not reach the container"},
	{"WorkingDirectory", "write working_dir:"},
}

// passedExec are the directives of systemd.exec(5) that do their job on the
// payload too (it inherits them from the helper) or only on the service's log,
// directories and credentials; all others sandbox the helper and break it.
var passedExec = []string{
	"CPUAffinity", "CPUSchedulingPolicy", "CPUSchedulingPriority",
	"CacheDirectory", "CacheDirectoryMode", "ConfigurationDirectory", "ConfigurationDirectoryMode", "CoredumpFilter",
	"IOSchedulingClass", "IOSchedulingPriority", "ImportCredential",
	"LoadCredential", "LoadCredentialEncrypted", "LogExtraFields", "LogFilterPatterns", "LogLevelMax", "LogNamespace",
	"LogRateLimitBurst", "LogRateLimitIntervalSec", "LogsDirectory", "LogsDirectoryMode",
	"MemoryKSM", "MemoryTHP", "NUMAMask", "NUMAPolicy", "Nice",
	"RuntimeDirectory", "RuntimeDirectoryMode", "RuntimeDirectoryPreserve",
	"SetCredential", "SetCredentialEncrypted", "StateDirectory", "StateDirectoryMode",
	"SyslogFacility", "SyslogIdentifier", "SyslogLevel", "SyslogLevelPrefix", "TimeoutCleanSec", "TimerSlackNSec", "UMask",
}

func refusedService(d *directive) string {
	for i := range launchKeys {
		if launchKeys[i].name == d.name {
			return launchKeys[i].cure
		}
	}
	switch {
	case strings.HasPrefix(d.name, "Limit") && d.rooms&inExec != 0:
		return "write ulimits: " + strings.ToLower(strings.TrimPrefix(d.name, "Limit")) + ":"
	case d.rooms&inResource != 0:
		return "write it under systemd: scope:, where the payload is"
	case d.rooms&inExec != 0 && !contains(passedExec, d.name):
		return "remove it; it would confine unitc's helper, not the container"
	}
	return ""
}

// RefusedInService is the cure for a directive that no [Service] section of a
// container may have, "" if it may stand or is not known. isLimit is true of those
// of a cgroup.
func RefusedInService(name string) (cure string, isLimit bool) {
	if d := findDirective(name); d != nil {
		return refusedService(d), d.rooms&inResource != 0 || d.name == "OOMPolicy"
	}
	return "", false
}

func refusedScope(d *directive) string {
	if d.rooms&inScope != 0 {
		return ""
	}
	switch d.name {
	case "Delegate", "DelegateSubgroup":
		return "write systemd: cgroup:"
	case "Slice":
		return "write systemd: slice:"
	case "DisableControllers":
		return "remove it; the payload's limits need the controllers"
	}
	if d.rooms&inKill != 0 {
		return "write stop_signal: and stop_grace_period:"
	}
	return ""
}

func refusedSocket(d *directive) string {
	switch d.name {
	case "Service":
		return "remove it; the socket starts this definition's service"
	case "Accept":
		return "remove it; the service takes the listening socket itself"
	}
	return ""
}

func refusedTimer(d *directive) string {
	if d.name == "Unit" {
		return "remove it; the timer starts this definition's service"
	}
	return ""
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
