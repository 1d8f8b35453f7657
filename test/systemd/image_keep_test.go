// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// keptVolumes is what there is of volumes: names, and what the containers have
// written, with the inode, which a new volume of the same name would not have.
func keptVolumes(t *testing.T) string {
	t.Helper()
	names := must(t, "unitc", "volume", "ls", "--quiet")
	return names + must(t, "find", "/var/lib/unitc/volumes", "-name", "mine", "-printf", "%P %i\n")
}

const keptProject = `services:
  app:
    image: localhost/keeps:1
    init: true
    x-update: local
    networks: [lan]
    volumes: [data:/seed, /nameless]
  rooted:
    image: localhost/keeps:1
    init: true
    x-persist: true
    network_mode: none
networks: {lan: {}}
volumes: {data: {}}
`

// "never deleted by anything but an explicit command": named volumes, those of
// a path, those that the image declares, a kept root. Everything that removes
// something else is tried.
//
//lab:once
func TestOnlyAWordDeletesVolumes(t *testing.T) {
	keepInstall(t)
	t.Cleanup(func() { must(t, "rm", "-rf", "/var/lib/unitc") })
	must(t, "systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/unitc.conf")
	writes := func(word string) string {
		return fmt.Sprintf(`{"Volumes": {"/declared": {}}, "Cmd": ["/bin/sh", "-c", "for d in /seed /nameless /declared /tmp; do touch $d/mine; done; echo %s; exec sleep 1000"]}`, word)
	}
	load := func(word string) {
		must(t, "unitc", "load", "--quiet", savedImage(t, "localhost/keeps:1", writes(word)))
	}
	load("first")
	file := t.TempDir() + "/keeps.yaml"
	writeFile(t, file, keptProject)
	start := func(word string) {
		t.Helper()
		must(t, "unitc", "up", file)
		awaitLine(t, "keeps-app", word)
		awaitLine(t, "keeps-rooted", word)
	}
	t.Cleanup(func() { command(t, "systemctl", "stop", "keeps-app", "keeps-rooted") })
	start("first")
	must(t, "unitc", "run", "--rm", "-v", "other:/other", "localhost/keeps:1", "/bin/touch", "/other/mine")
	want := keptVolumes(t)
	// keeps_data, /nameless, the declared one of each container, the root, other.
	if strings.Count(want, "/mine ") < 5 || strings.Count(want, "\n")-strings.Count(want, "/mine ") < 5 || !strings.Contains(want, "root-keeps-rooted-") {
		t.Fatalf("there are these volumes:\n%s", want)
	}

	network := func() {
		must(t, "systemctl", "stop", "keeps-app")
		await(t, "nobody is in the network", func() bool {
			_, status := command(t, "unitc", "network", "rm", "keeps_lan")
			return status == 0 || status == 1
		})
		must(t, "unitc", "network", "prune")
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"a restart", func() { must(t, "systemctl", "restart", "keeps-app", "keeps-rooted") }},
		{"a kill", func() {
			must(t, "systemctl", "kill", "--signal=KILL", "keeps-app", "keeps-rooted")
			await(t, "they are gone", func() bool {
				return property(t, "keeps-app", "ActiveState") != "active" && property(t, "keeps-rooted", "ActiveState") != "active"
			})
			must(t, "systemctl", "reset-failed")
		}},
		{"systemctl clean", func() { command(t, "systemctl", "clean", "--what=all", "keeps-app", "keeps-rooted") }},
		{"removing networks", network},
		{"an update", func() {
			start("first")
			load("second")
			must(t, "unitc", "update", "--settle", "10ms")
			awaitLine(t, "keeps-app", "second")
		}},
		{"a rollback", func() { must(t, "unitc", "rollback", "--settle", "10ms", "keeps-app") }},
		{"a prune beside what runs", func() { must(t, "unitc", "prune", "--all", "--blobs", "--partial") }},
		{"verify --repair", func() { command(t, "unitc", "verify", "--repair") }},
		{"a definition without them", func() {
			writeFile(t, file, strings.NewReplacer(", /nameless", "", "data:/seed", "/srv:/srv", "volumes: {data: {}}", "").Replace(keptProject))
			must(t, "unitc", "up", file)
			writeFile(t, file, keptProject)
		}},
		{"down", func() { must(t, "unitc", "down", "keeps") }},
		{"down --purge", func() {
			must(t, "unitc", "up", file)
			must(t, "unitc", "down", "--purge", "keeps")
		}},
		{"removing the image", func() { must(t, "unitc", "rmi", "--force", "localhost/keeps:1") }},
		{"a prune with nothing left", func() { must(t, "unitc", "prune", "--all", "--blobs", "--partial") }},
		{"systemd-tmpfiles", func() { must(t, "systemd-tmpfiles", "--clean", "--remove", "/usr/local/lib/tmpfiles.d/unitc.conf") }},
		{"uninstall", func() {
			must(t, "rm", "-f", "/etc/unitc/keeps.yaml~")
			installer(t, "uninstall")
			must(t, "cp", "-a", "/root/usr-local/.", "/usr/local")
			must(t, "systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/unitc.conf")
			reload(t)
		}},
	} {
		step.do()
		if now := keptVolumes(t); now != want {
			t.Fatalf("%s changes the volumes:\n%s\nbefore\n%s", step.name, now, want)
		}
	}

	// The words that do.
	names := strings.Fields(must(t, "unitc", "volume", "ls", "--quiet"))
	must(t, "unitc", "volume", "rm", "keeps_data")
	if now := must(t, "unitc", "volume", "ls", "--quiet"); strings.Contains(now, "keeps_data") || len(strings.Fields(now)) != len(names)-1 {
		t.Errorf("after `unitc volume rm keeps_data` there are\n%s", now)
	}
}

// offerPlatforms puts an image of two platforms into the registry: this
// machine's and one that says it is another's. Its programs are this machine's.
func (r *registry) offerPlatforms(t *testing.T, name, here, there string) (string, string) {
	t.Helper()
	own, foreign := "linux/"+runtime.GOARCH, "linux/riscv64"
	var manifests []map[string]any
	for platform, words := range map[string]string{own: here, foreign: there} {
		tag := map[string]string{own: "here", foreign: "there"}[platform]
		_, arch, _ := strings.Cut(platform, "/")
		archive := savedPlatform(t, "localhost/"+tag+":1", saying(words), arch, 0)
		must(t, "unitc", "load", "--quiet", archive)
		must(t, "unitc", "push", "--quiet", "localhost/"+tag+":1", r.host+"/"+name+":"+tag)
		must(t, "unitc", "rmi", "--force", "localhost/"+tag+":1")
		manifests = append(manifests, r.describe(t, name, tag, platform))
	}
	must(t, "unitc", "prune")
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPut, r.URL+"/v2/"+name+"/manifests/both", bytes.NewReader(index))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode >= 300 {
		t.Fatalf("putting the index: %s", answer.Status)
	}
	for _, kind := range []string{"blobs", "manifests", "questions"} {
		r.count(kind)
	}
	ref := r.host + "/" + name + ":both"
	t.Cleanup(func() {
		command(t, "unitc", "rmi", "--force", ref)
		command(t, "unitc", "rmi", "--force", ref)
		command(t, "unitc", "prune")
	})
	return ref, foreign
}

// describe is the entry of an index for a manifest that the registry has.
func (r *registry) describe(t *testing.T, name, tag, platform string) map[string]any {
	t.Helper()
	answer, err := http.Head(r.URL + "/v2/" + name + "/manifests/" + tag)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	system, arch, _ := strings.Cut(platform, "/")
	return map[string]any{
		"mediaType": answer.Header.Get("Content-Type"), "digest": answer.Header.Get("Docker-Content-Digest"), "size": answer.ContentLength,
		"platform": map[string]string{"os": system, "architecture": arch},
	}
}

// Two platforms of one name stand beside each other, and each start has the one
// that its definition says, also when the registry is away.
//
//lab:once
func TestPlatforms(t *testing.T) {
	cleanReload(t)
	r := startRegistry(t)
	name, foreign := r.offerPlatforms(t, "arches", "of this machine", "of another one")
	place(t, definitions+"mine.yaml", "image: "+name+"\ninit: true\n")
	place(t, definitions+"theirs.yaml", "image: "+name+"\ninit: true\nplatform: "+foreign+"\n")
	reload(t)
	endUnits(t, "mine", "theirs")
	must(t, "systemctl", "start", "theirs")
	awaitLine(t, "theirs", "of another one")
	must(t, "systemctl", "start", "mine")
	awaitLine(t, "mine", "of this machine")
	if list := must(t, "unitc", "images"); strings.Count(list, name) != 2 || !strings.Contains(list, name+" ("+foreign+")") {
		t.Errorf("the images are\n%s", list)
	}
	r.close(true)
	r.count("questions")
	for range 2 {
		must(t, "systemctl", "restart", "mine", "theirs")
	}
	for unit, words := range map[string]string{"mine": "of this machine", "theirs": "of another one"} {
		await(t, unit+" has started three times", func() bool {
			return strings.Count(must(t, "journalctl", "-q", "-o", "cat", "-u", unit), words+"\n") == 3
		})
	}
	if n := r.count("questions"); n > 0 {
		t.Errorf("for present images the registry was asked %d times", n)
	}
}

// x-update: local looks for a newer image among those that are here, and goes
// back as an update from a registry does.
//
//lab:once
func TestUpdateLocal(t *testing.T) {
	cleanReload(t)
	const name = "localhost/local-update:1"
	loadConfigured(t, name, saying("version one"))
	defineFor(t, "local-update", "image: "+name+"\ninit: true\nx-update: local\n")
	must(t, "systemctl", "start", "local-update")
	awaitLine(t, "local-update", "version one")
	update := func(want string, wantStatus int) {
		t.Helper()
		if out, status := command(t, "unitc", "update", "--settle", "200ms", "local-update"); status != wantStatus || !strings.Contains(out, want) {
			t.Errorf("unitc update: %d, %s", status, out)
		}
	}
	update("up to date", 0)
	load := func(words string) { must(t, "unitc", "load", "--quiet", savedImage(t, name, words)) }
	load(saying("version two"))
	update("updated", 0)
	awaitLine(t, "local-update", "version two")
	load(`{"Cmd": ["/bin/sh", "-c", "echo version three is broken; exit 1"]}`)
	update("rolled back", 1)
	if state := property(t, "local-update", "ActiveState"); state != "active" {
		t.Errorf("after going back it is %s", state)
	}
	if out := must(t, "journalctl", "-q", "-o", "cat", "-u", "local-update"); strings.Count(out, "version two\n") != 2 || !strings.Contains(out, "version three is broken") {
		t.Errorf("the journal says\n%s", out)
	}
}

// The verbs of images, on one image from its way in to its end.
//
//lab:once
func TestImageVerbs(t *testing.T) {
	cleanReload(t)
	loadBusybox(t, "localhost/first:1") // and /var/lib/unitc goes with it
	archive, saved := savedImage(t, "localhost/verbs:1", `{"Cmd": ["/bin/sh"], "Labels": {"of": "the image"}, "ExposedPorts": {"80/tcp": {}}}`), t.TempDir()+"/saved.tar"
	t.Cleanup(func() { command(t, "unitc", "rmi", "--force", "localhost/verbs:1", "localhost/verbs:2") })
	says := func(want string, words ...string) string {
		t.Helper()
		out := must(t, words[0], words[1:]...)
		if !strings.Contains(out, want) {
			t.Errorf("%q says %s; want %q in it", words, out, want)
		}
		return out
	}
	says("localhost/verbs:1", "sh", "-c", "gzip <"+archive+" | unitc load -q -")
	must(t, "unitc", "tag", "localhost/verbs:1", "localhost/verbs:2")
	says("localhost/verbs:2", "unitc", "images")
	says("the image", "unitc", "inspect", "localhost/verbs:2")
	says("80/tcp", "unitc", "inspect", "localhost/verbs:2")
	says("LAYER", "unitc", "history", "localhost/verbs:1")
	says("unpacked layers", "unitc", "df")
	must(t, "unitc", "save", "-o", saved, "localhost/verbs:1")
	must(t, "unitc", "rmi", "localhost/verbs:1")
	says("localhost/verbs:2", "unitc", "images")
	digest := strings.Fields(says("", "sh", "-c", "unitc images | grep verbs:2"))[1]

	// Damage is found, and put right from the stored blobs.
	found, err := filepath.Glob("/var/lib/unitc/layers/*/fs/seed/first")
	if err != nil || len(found) == 0 {
		t.Fatalf("%q, %v", found, err)
	}
	if err := os.WriteFile(found[0], []byte("from somebody\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, status := command(t, "unitc", "verify"); status != 1 || !strings.Contains(out, "seed/first") {
		t.Errorf("unitc verify: %d, %s", status, out)
	}
	says("(repaired)", "unitc", "verify", "--repair")
	must(t, "unitc", "verify")

	must(t, "unitc", "rmi", "localhost/verbs:2")
	says("localhost/verbs:1", "unitc", "load", "-q", saved)
	says(digest, "unitc", "images")
	must(t, "unitc", "rmi", "localhost/verbs:1")
	must(t, "unitc", "prune", "--all", "--partial")
	if left, _ := filepath.Glob("/var/lib/unitc/layers/*"); len(left) > 0 {
		t.Errorf("layers are left: %q", left)
	}
}

// "Mount cost does not grow with image size": a start looks at nothing in the
// layers but the users, and changes nothing; read_only: has no upper directory
// in the store.
//
//lab:once
func TestImageIsNotLookedAt(t *testing.T) {
	cleanReload(t)
	const command = `{"Cmd": ["/bin/sh", "-c", "touch /x && echo writable || echo read-only; exec sleep 1000"]}`
	loadConfigured(t, "localhost/unseen:1", command)
	defineFor(t, "unseen-rw", "image: localhost/unseen:1\ninit: true\n")
	defineFor(t, "unseen-ro", "image: localhost/unseen:1\ninit: true\nread_only: true\n")
	layers, err := filepath.Glob("/var/lib/unitc/layers/*/fs")
	if err != nil || len(layers) != 1 {
		t.Fatalf("layers %q, %v", layers, err)
	}
	// A look moves an access time that is older than the change (mount(8), relatime).
	old := func() { must(t, "find", layers[0], "-exec", "touch", "-h", "-a", "-d", "2001-01-01", "{}", "+") }
	old()
	seen := func() string {
		return must(t, "find", layers[0], "-not", "-path", layers[0]+"/etc/passwd", "-newerat", "2002-01-01", "-printf", "read: %P\n", "-o", "-cnewer", "/run/unseen", "-printf", "changed: %P\n")
	}
	place(t, "/run/unseen", "")
	must(t, "systemctl", "start", "unseen-rw", "unseen-ro")
	awaitLine(t, "unseen-rw", "writable")
	awaitLine(t, "unseen-ro", "read-only")
	if out := seen(); out != "" {
		t.Errorf("what was looked at in the layer, or changed:\n%s", out)
	}
	if _, err := os.ReadDir(layers[0] + "/etc"); err != nil || !strings.Contains(seen(), "etc\n") {
		t.Errorf("this test would see nothing: %v", err)
	}
	if own, _ := filepath.Glob("/var/lib/unitc/containers/unseen-*"); len(own) != 1 || !strings.Contains(own[0], "unseen-rw") {
		t.Errorf("of the containers there is %q", own)
	}
}
