// SPDX-License-Identifier: Apache-2.0

package postmortem

import (
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/invocation"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/runtime"
)

// complaint is what a program says that lacks something which a key of the definition
// gives. What it was refused is known to nobody but itself: the kernel answers its call
// and writes nothing down.
type complaint struct {
	word string // of the line, in small letters
	// capability is what the program lacks, and has nothing to do with it where the
	// container has it; "" = no capability.
	capability string
	cure       string
}

// complaints as daemons of Debian's write them. The first row that fits is used.
var complaints = []complaint{
	{"chroot", "CAP_SYS_CHROOT", "write `cap_add: [SYS_CHROOT]`, or have the program change its root directory no more"},
	{"no new privileges", "", "write `security_opt: [no-new-privileges=false]`"},
	{"raw socket", "CAP_NET_RAW", "write `cap_add: [NET_RAW]`"},
	{"icmp socket", "CAP_NET_RAW", "write `cap_add: [NET_RAW]`"},
	{"dhcp socket", "CAP_NET_RAW", "write `cap_add: [NET_RAW, NET_ADMIN]`"},
	{"ptrace", "CAP_SYS_PTRACE", "write `cap_add: [SYS_PTRACE]`"},
	{"sched_setscheduler", "CAP_SYS_NICE", "write `cap_add: [SYS_NICE]`"},
	{"setpriority", "CAP_SYS_NICE", "write `cap_add: [SYS_NICE]`"},
	{"mbind", "CAP_SYS_NICE", "write `cap_add: [SYS_NICE]`"},
	{"set_mempolicy", "CAP_SYS_NICE", "write `cap_add: [SYS_NICE]`"},
	{"perf_event", "CAP_PERFMON", "write `cap_add: [PERFMON]`"},
	{"mount: ", "CAP_SYS_ADMIN", "have it mounted by `volumes:`, or write `cap_add: [SYS_ADMIN]`"},
	{"io_uring", "", "unitc's seccomp filter has no io_uring: have the program do without, or write `security_opt: [seccomp=FILE]` with a profile that allows it"},
	{"mlock", "", "raise memlock of `ulimits:`"},
	{"setrlimit", "", "raise this limit by `ulimits:`"},
	{"/dev/log", "", "a container has no syslog: have it log to standard output, or run a syslog daemon beside it"},
	{"cap_set_proc", "", "the program asks for a capability that the container has not: add it by `cap_add:`"},
	{"read-only file system", "", "take `:ro` away from the volume that holds this place, or `read_only: true`, or give it a `tmpfs:` there"},
	{"address already in use", "", "`ss -lntup` names who has this port: stop that, or give one of the two another port"},
}

// refusals are how such a line says that it is about one.
var refusals = []string{"not permitted", "ermission denied", "eperm", "eacces", "not present", "cannot ", "can't ", "could not", "couldn't", "unable to", "failed", "no such file", "requires ", "missing", "flag is set", "read-only", "already in use"}

// ofTheHost are capabilities that are nothing without being root of the host (user_namespaces(7)).
var ofTheHost = []string{"CAP_SYS_TIME", "CAP_SYSLOG", "CAP_SYS_BOOT", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_WAKE_ALARM"}

// complaintOf looks for the last line that speaks of something which a key gives. What it
// returns is not the payload's words; "" = no line does.
func complaintOf(lines []string, p *plan.Plan) (word, cure string) {
	for _, line := range slices.Backward(lines) {
		small := strings.ToLower(line)
		if !slices.ContainsFunc(refusals, func(word string) bool { return strings.Contains(small, word) }) {
			continue
		}
		if name, cure := missingCapability(line, p); cure != "" {
			return name, cure
		}
		if word := keptFromSocket(small, p); word != "" {
			return word, "write `security_opt: [landlock=unconfined]` if it is to reach abstract sockets of the host's, as clients of X11 do"
		}
		for _, c := range complaints {
			if strings.Contains(small, c.word) && !(c.capability != "" && hasCapability(p, c.capability)) {
				return strings.TrimRight(c.word, ": "), c.cure
			}
		}
	}
	return "", ""
}

// keptFromSocket is for programs that may have tried an abstract socket of the host's. A
// refusal is no absence for them: clients of X11 do not go on to the socket that has a
// path (libxcb, _xcb_open).
func keptFromSocket(small string, p *plan.Plan) (word string) {
	switch {
	case p == nil || !p.ScopeSockets:
	case strings.Contains(small, "display"):
		return "display"
	case strings.Contains(small, "connect") && strings.Contains(small, "operation not permitted"):
		return "connection"
	}
	return ""
}

// missingCapability is for programs that name it: CAP_NET_ADMIN, or the capability NET_ADMIN.
func missingCapability(line string, p *plan.Plan) (name, cure string) {
	words := strings.FieldsFunc(line, func(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') })
	i := slices.IndexFunc(words, func(word string) bool {
		return runtime.IsCapability(word) && (strings.HasPrefix(word, "CAP_") || strings.Contains(line, "apabilit"))
	})
	if i < 0 {
		return "", ""
	}
	name = "CAP_" + strings.TrimPrefix(words[i], "CAP_")
	switch {
	case hasCapability(p, name):
		return "", ""
	case name == "CAP_IPC_LOCK":
		return name, "raise memlock of `ulimits:`"
	}
	cure = "write `cap_add: [" + strings.TrimPrefix(name, "CAP_") + "]`"
	if slices.Contains(ofTheHost, name) && len(p.Spec.Linux.UIDMappings) > 0 {
		cure = "have it do without, or " + cure + " and `userns_mode: host`, which give power over the host"
	}
	return name, cure
}

// hasCapability: of a plan that says nothing of capabilities nobody knows.
func hasCapability(p *plan.Plan, name string) bool {
	return p == nil || p.Spec == nil || p.Spec.Linux == nil || p.Spec.Process == nil || p.Spec.Process.Capabilities == nil ||
		slices.Contains(p.Spec.Process.Capabilities.Bounding, name)
}

// Complaint is what a container that runs has said of the kind in its last lines: a
// daemon may go on when those fail that it starts for its clients. "" = nothing.
func Complaint(name string, planned Planner) string {
	p := planned.planOf(name)
	current := invocation.ID(p.Unit)
	var lines []string
	for _, r := range linesOfUnit(p) {
		if id := r["_SYSTEMD_INVOCATION_ID"]; id == "" || id == current {
			lines = append(lines, strings.Split(r["MESSAGE"], "\n")...)
		}
	}
	word, cure := complaintOf(lines, p)
	if cure == "" {
		return ""
	}
	return "if it does not work for the " + word + " that its log speaks of: " + cure
}
