// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"path"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/resolved"
	"github.com/unitc/unitc/internal/unitfile"
)

// resolverSocket is where the containers of a network ask for names. It costs
// no process until one of them does.
const resolverSocket = "unitc-resolver.socket"

// sysctlService sets what networks need of forwarding, which a start has to
// have the last word on.
const sysctlService = "systemd-sysctl.service"

// networkUnit keeps a network while it is active. Containers do not need it:
// the first one makes the network and the last one takes it away. It is for
// those who want the bridge to be there without one. Its definition lies beside
// it, where the containers' helpers find it by the unit's name.
func networkUnit(file definition.File, n *definition.Network, outDir, helper string) unit {
	name := networkUnitName(n.Name)
	u := unit{name: name, resolved: networkResolved(file, n)}
	if realm.Own() != nil {
		return u // a user's is there while somebody is in it, and no longer
	}
	w := unitfile.Writer{}
	w.Comment(generatedFrom + file.Path) // G-9
	w.Section("Unit")
	w.Set("Description", "Network "+unitfile.EscapeSpecifiers(unitfile.Printable(n.Name)))
	if unitfile.Printable(file.Path) == file.Path {
		w.Set("SourcePath", unitfile.EscapeSpecifiers(file.Path)) // G-10
	}
	if file.Project {
		w.Set("PartOf", unitfile.MangleName(file.Name)+targetSuffix)
	}
	w.Set("RequiresMountsFor", path.Dir(helper)) // V-6
	w.Set("After", sysctlService)
	beforeBasic(&w)
	w.Section("Service")
	w.Set("Type", "oneshot")
	w.Set("RemainAfterExit", "yes")
	w.Set("ExecStart", execHelper(helper, "network-up", resolved.Path(outDir, u.stem())))
	w.Set("ExecStopPost", execHelper(helper, "network-down", n.Name))
	w.Set("SyslogIdentifier", "%N") // V-10
	w.Set("Environment", "GOMAXPROCS=1")
	w.Set("Slice", defaultSlice)
	u.text, _ = w.Bytes()
	return u
}

// networkResolved is the network's definition for the helpers of containers.
func networkResolved(file definition.File, n *definition.Network) []byte {
	problems := append(diag.List(nil), file.ProblemsOfNetwork(n)...)
	problems.Sort()
	r := definition.Resolved{Version: definition.ResolvedVersion, Network: n, Problems: problems}
	return append(r.AppendJSON(nil), '\n')
}

// beforeBasic lets a unit be started in front of basic.target, as containers can
// order themselves. With the usual dependencies of a service it would have to
// wait for it, and systemd breaks such a cycle by dropping any start of the boot.
func beforeBasic(w *unitfile.Writer) {
	w.Set("DefaultDependencies", "no")
	w.Set("Conflicts", "shutdown.target")
	w.Set("Before", "shutdown.target")
}

func networkUnitName(network string) string {
	return definition.NetworkUnit + network + serviceSuffix
}

// networkUnits are those of a file; what exists already is made elsewhere.
func networkUnits(file definition.File, outDir, helper string) []unit {
	var units []unit
	for i := range file.Networks {
		n := &file.Networks[i]
		if !n.External && unitfile.NameKind(networkUnitName(n.Name)) != unitfile.Invalid {
			units = append(units, networkUnit(file, n, outDir, helper))
		}
	}
	return units
}

// networkDependencies order a container behind its networks' units, if they
// are started, and have its names answered. It does not wait for the sockets of
// names: to open them takes systemd as long as the helper's own start, which makes
// sure of them before the payload runs (launch, await-resolver).
func (t *translation) networkDependencies() {
	if !t.joinsNetworks() {
		return
	}
	if realm.Own() != nil {
		t.w.Set("Wants", keeperUnit)
		t.w.Set("After", keeperUnit)
		return
	}
	for _, a := range t.service.Networks {
		t.w.Set("After", networkUnitName(a.Network))
	}
	t.w.Set("Wants", resolverSocket)
	t.w.Set("After", sysctlService)
}

// joinsNetworks tells whether a start joins any.
func (t *translation) joinsNetworks() bool {
	return t.service != nil && !t.broken && t.service.NetworkMode == ""
}
