// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// converted writes Quadlet files, has definitions made of them, and reloads systemd.
func converted(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	convertTo(t, dir)
}

// convertTo runs unitc convert, and takes away what it made when the test ends.
func convertTo(t *testing.T, args ...string) {
	t.Helper()
	made := t.TempDir()
	must(t, "unitc", append([]string{"convert", "--output", made}, args...)...)
	items, err := os.ReadDir(made)
	if err != nil || len(items) == 0 {
		t.Fatalf("nothing was made: %v", err)
	}
	must(t, "unitc", "check", "-q", made)
	var names []string
	for _, item := range items {
		names = append(names, "/etc/unitc/"+item.Name())
		must(t, "mkdir", "-p", "/etc/unitc")
		must(t, "cp", "-p", filepath.Join(made, item.Name()), "/etc/unitc/")
	}
	t.Cleanup(func() {
		for _, name := range names {
			base := strings.TrimSuffix(filepath.Base(name), ".yaml")
			if base != filepath.Base(name) && !strings.HasSuffix(base, ".network") {
				must(t, "systemctl", "stop", "--", strings.Replace(base, "@", "@*", 1)+".service")
			}
			os.Remove(name)
		}
		must(t, "systemctl", "daemon-reload")
		must(t, "systemctl", "reset-failed")
	})
	must(t, "systemctl", "daemon-reload")
}

// A container of Quadlet with its volume, network, variables, check and user: the unit
// has its name, is ready when Podman's was, and the payload finds what it found.
func TestConvertQuadlet(t *testing.T) {
	loadBusybox(t, "localhost/convert:1")
	marker := filepath.Join(t.TempDir(), "started")
	place(t, "/etc/unitc/convert-web.secrets", "PASSWORD=a \"b\" $c\n")
	converted(t, map[string]string{
		"convert-front.network": "[Network]\nSubnet=10.87.0.0/24\n",
		"convert-data.volume":   "[Volume]\n",
		"convert-db.container":  "[Container]\nImage=localhost/convert:1\nNetwork=convert-front.network:ip=10.87.0.9\nContainerName=database\nExec=sleep 1000\nRunInit=true\n",
		"convert-web.container": `[Unit]
Description=A converted container
After=convert-db.container
Requires=convert-db.container

[Container]
Image=localhost/convert:1
Network=convert-front.network:alias=www
Volume=convert-data.volume:/data
User=1000
Environment="GREETING=hello, $$world" UNIT=%N
Secret=pw,type=env,target=PASSWORD
ReadOnly=true
HealthCmd=test -e /tmp/ready
HealthInterval=1s
Notify=healthy
AddCapability=NET_RAW
RunInit=true
Exec=sh -c "echo \"$$GREETING $$UNIT $$PASSWORD\"; cat /proc/self/status | grep CapBnd; sleep 2; echo > /tmp/ready; exec sleep 1000"

[Service]
Restart=on-failure
ExecStartPre=/bin/touch ` + marker + `
MemoryMax=64M

[Install]
WantedBy=multi-user.target
`})
	t.Cleanup(func() { command(t, "unitc", "volume", "rm", "convert-data") })
	must(t, "systemctl", "start", "convert-web.service")
	if got := property(t, "convert-web.service", "Description"); got != "A converted container" {
		t.Errorf("its description is %q", got)
	}
	if got := property(t, "convert-db.service", "ActiveState"); got != "active" {
		t.Errorf("what it requires is %s", got)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Error(err)
	}
	// It was not active before its check had succeeded.
	out, status := command(t, "unitc", "exec", "convert-web", "cat", "/tmp/ready")
	if status != 0 {
		t.Errorf("it is active and not ready: %d %s", status, out)
	}
	if out := must(t, "unitc", "exec", "convert-web", "id"); !strings.Contains(out, "uid=1000") {
		t.Errorf("it runs as %s", out)
	}
	await(t, "what it says", func() bool {
		out, _ := command(t, "journalctl", "-q", "-o", "cat", "-u", "convert-web.service")
		return strings.Contains(out, `hello, $world convert-web a "b" $c`)
	})
	for _, name := range []string{"database", "convert-db"} {
		if out := must(t, "unitc", "exec", "convert-web", "busybox", "nslookup", name); !strings.Contains(out, "10.87.0.9") {
			t.Errorf("%s is not 10.87.0.9: %s", name, out)
		}
	}
	if out := must(t, "unitc", "volume", "ls"); !strings.Contains(out, "convert-data") {
		t.Errorf("the volume is not there: %s", out)
	}
	if _, status := command(t, "unitc", "exec", "convert-web", "touch", "/etc/x"); status == 0 {
		t.Error("its root can be written to")
	}
	if got := property(t, "unitc-convert-web.scope", "MemoryMax"); got != "67108864" {
		t.Errorf("MemoryMax of its scope is %s", got)
	}
	if !startedWithSystem(t, "convert-web.service") || startedWithSystem(t, "convert-db.service") {
		t.Error("what starts with the system is not what [Install] says")
	}
}

// Containers of a pod share its network and are started and stopped by its unit, which
// ends with the last of them.
func TestConvertPod(t *testing.T) {
	loadBusybox(t, "localhost/convert:1")
	member := "[Container]\nImage=localhost/convert:1\nPod=convert.pod\nRunInit=true\nExec="
	converted(t, map[string]string{
		"convert.pod":         "[Pod]\nPublishPort=127.0.0.1:18498:80\n",
		"convert-a.container": member + `sh -c "exec busybox nc -ll -p 80 -e echo of-the-pod"` + "\n",
		"convert-b.container": member + "sleep 1000\n",
	})
	must(t, "systemctl", "start", "convert-pod.service")
	for _, unit := range []string{"convert-a.service", "convert-b.service"} {
		await(t, unit, func() bool { return property(t, unit, "ActiveState") == "active" })
	}
	await(t, "an answer on the pod's loopback", func() bool {
		out, _ := command(t, "unitc", "exec", "convert-b", "busybox", "nc", "-w", "2", "127.0.0.1", "80")
		return strings.Contains(out, "of-the-pod")
	})
	if out := must(t, "busybox", "nc", "-w", "2", "127.0.0.1", "18498"); !strings.Contains(out, "of-the-pod") {
		t.Errorf("the pod's port says %q", out)
	}
	must(t, "systemctl", "stop", "convert-a.service")
	if got := property(t, "convert-pod.service", "ActiveState"); got != "active" {
		t.Errorf("with one container left the pod is %s", got)
	}
	must(t, "systemctl", "stop", "convert-b.service")
	await(t, "the end of the pod", func() bool { return property(t, "convert-pod.service", "ActiveState") == "inactive" })
	must(t, "systemctl", "start", "convert-b.service")
	if got := property(t, "convert-pod.service", "ActiveState"); got != "active" {
		t.Errorf("a container has started, and its pod is %s", got)
	}
	must(t, "systemctl", "stop", "convert-pod.service")
	await(t, "the end of its containers", func() bool { return property(t, "convert-b.service", "ActiveState") == "inactive" })
}

// A template, a reload by a signal, and what is ready without being healthy.
func TestConvertTemplate(t *testing.T) {
	loadBusybox(t, "localhost/convert:1")
	converted(t, map[string]string{
		"convert-t@.container": "[Container]\nImage=localhost/convert:1\nNetwork=none\nEnvironment=WHICH=%i\nReloadSignal=HUP\nHealthCmd=false\n" +
			`Exec=sh -c "trap 'echo reloaded %i' HUP; trap exit TERM; echo I am $${WHICH}; while :; do sleep 0.1; done"` + "\n"})
	must(t, "systemctl", "start", "convert-t@one.service")
	says := func(text string) {
		t.Helper()
		await(t, text, func() bool {
			out, _ := command(t, "journalctl", "-q", "-o", "cat", "-u", "convert-t@one.service")
			return strings.Contains(out, text)
		})
	}
	says("I am one")
	must(t, "systemctl", "reload", "convert-t@one.service")
	says("reloaded one")
	must(t, "systemctl", "stop", "convert-t@one.service")
}

func TestConvertCommandLine(t *testing.T) {
	loadBusybox(t, "localhost/convert:1")
	convertTo(t, "--", "docker", "run", "-itd", "--init", "--name", "convert-run", "--network", "none", "-e", "A=b c$d", "-v", "convert-run:/v", "--user", "1000",
		"--memory", "64m", "--tmpfs", "/x:size=1m", "--restart=unless-stopped", "localhost/convert:1", "sh", "-c", `echo "$A" > /x/a; exec sleep 1000`)
	t.Cleanup(func() { command(t, "unitc", "volume", "rm", "convert-run") })
	must(t, "systemctl", "start", "convert-run.service")
	await(t, "what it writes", func() bool {
		out, _ := command(t, "unitc", "exec", "convert-run", "cat", "/x/a")
		return strings.TrimSpace(out) == "b c$d"
	})
	if !startedWithSystem(t, "convert-run.service") {
		t.Error("it does not start with the system")
	}
}

// A network of which the command line gives an address alone is one that has it.
func TestConvertCommandLineAddress(t *testing.T) {
	loadBusybox(t, "localhost/convert:1")
	convertTo(t, "--", "docker", "run", "-d", "--init", "--name", "convert-lan", "--network", "name=convlan,ip=10.87.3.7,alias=www", "--mount", "type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=1770",
		"localhost/convert:1", "sleep", "1000")
	must(t, "systemctl", "start", "convert-lan.service")
	if out := must(t, "unitc", "exec", "convert-lan", "busybox", "nslookup", "www"); !strings.Contains(out, "10.87.3.7") {
		t.Errorf("www is not 10.87.3.7: %s", out)
	}
}

// A user's files become the user's definitions: %h and %t are the user's, and what a
// user cannot have is lost and not refused.
func TestConvertUser(t *testing.T) {
	s := newSession(t)
	archive := savedImage(t, "localhost/convert:1", `{"Cmd": ["/bin/sh"]}`)
	place(t, s.home+"/image.tar", file(t, archive))
	s.must("unitc", "--user", "load", "--quiet", s.home+"/image.tar")
	dir := s.home + "/.config/containers/systemd"
	s.must("mkdir", "-p", dir, s.home+"/notes", s.home+"/.config/unitc")
	place(t, dir+"/note.container", `[Unit]
After=network-online.target
[Container]
Image=localhost/convert:1
Network=note.network
Volume=%h/notes:/notes
Environment=HOME_IS=%h RUN_IS=%t
AutoUpdate=registry
UserNS=keep-id
AddDevice=/dev/fuse
RunInit=true
ReloadSignal=HUP
Exec=sh -c "trap 'echo again > /notes/again' HUP; trap exit TERM; echo $${HOME_IS} $${RUN_IS} > /notes/said; while :; do sleep 0.1; done"
[Install]
WantedBy=multi-user.target default.target
`)
	place(t, dir+"/note.network", "[Network]\nInternal=true\n") // the machine has no pasta
	report := s.must("unitc", "--user", "convert", "--output", s.home+"/.config/unitc", dir)
	for _, lost := range []string{"note.container:4:1: note: Image=: no registry has the image; unitc --user load ", "note.container:9:1: warning: UserNS=: ", "note.container:10:1: warning: AddDevice=: "} {
		if !strings.Contains(report, lost) {
			t.Errorf("the report has no %q:\n%s", lost, report)
		}
	}
	s.must("unitc", "--user", "check", "-q")
	definition := file(t, s.home+"/.config/unitc/note.yaml")
	if !strings.Contains(definition, "\nx-update: registry\n") {
		t.Errorf("it is not updated:\n%s", definition)
	}
	s.must("systemctl", "--user", "daemon-reload")
	s.must("systemctl", "--user", "start", "note")
	await(t, "what it says", func() bool {
		text, _ := os.ReadFile(s.home + "/notes/said")
		return string(text) == s.home+" /run/user/1500\n"
	})
	s.must("systemctl", "--user", "reload", "note")
	await(t, "its reload", func() bool { _, err := os.Stat(s.home + "/notes/again"); return err == nil })
	if out := s.must("systemctl", "--user", "list-dependencies", "--plain", "default.target"); !strings.Contains(out, "note.service") {
		t.Errorf("it does not start with the user's login:\n%s\n%s", out, definition)
	}
	s.must("systemctl", "--user", "stop", "note")
}
