// SPDX-License-Identifier: Apache-2.0

package convert

import "github.com/unitc/unitc/internal/cli/convert/kube"

// specRows are the fields of a pod's specification.
var specRows = []row[*pod]{
	fieldDoes("activeDeadlineSeconds", "`systemd: service: RuntimeMaxSec`", func(p *pod, v kube.Value) { p.deadline = argOf(p, v) }),
	fieldIdle[*pod]("affinity", oneMachine),
	fieldIdle[*pod]("automountServiceAccountToken", noAPI),
	read[*pod]("containers", "services"),
	read[*pod]("dnsConfig", "`dns`, `dns_search`, `dns_opt`"),
	read[*pod]("dnsPolicy", "nothing: names of containers are known, and the host's servers are asked for others; *None*: `dns`"),
	fieldIdle[*pod]("enableServiceLinks", "there are no variables of services: they are found by their names"),
	fieldIdle[*pod]("evictionResponders", noAPI),
	fieldLost[*pod]("ephemeralContainers", "containers that are put into a running pod", "unitc exec"),
	fieldDoes("hostAliases", "`extra_hosts`", (*pod).hostAliases),
	fieldDoes("hostIPC", "`ipc: host`", func(p *pod, v kube.Value) { p.hostIPC = v.True() }),
	fieldDoes("hostNetwork", "`network_mode: host`", func(p *pod, v kube.Value) { p.hostNetwork = v.True() }),
	fieldDoes("hostPID", "`pid: host`", func(p *pod, v kube.Value) { p.hostPID = v.True() }),
	fieldDoes("hostUsers", "`userns_mode: host` of *true*; without the field each container has ids of its own", func(p *pod, v kube.Value) {
		if a := argOf(p, v).with("host"); v.True() {
			p.userns = &a
		}
	}),
	fieldDoes("hostname", "`hostname`; the pod's name if left out", func(p *pod, v kube.Value) {
		a := argOf(p, v)
		p.hostname = &a
	}),
	fieldDoes("hostnameOverride", "`hostname`", func(p *pod, v kube.Value) {
		a := argOf(p, v)
		p.hostname = &a
	}),
	fieldDoes("imagePullSecrets", "nothing: credentials come from auth.json, which unitc login writes", func(p *pod, v kube.Value) {
		p.p.once(argOf(p, v), "imagePullSecrets", noAuth, "write them there by unitc login")
	}),
	read[*pod]("initContainers", "services that are done before others start (`depends_on: service_completed_successfully`); with *restartPolicy: Always* services that run beside them"),
	fieldIdle[*pod]("nodeName", oneMachine),
	fieldIdle[*pod]("nodeSelector", oneMachine),
	fieldDoes("os", "nothing, if it is *linux*", func(p *pod, v kube.Value) {
		if name := v.Get("name"); name.Text() != "linux" {
			p.d.lost(argOf(p, v), "containers of "+name.Text(), "")
		}
	}),
	fieldIdle[*pod]("overhead", oneMachine),
	fieldIdle[*pod]("preemptionPolicy", oneMachine),
	fieldIdle[*pod]("priority", oneMachine),
	fieldIdle[*pod]("priorityClassName", oneMachine),
	fieldIdle[*pod]("readinessGates", noAPI),
	fieldLost[*pod]("resourceClaims", "devices by claims", "write devices: with their names in the Container Device Interface"),
	fieldLost[*pod]("resources", "limits of all of the pod", "write systemd: slice: in its services, and the limits in a unit of that slice"),
	fieldDoes("restartPolicy", "`restart`: *always*, *on-failure*, or none", (*pod).setRestart),
	fieldLost[*pod]("runtimeClassName", "classes of runtimes", "write runtime: with the program's name"),
	fieldIdle[*pod]("schedulerName", oneMachine),
	fieldIdle[*pod]("schedulingGates", noAPI),
	fieldIdle[*pod]("schedulingGroup", oneMachine),
	fieldDoes("securityContext", "see there", func(p *pod, v kube.Value) {
		p.securityContext = v
		walk(p, podSecurityRows, v)
	}),
	fieldIdle[*pod]("serviceAccount", noAPI),
	fieldIdle[*pod]("serviceAccountName", noAPI),
	switchLost[*pod]("setHostnameAsFQDN", "a full name as the host's name", "write hostname: with it"),
	fieldDoes("shareProcessNamespace", "`pid: service:POD`", func(p *pod, v kube.Value) { p.sharesPID = v.True() }),
	read[*pod]("subdomain", "`aliases`: HOSTNAME.SUBDOMAIN"),
	fieldDoes("terminationGracePeriodSeconds", "`stop_grace_period`; 30s if left out, as in Kubernetes", func(p *pod, v kube.Value) {
		a := argOf(p, v)
		p.grace = &a
	}),
	fieldIdle[*pod]("tolerations", oneMachine),
	fieldIdle[*pod]("topologySpreadConstraints", oneMachine),
	read[*pod]("volumes", "see there"),
}

const noAPI = "there is no API server"

func (p *pod) setRestart(v kube.Value) {
	words := map[string]string{"Always": "always", "OnFailure": "on-failure", "Never": "no"}
	if words[v.Text()] == "" {
		p.d.lost(argOf(p, v), v.Text()+" is no policy", "write Always, OnFailure or Never")
		return
	}
	p.restart = words[v.Text()]
}

func (p *pod) hostAliases(v kube.Value) {
	for _, item := range v.Items() {
		known(p, item, "ip hostnames")
		for _, name := range item.Get("hostnames").Items() {
			p.hosts = append(p.hosts, argOf(p, name).with(name.Text()+":"+item.Get("ip").Text()))
		}
	}
}
