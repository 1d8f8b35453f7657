// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/cli/convert/kube"
)

// member is a container of a pod.
type member struct {
	pod       *pod
	name      string
	v         kube.Value
	d         *def
	isInit    bool
	isSidecar bool // an init container that goes on
	env       []variableOf
	ports     map[string]string // numbers by names
}

func (m *member) teller() *def      { return m.d }
func (m *member) owner() *object    { return m.pod.o }
func (m *member) project() *project { return m.pod.p }

// containerRows are the fields of a container.
var containerRows = []row[*member]{
	read[*member]("args", "`command`, with the values of $(NAME)"),
	read[*member]("command", "`entrypoint`, with the values of $(NAME)"),
	read[*member]("env", "`environment`; of a Secret a variable of an `env_file` with mode 0600"),
	read[*member]("envFrom", "as `env`, with *prefix*"),
	fieldDoes("image", "`image`", func(m *member, v kube.Value) {
		a := argOf(m, v)
		m.d.setText("image", a, a.text)
		m.d.localImage(a)
	}),
	fieldDoes("imagePullPolicy", "`pull_policy`; left out it is *always* for *:latest*, as in Kubernetes", (*member).pullPolicy),
	fieldDoes("lifecycle", "`post_start`, `pre_stop`, `stop_signal`", func(m *member, v kube.Value) { walk(m, lifecycleRows, v) }),
	read[*member]("livenessProbe", "`healthcheck`, `systemd: probe`"),
	read[*member]("name", "the service's name"),
	read[*member]("ports", "`ports`, those with *hostPort*"),
	read[*member]("readinessProbe", "`healthcheck`, `systemd: probe`, where there is no *livenessProbe*, or one that asks the same"),
	fieldIdle[*member]("resizePolicy", "unitc update-limits changes limits of what runs"),
	fieldDoes("resources", "see there", func(m *member, v kube.Value) { walk(m, resourceRows, v) }),
	read[*member]("restartPolicy", "`restart`"),
	fieldLost[*member]("restartPolicyRules", "what a status means for a restart", "write systemd: service: RestartPreventExitStatus: or RestartForceExitStatus:"),
	fieldDoes("securityContext", "see there", func(m *member, v kube.Value) { walk(m, securityRows, v) }),
	read[*member]("startupProbe", "`healthcheck`: *start_period*, *start_interval*; its question only where there is no other"),
	fieldDoes("stdin", "`stdin_open`", func(m *member, v kube.Value) { m.d.setTrue("stdin_open", argOf(m, v)) }),
	fieldIdle[*member]("stdinOnce", "unitc attach can come and go"),
	fieldIdle[*member]("terminationMessagePath", "the journal has what a container says at its end"),
	fieldIdle[*member]("terminationMessagePolicy", "the journal has what a container says at its end"),
	fieldDoes("tty", "`tty`", func(m *member, v kube.Value) { m.d.setTrue("tty", argOf(m, v)) }),
	fieldLost[*member]("volumeDevices", "volumes that are devices", "write devices: with the device"),
	read[*member]("volumeMounts", "`volumes`, see there"),
	read[*member]("workingDir", "`working_dir`"),
}

var lifecycleRows = []row[*member]{
	fieldDoes("postStart", "`post_start`", func(m *member, v kube.Value) { m.hook("post_start", v) }),
	fieldDoes("preStop", "`pre_stop`", func(m *member, v kube.Value) { m.hook("pre_stop", v) }),
	fieldDoes("stopSignal", "`stop_signal`", func(m *member, v kube.Value) { m.d.setText("stop_signal", argOf(m, v), v.Text()) }),
}

// makeMembers gives the containers of a pod their services, before anything names one.
func (p *pod) makeMembers() {
	containers := p.spec.Get("containers").Items()
	for _, v := range p.spec.Get("initContainers").Items() {
		if m := p.member(v, false); m != nil {
			m.isInit, m.isSidecar = true, v.Get("restartPolicy").Text() == "Always"
			p.inits = append(p.inits, m)
		}
	}
	for _, v := range containers {
		if m := p.member(v, len(containers) == 1); m != nil {
			p.members = append(p.members, m)
		}
	}
}

func (p *pod) member(v kube.Value, alone bool) *member {
	name, image := v.Get("name").Text(), v.Get("image")
	a := argOf(p, v)
	key := p.key(name, alone)
	switch {
	case name == "":
		p.p.set.fault(a.at, a.name, "the container has no name", "give it one")
	case !objectName.MatchString(name):
		p.p.set.fault(a.at, a.name, strconv.Quote(name)+" is no name of a container", "name it in letters, digits and -")
	case image.Text() == "":
		p.p.set.fault(a.at, a.name, "the container has no image", "name the image")
	case p.p.d.root.child("services", mapping).get(key) != nil:
		p.p.set.fault(a.at, a.name, "there is a service "+key+" already", "give the container another name")
	case len(p.p.d.root.child("services", mapping).pairs) >= maxServices:
		p.p.once(a, "services", "more than "+itoa(maxServices)+" containers", "convert them in several files")
	default:
		return &member{pod: p, name: name, v: v, d: p.p.service(key, a), ports: map[string]string{}}
	}
	return nil
}

// fill makes of a container all that concerns it alone.
func (m *member) fill() {
	p := m.pod
	p.all = append(p.all, m.d)
	for _, port := range m.v.Get("ports").Items() {
		m.ports[port.Get("name").Text()] = port.Get("containerPort").Text()
	}
	m.variables()
	m.podSecurity()
	walk(m, containerRows, m.v)
	if m.v.Get("imagePullPolicy").IsNull() {
		m.pullLatest()
	}
	m.commands()
	m.identity()
	m.mounts()
	m.probes()
}

func (m *member) pullPolicy(v kube.Value) {
	policy := map[string]string{"Always": "always", "Never": "never", "IfNotPresent": "missing"}[v.Text()]
	if policy == "" {
		m.d.lost(argOf(m, v), v.Text()+" is no policy", "write Always, Never or IfNotPresent")
		return
	}
	m.d.pull(argOf(m, v).with(policy))
}

// pullLatest: both Kubernetes and Podman look for a newer image of this tag.
func (m *member) pullLatest() {
	image := m.v.Get("image")
	name, _, isDigest := strings.Cut(image.Text(), "@")
	base := name[strings.LastIndexByte(name, '/')+1:]
	_, tag, tagged := strings.Cut(base, ":")
	if !isDigest && (!tagged || tag == "latest") && !strings.HasPrefix(name, "localhost/") {
		m.d.setText("pull_policy", argOf(m, image), "always")
	}
}

// commands are those of the container, with the values of its variables in them.
func (m *member) commands() {
	words := func(v kube.Value) (all []string) {
		for _, item := range v.Items() {
			all = append(all, m.expand(argOf(m, item), item.Text()))
		}
		return all
	}
	command, args := m.v.Get("command"), m.v.Get("args")
	if len(command.Items()) > 0 {
		m.d.addWords("entrypoint", argOf(m, command), words(command))
	}
	if len(args.Items()) > 0 {
		m.d.addWords("command", argOf(m, args), words(args))
	}
	if dir := m.v.Get("workingDir"); dir.Text() != "" {
		m.d.setText("working_dir", argOf(m, dir), dir.Text())
	}
}

// hook is a command beside the payload.
func (m *member) hook(key string, v kube.Value) {
	for _, f := range v.Fields() {
		a := argOf(m, f.Value)
		var words []string
		switch f.Key {
		case "exec":
			words = f.Value.Get("command").Texts()
		case "sleep":
			words = []string{"sleep", f.Value.Get("seconds").Text()}
			if key == "pre_stop" {
				m.d.changed(a, "the image has to have a program sleep", "")
			}
		default:
			m.d.lost(a, f.Key+" beside the payload", "write a command of the image that asks it, as curl")
			continue
		}
		n := &node{kind: list, flow: true, at: a.at, from: a.name}
		for _, word := range words {
			n.items = append(n.items, scalarOf(a, word))
		}
		m.d.addMapping(key, a, pair{"command", n})
	}
}

// publish opens a port of the host that leads into the pod.
func (m *member) publish(v kube.Value) {
	walk(&portOf{m}, portRows, v)
	host, target := v.Get("hostPort"), v.Get("containerPort")
	if u := m.pod.p.unit; u != nil {
		for i, a := range u.published {
			rest, _, _ := strings.Cut(a.text, "/")
			if rest[strings.LastIndexByte(rest, ':')+1:] == target.Text() {
				if !u.used[i] {
					m.pod.holder.add("ports", a, a.text)
				}
				u.used[i] = true
				return // it takes the place of the YAML's
			}
		}
	}
	if host.Text() == "" || host.Text() == "0" || m.pod.hostNetwork {
		return
	}
	text := host.Text() + ":" + target.Text()
	if target.Text() == "" {
		text = host.Text() + ":" + host.Text()
	}
	if ip := v.Get("hostIP").Text(); ip != "" && ip != "0.0.0.0" && ip != "::" {
		if strings.Contains(ip, ":") {
			ip = "[" + ip + "]"
		}
		text = ip + ":" + text
	}
	if protocol := strings.ToLower(v.Get("protocol").Text()); protocol != "" && protocol != "tcp" {
		text += "/" + protocol
	}
	m.pod.holder.add("ports", argOf(m, host), text)
}

// portOf reads a port for its container.
type portOf struct{ *member }

var portRows = []row[*portOf]{
	read[*portOf]("containerPort", "`ports`; alone nothing: neighbours reach every port"),
	read[*portOf]("hostIP", "`ports`"),
	read[*portOf]("hostPort", "`ports`"),
	read[*portOf]("name", "the number where it is used"),
	read[*portOf]("protocol", "`ports`"),
}

// waitFor has a container begin behind others of its pod.
func (m *member) waitFor(others []waited, at arg) {
	for _, w := range others {
		n := m.d.root.child("depends_on", mapping)
		n.put(w.service, &node{kind: mapping, flow: true, pairs: []pair{{"condition", scalarOf(at, w.condition)}}, at: at.at, from: at.name})
	}
}

func (m *member) hasStartCheck() bool {
	return !m.v.Get("startupProbe").IsNull() || !m.v.Get("readinessProbe").IsNull() || !m.v.Get("livenessProbe").IsNull()
}

// restartOf says when systemd starts a container again. An init container whose end others
// wait for fails the start that it is for, and is not tried again by itself.
func (p *pod) restartOf(m *member) {
	a := argOf(p, p.spec.Get("restartPolicy"))
	if a.at.line == 0 {
		a = argOf(p, p.spec)
	}
	if m.isInit && !m.isSidecar {
		p.helper(m.d, a)
		return
	}
	policy := p.restart
	if policy == "" {
		policy = "always"
	}
	if p.isJob() {
		policy = "on-failure:6" // as Kubernetes has it
		if p.limit.text != "" {
			a = p.limit
			policy = "on-failure:" + a.text
		}
		if p.limit.text == "0" {
			policy = "no"
		}
	}
	if own := m.v.Get("restartPolicy"); own.Text() != "" {
		a = argOf(m, own)
		policy = map[string]string{"Always": "always", "OnFailure": "on-failure", "Never": "no"}[own.Text()]
	}
	if policy != "no" && policy != "" {
		m.d.setText("restart", a, policy)
	}
	if u := p.p.unit; u != nil && policy == "always" && !u.isWanted() {
		m.d.directive("install", "WantedBy", a.with(""))
		m.d.root.get("systemd").get("install").get("WantedBy").above = []string{"as before, it does not start at boot"}
	}
}

// onTimer has the containers of a CronJob started by time.
func (p *pod) onTimer(m *member) {
	if p.suspended != nil && !m.isInit {
		m.d.addWords("profiles", *p.suspended, []string{"suspended"})
	}
	if len(p.timer) == 0 || m.isInit {
		return
	}
	for _, a := range p.timer {
		m.d.directive("timer", "OnCalendar", a)
	}
	if p.persistent.text != "" {
		m.d.directive("timer", "Persistent", p.persistent.with("true"))
	}
	if p.suspended != nil {
		m.d.head = append(m.d.head, "it is suspended: systemctl start "+p.p.d.name+"-"+m.d.name+".timer has it run by time")
	}
}

// annotationsOfOthers are those that say something of the cluster's programs.
var annotationsOfOthers = []string{"kubectl.kubernetes.io/", "deployment.kubernetes.io/", "kubernetes.io/", "bind-mount-options", "io.podman.annotations.infra.name",
	"io.podman.annotations.kube.health.check", "io.podman.annotations.cid-file", "io.podman.annotations.autoremove", "io.podman.annotations.init.container.type", "io.containers.autoupdate.authfile"}

// annotations are Podman's words for what Kubernetes has none for, and notes.
func (m *member) annotations() {
	for _, f := range m.pod.meta.Get("annotations").Fields() {
		name, container, isOne := strings.Cut(f.Key, "/")
		a := argOf(m, f.Value)
		row := annotationOf(name)
		switch {
		case row != nil && isOne && container != m.name && container != "pod":
		case row != nil:
			row.do(m, f.Value)
		case slices.ContainsFunc(annotationsOfOthers, func(known string) bool { return strings.HasPrefix(f.Key, known) }):
		default:
			m.d.pair("annotations", f.Key, a, scalarOf(a, a.text))
		}
	}
}

func annotationOf(name string) *row[*member] {
	if i := rowIndex(annotationRows, name); i >= 0 {
		return &annotationRows[i]
	}
	return nil
}

// optionOfMember has an option of podman run read the value, behind a prefix.
func annotationField(name, option, prefix string) row[*member] {
	o := optionOf(option)
	return row[*member]{name: name, becomes: o.becomes, do: func(m *member, v kube.Value) { o.do(m.d, argOf(m, v).with(prefix+v.Text())) }}
}

// annotationRows are those of Podman's and Kubernetes' that mean something to one container,
// NAME or NAME/CONTAINER.
var annotationRows = []row[*member]{
	annotationField("container.apparmor.security.beta.kubernetes.io", "security-opt", "apparmor="),
	fieldDoes("io.containers.autoupdate", "`x-update`", func(m *member, v kube.Value) {
		if !m.isInit {
			m.d.autoUpdate(argOf(m, v))
		}
	}),
	fieldDoes("io.containers.sdnotify", "`systemd: notify`", func(m *member, v kube.Value) {
		if v.Text() == "container" {
			m.d.root.child("systemd", mapping).put("notify", scalarOf(argOf(m, v), "container"))
		}
	}),
	annotationField("io.podman.annotations.apparmor", "security-opt", "apparmor="),
	annotationField("io.podman.annotations.cpuset", "cpuset-cpus", ""),
	fieldDoes("io.podman.annotations.init", "`init`", func(m *member, v kube.Value) { m.d.setTrue("init", argOf(m, v).with(strings.ToLower(v.Text()))) }),
	fieldLost[*member]("io.podman.annotations.kube.image.automount", "volumes of an image", "write volumes: with type: image"),
	annotationField("io.podman.annotations.label", "security-opt", "label="),
	annotationField("io.podman.annotations.memory-nodes", "cpuset-mems", ""),
	annotationField("io.podman.annotations.pids-limit", "pids-limit", ""),
	fieldDoes("io.podman.annotations.privileged", "`privileged`", func(m *member, v kube.Value) { m.d.setTrue("privileged", argOf(m, v).with(strings.ToLower(v.Text()))) }),
	fieldLost[*member]("io.podman.annotations.publish-all", "which ports the image exposes is not known here", "write those that are needed under ports:"),
	annotationField("io.podman.annotations.seccomp", "security-opt", "seccomp="),
	fieldDoes("io.podman.annotations.ulimit", "`ulimits`", func(m *member, v kube.Value) {
		for one := range strings.SplitSeq(v.Text(), ",") {
			m.d.ulimit(argOf(m, v).with(one))
		}
	}),
	annotationField("io.podman.annotations.userns", "userns", ""),
	fieldLost[*member]("io.podman.annotations.volumes-from", "volumes of another container", "name the volumes themselves under volumes:"),
}
