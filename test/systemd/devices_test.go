// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
)

const cdiSpec = `cdiVersion: "0.6.0"
kind: example.com/thing
containerEdits:
  env: [THING=all, MODE=spec]
devices:
  - name: zero
    containerEdits:
      deviceNodes:
        - {path: /dev/thing0, hostPath: /dev/zero, permissions: r}
      mounts:
        - {hostPath: /run/cdi-test/lib, containerPath: /opt/thing, options: [ro, nosuid, nodev, bind]}
      additionalGids: [4242]
      hooks:
        - hookName: createContainer
          path: /bin/sh
          args: [sh, -c, 'tr "," "\n" </run/unitc/cdi-thing/config.json | grep "\"root\":" >/run/cdi-test/seen; cat >>/run/cdi-test/seen']
  - name: gone
    containerEdits:
      deviceNodes: [{path: /dev/no-such-node}]
`

// endUnits stops units after the test, also failed ones.
func endUnits(t *testing.T, units ...string) {
	t.Cleanup(func() {
		must(t, "systemctl", append([]string{"stop"}, units...)...)
		command(t, "systemctl", append([]string{"reset-failed"}, units...)...)
	})
}

// A device of the Container Device Interface brings its nodes, files, variables,
// groups and hooks; one that no specification names is told at its line.
//
//lab:once
func TestCDI(t *testing.T) {
	cleanReload(t)
	t.Cleanup(func() { os.RemoveAll("/run/cdi-test"); os.Remove("/etc/cdi") })
	must(t, "mkdir", "-p", "/run/cdi-test/lib")
	must(t, "sh", "-c", "echo library >/run/cdi-test/lib/x")
	place(t, "/etc/cdi/thing.yaml", cdiSpec)
	place(t, "/etc/cdi/nvidia.json", `{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "all", "containerEdits": {"env": ["GPU=all"]}}]}`)
	place(t, definitions+"cdi-thing.yaml", `rootfs: host
init: true
user: "1000"
environment: {MODE: mine}
devices: ["example.com/thing=zero"]
gpus: all
command: [sh, -c, 'echo $$THING $$MODE $$GPU; cat /opt/thing/x; id -G; head -c 3 /dev/thing0 | od -An -c; echo x >/dev/thing0; exec sleep 1000']
`)
	place(t, definitions+"cdi-none.yaml", "rootfs: host\ncommand: [sleep, '1000']\ndevices:\n  - /dev/null\n  - example.com/thing=one\n")
	place(t, definitions+"cdi-gone.yaml", "rootfs: host\ncommand: [sleep, '1000']\ndevices: [example.com/thing=gone]\n")
	place(t, definitions+"cdi-gpu.yaml", "rootfs: host\ncommand: [sleep, '1000']\ndeploy: {resources: {reservations: {devices: [{driver: amd, count: 1, capabilities: [gpu]}]}}}\n")
	reload(t)
	endUnits(t, "cdi-thing", "cdi-none", "cdi-gone", "cdi-gpu")
	must(t, "systemctl", "start", "cdi-thing")
	for _, line := range []string{"all spec all", "library", "0 4242"} {
		awaitLine(t, "cdi-thing", line)
	}
	if seen := file(t, "/run/cdi-test/seen"); !strings.Contains(seen, "/run/unitc/cdi-thing/root") || !strings.Contains(seen, `"status":"created"`) {
		t.Errorf("the hook has seen %s", seen)
	}
	if rules := property(t, "unitc-cdi-thing.scope", "DeviceAllow"); !strings.Contains(rules, "/dev/char/1:5 r") {
		t.Errorf("DeviceAllow of the scope is %q", rules)
	}
	for name, want := range map[string]string{
		"cdi-none": "cdi-none.yaml:5:5: error: devices[1]: example.com/thing has no device one; its devices are gone, zero",
		"cdi-gone": "/dev/no-such-node, which the specification of the device names, is not on this host",
		"cdi-gpu":  "no specification in /etc/cdi or /var/run/cdi is for amd.com/gpu",
	} {
		if _, status := command(t, "systemctl", "start", name); status == 0 {
			t.Errorf("%s was started", name)
		}
		if log := must(t, "journalctl", "-u", name, "-o", "cat", "--no-pager", "-q"); !strings.Contains(log, want) {
			t.Errorf("%s does not say %q:\n%s", name, want, log)
		}
	}
}

// x-time-offsets move the clocks that count from boot.
//
//lab:once
func TestTimeOffsets(t *testing.T) {
	t.Parallel()
	c := scoped.define(t, "clocks", "rootfs: host\nx-time-offsets: {boottime: 240h, monotonic: -1s}\ncommand: [sh, -c, 'read up rest </proc/uptime; echo up $${up%%.*}; exec sleep 1000']\n")
	if _, err := os.Stat("/proc/self/ns/time"); err != nil {
		t.Skip("this kernel has no time namespaces")
	}
	c.start()
	await(t, "the clock is ten days on", func() bool {
		_, rest, ok := strings.Cut(c.output(), "up ")
		rest, _, _ = strings.Cut(rest, "\n")
		return ok && len(rest) >= 6 && rest >= "864000"
	})
}

// A mount of an image shows its files, from the same layers as its containers
// run on; nobody writes to it.
//
//lab:once
func TestImageMount(t *testing.T) {
	cleanReload(t)
	loadConfigured(t, "localhost/assets:1", `{}`)
	for name, options := range map[string]string{"image-mount": "", "image-mount-hostids": "userns_mode: host\n"} {
		place(t, definitions+name+".yaml", options+`rootfs: host
init: true
tmpfs: [/assets]
volumes:
  - {type: image, source: "localhost/assets:1", target: /assets/whole}
  - {type: image, source: "localhost/assets:1", target: /assets/sub, image: {subpath: /seed}}
  - {type: image, source: "localhost/assets:1", target: /assets/passwd, image: {subpath: etc/passwd}}
command: [sh, -c, 'cat /assets/sub/first; tail -n 1 /assets/passwd; ls /assets/whole | tr "\n" " "; stat -c "%u %a" /assets/sub; touch /assets/sub/x; exec sleep 1000']
`)
	}
	place(t, definitions+"image-none.yaml", "rootfs: host\npull_policy: never\ncommand: [sleep, '1000']\nvolumes:\n  - {type: image, source: localhost/none:1, target: /x}\n")
	reload(t)
	endUnits(t, "image-mount", "image-mount-hostids", "image-none")
	for _, name := range []string{"image-mount", "image-mount-hostids"} {
		must(t, "systemctl", "start", name)
		for _, line := range []string{"from the image", "app:x:1000:1000::/tmp:/bin/sh", "bin etc seed tmp 1000 755"} {
			awaitLine(t, name, line)
		}
		await(t, "it cannot write", func() bool {
			return strings.Contains(must(t, "journalctl", "-u", name, "-o", "cat", "--no-pager", "-q"), "Read-only file system")
		})
	}
	if _, status := command(t, "unitc", "rmi", "localhost/assets:1"); status == 0 {
		t.Error("an image that is mounted could be removed")
	}
	must(t, "systemctl", "stop", "image-mount", "image-mount-hostids")
	must(t, "unitc", "rmi", "localhost/assets:1")
	if _, status := command(t, "systemctl", "start", "image-none"); status == 0 {
		t.Error("it was started without the image")
	}
	want := "image-none.yaml:5:5: error: volumes[0]: localhost/none:1: "
	if log := must(t, "journalctl", "-u", "image-none", "-o", "cat", "--no-pager", "-q"); !strings.Contains(log, want) {
		t.Errorf("no %q in\n%s", want, log)
	}
}

// A directory stands for the devices below it, as /dev/dri does in many a compose file,
// and a privileged container has all of the host's, as with Docker.
//
//lab:once
func TestDeviceDirectories(t *testing.T) {
	cleanReload(t)
	t.Cleanup(func() { os.RemoveAll("/dev/test-dri") })
	must(t, "sh", "-c", "mkdir -p /dev/test-dri/by-path /dev/test-dri/empty && mknod -m 666 /dev/test-dri/card0 c 1 5 && mknod -m 660 /dev/test-dri/by-path/c1 c 1 3 && chgrp video /dev/test-dri/by-path/c1 && ln -s ../card0 /dev/test-dri/by-path/link")
	const look = "init: true\ncommand: [sh, -c, 'cd $$0; find . ! -type d -exec stat -c \"%n %t:%T %a %G\" {} + | sort; head -c 2 card0 | od -An -c; exec sleep 1000', "
	for name, yaml := range map[string]string{
		"dir-plain":      "devices: ['/dev/test-dri:/dev/dri']\n" + look + "/dev/dri]\n",
		"dir-privileged": "privileged: true\ncap_drop: [SYS_RESOURCE]\n" + look + "/dev/test-dri]\n",
		"dir-empty":      "devices: [/dev/test-dri/empty]\ncommand: [/bin/true]\n",
		"dir-service":    "devices: [/dev/test-dri]\nsystemd: {cgroup: service}\ncommand: [/bin/true]\n",
	} {
		place(t, definitions+name+".yaml", "rootfs: host\n"+yaml)
	}
	reload(t)
	endUnits(t, "dir-plain", "dir-privileged", "dir-empty", "dir-service")
	for _, name := range []string{"dir-plain", "dir-privileged"} {
		must(t, "systemctl", "start", name)
		awaitLine(t, name, "  \\0  \\0")
		if log := must(t, "journalctl", "-o", "cat", "-u", name); !strings.Contains(log, "./by-path/c1 1:3 660 video\n./card0 1:5 666 root\n") {
			t.Errorf("%s has\n%s", name, log)
		}
	}
	if allowed := property(t, "unitc-dir-plain.scope", "DeviceAllow"); !strings.Contains(allowed, "/dev/test-dri/card0 rwm") || strings.Contains(allowed, "/dev/test-dri rwm") {
		t.Errorf("the scope allows %s", allowed)
	}
	for name, want := range map[string]string{
		"dir-empty":   "devices[0]: there is no device in /dev/test-dri/empty; look with `ls -lR /dev/test-dri/empty`, and whether the driver is loaded",
		"dir-service": "devices[0]: the unit was written before the devices in /dev/test-dri were known; name them, or drop `systemd: cgroup: service`",
	} {
		command(t, "systemctl", "start", name)
		if status := property(t, name, "StatusText"); !strings.Contains(status, want) {
			t.Errorf("%s says %s", name, status)
		}
	}
}
