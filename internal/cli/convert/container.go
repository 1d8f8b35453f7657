// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// container makes NAME.yaml of NAME.container: the unit keeps its name.
func (q *quadlet) container() {
	name := q.unit()
	if base, instance, ok := strings.Cut(name, "@"); ok && instance != "" {
		q.instance(base, name)
		return
	}
	d := q.start(name)
	s := q.own()
	if s.text("Image") == "" && s.text("Rootfs") == "" {
		q.set.fault(s.at, "", "neither Image= nor Rootfs=", "Podman makes no unit of such a file; name the image")
		return
	}
	// What others depend on comes first.
	q.restart()
	q.each(containerKeys)
	q.serviceSection()
	q.unitSection()
	q.installSection()
	q.otherSections()
	d.finish()
	q.set.add(d)
}

// instance reports one of a template, which has no file of its own here.
func (q *quadlet) instance(base, name string) {
	if q.set.find(base+"@.container") == nil {
		q.set.fault(q.at, "", "it is an instance of a template that is not among those that are converted", "convert "+base+"@.container too")
		return
	}
	q.set.report(diag.Warning, diag.RuleLoss, q.at, "", "it is an instance of a template, which has no file of its own", "`"+q.set.unitc("enable")+shellWord(name)+"` starts it with the system; what differs is told by %i")
}

// finish makes of what was collected what can only be said when all is known.
func (d *def) finish() {
	d.joinNetworks()
	if d.readOnly != nil && d.podman && !d.keepsTmp {
		for _, dir := range []string{"/run", "/tmp", "/var/tmp"} {
			if !d.mounts(dir) {
				d.add("tmpfs", *d.readOnly, dir+":exec,tmpcopyup")
			}
		}
	}
	if name := d.root.get("container_name"); name != nil && name.text == d.name {
		d.remove(name) // the unit's name is one already
	}
	d.readiness()
	d.unhealthy()
	d.secretVariables()
}

// unhealthy: other engines only note it unless they are told what to do.
func (d *def) unhealthy() {
	restart := d.root.get("restart")
	if d.hasCheck && !d.actsOnFailure && restart != nil && restart.text != "no" {
		a := arg{at: restart.at, name: restart.from}
		const what = "a container with a restart policy that is unhealthy is started again"
		d.set.report(diag.Note, diag.RuleMeaning, a.at, a.name, what, "")
		d.head = append(d.head, "look: "+what)
	}
}

// mounts tells whether something is mounted at a directory.
func (d *def) mounts(dir string) bool {
	for _, key := range []string{"volumes", "tmpfs"} {
		list := d.root.get(key)
		if list == nil {
			continue
		}
		for _, item := range list.items {
			text := item.text
			if key == "volumes" && strings.Contains(text, ":") {
				_, text, _ = strings.Cut(text, ":")
			}
			if target, _, _ := strings.Cut(text, ":"); target == dir {
				return true
			}
			if at := item.get("target"); at != nil && at.text == dir {
				return true
			}
		}
	}
	return false
}

// readiness: Podman's unit is active when the payload runs, whatever checks there are,
// unless it says otherwise.
func (d *def) readiness() {
	if !d.podman {
		return
	}
	system := func() *node { return d.root.child("systemd", mapping) }
	a := arg{at: d.from, name: "Notify="}
	switch {
	case d.notify == "healthy":
	case isTrue(d.notify):
		system().put("notify", scalarOf(a, "container"))
	case d.hasCheck:
		n := scalarOf(a, "started")
		n.above = []string{"without this the unit is active when the first check has succeeded"}
		system().put("notify", n)
	}
}

// secretVariables has the payload take secrets that Podman gave as variables from a
// file that root alone can read, and says how that is written.
func (d *def) secretVariables() {
	if len(d.secretEnv) == 0 {
		return
	}
	a := arg{at: d.from, name: "Secret="}
	for _, s := range d.secretEnv {
		d.changed(s.by, "secrets are files here and no variables", "have "+d.secretFile()+" set "+s.variable+", see there")
	}
	d.addMapping("env_file", a, pair{"path", scalarOf(a, d.secretFile())}, pair{"format", scalarOf(a, "raw")})
	d.head = append(d.head, "before the first start write the variables that are secrets, in the directory of this file:",
		"  umask 077; for s in "+d.secretPairs()+"; do", `    echo "${s%%=*}=$(podman secret inspect --showsecret --format '{{.SecretData}}' "${s#*=}")"`,
		"  done > "+shellWord(d.secretFile()))
}

func (d *def) secretPairs() string {
	var all []string
	for _, s := range d.secretEnv {
		all = append(all, shellWord(s.variable+"="+s.secret))
	}
	return strings.Join(all, " ")
}

// addDevice: a dash in front lets the device be missing.
func (q *quadlet) addDevice(d *def, a arg) {
	if rest, ok := strings.CutPrefix(a.text, "-"); ok {
		d.changed(a, "a start fails if the device is missing", "remove it from devices: where the host has none")
		a.text = rest
	}
	d.add("devices", a, a.text)
}

func (q *quadlet) entrypoint(d *def, a arg) {
	d.entrypoint(a.with(q.expand.value(a)))
}

// exec is split as systemd's command lines are.
func (q *quadlet) exec(d *def, _ arg) {
	a, ok := q.own().last("Exec")
	if !ok {
		return
	}
	words, err := splitWords(a.text, true)
	if err != nil {
		d.lost(a, err.Error(), "")
	}
	var all []string
	for _, word := range words {
		if dollarWord.MatchString(word) {
			if parts, ok := q.expand.words(word[1:]); ok {
				all = append(all, parts...)
				continue
			}
		}
		all = append(all, q.expand.value(a.with(word)))
	}
	d.addWords("command", a, all)
}

func (q *quadlet) user(d *def, a arg) {
	if group, ok := q.own().last("Group"); ok {
		a.text += ":" + q.expand.value(group)
	}
	d.setText("user", a, a.text)
}

func (q *quadlet) rootfs(d *def, a arg) {
	dir, options, _ := strings.Cut(a.text, ":")
	if options != "" {
		d.lost(a, "options of a root file system", "")
	}
	d.setText("rootfs", a, dir)
}

// podmanArgs has the options do what they do on a command line.
func (q *quadlet) podmanArgs(d *def, _ arg) {
	for _, a := range q.own().all("PodmanArgs") {
		words, err := splitWords(a.text, true)
		if err != nil {
			d.lost(a, err.Error(), "")
		}
		var args []arg
		for _, word := range words {
			args = append(args, a.with(q.expand.value(a.with(word))))
		}
		if rest := d.options(args); len(rest) > 0 {
			d.lost(a, rest[0].text+" is no option", "")
		}
	}
}

func (q *quadlet) reloadCommand(d *def, _ arg) {
	if a, ok := q.own().last("ReloadCmd"); ok {
		d.directive("service", "ExecReload", a.with(q.set.unitc("exec")+q.nameInUnit()+" "+a.text))
	}
}

func (q *quadlet) reloadSignal(d *def, a arg) {
	d.directive("service", "ExecReload", a.with(q.set.unitc("kill")+"--signal "+a.text+" "+q.nameInUnit()))
}

// nameInUnit is the container's name in directives of its unit.
func (q *quadlet) nameInUnit() string {
	if q.def.isTemplate() {
		return "%N"
	}
	return q.unit()
}

// joinPod has the container in the network of the pod's.
func (q *quadlet) joinPod(d *def, a arg) {
	d.isInPod = true
	pod := q.set.find(a.text)
	if pod == nil {
		d.lacks(a)
		return
	}
	d.setText("network_mode", a, "container:"+pod.unit())
	if name, ok := pod.own().last("HostName"); ok {
		d.setText("hostname", name, q.expand.value(name))
	}
	if _, own := q.own().last("StopTimeout"); !own {
		if time, ok := pod.own().last("StopTimeout"); ok {
			d.stopTimeout(time)
		}
	}
	for _, v := range pod.own().all("Volume") {
		q.addVolume(d, v.with(q.expand.value(v)))
	}
	for _, h := range pod.own().all("AddHost") {
		d.add("extra_hosts", h, q.expand.value(h))
	}
}
