// SPDX-License-Identifier: Apache-2.0

package convert

import "strings"

// Manual is what becomes of each key and option, as sections of unitc-convert(1) in
// Markdown.
func Manual() string {
	var b strings.Builder
	b.WriteString("# WHAT BECOMES OF KEYS OF QUADLET\n")
	for _, table := range []struct {
		title string
		rows  []key
	}{{"[Container]", containerKeys}, {"[Pod]", podKeys}, {"[Kube]", kubeKeys}, {"[Network]", networkKeys}, {"[Volume]", volumeKeys}, {"[Image]", imageKeys}, {"[Build]", buildKeys}, {"[Service]", serviceRows}} {
		b.WriteString("\n## " + table.title + "\n")
		for _, row := range table.rows {
			b.WriteString("\n**" + row.name + "=**\n: " + row.becomes + "\n")
		}
		if table.title == "[Service]" {
			b.WriteString("\n" + othersOfService + "\n")
		}
	}
	kubernetesManual(&b)
	b.WriteString("\n# WHAT BECOMES OF OPTIONS OF DOCKER AND PODMAN\n")
	for _, o := range options {
		if o.name == "seccomp-file" { // Quadlet's alone
			continue
		}
		var names []string
		if o.short != "" {
			names = append(names, "**-"+o.short+"**")
		}
		for name := range strings.FieldsSeq(o.name) {
			names = append(names, "**--"+name+"**")
		}
		b.WriteString("\n" + strings.Join(names, ", ") + "\n: " + o.becomes + "\n")
	}
	return b.String()
}

const othersOfService = "Others of [Service] that a definition may have go to `systemd: service`, those of **systemd.resource-control**(5) to `systemd: scope`, *Limit*...*=* to " +
	"`ulimits`; what was about podman's process is lost, with the key of a definition that does the like. [Unit] and [Install] go to `systemd: unit` and `systemd: install`: " +
	"names of Quadlet files become those of units, and units of networks, volumes, images and builds are left out."
