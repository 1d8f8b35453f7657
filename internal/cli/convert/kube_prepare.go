// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"slices"
	"strings"
)

// prepare has volumes emptied, and given to the group of the pod, before anything of it
// begins: that is what an emptyDir and an fsGroup are.
func (p *pod) prepare() []waited {
	if p.fsGroup == nil {
		p.owned = nil
	}
	if len(p.emptied)+len(p.owned) == 0 {
		return nil
	}
	at := append(slices.Clone(p.emptied), p.owned...)[0].a
	d := p.p.service(p.p.free(p.key("volumes", false), p.key("empty", false)), at)
	p.all = append(p.all, d)
	d.head = append(d.head, "before the pod "+p.podName()+" begins it empties what is an emptyDir, and gives volumes to the pod's group")
	d.setText("rootfs", at, "host")
	d.setText("network_mode", at, "none")
	d.addWords("command", at, []string{"sh", "-euc", p.preparation()})
	for _, v := range p.emptied {
		d.add("volumes", v.a, v.name+":/empty/"+v.name+":nocopy")
	}
	for _, v := range p.owned {
		d.add("volumes", v.a, v.name+":/owned/"+v.name)
	}
	p.helper(d, at)
	return []waited{{d.name, completed}}
}

// preparation is the shell's part of prepare.
func (p *pod) preparation() string {
	var parts []string
	if len(p.emptied) > 0 {
		parts = append(parts, "find /empty -mindepth 2 -delete", "chmod 0777 /empty/*")
	}
	if p.fsGroup == nil {
		return strings.Join(parts, "; ")
	}
	dirs := ""
	if len(p.emptied) > 0 {
		dirs += " /empty/*"
	}
	if len(p.owned) > 0 {
		dirs += " /owned/*"
	}
	parts = append(parts, "chgrp -R -- "+shellWord(p.fsGroup.text)+dirs, "chmod -R g+rwX --"+dirs, "find"+dirs+" -type d -exec chmod g+s {} +")
	return strings.Join(parts, "; ")
}
