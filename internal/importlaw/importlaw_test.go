// SPDX-License-Identifier: Apache-2.0

package importlaw

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/unitc/unitc/"

// A ban keeps packages out of all that a room imports. A name ending in "/..."
// stands for what is below it too; names without a dot in front of the first
// slash and not of the standard library are ours.
type ban struct {
	what []string
	why  string
}

var (
	yaml = ban{[]string{"gopkg.in/yaml.v3", "internal/syntax/library", "internal/compose"},
		"parsing an operator's words is the generator's and the CLI's work; others read what is resolved"}
	library = ban{[]string{"gopkg.in/yaml.v3", "regexp/...", "internal/syntax/library"},
		"its tables are a twentieth of the generator's time with one definition; unitc-generator-yaml has it, and is run where it is needed"}
	dbus = ban{[]string{"github.com/godbus/dbus/...", "github.com/coreos/go-systemd/..."},
		"cgroupsd is the only door to D-Bus"}
	http = ban{[]string{"net/http", "crypto/tls"},
		"a megabyte and half a millisecond at every start (DEPENDENCIES); only images are fetched, by a process of their own"}
	cobra  = ban{[]string{"github.com/spf13/..."}, "the CLI's; it costs start-up"}
	netAny = ban{[]string{"net", "net/http/...", "github.com/vishvananda/...", "github.com/google/nftables/..."},
		"this room has no network; net/netip, addresses as values, is no part of it"}
	firewall = ban{[]string{"github.com/google/nftables/..."}, "engines call the OCI command line many times for each container, and it filters nothing"}
	host     = ban{[]string{"os", "golang.org/x/sys/...", "os/exec", "net"},
		"the room is pure: facts of the host are arguments"}
	verbs         = ban{[]string{"internal/cli/convert"}, "what an operator moves in from is no business of a boot or a start"}
	oneLineOfHTTP = ban{[]string{"net/http", "os/exec"}, "a request and the first line of its answer are read here; more costs each check"}
	spec          = ban{[]string{"github.com/opencontainers/...", "internal/plan", "internal/planner", "internal/runtime", "internal/launch"},
		"what is launched is decided at start, not when units are written"}
)

var law = []struct {
	room string
	bans []ban
}{
	// The base: everything imports these.
	{"internal/buildinfo", []ban{yaml, dbus, http, cobra, netAny, host, spec}},
	{"internal/diag", []ban{yaml, dbus, http, cobra, netAny, spec}},
	{"internal/definition", []ban{yaml, dbus, http, cobra, netAny, spec}},
	{"internal/rawcall", []ban{yaml, dbus, http, cobra, netAny, spec}},
	{"internal/bigstack", []ban{yaml, dbus, http, cobra, netAny, host, spec}},
	{"internal/waiting", []ban{yaml, dbus, http, cobra, netAny, spec}},
	{"internal/slack", []ban{yaml, dbus, http, cobra, netAny, host, spec}},
	{"internal/regular", []ban{yaml, dbus, http, cobra, netAny, spec}},
	{"internal/inroot", []ban{yaml, dbus, http, cobra, netAny, spec}},
	{"internal/realm", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"os/exec", "os/user", "internal/definition"}, "it says where things are to every program, the generator and the helper among them"}}},
	{"internal/entry", []ban{yaml, dbus, http, cobra, netAny, host, spec}},
	{"internal/resolved", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"internal/definition"}, "it keeps bytes by name; the helper and the generator know what they mean"}}},
	{"internal/unitfile", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"internal/definition"}, "the grammar of unit files knows no directive and no container"}}},
	{"internal/cdi", []ban{yaml, dbus, http, cobra, netAny, host, spec}},
	// Vendors write YAML, which no helper links: the CLI reads it for that.
	{"internal/cdi/registry", []ban{dbus, http, cobra, netAny, spec,
		{[]string{"internal/compose"}, "a vendor's file is no definition"}}},
	// The way of a definition to its units.
	{"internal/resource", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"golang.org/x/sys/..."}, "limits become text; facts of the host are none of it"}}},
	{"internal/busvalue", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"golang.org/x/sys/...", "internal/definition", "internal/cgroupsd"}, "text becomes values, for the language and for what speaks to systemd"}}},
	{"internal/searchpath", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"internal/definition"}, "it reads bytes and knows nothing of their meaning"}}},
	{"internal/syntax", []ban{yaml, library, dbus, http, cobra, netAny, host, spec}},
	{"internal/syntax/library", []ban{dbus, http, cobra, netAny, spec,
		{[]string{"internal/compose", "internal/definition"}, "it reads text and knows nothing of its meaning"}}},
	{"internal/compose", []ban{library, dbus, http, cobra, netAny, spec,
		{[]string{"internal/searchpath", "internal/generator", "golang.org/x/sys/..."}, "the language does no I/O (G-11: it must be fit for fuzzing)"}}},
	{"internal/loader", []ban{library, dbus, http, cobra, netAny, spec}},
	{"internal/schema", []ban{dbus, http, cobra, netAny, spec,
		{[]string{"internal/searchpath", "internal/generator", "golang.org/x/sys/..."}, "the schema is made of the language's tables and of nothing else"}}},
	{"internal/generator", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"os/exec"}, "a generator starts nothing and asks nobody (G-3)"}}},
	{"internal/generator/command", []ban{library, dbus, http, cobra, netAny, spec,
		{[]string{"os/exec"}, "a generator starts nothing and asks nobody (G-3)"}}},
	{"cmd/unitc-generator", []ban{library, dbus, http, cobra, netAny, spec, verbs,
		{[]string{"os/exec"}, "a generator starts nothing and asks nobody (G-3)"}}},
	{"cmd/unitc-generator-yaml", []ban{dbus, http, cobra, netAny, spec, verbs,
		{[]string{"os/exec"}, "a generator starts nothing and asks nobody (G-3)"}}},
	// Images: what a start needs, and what only the CLI links.
	{"internal/reference", []ban{yaml, dbus, http, cobra, netAny, spec}},
	{"internal/store", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"crypto/...", "archive/tar", "internal/image", "internal/image/layer"}, "the helper reads it at each start; bytes are verified where they come in"}}},
	{"internal/image/layer", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"internal/store"}, "it lays one tar down in one directory"}}},
	{"internal/image", []ban{yaml, dbus, cobra}},
	// What the operator's verbs need.
	{"internal/cli/catalog", []ban{dbus, http, cobra, netAny, spec,
		{[]string{"os/exec"}, "it reads files, so that it works on images and in build machines"}}},
	// What a definition may not say, a drop-in may not either: the language's table.
	{"internal/cli/dropin", []ban{library, dbus, http, cobra, netAny, spec,
		{[]string{"os/exec"}, "it reads files, so that it works on images and in build machines"}}},
	// Its options are flags, and become a definition.
	{"internal/cli/adhoc", []ban{dbus, http, spec}},
	// What it makes is checked by those whom it does not reach: the verb.
	{"internal/cli/convert", []ban{dbus, http, cobra, netAny, spec,
		{[]string{"os/exec", "internal/generator", "internal/loader"}, "it reads what it is given and starts nothing"}}},
	// Others' YAML, which no definition is.
	{"internal/cli/convert/kube", []ban{dbus, http, cobra, netAny, spec,
		{[]string{"internal/compose", "internal/definition"}, "it reads Kubernetes' words and knows none of ours"}}},
	// It shows what the image room reports, and that room speaks HTTP.
	{"internal/cli/progress", []ban{yaml, dbus, cobra}},
	{"internal/cli/units", []ban{yaml, http, cobra,
		{[]string{"internal/launch", "internal/runtime"}, "it asks systemd and launches nothing"}}},
	// The way of a resolved definition to its payload.
	{"internal/plan", []ban{yaml, dbus, http, cobra, netAny,
		{[]string{"internal/runtime", "golang.org/x/sys/..."}, "the plan is data"}}},
	{"internal/planner", []ban{yaml, dbus, http, cobra, netAny,
		{[]string{"internal/runtime", "internal/cgroupsd"}, "the planner decides and does nothing"}}},
	{"internal/journal", []ban{yaml, dbus, http, cobra, netAny, spec}},
	{"internal/enter", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"internal/definition"}, "it takes a program into a user's namespace, whatever that is to do there"}}},
	{"internal/usernet", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"os/exec", "internal/definition"}, "the helper asks at its door at each start of a user's container"}}},
	{"internal/credential", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"os/exec", "internal/definition"}, "the helper asks systemd for a user's secrets by it"}}},
	{"internal/relay", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"encoding/json", "os/exec", "internal/definition", "internal/cgroupsd"}, "it is resident once for each container that has probes"}}},
	{"internal/notification", []ban{yaml, dbus, http, cobra, netAny, spec}},
	{"internal/relay/order", []ban{yaml, dbus, http, cobra, netAny, spec}},
	{"internal/relay/endpoint", []ban{yaml, dbus, http, cobra, netAny, host, spec}},
	// TLS, and of HTTP a line or two: it is started anew for each check.
	{"internal/probe", []ban{yaml, dbus, cobra, spec, oneLineOfHTTP}},
	{"cmd/unitc-probe", []ban{yaml, dbus, cobra, spec, oneLineOfHTTP}},
	{"cmd/unitc-relay", []ban{yaml, dbus, http, cobra, netAny, spec,
		{[]string{"encoding/json", "os/exec", "internal/definition", "internal/cgroupsd"}, "it is resident once for each container that has probes"}}},
	{"internal/launch", []ban{yaml, http, cobra}},
	{"internal/postmortem", []ban{yaml, http, cobra,
		{[]string{"internal/launch"}, "it reads what a launch has left; who launches has it do that"}}},
	{"internal/network", []ban{yaml, dbus, http, cobra,
		{[]string{"os/exec"}, "no program is started on the way to a container's network"},
		{[]string{"internal/runtime", "internal/planner"}, "it connects a namespace and knows no launch"}}},
	{"internal/network/device", []ban{yaml, dbus, http, cobra, firewall,
		{[]string{"os/exec"}, "no program is started on the way to a container's network"},
		{[]string{"internal/plan", "internal/runtime", "internal/planner", "internal/network"}, "it moves a device and knows no launch"}}},
	{"internal/network/lease", []ban{yaml, dbus, http, cobra, netAny, spec}},
	{"internal/resolver", []ban{yaml, dbus, http, cobra,
		{[]string{"github.com/vishvananda/...", "github.com/google/nftables/...", "os/exec"}, "it answers and changes nothing on the host"}}},
	{"internal/cgroupsd", []ban{yaml, http, cobra,
		{[]string{"internal/runtime", "internal/planner"}, "the door to D-Bus is no part of the launch"}}},
	{"internal/runtime", []ban{yaml, dbus, http, cobra, netAny,
		{[]string{"internal/planner", "internal/cgroupsd", "internal/generator", "internal/searchpath"}, "the privileged half must be readable on its own"}}},
	// The OCI command line: engines start it many times for each container.
	{"internal/oci/cgroup", []ban{yaml, dbus, http, cobra, netAny,
		{[]string{"internal/runtime", "internal/plan"}, "files of cgroups, and no container"}}},
	{"internal/oci/bundle", []ban{yaml, dbus, http, cobra, netAny,
		{[]string{"internal/runtime", "os/exec"}, "it reads a configuration and carries nothing out"}}},
	{"internal/oci", []ban{yaml, http, cobra,
		{[]string{"internal/planner", "internal/generator", "internal/searchpath", "internal/launch"}, "a bundle is no definition"}}},
	{"cmd/unitc-runtime", []ban{yaml, http, cobra, firewall,
		{[]string{"github.com/coreos/go-systemd/..."}, "two connections where one does (DEPENDENCIES)"}}},
	{"cmd/unitc-exec", []ban{yaml, http, cobra, verbs,
		{[]string{"github.com/coreos/go-systemd/..."}, "two connections where one does (DEPENDENCIES)"},
		{[]string{"internal/generator", "internal/searchpath"}, "the helper reads its resolved definition and no other file of definitions"}}},
}

// A room without a row is held to this, so that reaching for more is a decision.
var byDefault = []ban{yaml, dbus, http, cobra}

// everything is what wires all rooms together, and what is no part of a binary.
var everything = []string{"cmd/unitc", "internal/compose/mkdirectives"}

func TestLaw(t *testing.T) {
	watchSources(t)
	rooms := map[string][]ban{}
	for _, pkg := range list(t, "-f", "{{.ImportPath}}", module+"internal/...", module+"cmd/...") {
		if name := strings.TrimPrefix(pkg, module); !slices.Contains(everything, name) {
			rooms[name] = byDefault
		}
	}
	for _, row := range law {
		if rooms[row.room] == nil {
			t.Errorf("%s has a row and is not there", row.room)
			continue
		}
		rooms[row.room] = row.bans
	}
	for room, bans := range rooms {
		deps := dependencies(t, room)
		for _, b := range bans {
			for _, dep := range deps {
				if b.covers(dep) {
					t.Errorf("%s reaches %s: %s", room, dep, b.why)
				}
			}
		}
	}
}

// What tests alone use is linked by nothing that is shipped.
func TestTestsAreNotShipped(t *testing.T) {
	watchSources(t)
	const support = module + "internal/seccomp/seccomptest"
	if deps := list(t, "-deps", module+"cmd/..."); slices.Contains(deps, support) || !slices.Contains(deps, strings.TrimSuffix(support, "/seccomptest")) {
		t.Errorf("a program reaches %s, or none what it is for", support)
	}
	list(t, support) // it is called that
}

// TestBansBite: a ban that covers nothing, by a slip of the pen, would hold
// for ever.
func TestBansBite(t *testing.T) {
	for dep, b := range map[string]ban{
		"gopkg.in/yaml.v3": yaml, "regexp/syntax": library, module + "internal/compose": yaml, "github.com/godbus/dbus/v5": dbus, "github.com/spf13/cobra": cobra,
		"net/http": http, "net": netAny, "net/http/httptrace": netAny, module + "internal/plan": spec, "os": host,
	} {
		if !b.covers(dep) {
			t.Errorf("the ban %q does not cover %s", b.why, dep)
		}
	}
	if netAny.covers("netlink") || netAny.covers("net/netip") || yaml.covers(module+"internal/composer") {
		t.Error("a ban covers more than it names")
	}
}

func (b ban) covers(dep string) bool {
	name := strings.TrimPrefix(dep, module)
	return slices.ContainsFunc(b.what, func(what string) bool {
		prefix, below := strings.CutSuffix(what, "/...")
		return name == prefix || below && strings.HasPrefix(name, prefix+"/")
	})
}

// watchSources makes the result of the test depend on all sources: `go test`
// caches it by the files that the test process itself looks at.
func watchSources(t *testing.T) {
	t.Helper()
	for _, path := range list(t, "-f", "{{$dir := .Dir}}{{$dir}}{{range .GoFiles}} {{$dir}}/{{.}}{{end}}", module+"...") {
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
	}
}

func dependencies(t *testing.T, room string) []string {
	t.Helper()
	return list(t, "-deps", module+room)
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %q: %v\n%s", args, err, stderr.String())
	}
	return strings.Fields(string(out))
}
