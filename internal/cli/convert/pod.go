// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"

	"github.com/unitc/unitc/internal/diag"
)

// podKeys are those of podman-pod.unit(5).
var podKeys = []key{
	{name: "AddHost", read: each, do: silent, becomes: "`extra_hosts` of its containers"},
	gone("ContainersConfModule", noModule, ""),
	as("DNS", each, "dns"),
	as("DNSOption", each, "dns-option"),
	as("DNSSearch", each, "dns-search"),
	{name: "ExitPolicy", read: once, do: silent, becomes: "`systemd: unit: StopWhenUnneeded` with `cgroup: service`, unless it is *continue*"},
	as("GIDMap", each, "gidmap"),
	gone("GlobalArgs", noModule, ""),
	{name: "HostName", read: one, do: viaOption("hostname"), becomes: "`hostname`, of its containers too"},
	as("IP", one, "ip"),
	as("IP6", one, "ip6"),
	as("Label", split, "label"),
	{name: "Network", read: each, do: (*quadlet).addNetwork, becomes: "`networks` or `network_mode`"},
	as("NetworkAlias", each, "network-alias"),
	{name: "PodName", read: one, do: viaOption("name"), becomes: "`container_name`"},
	{name: "PodmanArgs", read: once, do: (*quadlet).podmanArgs, becomes: "what the option would become, see below"},
	as("PublishPort", each, "publish"),
	gone("RemapGid", noMapping, mapCure),
	gone("RemapUid", noMapping, mapCure),
	gone("RemapUidSize", noMapping, mapCure),
	gone("RemapUsers", noMapping, mapCure),
	{name: "ServiceName", read: once, do: silent, becomes: "the file's name"},
	gone("ShmSize", "a /dev/shm for all of the pod", "write shm_size: in the containers"),
	{name: "StopTimeout", read: one, do: viaOption("stop-timeout"), becomes: "`stop_grace_period`, of its containers too"},
	as("SubGIDMap", each, "subgidname"),
	as("SubUIDMap", each, "subuidname"),
	as("UIDMap", each, "uidmap"),
	as("UserNS", one, "userns"),
	{name: "Volume", read: once, do: silent, becomes: "`volumes` of its containers"},
}

// pod makes NAME-pod.yaml: a container that has the network and its ports, and does
// nothing. Those of the pod join its network, so that its unit starts and stops them.
func (q *quadlet) pod() {
	d := q.start(q.unit())
	a := arg{name: "[Pod]", at: q.own().at}
	d.set1("rootfs", a, "host")
	d.addWords("command", a, []string{"sleep", "infinity"})
	d.setBare("init", a, "true")
	q.restart()
	q.each(podKeys)
	for _, m := range q.members {
		if !m.startsWithPod() {
			continue
		}
		d.directive("unit", "Wants", a.with(m.unit()+".service"))
		d.directive("unit", "Before", a.with(m.unit()+".service"))
	}
	if q.own().text("ExitPolicy") != "continue" {
		d.directive("unit", "StopWhenUnneeded", a.with("true"))
		// A scope of its own would be bound to the unit, and need it.
		d.root.child("systemd", mapping).put("cgroup", scalarOf(a, "service"))
	}
	q.memberNames()
	q.serviceSection()
	q.unitSection()
	q.installSection()
	q.otherSections()
	d.finish()
	q.set.report(diag.Note, diag.RuleMeaning, a.at, "", "containers of the pod share the network, not IPC", "write ipc: container:"+q.unit()+" where they share memory")
	q.set.add(d)
}

// memberName marks an alias of the pod that is a container's own name.
const memberName = "Pod="

func (q *quadlet) startsWithPod() bool {
	start, ok := q.own().last("StartWithPod")
	return (!ok || isTrue(start.text)) && q.unit()[len(q.unit())-1] != '@'
}

// memberNames has neighbours on the pod's networks find its containers by their names.
func (q *quadlet) memberNames() {
	for _, m := range q.members {
		name, ok := m.own().last("ContainerName")
		if !ok {
			name = arg{at: m.at, text: m.stem()}
		}
		name.name = memberName
		if len(q.def.networks) > 0 && cmp.Or(name.text, "%")[0] != '%' {
			q.def.aliases = append(q.def.aliases, name)
		}
	}
}
