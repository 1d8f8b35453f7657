// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a payload of a pod finds, in a file of its volume.
const kubeFacts = `{
for a; do echo "argument [$a]"; done
for n in ONE TWO THREE FOUR FIVE NAME TIER PASSWORD URL A GREETING FROM; do eval "echo \"$n [\$$n]\""; done
id -u; id -g; id -G | busybox grep -c 20; busybox pwd; busybox hostname; cat /conf/app.ini /conf/more /one.ini; echo; cat /keys/pw; echo
busybox ls /conf /keys; touch /etc/a || echo no; touch /empty/a && echo empty
busybox grep -c " /memory tmpfs " /proc/mounts; grep 192.0.2.1 /etc/hosts; cat /proc/self/status | grep NoNewPrivs
busybox wget -qO- http://127.0.0.1:8000/seed; cat /empty/first
} > /data/facts.new 2>/dev/null
busybox mv /data/facts.new /data/facts
exec sleep 1000
`

const kubeYAML = `apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data:
  GREETING: hello, $WORLD
  app.ini: |
    [app]
    home = $HOME
  more: no end
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {pw: 'a "b" $c'}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kubed-data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: kubed
  labels: {tier: front}
spec:
  hostAliases: [{ip: 192.0.2.1, hostnames: [db]}]
  terminationGracePeriodSeconds: 1
  securityContext: {runAsGroup: 7, supplementalGroups: [20]}
  initContainers:
  - {name: first, image: "localhost/imported:1", imagePullPolicy: Never, command: [/bin/sh, -c, "echo first >/empty/first"], volumeMounts: [{name: empty, mountPath: /empty}]}
  containers:
  - name: facts
    image: localhost/imported:1
    imagePullPolicy: Never
    workingDir: /seed
    command: [/bin/sh, /facts.sh]
    args: [one, "two words", $(ONE), $$(ONE), $(NOBODY), 'a "b"', $HOME]
    envFrom: [{configMapRef: {name: conf}}]
    env:
    - {name: ONE, value: "1"}
    - {name: TWO, value: two $words}
    - {name: FOUR, value: ""}
    - {name: FIVE, value: "tab\there"}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: pw}}}
    - {name: A, valueFrom: {configMapKeyRef: {name: conf, key: more}}}
    securityContext: {runAsUser: 0, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true}
    volumeMounts:
    - {name: script, mountPath: /facts.sh}
    - {name: data, mountPath: /data}
    - {name: conf, mountPath: /conf}
    - {name: conf, mountPath: /one.ini, subPath: app.ini}
    - {name: keys, mountPath: /keys}
    - {name: empty, mountPath: /empty}
    - {name: memory, mountPath: /memory}
  - name: web
    image: localhost/imported:1
    imagePullPolicy: Never
    command: [/bin/busybox]
    args: [httpd, -f, -p, "8000", -h, /]
  volumes:
  - {name: script, hostPath: {path: /etc/containers/systemd/facts.sh, type: File}}
  - {name: data, persistentVolumeClaim: {claimName: kubed-data}}
  - {name: conf, configMap: {name: conf, items: [{key: app.ini, path: app.ini}, {key: more, path: more}]}}
  - {name: keys, secret: {secretName: keys}}
  - {name: empty, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
`

// What podman kube play makes of a file, as a .kube unit starts it, and what unitc convert
// makes of it: the payload finds the same, and what it wrote before.
func TestEngineConvertKubernetes(t *testing.T) {
	const dir = "/etc/containers/systemd"
	cleanReload(t)
	loadBusybox(t, "localhost/other:1") // and /var/lib/unitc goes with it
	t.Cleanup(func() {
		must(t, "podman", "system", "reset", "-f")
		must(t, "systemctl", "stop", "machine.slice")
	})
	place(t, "/etc/containers/containers.conf", podmanConfig)
	must(t, "podman", "load", "-q", "-i", savedImage(t, "localhost/imported:1", `{"Cmd": ["/bin/sh"], "Env": ["FROM=image"]}`))
	place(t, dir+"/kubed.kube", "[Kube]\nYaml=kubed.yaml\nNetwork=none\n")
	place(t, dir+"/kubed.yaml", kubeYAML)
	place(t, dir+"/facts.sh", kubeFacts)
	must(t, "systemctl", "daemon-reload")
	must(t, "systemctl", "start", "kubed.service")
	facts := func(read ...string) (text string) {
		t.Helper()
		await(t, "the facts", func() (ok bool) {
			out, status := command(t, read[0], read[1:]...)
			text, ok = out, status == 0
			return ok
		})
		return text
	}
	want := facts("podman", "exec", "kubed-facts", "cat", "/data/facts")
	must(t, "systemctl", "stop", "kubed.service")

	must(t, "unitc", "convert", "--output", "/etc/unitc", dir)
	text := file(t, "/etc/unitc/kubed.yaml")
	t.Cleanup(func() {
		command(t, "systemctl", "stop", "kubed.target", "kubed-facts.service", "kubed-web.service", "kubed-pod.service")
		must(t, "bash", "-c", "rm -f /etc/unitc/kubed.*")
		must(t, "systemctl", "daemon-reload")
		must(t, "systemctl", "reset-failed")
		command(t, "unitc", "volume", "rm", "kubed-data")
	})
	for _, name := range []string{"kubed.kube", "kubed.yaml"} {
		os.Remove(dir + "/" + name)
	}
	script := "set -e\n"
	for line := range strings.Lines(text) {
		if _, rest, ok := strings.Cut(line, "# before the first start: "); ok {
			_, command, _ := strings.Cut(rest, ": ")
			script += command
		}
	}
	must(t, "bash", "-c", script)
	must(t, "systemctl", "daemon-reload")
	if moved := must(t, "bash", "-c", "cat /var/lib/unitc/volumes/kubed-data/*/facts /var/lib/unitc/volumes/kubed-data/facts 2>/dev/null || true"); moved != want {
		t.Errorf("the volume's data are %q", moved)
	}
	must(t, "systemctl", "start", "kubed.target")
	await(t, "the facts anew", func() bool {
		out, _ := command(t, "unitc", "exec", "kubed-facts", "busybox", "find", "/data/facts", "-mmin", "-1")
		return out != ""
	})
	if diff := cmp.Diff(want, facts("unitc", "exec", "kubed-facts", "cat", "/data/facts")); diff != "" {
		t.Errorf("what the payload finds (-podman +unitc):\n%s\n%s\n%s", diff, script, text)
	}
}
