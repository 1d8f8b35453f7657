// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"encoding/json"
	"strings"
	"testing"
)

// What podman has comes over without a registry: the tar of each layer is made
// again byte for byte, and so the image keeps its id.
func TestEngineImageImport(t *testing.T) {
	cleanReload(t)
	loadBusybox(t, "localhost/other:1") // and /var/lib/unitc goes with it
	t.Cleanup(func() { must(t, "podman", "system", "reset", "-f") })
	must(t, "podman", "load", "-q", "-i", savedImage(t, "localhost/imported:1", `{"Cmd": ["/bin/sh", "-c", "ls /seed; cat /seed/two*lines; ls /bin/grep; exec sleep 1000"]}`))
	dir := t.TempDir()
	place(t, dir+"/Containerfile", "FROM localhost/imported:1\n"+
		`RUN ["/bin/busybox", "sh", "-c", "echo from podman >\"$(printf '/seed/two\\nlines')\"; rm /bin/grep; echo x >\"$(printf '/seed/\\377')\""]`+"\n")
	must(t, "podman", "build", "-q", "--isolation", "chroot", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--network", "host", "-t", "localhost/built:1", dir)

	must(t, "unitc", "load", "--quiet", "containers-storage:built:1")
	t.Cleanup(func() { command(t, "unitc", "rmi", "--force", "localhost/built:1") })
	var images []struct {
		ID    string
		Names []string
	}
	if err := json.Unmarshal([]byte(must(t, "unitc", "images", "--json")), &images); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(must(t, "podman", "inspect", "--format", "{{.Id}}", "localhost/built:1"))
	if len(images) != 2 || images[0].Names[0] != "localhost/built:1" || images[0].ID != "sha256:"+id {
		t.Errorf("images %+v, podman's id is %s", images, id)
	}
	must(t, "unitc", "verify")
	defineFor(t, "imported", "image: localhost/built:1\ninit: true\n")
	must(t, "systemctl", "start", "imported")
	for _, line := range []string{"first", "from podman", "ls: /bin/grep: No such file or directory"} {
		awaitLine(t, "imported", line)
	}
	if out, status := command(t, "unitc", "load", "containers-storage:nothing"); status != 1 || !strings.Contains(out, "there are ") {
		t.Errorf("an image that podman has not: %d, %s", status, out)
	}
}
