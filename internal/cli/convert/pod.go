// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"

	"github.com/unitc/unitc/internal/diag"
)

// ofContainer is the row of a key that a pod has as a container has it.
func ofContainer(name string) key { return *rowOf(containerKeys, name) }

// podKeys are those of podman-pod.unit(5).
var podKeys = []key{
	{name: "AddHost", read: each, do: silent, becomes: "`extra_hosts` of its containers"},
	ofContainer("ContainersConfModule"),
	ofContainer("DNS"),
	ofContainer("DNSOption"),
	ofContainer("DNSSearch"),
	{name: "ExitPolicy", read: once, do: silent, becomes: "`systemd: unit: StopWhenUnneeded` with `cgroup: service`, unless it is *continue*"},
	ofContainer("GIDMap"),
	ofContainer("GlobalArgs"),
	{name: "HostName", read: one, do: viaOption("hostname"), becomes: "`hostname`, of its containers too"},
	ofContainer("IP"),
	ofContainer("IP6"),
	ofContainer("Label"),
	ofContainer("Network"),
	ofContainer("NetworkAlias"),
	{name: "PodName", read: one, do: viaOption("name"), becomes: "`container_name`"},
	ofContainer("PodmanArgs"),
	ofContainer("PublishPort"),
	ofContainer("RemapGid"),
	ofContainer("RemapUid"),
	ofContainer("RemapUidSize"),
	ofContainer("RemapUsers"),
	ofContainer("ServiceName"),
	gone("ShmSize", "a /dev/shm for all of the pod", "write shm_size: in the containers"),
	{name: "StopTimeout", read: one, do: viaOption("stop-timeout"), becomes: "`stop_grace_period`, of its containers too"},
	ofContainer("SubGIDMap"),
	ofContainer("SubUIDMap"),
	ofContainer("UIDMap"),
	ofContainer("UserNS"),
	{name: "Volume", read: once, do: silent, becomes: "`volumes` of its containers"},
}

// pod makes NAME-pod.yaml: a container that has the network and its ports, and does
// nothing. Those of the pod join its network, so that its unit starts and stops them.
func (q *quadlet) pod() {
	d := q.start(q.unit())
	a := arg{name: "[Pod]", at: q.own().at}
	d.setText("rootfs", a, "host")
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
