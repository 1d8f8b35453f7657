// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// loadBusybox makes a local image of one static program.
func loadBusybox(t *testing.T, name string) {
	t.Helper()
	loadConfigured(t, name, `{"Cmd": ["/bin/sh", "-c", "echo from the image; exec sleep 1000"], "Env": ["FROM=image"]}`)
}

// loadConfigured makes a local image of one static program with the given
// configuration, as `docker save` writes it. /seed holds a file.
func loadConfigured(t *testing.T, name, config string) {
	t.Helper()
	if _, err := os.Stat("/var/lib/unitc"); os.IsNotExist(err) {
		t.Cleanup(func() { must(t, "rm", "-rf", "/var/lib/unitc") })
	}
	must(t, "unitc", "load", "--quiet", savedImage(t, name, config))
	t.Cleanup(func() { command(t, "unitc", "rmi", "--force", name) })
}

// savedImage is the archive of such an image.
func savedImage(t *testing.T, name, config string) string { return savedLayers(t, name, config, 0) }

// savedLayers is the same with more layers on top, each of which writes its
// number to /last and makes a file of its own.
func savedLayers(t *testing.T, name, config string, more int) string {
	t.Helper()
	return savedPlatform(t, name, config, runtime.GOARCH, more)
}

// savedPlatform says that it is for an architecture; its program is this
// machine's.
func savedPlatform(t *testing.T, name, config, arch string, more int) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"bin", "etc", "tmp", "seed"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "chmod", "1777", root+"/tmp")
	must(t, "chmod", "755", root)
	must(t, "cp", "/usr/bin/busybox", root+"/bin/")
	for _, link := range []string{"sh", "cat", "sleep", "id", "echo", "ls", "touch", "grep", "cp"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", link)); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	must(t, "chown", "1000:1000", root+"/seed")
	save := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	save(root+"/etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/tmp:/bin/sh\n")
	save(root+"/seed/first", "from the image\n")
	must(t, "tar", "-C", root, "-cf", dir+"/layer.tar", ".")
	layer, err := os.ReadFile(dir + "/layer.tar")
	if err != nil {
		t.Fatal(err)
	}
	files, diffIDs := []string{"layer.tar"}, []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}
	for i := range more {
		layer := numberedLayer(t, i+1)
		file := fmt.Sprintf("layer%d.tar", i+1)
		save(dir+"/"+file, string(layer))
		files, diffIDs = append(files, file), append(diffIDs, fmt.Sprintf("sha256:%x", sha256.Sum256(layer)))
	}
	list := func(words []string) string { return `["` + strings.Join(words, `", "`) + `"]` }
	save(dir+"/config.json", fmt.Sprintf(`{"architecture": %q, "os": "linux", "config": %s, "rootfs": {"type": "layers", "diff_ids": %s}}`, arch, config, list(diffIDs)))
	save(dir+"/manifest.json", fmt.Sprintf(`[{"Config": "config.json", "RepoTags": [%q], "Layers": %s}]`, name, list(files)))
	must(t, "tar", append([]string{"-C", dir, "-cf", dir + "/image.tar", "manifest.json", "config.json"}, files...)...)
	return dir + "/image.tar"
}

func numberedLayer(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	number := fmt.Sprintf("layer %d\n", n)
	for _, name := range []string{"last", fmt.Sprintf("own%d", n)} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(number)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(number)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// "100+ layers work."
//
//lab:once
func TestImageOfManyLayers(t *testing.T) {
	cleanReload(t)
	const more = 119
	loadBusybox(t, "localhost/few:1") // and /var/lib/unitc goes with it
	must(t, "unitc", "load", "--quiet", savedLayers(t, "localhost/many:1", `{"Cmd": ["/bin/sh", "-c", "cat /last; ls / | grep -c own; exec sleep 1000"]}`, more))
	t.Cleanup(func() { command(t, "unitc", "rmi", "--force", "localhost/many:1") })
	defineFor(t, "many", "image: localhost/many:1\ninit: true\n")
	must(t, "systemctl", "start", "many")
	awaitLine(t, "many", fmt.Sprintf("layer %d", more))
	awaitLine(t, "many", fmt.Sprint(more))
	root := must(t, "grep", " / / ", "/proc/"+property(t, "many", "MainPID")+"/mountinfo")
	if !strings.Contains(root, "overlay") {
		t.Errorf("the root is mounted by %s", root)
	}
}

// "Compose `healthcheck` …; the image's HEALTHCHECK as default."
//
//lab:once
func TestImageHealthcheck(t *testing.T) {
	cleanReload(t)
	loadConfigured(t, "localhost/checked:1", `{"Cmd": ["/bin/sh", "-c", "while true; do sleep 0.05; done"], "Healthcheck": {"Test": ["CMD-SHELL", "cat /tmp/ready"], "Interval": 200000000, "Retries": 100000}}`)
	place(t, definitions+"checked.yaml", "image: localhost/checked:1\ninit: true\n")
	loadConfigured(t, "localhost/shelled:1", `{"Cmd": ["/bin/sh", "-c", "while true; do sleep 0.05; done"], "Shell": ["/bin/busybox", "env", "SHELLED=yes", "/bin/sh", "-c"], "Healthcheck": {"Test": ["CMD-SHELL", "test \"$SHELLED\" = yes"], "Interval": 200000000, "Retries": 3}}`)
	place(t, definitions+"shelled.yaml", "image: localhost/shelled:1\ninit: true\n")
	place(t, definitions+"unchecked.yaml", "image: localhost/checked:1\ninit: true\nhealthcheck: {disable: true}\n")
	reload(t)
	t.Cleanup(func() { must(t, "systemctl", "stop", "checked", "unchecked", "shelled") })
	must(t, "systemctl", "start", "unchecked", "shelled")
	must(t, "systemctl", "start", "--no-block", "checked")
	await(t, "the image's check fails", func() bool {
		return strings.Contains(property(t, "checked", "StatusText"), "starting: exit status 1: cat: ")
	})
	if state := property(t, "checked", "ActiveState"); state != "activating" {
		t.Errorf("it is %s", state)
	}
	must(t, "nsenter", "-t", property(t, "checked", "MainPID"), "-m", "-U", "-r", "-w", "/bin/touch", "/tmp/ready")
	await(t, "it is active", func() bool { return property(t, "checked", "ActiveState") == "active" })
}

// A local image starts as a directory does, with what its configuration says;
// two containers share its layers and neither sees what the other writes, and
// what they wrote is gone after the stop.
func TestImageStarts(t *testing.T) {
	cleanReload(t)
	loadBusybox(t, "localhost/busy:1")
	place(t, definitions+"one.yaml", "image: localhost/busy:1\ninit: true\n")
	place(t, definitions+"two.yaml", "image: localhost/busy:1\nuser: app\ninit: true\ncommand: [/bin/sh, -c, 'id -u; echo $$FROM; ls /mine; echo x > /tmp/x && echo ready; exec sleep 1000']\nuserns_mode: host\n")
	reload(t)
	must(t, "systemctl", "start", "one")
	awaitLine(t, "one", "from the image")
	if err := os.WriteFile("/proc/"+property(t, "one", "MainPID")+"/root/mine", []byte("x"), 0o644); err != nil && !strings.Contains(err.Error(), "value too large") {
		t.Fatal(err)
	}
	must(t, "systemctl", "start", "two")
	for _, line := range []string{"1000", "image", "ls: /mine: No such file or directory", "ready"} {
		awaitLine(t, "two", line)
	}
	// A present image starts no process: its unit's condition is not met.
	if got := property(t, "unitc-image@localhost-busy:1.service", "ConditionResult"); got != "no" {
		t.Errorf("ConditionResult of the image unit is %s", got)
	}
	must(t, "systemctl", "stop", "one", "two")
	await(t, "what they wrote is gone", func() bool {
		left, _ := filepath.Glob("/var/lib/unitc/containers/*")
		return len(left) == 0
	})
	if got := property(t, "two", "Result"); got != "success" {
		t.Errorf("Result of two is %s", got)
	}
}

// What the image's configuration says holds, and the definition's word comes
// first.
//
//lab:once
func TestImageConfiguration(t *testing.T) {
	cleanReload(t)
	loadConfigured(t, "localhost/configured:1", `{"Entrypoint": ["/bin/sh", "-c"],
		"Cmd": ["trap 'echo quit; exit 0' QUIT; trap 'echo term; exit 1' TERM; id -un; echo $PWD; echo ready; while :; do sleep 0.1; done"],
		"User": "app", "WorkingDir": "/seed", "StopSignal": "SIGQUIT"}`)
	place(t, definitions+"asis.yaml", "image: localhost/configured:1\n")
	place(t, definitions+"else.yaml", "image: localhost/configured:1\nuser: root\nworking_dir: /tmp\nstop_signal: SIGTERM\n")
	place(t, definitions+"dies.yaml", "image: localhost/configured:1\nentrypoint: [/bin/sleep, \"1000\"]\n")
	reload(t)
	must(t, "systemctl", "start", "asis", "else", "dies")
	for unit, lines := range map[string][]string{"asis": {"app", "/seed", "ready"}, "else": {"root", "/tmp", "ready"}} {
		for _, line := range lines {
			awaitLine(t, unit, line)
		}
	}
	must(t, "systemctl", "stop", "asis", "else", "dies")
	t.Cleanup(func() { must(t, "systemctl", "reset-failed", "else") })
	for unit, line := range map[string]string{"asis": "quit", "else": "term"} {
		await(t, line+" of "+unit, func() bool {
			return strings.Contains(must(t, "journalctl", "-q", "-o", "cat", "-u", unit), "\n"+line+"\n")
		})
	}
	for unit, want := range map[string]string{"asis": "success", "dies": "success", "else": "exit-code"} {
		if got := property(t, unit, "Result"); got != want {
			t.Errorf("Result of %s is %s", unit, got)
		}
	}
}

//lab:once
func TestImageThatIsMissing(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"none.yaml", "image: localhost/nothing:1\n")
	reload(t)
	// The pull is not what is tested: it would ask a registry for its time.
	must(t, "systemctl", "mask", "--runtime", "unitc-image@localhost-nothing:1.service")
	t.Cleanup(func() { must(t, "systemctl", "unmask", "--runtime", "unitc-image@localhost-nothing:1.service") })
	if _, status := command(t, "systemctl", "start", "none"); status == 0 {
		t.Fatal("it started")
	}
	out, _ := command(t, "systemctl", "status", "none")
	if !strings.Contains(out, "none.yaml:1:1: error: image: ") || !strings.Contains(out, "unitc pull localhost/nothing:1") {
		t.Errorf("systemctl status says:\n%s", out)
	}
	must(t, "systemctl", "reset-failed", "none")
}

// What has failed is the pull, and `unitc up` says what it said.
func TestUpSaysWhatThePullSaid(t *testing.T) {
	cleanReload(t)
	dir := t.TempDir()
	const name = "127.0.0.1:9/no/such:1" // nobody listens there
	if err := os.WriteFile(dir+"/unpulled.yaml", []byte("image: "+name+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		must(t, "unitc", "down", "unpulled")
		command(t, "systemctl", "reset-failed", "unitc-image@*")
	})
	out, status := command(t, "unitc", "up", dir+"/unpulled.yaml")
	if status != 1 || !strings.Contains(out, "\nunitc-image@127.0.0.1:9-no-such:1: pulling "+name+": ") || !strings.Contains(out, "connection refused") {
		t.Errorf("it ends with %d and says:\n%s", status, out)
	}
}
