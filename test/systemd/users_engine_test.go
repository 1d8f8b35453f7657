// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// An image of a store of the user's own, with volumes, checks, a network by pasta with
// a published port, and the verbs for what runs.
func TestEngineUserImage(t *testing.T) {
	s := newSession(t)
	archive := savedImage(t, "localhost/box:1", `{"Cmd": ["sh"]}`)
	must(t, "install", "-o", somebody, archive, s.home+"/box.tar")
	s.must("unitc", "--user", "load", s.home+"/box.tar")
	s.must("mkdir", s.home+"/data")
	s.define("web.yaml", `image: localhost/box:1
pull_policy: never
command: [/bin/busybox, sh, -c, 'busybox touch /written /data/here /kept/here && busybox chown 33:33 /kept/here && echo served >/tmp/index.html && exec busybox httpd -f -p 80 -h /tmp']
volumes: ["~/data:/data", "kept:/kept"]
tmpfs: [/tmp]
stop_grace_period: 1s
ports: ["127.0.0.1:8088:80"]
healthcheck: {test: [CMD, /bin/busybox, "true"], interval: 1s}
`)
	s.must("systemctl", "--user", "start", "web")
	if err := eventually(func() error {
		r, err := http.Get("http://127.0.0.1:8088/")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if text, err := io.ReadAll(r.Body); err != nil || string(text) != "served\n" {
			return fmt.Errorf("%v, %q", err, text)
		}
		return nil
	}); err != nil {
		t.Errorf("the published port: %v\n%s", err, s.logs("web"))
	}
	for path, owner := range map[string]string{s.home + "/data/here": "1500:1500", s.home + "/.local/share/unitc/volumes/kept/data/here": "100032:100032"} {
		if out, status := command(t, "stat", "-c", "%u:%g", path); status != 0 || strings.TrimSpace(out) != owner {
			t.Errorf("%s is of %s, want %s", path, out, owner)
		}
	}
	for _, c := range []struct {
		want   string
		status int
		args   []string
	}{
		{"running (healthy)", 0, []string{"ps"}},
		{"uid=0(root)", 0, []string{"exec", "web", "/bin/busybox", "id"}},
		{"", 7, []string{"exec", "web", "/bin/busybox", "sh", "-c", "exit 7"}},
		{"no program", 127, []string{"exec", "web", "/nothing"}},
		{"8088", 0, []string{"port", "web"}},
		{"localhost/box:1", 0, []string{"images"}},
		{"web", 0, []string{"stats", "--no-stream"}},
		{"unitc-web.scope", 0, []string{"inspect", "web"}},
		{"served", 0, []string{"cp", "web:/tmp/index.html", "/dev/stdout"}},
		{"it is in use", 1, []string{"rmi", "localhost/box:1"}},
	} {
		if c.args[0] == "cp" {
			c.args[2] = s.home + "/copy"
			c.want = ""
		}
		out, status := s.run(append([]string{"unitc", "--user"}, c.args...)...)
		if status != c.status || !strings.Contains(out, c.want) && c.args[0] != "rmi" {
			t.Errorf("unitc --user %q exits with %d and says %q, want %d and %q", c.args, status, out, c.status, c.want)
		}
	}
	if out, _ := command(t, "stat", "-c", "%u", s.home+"/copy"); strings.TrimSpace(out) != "1500" {
		t.Errorf("what was copied out belongs to %s", out)
	}
	s.must("unitc", "--user", "cp", s.home+"/copy", "web:/tmp/copy")
	if out := s.must("unitc", "--user", "exec", "web", "/bin/busybox", "stat", "-c", "%u:%g", "/tmp/copy", "/seed"); out != "0:0\n1000:1000\n" {
		t.Errorf("what was copied in, and what the image has, belong to %q", out)
	}
	s.must("unitc", "--user", "verify")
	pid, _ := strconv.Atoi(s.property("web", "MainPID"))
	s.must("systemctl", "--user", "stop", "web")
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
		t.Error("the payload is still there")
	}
	s.isGone("web")
	if out, _ := command(t, "pgrep", "-u", somebody, "pasta"); out != "" {
		t.Errorf("pasta is still there: %s", out)
	}
	s.must("unitc", "--user", "rmi", "localhost/box:1")
	s.must("unitc", "--user", "volume", "rm", "kept")
}

// Ports that are root's to open are told, which the engines' machine has pasta for.
func TestEngineUserLowPort(t *testing.T) {
	s := newSession(t)
	s.define("low.yaml", "rootfs: host\nports: [\"80:80\"]\ncommand: [/bin/true]\n")
	if out, status := s.run("systemctl", "--user", "start", "low"); status == 0 {
		t.Errorf("it starts:\n%s", out)
	}
	if text := s.property("low", "StatusText"); !strings.Contains(text, "low.yaml:2:9: error: ports[0]: the host's port 0.0.0.0:80/tcp is root's to open") {
		t.Errorf("its status is %q", text)
	}
}
