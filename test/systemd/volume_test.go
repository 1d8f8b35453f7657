// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
)

// forgetVolumes removes the volumes that a test has made, after its units.
func forgetVolumes(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		for name := range strings.FieldsSeq(must(t, "unitc", "volume", "ls", "--quiet")) {
			must(t, "unitc", "volume", "rm", name)
		}
	})
}

const volumeProject = `services:
  web:
    image: localhost/volumes:1
    init: true
    command: [/bin/sh, -c, 'ls -ln /seed; cat /seed/first; ls /seed /kept /sub /host; touch /seed/web /kept/web /host/web && echo ready; exec sleep 1000']
    volumes:
      - data:/seed
      - {type: volume, source: parts, target: /sub, volume: {subpath: inner}}
      - host:/host
  job:
    image: localhost/volumes:1
    init: true
    user: app
    command: [/bin/sh, -c, 'ls /seed /kept; touch /seed/x || echo read-only; touch /shared/x && echo ready; exec sleep 1000']
    volumes: [data:/seed:ro, shared:/shared]
volumes:
  data: {}
  parts: {external: true}
  host: {driver_opts: {type: none, o: bind, device: /srv/volume-test}}
  shared: {driver_opts: {type: tmpfs, o: "size=1m,mode=1777"}}
`

// Named volumes are filled from the image once, shared, and kept; so is what
// the image declares as a volume. Nothing is deleted but by name.
//
//lab:once
func TestVolumes(t *testing.T) {
	cleanReload(t)
	loadConfigured(t, "localhost/volumes:1", `{"Volumes": {"/kept": {}, "/seed": {}}}`)
	forgetVolumes(t)
	t.Cleanup(func() { must(t, "rm", "-r", "/srv/volume-test") })
	place(t, "/srv/volume-test/there", "x")
	place(t, definitions+"shop.yaml", volumeProject)
	reload(t)

	// An external volume has to be there.
	if _, status := command(t, "systemctl", "start", "shop-web"); status == 0 {
		t.Fatal("it started without the external volume")
	}
	if out, _ := command(t, "systemctl", "status", "shop-web"); !strings.Contains(out, "shop.yaml:8:9: error: services.web.volumes[1]: ") || !strings.Contains(out, "unitc volume create parts") {
		t.Errorf("systemctl status says:\n%s", out)
	}
	must(t, "unitc", "volume", "create", "parts")
	if err := os.MkdirAll("/var/lib/unitc/volumes/parts/data/inner/part", 0o755); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { must(t, "systemctl", "stop", "shop-web", "shop-job") })
	must(t, "systemctl", "start", "shop-web")
	for _, line := range []string{"from the image", "part", "there", "ready"} {
		awaitLine(t, "shop-web", line)
	}
	must(t, "systemctl", "start", "shop-job")
	for _, line := range []string{"first", "web", "read-only", "ready"} {
		awaitLine(t, "shop-job", line)
	}
	tree := must(t, "systemctl", "list-dependencies", "--plain", "shop.target")
	t.Log(tree)
	for _, unit := range []string{"unitc-volume@shop_data.target", `run-unitc\x2dvolumes-shop_shared.mount`} {
		if !strings.Contains(tree, unit) || property(t, unit, "ActiveState") != "active" {
			t.Errorf("%s is not active, or not in\n%s", unit, tree)
		}
	}
	if out, status := command(t, "unitc", "volume", "rm", "shop_data"); status == 0 || !strings.Contains(out, "shop") {
		t.Errorf("a volume in use was removed, or it was not said by whom: %s", out)
	}
	if got := must(t, "stat", "-c", "%u:%g", "/var/lib/unitc/volumes/shop_data/data"); got != "1000:1000\n" {
		t.Errorf("the volume belongs to %s", got)
	}

	// What was written is there after a restart, and for its own unit alone.
	must(t, "systemctl", "restart", "shop-web")
	awaitLine(t, "shop-web", "web")
	must(t, "systemctl", "stop", "shop-web", "shop-job")
	await(t, "the tmpfs is gone", func() bool {
		return property(t, `run-unitc\x2dvolumes-shop_shared.mount`, "ActiveState") == "inactive"
	})
	list := must(t, "unitc", "volume", "ls", "--quiet")
	if strings.Count(list, "anon-shop-web-") != 1 || strings.Count(list, "anon-shop-job-") != 1 || !strings.Contains(list, "shop_data\n") {
		t.Errorf("after the stop there are these volumes:\n%s", list)
	}

	// A volume that was made with other options is not used in their place.
	place(t, definitions+"shop.yaml", strings.Replace(volumeProject, "data: {}", "data: {driver_opts: {type: tmpfs}}", 1))
	reload(t)
	if _, status := command(t, "systemctl", "start", "shop-job"); status == 0 {
		t.Error("it started with other options")
	}
	if out, _ := command(t, "systemctl", "status", "shop-job"); !strings.Contains(out, "was made with other options") {
		t.Errorf("systemctl status says:\n%s", out)
	}
	must(t, "systemctl", "reset-failed", "shop-job")
}

// The verbs of volumes, on one from its making to its end, and what they leave out.
//
//lab:once
func TestVolumeVerbs(t *testing.T) {
	if _, err := os.Stat("/var/lib/unitc"); os.IsNotExist(err) {
		t.Cleanup(func() { must(t, "rm", "-rf", "/var/lib/unitc") })
	}
	forgetVolumes(t)
	saved := t.TempDir() + "/saved.tar"
	must(t, "unitc", "volume", "create", "--label", "of=tests", "verbs")
	if out := must(t, "unitc", "volume", "inspect", "verbs"); !strings.Contains(out, `"of": "tests"`) || !strings.Contains(out, "/var/lib/unitc/volumes/verbs/data") {
		t.Errorf("it is\n%s", out)
	}
	const data = "/var/lib/unitc/volumes/%s/data/"
	file := strings.ReplaceAll(data, "%s", "verbs") + "file"
	if err := os.WriteFile(file, []byte("kept"), 0o640); err != nil {
		t.Fatal(err)
	}
	must(t, "chown", "7:8", file)
	must(t, "mknod", strings.TrimSuffix(file, "file")+"null", "c", "1", "3")
	if out := must(t, "unitc", "volume", "export", "-o", saved, "verbs"); !strings.Contains(out, `left out: "null": a device belongs to its host`) {
		t.Errorf("the export says %s", out)
	}
	must(t, "tar", "-C", "/", "-rf", saved, "dev/zero", "dev/full", "dev/kmsg")
	if out := must(t, "unitc", "volume", "import", "again", saved); !strings.Contains(out, `left out: "dev/kmsg": device node 1:11`) || strings.Count(out, "left out") != 1 {
		t.Errorf("the import says %s", out)
	}
	if out := must(t, "stat", "-c", "%u:%g:%a", strings.ReplaceAll(data, "%s", "again")+"file"); out != "7:8:640\n" {
		t.Errorf("the file is of %s", out)
	}
	if out := must(t, "unitc", "volume", "ls", "-q"); out != "again\nverbs\n" {
		t.Errorf("there are\n%s", out)
	}
	must(t, "unitc", "volume", "rm", "again", "verbs")
	if out := must(t, "unitc", "volume", "ls", "-q"); out != "" {
		t.Errorf("there are still\n%s", out)
	}
}

// A tmpfs belongs to whom the definition says, in the container's ids.
//
//lab:once
func TestTmpfsOwner(t *testing.T) {
	cleanReload(t)
	for _, mode := range []string{"auto", "host"} {
		place(t, definitions+"tmp-"+mode+".yaml", "rootfs: host\ninit: true\nuserns_mode: "+mode+"\ncommand: [/bin/sh, -c, 'stat -c %u:%g:%a /x; stat -c %u:%g:%a /y; echo ready; exec sleep 1000']\ntmpfs: ['/x:uid=1000,gid=1001,mode=750', /y]\n")
	}
	reload(t)
	for _, unit := range []string{"tmp-auto", "tmp-host"} {
		must(t, "systemctl", "start", unit)
		t.Cleanup(func() { must(t, "systemctl", "stop", unit) })
		for _, line := range []string{"1000:1001:750", "0:0:1777", "ready"} {
			awaitLine(t, unit, line)
		}
	}
}
