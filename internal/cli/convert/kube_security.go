// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"strings"

	"github.com/unitc/unitc/internal/cli/convert/kube"
)

// podSecurityRows are the fields of a pod's securityContext.
var podSecurityRows = []row[*pod]{
	read[*pod]("appArmorProfile", "`security_opt: [apparmor=]`"),
	fieldDoes("fsGroup", "`group_add`; a service of the pod gives its volumes to the group first", func(p *pod, v kube.Value) {
		a := argOf(p, v)
		p.fsGroup = &a
		p.groups = append(p.groups, a)
	}),
	fieldIdle[*pod]("fsGroupChangePolicy", "each start of the pod gives its volumes to the group"),
	read[*pod]("runAsGroup", "`user: USER:GROUP`"),
	read[*pod]("runAsNonRoot", "nothing, beside *runAsUser*; without it the image's user is not looked at"),
	read[*pod]("runAsUser", "`user`"),
	fieldIdle[*pod]("seLinuxChangePolicy", "volumes are relabelled where they say so"),
	read[*pod]("seLinuxOptions", "`security_opt: [label=]`"),
	read[*pod]("seccompProfile", "`security_opt: [seccomp=]`; *RuntimeDefault* is so anyway"),
	fieldDoes("supplementalGroups", "`group_add`", func(p *pod, v kube.Value) {
		for _, item := range v.Items() {
			p.groups = append(p.groups, argOf(p, item))
		}
	}),
	fieldDoes("supplementalGroupsPolicy", "nothing: *Merge*; *Strict* is lost", func(p *pod, v kube.Value) {
		if v.Text() == "Strict" {
			p.d.lost(argOf(p, v), "groups of the image's user are its own, too", "")
		}
	}),
	fieldDoes("sysctls", "`sysctls`", func(p *pod, v kube.Value) {
		for _, item := range v.Items() {
			p.sysctl = append(p.sysctl, argOf(p, item).with(item.Get("name").Text()+"="+item.Get("value").Text()))
		}
	}),
	fieldLost[*pod]("windowsOptions", "it is for Windows", ""),
}

// securityRows are those of a container's; it may say otherwise than the pod.
var securityRows = []row[*member]{
	fieldDoes("allowPrivilegeEscalation", "`security_opt: [no-new-privileges:false]` of *true*; without the field it is *false*", func(m *member, v kube.Value) {
		if v.True() {
			m.d.add("security_opt", argOf(m, v), "no-new-privileges:false")
		}
	}),
	read[*member]("appArmorProfile", "`security_opt: [apparmor=]`"),
	fieldDoes("capabilities", "`cap_add`, `cap_drop`", func(m *member, v kube.Value) {
		for _, item := range v.Get("add").Items() {
			m.d.add("cap_add", argOf(m, item), item.Text())
		}
		for _, item := range v.Get("drop").Items() {
			m.d.add("cap_drop", argOf(m, item), item.Text())
		}
	}),
	fieldDoes("privileged", "`privileged`", func(m *member, v kube.Value) { m.d.setTrue("privileged", argOf(m, v)) }),
	fieldDoes("procMount", "`security_opt: [systempaths=unconfined]` of *Unmasked*", func(m *member, v kube.Value) {
		if v.Text() == "Unmasked" {
			m.d.add("security_opt", argOf(m, v), "systempaths=unconfined")
		}
	}),
	fieldDoes("readOnlyRootFilesystem", "`read_only`, with Podman's tmpfs at /run, /tmp and /var/tmp", func(m *member, v kube.Value) { optionOf("read-only").do(m.d, argOf(m, v)) }),
	read[*member]("runAsGroup", "`user: USER:GROUP`"),
	read[*member]("runAsNonRoot", "nothing, beside *runAsUser*; without it the image's user is not looked at"),
	read[*member]("runAsUser", "`user`"),
	read[*member]("seLinuxOptions", "`security_opt: [label=]`"),
	read[*member]("seccompProfile", "`security_opt: [seccomp=]`; *RuntimeDefault* is so anyway"),
	fieldLost[*member]("windowsOptions", "it is for Windows", ""),
}

// either is the container's own value, or that of its pod.
func (m *member) either(name string) kube.Value {
	if v := m.v.Find("securityContext", name); !v.IsNull() {
		return v
	}
	return m.pod.securityContext.Get(name)
}

// podSecurity is what a container may say otherwise than its pod.
func (m *member) podSecurity() {
	if v := m.either("seccompProfile"); !v.IsNull() {
		m.profile("seccomp", v)
	}
	if v := m.either("appArmorProfile"); !v.IsNull() {
		m.profile("apparmor", v)
	}
	for _, f := range m.either("seLinuxOptions").Fields() {
		m.d.add("security_opt", argOf(m, f.Value), "label="+strings.ToLower(f.Key)+":"+f.Value.Text())
	}
	for _, a := range m.pod.groups {
		m.d.add("group_add", a, a.text)
	}
}

// seccompRoot is where a kubelet, and so Podman, looks for profiles.
const seccompRoot = "/var/lib/kubelet/seccomp/"

func (m *member) profile(kind string, v kube.Value) {
	a := argOf(m, v.Get("type"))
	name := v.Get("localhostProfile").Text()
	switch v.Get("type").Text() {
	case "RuntimeDefault":
	case "Unconfined":
		m.d.add("security_opt", a, kind+"=unconfined")
	case "Localhost":
		if kind == "seccomp" {
			name = seccompRoot + strings.TrimPrefix(name, "/")
		}
		m.d.add("security_opt", a, kind+"="+name)
	default:
		m.d.lost(a, v.Get("type").Text()+" is no kind of profile", "write RuntimeDefault, Unconfined or Localhost")
	}
}

// identity is whom the payload runs as.
func (m *member) identity() {
	user, group := m.either("runAsUser"), m.either("runAsGroup")
	a := argOf(m, user)
	text := user.Text()
	switch {
	case text == "" && group.Text() != "":
		a, text = argOf(m, group), "0:"+group.Text()
		m.d.changed(a, "a group without a user: the payload's user is root, as with Podman", "write user: with the image's user too")
	case group.Text() != "":
		text += ":" + group.Text()
	}
	if text != "" {
		m.d.setText("user", a, text)
	}
	if v := m.either("runAsNonRoot"); v.True() && user.IsNull() {
		m.d.changed(argOf(m, v), "the image's user is not looked at", "write user: with a number that is not 0")
	}
}
