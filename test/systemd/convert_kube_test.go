// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const busyboxFrom = "image: localhost/kube:1, imagePullPolicy: Never"

// kubernetes has objects converted, with what stands beside them, and reloads systemd. All is
// stopped and taken away when the test ends.
func kubernetes(t *testing.T, name string, files map[string]string) {
	t.Helper()
	loadBusybox(t, "localhost/kube:1")
	dir, made := t.TempDir(), t.TempDir()
	args := []string{"convert", "--output", made}
	for file, text := range files {
		writeFile(t, filepath.Join(dir, file), strings.ReplaceAll(text, "BUSYBOX", busyboxFrom))
		if !strings.HasSuffix(file, ".yaml") || len(files) == 1 {
			args = append(args, filepath.Join(dir, file))
		}
	}
	t.Log(must(t, "unitc", args...))
	items, err := os.ReadDir(made)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		must(t, "cp", "-p", filepath.Join(made, item.Name()), "/etc/unitc/")
		t.Log(item.Name() + "\n" + file(t, filepath.Join(made, item.Name())))
	}
	must(t, "unitc", "check", "-q", made)
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "--", name+".target", name+"-*.service") // of parts a target does not wait
		for _, item := range items {
			os.Remove("/etc/unitc/" + item.Name())
		}
		must(t, "systemctl", "daemon-reload")
		must(t, "systemctl", "reset-failed")
	})
	must(t, "systemctl", "daemon-reload")
}

func active(t *testing.T, units ...string) {
	t.Helper()
	for _, unit := range units {
		if got := property(t, unit, "ActiveState"); got != "active" {
			t.Errorf("%s is %s: %s", unit, got, must(t, "systemctl", "status", "--no-pager", unit))
		}
	}
}

// kubeSays waits for what a container's command answers.
func kubeSays(t *testing.T, want, name string, args ...string) {
	t.Helper()
	var out string
	await(t, name+": "+strings.Join(args, " ")+" says "+want, func() bool {
		out, _ = command(t, "unitc", append([]string{"exec", name}, args...)...)
		return strings.Contains(out, want)
	})
}

// The containers of a pod reach each other by loopback and have one host name; the port of
// the host leads to whichever listens. An init container has written for one of them what an
// emptyDir kept, which is empty again at the next start of all.
func TestConvertKubernetesPod(t *testing.T) {
	kubernetes(t, "kubepod", map[string]string{"kubepod.yaml": `
apiVersion: v1
kind: Pod
metadata: {name: kubepod}
spec:
  securityContext: {fsGroup: 2000}
  terminationGracePeriodSeconds: 1
  initContainers:
  - {name: first, BUSYBOX, command: [/bin/sh, -ec, "test ! -e /out/index.html; echo $(WHO) >/out/index.html"], env: [{name: WHO, value: "written"}], volumeMounts: [{name: page, mountPath: /out}]}
  containers:
  - name: web
    image: localhost/kube:1
    imagePullPolicy: Never
    command: [/bin/busybox]
    args: [httpd, -f, -p, "80", -h, /page]
    ports: [{name: http, containerPort: 80, hostPort: 18591, hostIP: 127.0.0.1}]
    livenessProbe: {httpGet: {port: http, path: /index.html}, periodSeconds: 1}
    volumeMounts: [{name: page, mountPath: /page, readOnly: true}]
  - name: side
    image: localhost/kube:1
    imagePullPolicy: Never
    command: [/bin/sh, -c, "echo kept >/data/file; busybox ipcs; exec sleep 1000"]
    securityContext: {runAsUser: 1000, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: page, mountPath: /page}, {name: data, mountPath: /data}, {name: quick, mountPath: /quick}, {name: host, mountPath: /host}]
  volumes:
  - {name: page, emptyDir: {}}
  - {name: quick, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: data, persistentVolumeClaim: {claimName: kubepod-data}}
  - {name: host, hostPath: {path: /etc/unitc, type: Directory}}
`})
	t.Cleanup(func() { command(t, "unitc", "volume", "rm", "kubepod-data") })
	must(t, "systemctl", "start", "kubepod.target")
	active(t, "kubepod-web.service", "kubepod-side.service", "kubepod-pod.service", "kubepod-first.service")
	kubeSays(t, "written", "kubepod-side", "busybox", "wget", "-qO-", "http://127.0.0.1/index.html")
	kubeSays(t, "kubepod", "kubepod-side", "hostname")
	if out := must(t, "unitc", "exec", "kubepod-side", "id"); !strings.Contains(out, "uid=1000") || !strings.Contains(out, "2000") {
		t.Errorf("it runs as %s", out)
	}
	kubeSays(t, "kept", "kubepod-side", "cat", "/data/file")
	kubeSays(t, "/quick", "kubepod-side", "busybox", "df", "-k", "/quick")
	kubeSays(t, "kubepod.yaml", "kubepod-side", "busybox", "ls", "/host")
	if out := must(t, "busybox", "wget", "-qO-", "http://127.0.0.1:18591/index.html"); out != "written\n" {
		t.Errorf("the port of the host answers %q", out)
	}
	must(t, "unitc", "exec", "kubepod-side", "sh", "-c", "echo more >/page/more")
	must(t, "systemctl", "restart", "kubepod-web.service")
	kubeSays(t, "more", "kubepod-side", "cat", "/page/more")

	// The init container fails where the volume has its file still.
	must(t, "systemctl", "restart", "kubepod.target")
	active(t, "kubepod-web.service", "kubepod-side.service", "kubepod-first.service")
	kubeSays(t, "written", "kubepod-side", "busybox", "wget", "-qO-", "http://127.0.0.1/index.html")
	if out, status := command(t, "unitc", "exec", "kubepod-side", "cat", "/page/more"); status == 0 {
		t.Errorf("the emptyDir has what was written before: %s", out)
	}
	kubeSays(t, "kept", "kubepod-side", "cat", "/data/file")
	must(t, "systemctl", "stop", "kubepod.target")
	for _, unit := range []string{"kubepod-web.service", "kubepod-side.service", "kubepod-pod.service", "kubepod-first.service", "kubepod-volumes.service"} {
		await(t, unit+" stops", func() bool {
			state := property(t, unit, "ActiveState")
			return state == "inactive" || state == "failed" // a first process without a handler is killed
		})
	}
}

// A Deployment of two instances answers to the name of its Service, and has a ConfigMap and a
// Secret as variables and as files. No definition has the secret.
func TestConvertKubernetesDeployment(t *testing.T) {
	kubernetes(t, "kubeshop", map[string]string{"kubeshop.yaml": `
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data:
  GREETING: hello, $WORLD
  app.ini: |
    [app]
    home = $HOME
---
apiVersion: v1
kind: Secret
metadata: {name: db}
data: {password: cGFzcyAkd29yZCdzIg==}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: api
        image: localhost/kube:1
        imagePullPolicy: Never
        command: [/bin/sh, -c, "mkdir /www; echo $GREETING $PASSWORD >/www/index.html; exec busybox httpd -f -p 8080 -h /www"]
        envFrom: [{configMapRef: {name: conf}}]
        env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
        resources: {limits: {memory: 64Mi}}
        volumeMounts: [{name: conf, mountPath: /etc/app}, {name: keys, mountPath: /keys}]
      volumes:
      - {name: conf, configMap: {name: conf}}
      - {name: keys, secret: {secretName: db, defaultMode: 0400}}
---
apiVersion: v1
kind: Service
metadata: {name: backend}
spec: {selector: {app: api}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: client, BUSYBOX, command: [sleep, "1000"]}], terminationGracePeriodSeconds: 1}
`})
	const secret = `pass $word's"`
	must(t, "systemctl", "start", "kubeshop.target")
	active(t, "kubeshop-api-1.service", "kubeshop-api-2.service", "kubeshop-client.service")
	kubeSays(t, "hello, $WORLD "+secret, "kubeshop-client", "busybox", "wget", "-qO-", "http://backend:8080/")
	kubeSays(t, "home = $HOME", "kubeshop-api-1", "cat", "/etc/app/app.ini")
	kubeSays(t, secret, "kubeshop-api-2", "cat", "/keys/password")
	for _, text := range []string{file(t, "/etc/unitc/kubeshop.yaml"), must(t, "unitc", "cat", "kubeshop-api-1")} {
		if strings.Contains(text, "word's") {
			t.Errorf("the secret stands in\n%s", text)
		}
	}
	if found, _ := command(t, "grep", "-rl", "word's", "/etc/unitc", "/run/systemd/generator.late"); strings.Count(found, "\n") != 2 {
		t.Errorf("the secret stands in\n%s", found)
	} else {
		for _, name := range strings.Fields(found) {
			if st, err := os.Stat(name); err != nil {
				t.Error(err)
			} else if st.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v", name, st.Mode())
			}
		}
	}
}

// A .kube becomes a project of its name, which others order themselves by, and does not start
// at boot unless it says so. Jobs start by hand or by time, each time with all that they need.
func TestConvertKubernetesUnit(t *testing.T) {
	kubernetes(t, "kubeunit", map[string]string{
		"kubeunit.kube":   "[Unit]\nDescription=From a file\n[Kube]\nYaml=kube.yaml\nPublishPort=127.0.0.1:18592:80\n",
		"after.container": "[Unit]\nAfter=kubeunit.service\nRequires=kubeunit.kube\n[Container]\nImage=localhost/kube:1\nPull=never\nExec=sleep 1000\nStopTimeout=1\n",
		"kube.yaml": `
apiVersion: v1
kind: Pod
metadata: {name: kubeunit}
spec: {containers: [{name: web, BUSYBOX, command: [/bin/sh, -c, "echo answered >/index.html; exec busybox httpd -f -p 80 -h /"]}], terminationGracePeriodSeconds: 1}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: job}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          initContainers: [{name: first, BUSYBOX, command: [/bin/sh, -ec, "test ! -e /v/x; echo x >/v/x"], volumeMounts: [{name: v, mountPath: /v}]}]
          containers:
          - {name: one, BUSYBOX, command: [/bin/sh, -ec, "sleep 1; echo one saw $(busybox cat /v/x) and all is well"], volumeMounts: [{name: v, mountPath: /v}]}
          - {name: two, BUSYBOX, command: [/bin/sh, -ec, "sleep 1"]}
          volumes: [{name: v, emptyDir: {}}]
`})
	must(t, "systemctl", "start", "after.service")
	active(t, "after.service", "kubeunit.target", "kubeunit-web.service")
	if out := must(t, "busybox", "wget", "-qO-", "http://127.0.0.1:18592/index.html"); out != "answered\n" {
		t.Errorf("the port of the host answers %q", out)
	}
	if got := property(t, "kubeunit-web.service", "Description"); got != "From a file" {
		t.Errorf("its description is %q", got)
	}
	if startedWithSystem(t, "kubeunit-web.service") {
		t.Error("it starts at boot")
	}
	active(t, "kubeunit-job-one.timer")
	must(t, "systemctl", "stop", "after.service")
	said := func() int {
		out, _ := command(t, "journalctl", "-q", "-o", "cat", "-u", "kubeunit-job-one.service")
		return strings.Count(out, "one saw x and all is well")
	}
	before := said()
	for run := range 2 {
		must(t, "systemctl", "start", "kubeunit-job-one.service", "kubeunit-job-two.service")
		await(t, "the end of all", func() bool {
			for _, unit := range []string{"one", "two", "first", "volumes", "pod"} {
				if property(t, "kubeunit-job-"+unit+".service", "ActiveState") != "inactive" {
					return false
				}
			}
			return true
		})
		if got := said() - before; got != run+1 {
			t.Errorf("after run %d it has said so %d times", run+1, got)
		}
	}
}
