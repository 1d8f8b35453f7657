// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
)

// What docker compose is given without thinking means the same here.
//
//lab:once
func TestOptionsOfCompose(t *testing.T) {
	cleanReload(t)
	forgetVolumes(t)
	r := startRegistry(t)
	name := r.offer(t, "flags:1", saying("version one"))
	dir := t.TempDir() + "/shop"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := dir + "/compose.yaml"
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		command(t, "unitc", "down", "--purge", "-v", "shop")
		command(t, "systemctl", "reset-failed", "shop-*")
	})
	const web = "  web: {image: IMAGE, init: true, network_mode: none, volumes: [data:/data, shared:/shared, /own]}\n"
	const more = "  more: {image: IMAGE, init: true, network_mode: none}\n"
	const end = "volumes: {data: {}, shared: {external: true, name: kept}}\n"
	both := strings.ReplaceAll("services:\n"+web+more+end, "IMAGE", name)
	must(t, "unitc", "volume", "create", "kept")
	write(both)
	if out, status := command(t, "sh", "-c", "cd "+dir+"; unitc up -d"); status != 2 || !strings.Contains(out, "unitc up compose.yaml") {
		t.Errorf("without a file: %d, %s", status, out)
	}
	must(t, "unitc", "up", "--no-start", path)
	if out := must(t, "unitc", "ps", "-q", "shop"); out != "shop-more\nshop-web\n" || property(t, "shop-web.service", "ActiveState") != "inactive" {
		t.Errorf("--no-start has %s", out)
	}
	must(t, "unitc", "up", "-d", "--wait", path)
	awaitLine(t, "shop-web", "version one")
	first := property(t, "shop-web.service", "InvocationID")
	anew := func() bool {
		t.Helper()
		was := first
		first = property(t, "shop-web.service", "InvocationID")
		return first != was
	}
	must(t, "unitc", "up", "-d", path)
	if anew() {
		t.Error("up restarts what has not changed")
	}
	must(t, "unitc", "up", "--force-recreate", path)
	if !anew() || must(t, "unitc", "ps", "-q", "--filter", "status=running", "--filter", "name=shop") != "shop-more\nshop-web\n" {
		t.Error("--force-recreate does not restart it")
	}
	r.offer(t, "flags:1", saying("version two"))
	must(t, "unitc", "up", "-d", path)
	if anew() {
		t.Error("up fetches an image that is here")
	}
	must(t, "unitc", "up", "-d", "--pull", "always", path)
	awaitLine(t, "shop-web", "version two")
	if !anew() {
		t.Error("--pull always does not restart it")
	}
	write(strings.Replace(both, "network_mode: none, volumes", "network_mode: none, environment: {A: b}, volumes", 1))
	must(t, "unitc", "up", "--no-recreate", path)
	if anew() {
		t.Error("--no-recreate restarts it")
	}
	write(strings.ReplaceAll("services:\n"+web+end, "IMAGE", name))
	if out := must(t, "unitc", "up", path); !strings.Contains(out, "shop-more runs and is no longer in") {
		t.Errorf("of what it no longer has it says %s", out)
	}
	must(t, "unitc", "up", "--remove-orphans", path)
	if got := property(t, "shop-more.service", "ActiveState"); got != "inactive" {
		t.Errorf("what the file no longer has is %s", got)
	}

	if out := must(t, "unitc", "ps", "--format", "json", "shop"); !strings.HasPrefix(out, "[\n") || !strings.Contains(out, `"shop-web"`) {
		t.Errorf("ps --format json says %s", out)
	}
	if out := must(t, "unitc", "ps", "-q", "-f", "status=exited"); strings.Contains(out, "shop-web") {
		t.Errorf("of those that have ended: %s", out)
	}
	if out := must(t, "unitc", "logs", "--tail", "1", "--no-log-prefix", "--since", "10m", "shop-web"); out == "" || strings.Count(out, "\n") != 1 {
		t.Errorf("the last line is %q", out)
	}
	if out := must(t, "unitc", "logs", "-t", "-n", "1", "shop-web"); !strings.Contains(out, "T") || !strings.Contains(out, "shop-web") {
		t.Errorf("with its time it is %q", out)
	}

	before := must(t, "unitc", "volume", "ls", "-q")
	if !strings.Contains(before, "shop_data\n") || !strings.Contains(before, "anon-shop-web-") {
		t.Fatalf("volumes are\n%s", before)
	}
	out := must(t, "unitc", "down", "-v", path)
	if after := must(t, "unitc", "volume", "ls", "-q"); after != "kept\n" || !strings.Contains(out, "Removed the volume shop_data.") {
		t.Errorf("of the volumes there stay\n%s: %s", after, out)
	}
	must(t, "unitc", "volume", "rm", "kept")
}

// A user's volumes are removed in the user's own namespace.
//
//lab:once
func TestUserDownWithVolumes(t *testing.T) {
	s := newSession(t)
	saved := savedImage(t, "localhost/mine:1", `{"Cmd": ["/bin/sh", "-c", "echo up; exec sleep 1000"]}`)
	must(t, "cp", saved, s.home+"/mine.tar")
	must(t, "chown", somebody, s.home+"/mine.tar")
	s.must("unitc", "--user", "load", "--quiet", s.home+"/mine.tar")
	must(t, "install", "-d", "-o", somebody, s.home+"/shop")
	place(t, s.home+"/shop/compose.yaml", "services:\n  web: {image: 'localhost/mine:1', init: true, network_mode: none, user: '33', volumes: [data:/data, /own]}\nvolumes: {data: {}}\n")
	s.must("unitc", "--user", "up", "-d", "--force-recreate", s.home+"/shop/compose.yaml")
	s.says("shop-web", "up")
	if out := s.must("unitc", "--user", "volume", "ls", "-q"); strings.Count(out, "\n") != 2 {
		t.Fatalf("volumes are\n%s", out)
	}
	s.must("unitc", "--user", "down", "--purge", "-v", "shop")
	if out := s.must("unitc", "--user", "volume", "ls", "-q"); out != "" {
		t.Errorf("there stay\n%s", out)
	}
}
