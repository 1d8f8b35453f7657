// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"path/filepath"
	"slices"
	"strings"
)

// kubeKeys are those of podman-kube.unit(5).
var kubeKeys = []key{
	{name: "AutoUpdate", read: each, do: silent, becomes: "`x-update` of its containers, or of the one that it names"},
	{name: "ConfigMap", read: silently, do: silent, becomes: "what its ConfigMaps become"},
	ofContainer("ContainersConfModule"),
	needless("ExitCodePropagation", "each container is a unit with its own exit status"),
	ofContainer("GlobalArgs"),
	{name: "KubeDownForce", read: one, do: func(_ *quadlet, d *def, a arg) {
		if isTrue(a.text) {
			d.lost(a, "a stop that removes volumes", "unitc volume rm")
		}
	}, becomes: "lost: a stop that removes volumes; unitc volume rm"},
	ofContainer("LogDriver"),
	ofContainer("LogOpt"),
	ofContainer("Network"),
	{name: "PodmanArgs", read: once, do: (*quadlet).kubeArgs, becomes: "what the option would become where containers have it, see below"},
	{name: "PublishPort", read: each, do: func(q *quadlet, _ *def, a arg) {
		q.published, q.used = append(q.published, a), append(q.used, false)
	}, becomes: "`ports`, in the place of a *hostPort* of the same *containerPort*"},
	ofContainer("RemapGid"),
	ofContainer("RemapUid"),
	ofContainer("RemapUidSize"),
	ofContainer("RemapUsers"),
	{name: "ServiceName", read: once, do: silent, becomes: "the file's name"},
	{name: "SetWorkingDirectory", read: silently, do: silent, becomes: "where relative paths of the YAML begin; without it beside the YAML"},
	ofContainer("UserNS"),
	{name: "Yaml", read: silently, do: silent, becomes: "a project of all of them"},
}

func silently(*quadlet, *key, *section) {}

// kube makes NAME.yaml of NAME.kube: a project, which NAME.target starts and stops.
func (q *quadlet) kube() {
	paths := q.own().all("Yaml")
	if len(paths) == 0 {
		q.set.fault(q.own().at, "", "no Yaml=", "Podman makes no unit of such a file; name the YAML")
		return
	}
	p := q.set.newProject(q.at)
	p.unit, p.private, p.d.name = q, q.private, q.unit()
	if strings.HasSuffix(p.d.name, "@") {
		q.set.fault(q.own().at, "", "a project is no template", "link the definition under another name for each instance, see TEMPLATES in unitc.yaml(5)")
		return
	}
	q.def = q.set.newDef(q.unit(), q.at)
	q.def.podman = true
	q.expand = &expander{d: q.def, unit: q.unit() + ".service", environ: map[string]string{}, files: map[string]string{}}
	q.def.getenv = q.expand.known
	for _, a := range append(paths, q.own().all("ConfigMap")...) {
		q.readObjects(p, a.with(q.expand.specifiers(a)))
	}
	q.serviceVariables()
	q.each(kubeKeys)
	q.serviceSection()
	q.unitSection()
	q.installSection()
	q.otherSections()
	if u := q.own().text("SetWorkingDirectory"); strings.EqualFold(u, "unit") {
		p.dir = q.dir
	}
	p.convert()
	p.d.head = append(p.d.head, q.def.head...)
	for _, v := range q.def.variables {
		p.d.use(v.name, v.value)
	}
}

// readObjects reads a file of Kubernetes' that the unit names.
func (q *quadlet) readObjects(p *project, a arg) {
	path := q.absolute(strings.Trim(a.text, `"'`))
	src, err := q.set.readSource(path)
	if err != nil {
		p.isBroken = true
		q.set.fault(a.at, a.name, path+" cannot be read: "+err.Error(), "convert on the machine that has it")
		return
	}
	p.read(src)
}

func (s *Set) readSource(path string) (Source, error) {
	if s.host.ReadSource != nil {
		return s.host.ReadSource(path)
	}
	data, err := s.host.ReadFile(path)
	return Source{Path: path, Dir: filepath.Dir(path), Data: data}, err
}

// kubeArgs reads options of podman kube play that are those of containers too.
func (q *quadlet) kubeArgs(d *def, a arg) {
	q.podmanArgs(d, a)
	if ports := d.root.get("ports"); ports != nil {
		for _, item := range ports.items {
			q.published, q.used = append(q.published, arg{text: item.text, at: item.at, name: item.from}), append(q.used, false)
		}
		d.remove(ports)
	}
}

// hasNetwork tells whether Network= has a word.
func (q *quadlet) hasNetwork(word string) bool {
	return q != nil && slices.ContainsFunc(q.def.networks, func(a arg) bool { return a.text == word })
}

// ofUnit gives the containers of a pod what the .kube says of all.
func (p *pod) ofUnit(first bool) {
	q := p.p.unit
	if q == nil {
		return
	}
	for _, d := range p.all {
		for _, pr := range q.def.root.pairs {
			if pr.key != "systemd" && d.root.get(pr.key) == nil && d.root.get("rootfs") == nil {
				copied := *pr.value
				d.root.put(pr.key, &copied)
			}
		}
		q.directives(d, d == p.holder, first && d == p.holder)
	}
	for _, a := range q.own().all("AutoUpdate") {
		name, policy, isOne := strings.Cut(a.text, "/")
		if !isOne {
			policy = name
		}
		for _, m := range append(slices.Clone(p.inits), p.members...) {
			if !isOne || m.name == name || m.d.name == name {
				m.d.autoUpdate(a.with(policy))
			}
		}
	}
}

// directives copies those of systemd; what is run beside the unit is so once.
func (q *quadlet) directives(d *def, isHolder, isFirst bool) {
	system := q.def.root.get("systemd")
	if system == nil {
		return
	}
	for _, block := range system.pairs {
		if block.value.kind != mapping {
			copied := *block.value
			d.root.child("systemd", mapping).put(block.key, &copied)
			continue
		}
		if block.key == "install" && d.root.get("restart") == nil && !isHolder {
			continue // what others wait for, they start
		}
		for _, one := range block.value.pairs {
			if strings.HasPrefix(one.key, "Exec") && !isFirst || one.key == "Description" && !isHolder {
				continue
			}
			copied := *one.value
			d.root.child("systemd", mapping).child(block.key, mapping).put(one.key, &copied)
		}
	}
}

// declareNetworks names the networks of the .kube as those of others.
func (p *project) declareNetworks() {
	for i, one := range p.pods {
		one.ofUnit(i == 0)
		for _, d := range one.all {
			closeService(d)
		}
		if len(one.holder.networks) == 0 && one.holder.root.get("networks") == nil {
			continue
		}
		networks := one.holder.root.get("networks")
		if networks == nil {
			continue
		}
		for _, item := range networks.items {
			p.external(item.text, networks)
		}
		for _, pr := range networks.pairs {
			p.external(pr.key, networks)
		}
	}
}

func (p *project) external(name string, n *node) {
	if name != "default" {
		p.declare("networks", name, arg{at: n.at, name: n.from}, pair{"external", &node{text: "true", bare: true}})
	}
}
