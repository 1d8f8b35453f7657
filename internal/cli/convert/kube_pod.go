// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"slices"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/cli/convert/kube"
)

// pod is one instance of a pod.
type pod struct {
	*workload
	name       string // of the object
	meta, spec kube.Value
	instance   int // its number where instances are written out, or -1
	scale      int // instances of a service alone

	restart                            string
	hostNetwork, hostPID, hostIPC      bool
	sharesPID                          bool
	hostname, grace, userns            *arg
	securityContext                    kube.Value
	hosts                              []arg // NAME:ADDRESS
	dns, dnsSearch, dnsOptions, sysctl []arg
	groups                             []arg
	fsGroup                            *arg
	volumes                            map[string]kube.Value
	emptied, owned                     []prepared

	members, inits []*member
	holder         *def // whose network it is
	all            []*def
}

// prepared is a volume that is made ready before a pod begins.
type prepared struct {
	name string
	a    arg
}

// dnsWords: with the policy None nothing else is asked.
func (p *pod) dnsWords() {
	config := p.spec.Get("dnsConfig")
	known(p, config, "nameservers searches options")
	for _, item := range config.Get("nameservers").Items() {
		p.dns = append(p.dns, argOf(p, item))
	}
	for _, item := range config.Get("searches").Items() {
		p.dnsSearch = append(p.dnsSearch, argOf(p, item))
	}
	for _, item := range config.Get("options").Items() {
		a := argOf(p, item.Get("name"))
		if value := item.Get("value").Text(); value != "" {
			a.text += ":" + value
		}
		p.dnsOptions = append(p.dnsOptions, a)
	}
}

// replicate has pods of several instances be so many.
func (p *project) replicate() {
	var all []*pod
	for _, one := range p.pods {
		walk(one, specRows, one.spec)
		one.dnsWords()
		one.volumes = map[string]kube.Value{}
		for _, v := range one.spec.Get("volumes").Items() {
			one.volumes[v.Get("name").Text()] = v
			walk(&source{pod: one, v: v}, volumeRows, v)
		}
		for _, t := range one.claims {
			if name := t.Find("metadata", "name").Text(); name != "" {
				one.volumes[name] = t
			}
		}
		count, first := one.replicas, 1
		if one.o.kind == "StatefulSet" {
			first = 0
		}
		if count > 1 && one.usesHost() {
			p.d.lost(one.replicasAt, "only one instance can have a port of the host, as in Kubernetes on one machine", "publish a range of ports, or run a proxy in front")
			count = 1
		}
		switch {
		case count < 0 && one.o.kind == "StatefulSet":
			count = 1
			fallthrough
		case one.o.kind == "StatefulSet":
		case count < 2, one.isSimple():
			one.scale = max(count, -1)
			all = append(all, one)
			continue
		}
		if count == 0 {
			p.d.lost(one.replicasAt, "no instance of it is to run", "")
		}
		if len(all)+count > maxServices {
			p.d.lost(one.replicasAt, "too many instances", "write scale:")
			continue
		}
		for i := range count {
			copied := *one
			copied.instance, copied.scale = i+first, -1
			all = append(all, &copied)
		}
	}
	p.pods = all
	for _, one := range p.pods {
		one.makeMembers()
	}
}

const maxServices = 500

// isSimple: instances share nothing, so that one service is scaled.
func (p *pod) isSimple() bool {
	for _, v := range p.volumes {
		if !v.Get("emptyDir").IsMissing() || !v.Get("ephemeral").IsMissing() {
			return false
		}
	}
	return len(p.spec.Get("containers").Items()) == 1 && len(p.spec.Get("initContainers").Items()) == 0 && len(p.claims) == 0
}

// usesHost: a port of the host's can be one instance's.
func (p *pod) usesHost() bool {
	if p.hostNetwork {
		return true
	}
	for _, c := range p.spec.Get("containers").Items() {
		if slices.ContainsFunc(c.Get("ports").Items(), func(v kube.Value) bool { return v.Get("hostPort").Text() != "" }) {
			return true
		}
	}
	return false
}

// label is one of the pod's.
func (p *pod) label(name string) string { return p.meta.Find("labels", name).Text() }

// key is what a service of the pod's is called: NAME of PROJECT-NAME.service.
func (p *pod) key(container string, alone bool) string {
	suffix := ""
	if p.instance >= 0 {
		suffix = "-" + itoa(p.instance)
	}
	switch {
	case p.name == p.p.d.name:
		return container + suffix
	case alone:
		return p.name + suffix
	}
	return p.name + "-" + container + suffix
}

// podName is that of the instance.
func (p *pod) podName() string {
	if p.instance >= 0 {
		return p.name + "-" + itoa(p.instance)
	}
	return p.name
}

// convert makes services of the pod.
func (p *pod) convert() {
	p.d = p.p.d
	at := argOf(p, p.spec)
	if len(p.members) == 0 && len(p.spec.Get("containers").Items()) > 0 {
		return // which was said of each
	}
	if len(p.members) == 0 {
		p.p.set.fault(at.at, "spec.containers", "there is no container in it", "Kubernetes does not take it either")
		return
	}
	p.hostNetwork = p.hostNetwork || p.p.unit.hasNetwork("host")
	if p.needsHolder() {
		p.makeHolder(at)
	}
	for _, m := range p.inits {
		m.fill()
	}
	for _, m := range p.members {
		m.fill()
	}
	before := p.prepare()
	for _, m := range p.inits {
		m.waitFor(before, at)
		if m.isSidecar && !m.hasStartCheck() {
			before = append(before, waited{m.d.name, "service_started"})
		} else if m.isSidecar {
			before = append(before, waited{m.d.name, "service_healthy"})
		} else {
			before = append(slices.DeleteFunc(before, func(w waited) bool { return w.condition == completed }), waited{m.d.name, completed})
		}
	}
	for _, m := range p.members {
		m.waitFor(before, at)
	}
	if p.holder == nil {
		p.holder = p.members[0].d
	}
	p.joinHolder()
	for _, m := range append(slices.Clone(p.inits), p.members...) {
		p.common(m)
	}
}

// waited is a service that another one waits for.
type waited struct{ service, condition string }

const completed = "service_completed_successfully"

// needsHolder: several containers share a network, which one of them can have only as
// long as it runs.
func (p *pod) needsHolder() bool {
	running := len(p.members)
	for _, m := range p.inits {
		adds := strings.Join(m.v.Find("securityContext", "capabilities", "add").Texts(), " ")
		if m.isSidecar || strings.Contains(adds, "NET_ADMIN") || m.v.Find("securityContext", "privileged").True() {
			running++
		}
	}
	return running > 1 || p.sharesPID
}

// makeHolder makes the service that has what containers of the pod share, as the infra
// container of Podman's and the pause container of others do.
func (p *pod) makeHolder(at arg) {
	name := p.p.free(p.key("pod", false), p.key("infra", false))
	p.holder = p.p.service(name, at)
	h := p.holder
	h.setText("rootfs", at, "host")
	h.addWords("command", at, []string{"sleep", "infinity"})
	h.setBare("init", at, "true")
	h.head = append(h.head, "what the containers of the pod "+p.podName()+" share: the network and its ports, and IPC")
	p.all = append(p.all, h)
	p.helper(h, at)
}

// helper has a service of a job's end with it, and begin anew with its next run.
func (p *pod) helper(d *def, at arg) {
	if !p.isJob() {
		return
	}
	d.addWords("profiles", at, []string{"job"})
	d.directive("unit", "StopWhenUnneeded", at.with("true"))
	// A scope of its own would be bound to the unit, and need it.
	d.root.child("systemd", mapping).put("cgroup", scalarOf(at, "service"))
}

func (p *pod) isJob() bool { return p.o.kind == "Job" || p.o.kind == "CronJob" }

// joinHolder puts the pod on its networks, with its names.
func (p *pod) joinHolder() {
	h, at := p.holder, argOf(p, p.spec)
	switch {
	case p.hostNetwork:
		h.setText("network_mode", argOf(p, p.spec.Get("hostNetwork")), "host")
	default:
		p.names(at)
	}
	for _, a := range p.sysctl {
		optionOf("sysctl").do(h, a)
	}
	for _, m := range append(slices.Clone(p.inits), p.members...) {
		if m.d == h {
			if p.hostIPC {
				h.setText("ipc", argOf(p, p.spec.Get("hostIPC")), "host")
			}
			if p.hostPID {
				h.setText("pid", argOf(p, p.spec.Get("hostPID")), "host")
			}
			continue
		}
		p.join(m, at)
	}
	for _, m := range append(slices.Clone(p.inits), p.members...) {
		for _, port := range m.v.Get("ports").Items() {
			m.publish(port)
		}
	}
}

// join has a container in the namespaces of its pod.
func (p *pod) join(m *member, at arg) {
	shared := "service:" + p.holder.name
	if p.holder == p.members[0].d { // an init container of one container: it ends before that begins
		shared = ""
	}
	set := func(key string, isHost bool, field string, shares bool) {
		switch {
		case isHost:
			m.d.setText(key, argOf(p, p.spec.Get(field)), "host")
		case shares && shared != "":
			m.d.setText(key, at, shared)
		}
	}
	set("network_mode", p.hostNetwork, "hostNetwork", true)
	isUser := p.p.set.host.User // containers of users have an IPC and a PID namespace each
	if isUser && p.sharesPID {
		p.p.once(argOf(p, p.spec.Get("shareProcessNamespace")), p.name, "containers of users have processes of their own", "make it one of the system's")
	}
	set("ipc", p.hostIPC, "hostIPC", !isUser)
	set("pid", p.hostPID, "hostPID", p.sharesPID && !isUser)
}

// names by which neighbours find the pod: those of its Services, and of its place in one.
func (p *pod) names(at arg) {
	h := p.holder
	var all []arg
	for _, m := range p.members {
		all = append(all, at.with(m.d.name))
	}
	all = append(all, p.p.serviceNames(p)...)
	if sub := p.spec.Get("subdomain"); !sub.IsMissing() {
		all = append(all, argOf(p, sub).with(p.hostName()+"."+sub.Text()))
	}
	if name := p.o.value.Find("spec", "serviceName"); name.Text() != "" && p.instance >= 0 {
		for _, n := range p.p.forms(p.hostName()+"."+name.Text(), p.o) {
			all = append(all, argOf(p, name).with(n))
		}
	}
	if u := p.p.unit; u != nil {
		h.networks = append(h.networks, u.def.networks...)
		if mode := u.def.root.get("network_mode"); mode != nil {
			h.setText("network_mode", arg{at: mode.at, name: mode.from}, mode.text)
			return
		}
	}
	aliases := &node{kind: list, flow: true, at: at.at, from: at.name}
	for _, a := range all {
		if a.text != h.name && !slices.ContainsFunc(aliases.items, func(n *node) bool { return n.text == a.text }) {
			aliases.items = append(aliases.items, scalarOf(a, a.text))
			if len(h.networks) > 0 {
				h.aliases = append(h.aliases, a)
			}
		}
	}
	if len(h.networks) == 0 && len(aliases.items) > 0 {
		h.root.child("networks", mapping).put("default", &node{kind: mapping, pairs: []pair{{"aliases", aliases}}, at: at.at, from: at.name})
	}
}

func (p *pod) hostName() string {
	if p.hostname != nil && p.instance < 0 {
		return p.hostname.text
	}
	return p.podName()
}

// common is what all containers of a pod have.
func (p *pod) common(m *member) {
	d, at := m.d, argOf(p, p.spec)
	p.restartOf(m)
	grace := 30 * time.Second
	if p.grace != nil {
		at = *p.grace
		if n, ok := p.spec.Get("terminationGracePeriodSeconds").Int(); ok && n >= 0 && n < 1<<31 {
			grace = time.Duration(max(n, 1)) * time.Second
		}
	}
	d.setText("stop_grace_period", at, spell(grace))
	if p.scale < 2 && !p.hostNetwork {
		a := argOf(p, p.meta.Get("name"))
		if p.hostname != nil {
			a = *p.hostname
		}
		d.setText("hostname", a, p.hostName())
		if p.holder != d {
			p.holder.setText("hostname", a, p.hostName())
		}
	}
	if p.scale >= 0 && p.scale != 1 {
		d.setBare("scale", p.replicasAt, itoa(p.scale))
	}
	for _, a := range p.hosts {
		d.add("extra_hosts", a, a.text)
	}
	for _, x := range []struct {
		key string
		all []arg
	}{{"dns", p.dns}, {"dns_search", p.dnsSearch}, {"dns_opt", p.dnsOptions}} {
		for _, a := range x.all {
			d.add(x.key, a, a.text)
		}
	}
	if p.userns != nil {
		d.setText("userns_mode", *p.userns, "host")
		p.holder.setText("userns_mode", *p.userns, "host")
	}
	if p.deadline.text != "" {
		d.directive("service", "RuntimeMaxSec", p.deadline)
	}
	for _, f := range p.meta.Get("labels").Fields() {
		d.pair("labels", f.Key, argOf(p, f.Value), scalarOf(argOf(p, f.Value), f.Value.Text()))
	}
	m.annotations()
	p.onTimer(m)
}
