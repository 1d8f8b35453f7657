// SPDX-License-Identifier: Apache-2.0

package convert

import "strings"

// kubernetesManual is what becomes of objects of Kubernetes' and of their fields.
func kubernetesManual(b *strings.Builder) {
	b.WriteString("\n# WHAT BECOMES OF OBJECTS OF KUBERNETES\n")
	for _, r := range kindRows {
		b.WriteString("\n**" + strings.Join(strings.Fields(r.name), "**, **") + "**\n: " + r.becomes + "\n")
	}
	manualOf(b, "Pod", specRows)
	manualOf(b, "securityContext of a Pod", podSecurityRows)
	manualOf(b, "Deployment, StatefulSet, DaemonSet, Job, CronJob", workloadRows)
	manualOf(b, "Container", containerRows)
	manualOf(b, "valueFrom of env", envRows)
	manualOf(b, "ports", portRows)
	manualOf(b, "limits and requests", limitRows)
	b.WriteString("\n**nvidia.com/gpu**, **amd.com/gpu**, **gpu.intel.com/i915**, **gpu.intel.com/xe**\n: `gpus`\n\n**VENDOR/CLASS=NAME**, **podman.io/device=PATH**\n: `devices`\n")
	manualOf(b, "Probes", probeRows)
	manualOf(b, "lifecycle", lifecycleRows)
	manualOf(b, "securityContext of a container", securityRows)
	manualOf(b, "Volumes", volumeRows)
	manualOf(b, "volumeMounts", mountRows)
	manualOf(b, "Service", serviceFieldRows)
	manualOf(b, "Annotations", annotationRows)
}
