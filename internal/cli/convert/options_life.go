// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

const updateLabel = "io.containers.autoupdate"

func (d *def) label(a arg) {
	if policy, ok := strings.CutPrefix(a.text, updateLabel+"="); ok {
		d.autoUpdate(a.with(policy))
		return
	}
	d.keyValue("labels", a)
}

func (d *def) autoUpdate(a arg) {
	switch a.text {
	case "registry", "image", "local":
		d.setText("x-update", a, map[string]string{"registry": "registry", "image": "registry", "local": "local"}[a.text])
	case "disabled", "":
	default:
		d.lost(a, a.text+" is no policy of updates", "write x-update: registry or local")
	}
}

// healthCommand reads it as each engine does: a string is a shell's.
func (d *def) healthCommand(a arg) {
	var all []string
	switch {
	case strings.EqualFold(a.text, "none"):
		d.pair(health, "disable", a, bareOf(a, "true"))
		return
	case d.podman && json.Unmarshal([]byte(a.text), &all) == nil && len(all) > 0:
		if first := strings.ToUpper(all[0]); first != "CMD" && first != "CMD-SHELL" {
			all = append([]string{"CMD"}, all...)
		}
	default:
		text := a.text
		if d.podman { // it takes the word off, too
			text = strings.TrimPrefix(text, "CMD-SHELL ")
		}
		all = []string{"CMD-SHELL", text}
	}
	d.hasCheck = true
	n := &node{kind: list, flow: true, at: a.at, from: a.name}
	for _, word := range all {
		n.items = append(n.items, scalarOf(a, word))
	}
	d.pair(health, "test", a, n)
}

func (d *def) healthInterval(a arg) {
	if a.text == "disable" {
		d.lost(a, "a check that nobody runs", "write an interval, or healthcheck: {disable: true}")
		return
	}
	d.pair(health, "interval", a, scalarOf(a, a.text))
}

func (d *def) healthOnFailure(a arg) {
	d.actsOnFailure = a.text != "none"
	switch a.text {
	case "none":
	case "kill", "restart", "stop":
		if restart := d.root.get("restart"); restart == nil || restart.text == "no" {
			d.changed(a, "an unhealthy container is stopped and started again if it has a restart policy; without one it goes on", "write restart: on-failure")
		} else if a.text == "stop" {
			d.changed(a, "an unhealthy container with a restart policy is started again", "write restart: \"no\" if it is to stay stopped")
		}
	default:
		d.lost(a, a.text+" is no action", "")
	}
}

func (d *def) stopTimeout(a arg) {
	seconds, err := strconv.Atoi(a.text)
	if err != nil || seconds < 0 {
		d.lost(a, "not a number of seconds", "write stop_grace_period:")
		return
	}
	d.setText("stop_grace_period", a, spell(time.Duration(seconds)*time.Second))
}

func (d *def) logDriver(a arg) {
	switch a.text {
	case "journald", "json-file", "k8s-file", "local":
		d.same(a, "the journal has the log")
	case "none":
		d.pair("logging", "driver", a, scalarOf(a, "none"))
	case "passthrough":
		d.pair("logging", "driver", a, scalarOf(a, "direct"))
	default:
		d.lost(a, "the journal has the log, and "+a.text+" does not", "have it sent on from the journal")
	}
}

func (d *def) logOption(a arg) {
	if tag, ok := strings.CutPrefix(a.text, "tag="); ok && !strings.Contains(tag, "{{") {
		n := d.root.child("logging", mapping).child("options", mapping)
		n.put("tag", scalarOf(a, tag))
		return
	}
	d.lost(a, "the journal keeps the log by its own limits", "see journald.conf(5)")
}

func (d *def) pull(a arg) {
	switch a.text {
	case "newer":
		d.setText("pull_policy", a, "always")
	case "missing":
		d.same(a, "an image is fetched if it is missing")
	default:
		d.setText("pull_policy", a, a.text)
	}
}

// securityOption takes the ":" that Docker once had, too.
func (d *def) securityOption(a arg) {
	switch {
	case a.text == "no-new-privileges", a.text == "no-new-privileges:true", a.text == "no-new-privileges=true":
		d.same(a, "it is so unless security_opt says otherwise")
	case strings.HasPrefix(a.text, "proc-opts="):
		d.lost(a, "options of /proc", "")
	case strings.HasPrefix(a.text, "seccomp=") && strings.HasPrefix(a.text[len("seccomp="):], "."):
		d.add("security_opt", a, "seccomp="+d.absolute(a.text[len("seccomp="):]))
	default:
		d.add("security_opt", a, a.text)
	}
}

// timeZone: Podman, too, gives the image the host's file.
func (d *def) timeZone(a arg) {
	file := "/usr/share/zoneinfo/" + a.text
	if a.text == "local" {
		file = "/etc/localtime"
	}
	d.add("volumes", a, file+":/etc/localtime:ro")
}

// ulimit takes NAME=SOFT[:HARD].
func (d *def) ulimit(a arg) {
	name, limits, ok := strings.Cut(a.text, "=")
	soft, hard, both := strings.Cut(limits, ":")
	if !both {
		hard = soft
	}
	for _, n := range []*string{&soft, &hard} {
		if *n == "unlimited" || *n == "infinity" {
			*n = "-1"
		}
		if _, err := strconv.ParseInt(*n, 10, 64); err != nil {
			ok = false
		}
	}
	switch {
	case !ok:
		d.lost(a, "not NAME=SOFT:HARD in numbers", "write ulimits:")
	case soft == hard:
		d.pair("ulimits", name, a, bareOf(a, soft))
	default:
		d.pair("ulimits", name, a, &node{kind: mapping, flow: true, at: a.at, from: a.name, pairs: []pair{{"soft", bareOf(a, soft)}, {"hard", bareOf(a, hard)}}})
	}
}

func (d *def) userNamespace(a arg) {
	mode, _, more := strings.Cut(a.text, ":")
	switch mode {
	case "host":
		d.setText("userns_mode", a, "host")
	case "auto", "private", "":
		if more {
			d.lost(a, noMapping, "")
			return
		}
		d.same(a, "each container has ids of its own")
	case "keep-id":
		d.lost(a, "the ids of whoever starts it", "files that are shared with the host have the ids that the payload has: write user: and chown them")
	default:
		d.lost(a, noMapping, mapCure)
	}
}

// namespace is that of the host, of another container, or its own.
func (d *def) namespace(key string, a arg) {
	if name, ok := strings.CutPrefix(a.text, "container:"); ok {
		a.text = "container:" + d.set.unitOfContainer(name)
	}
	switch a.text {
	case "private", "shareable", "":
		d.same(a, "it has its own")
	default:
		d.setText(key, a, a.text)
	}
}

// unitOfContainer is the unit of a container that Podman has under a name.
func (s *Set) unitOfContainer(name string) string {
	for _, q := range s.quadlets {
		if q.kind == "container" && (q.own().text("ContainerName") == name || name == "systemd-"+q.stem()) {
			return q.unit()
		}
	}
	return name
}

// gpus are all, a number, or device=ID,ID.
func (d *def) gpus(a arg) {
	text := strings.Trim(a.text, `"`)
	if text == "all" {
		d.setText("gpus", a, "all")
		return
	}
	n := &node{kind: mapping, at: a.at, from: a.name}
	if ids, ok := strings.CutPrefix(text, "device="); ok {
		all := &node{kind: list, flow: true}
		for id := range strings.SplitSeq(ids, ",") {
			all.items = append(all.items, scalarOf(a, id))
		}
		n.pairs = []pair{{"device_ids", all}}
	} else {
		n.pairs = []pair{{"count", bareOf(a, text)}}
	}
	if _, err := strconv.Atoi(text); err != nil && !strings.HasPrefix(text, "device=") {
		d.lost(a, "what is asked of the driver", "write gpus: as in unitc.yaml(5)")
		return
	}
	n.pairs = append(n.pairs, pair{"driver", scalarOf(a, "nvidia")}, pair{"capabilities", &node{kind: list, flow: true, items: []*node{scalarOf(a, "gpu")}}})
	d.root.put("gpus", &node{kind: list, items: []*node{n}, at: a.at, from: a.name})
}

// deviceRate takes PATH:RATE.
func (d *def) deviceRate(key string, a arg) {
	device, rate, ok := strings.Cut(a.text, ":")
	if !ok {
		d.lost(a, "not DEVICE:RATE", "write blkio_config:")
		return
	}
	n := d.root.child("blkio_config", mapping).child(key, list)
	n.items = append(n.items, &node{kind: mapping, at: a.at, from: a.name, pairs: []pair{{"path", scalarOf(a, device)}, {"rate", scalarOf(a, rate)}}})
}

// secret of Podman is a file, or a variable.
func (d *def) secret(a arg) {
	parts := strings.Split(a.text, ",")
	name, form, target := parts[0], "mount", ""
	var more []pair
	for _, p := range parts[1:] {
		key, value, _ := strings.Cut(p, "=")
		switch key {
		case "type":
			form = value
		case "target":
			target = value
		case "uid", "gid", "mode":
			more = append(more, pair{key, scalarOf(a, value)})
		default:
			d.lost(a, key+" is no option of a secret", "")
		}
	}
	switch {
	case form == "env":
		if target == "" {
			target = name
		}
		d.secretEnv = append(d.secretEnv, secretEnv{name, target, a})
	case target == "" && more == nil:
		d.add("secrets", a, name)
		d.moveSecret(a, name)
	default:
		pairs := []pair{{"source", scalarOf(a, name)}}
		if target != "" {
			pairs = append(pairs, pair{"target", scalarOf(a, target)})
		}
		d.addMapping("secrets", a, append(pairs, more...)...)
		d.moveSecret(a, name)
	}
}

// secretFile has the variables that are secrets, beside the definition.
func (d *def) secretFile() string { return "./" + d.stem() + ".secrets" }

func (d *def) moveSecret(a arg, name string) {
	d.move(a, "secrets are encrypted files of the host", "podman secret inspect --showsecret --format '{{.SecretData}}' "+shellWord(name)+" | "+d.set.unitc("secret set")+shellWord(name))
}

func (d *def) nameServer(a arg) {
	if a.text == "none" {
		d.lost(a, "a container without name servers", "write network_mode: none, or dns: with an address that answers nothing")
		return
	}
	d.add("dns", a, a.text)
}
