// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"strings"
	"testing"
)

// What a container has changed is told as docker diff does, and its files come out as they
// are inside, without what is mounted.
//
//lab:once
func TestChangesAndExport(t *testing.T) {
	cleanReload(t)
	forgetVolumes(t)
	script := "PATH=/bin; busybox mkdir -p /new/sub; echo a >/new/sub/f; echo b >>/etc/passwd; busybox rm /seed/first; busybox ln -s /nowhere /tmp/link; echo v >/data/inside; busybox chown 1000:1000 /new/sub/f; busybox rm -r /etc/dir; busybox mkdir /etc/dir; echo y >/etc/dir/other; echo done; exec busybox sleep 1000"
	// An image with a directory of two files, which is made of a container's own files.
	loadConfigured(t, "localhost/plain:1", `{"Cmd": ["/bin/sh", "-c", "PATH=/bin; busybox mkdir /etc/dir; echo 1 >/etc/dir/one; echo 2 >/etc/dir/two; echo ready; exec busybox sleep 1000"]}`)
	defineFor(t, "exported", "image: localhost/plain:1\ninit: true\nnetwork_mode: none\nvolumes: [stuff:/data]\n")
	must(t, "systemctl", "start", "exported")
	awaitLine(t, "exported", "ready")
	tar := t.TempDir() + "/root.tar"
	must(t, "unitc", "export", "-o", tar, "exported")
	must(t, "systemctl", "stop", "exported")
	must(t, "unitc", "load", "--quiet", "--rootfs", "--name", "localhost/changed:1", "--cmd", "/bin/sh", "--cmd", "-c", "--cmd", script, tar)
	t.Cleanup(func() { command(t, "unitc", "rmi", "--force", "localhost/changed:1") })

	defineFor(t, "changed", "image: localhost/changed:1\ninit: true\nnetwork_mode: none\nvolumes: [stuff:/data, other:/made/for/it]\n")
	must(t, "systemctl", "start", "changed")
	awaitLine(t, "changed", "done")
	const want = `C /etc
C /etc/dir
D /etc/dir/one
A /etc/dir/other
D /etc/dir/two
C /etc/passwd
A /made
A /made/for
A /new
A /new/sub
A /new/sub/f
C /seed
D /seed/first
C /tmp
A /tmp/link
`
	if got := must(t, "unitc", "changes", "changed"); got != want {
		t.Errorf("it has changed\n%s", got)
	}
	var list []struct{ Kind, Path string }
	if err := json.Unmarshal([]byte(must(t, "unitc", "changes", "--json", "changed")), &list); err != nil || len(list) != strings.Count(want, "\n") || list[0].Kind != "C" || list[0].Path != "/etc" {
		t.Errorf("%v: %v", list, err)
	}
	must(t, "unitc", "export", "-o", tar, "changed")
	names := must(t, "tar", "--numeric-owner", "-tvf", tar)
	for _, line := range []string{" ./new/sub/f\n", " ./etc/dir/other\n", " ./tmp/link -> /nowhere\n", " ./data/\n", " ./proc/\n", " ./made/for/it/\n"} {
		if strings.Count(names, line) != 1 {
			t.Errorf("%q is there %d times:\n%s", line, strings.Count(names, line), names)
		}
	}
	for _, not := range []string{"/seed/first", "/etc/dir/one", "/data/inside", "/proc/1", "/dev/null"} {
		if strings.Contains(names, not) {
			t.Errorf("%s is there", not)
		}
	}
	for _, line := range strings.Split(names, "\n") {
		if strings.HasSuffix(line, " ./new/sub/f") && !strings.Contains(line, " 1000/1000 ") || strings.HasSuffix(line, " ./bin/busybox") && !strings.Contains(line, " 0/0 ") {
			t.Errorf("the owner is another: %s", line)
		}
	}
	if out, status := command(t, "sh", "-c", "unitc export changed | tar -t | grep -c new/sub/f"); status != 0 || out != "1\n" {
		t.Errorf("by a pipe: %d, %s", status, out)
	}
	must(t, "systemctl", "stop", "changed")
	for _, verb := range []string{"changes", "export"} {
		if out, status := command(t, "unitc", verb, "changed"); status != 1 || !strings.Contains(out, "changed is not running") {
			t.Errorf("%s of one that has stopped: %d, %s", verb, status, out)
		}
	}
	defineFor(t, "unchanged", "image: localhost/plain:1\ninit: true\nnetwork_mode: none\nread_only: true\ncommand: [/bin/busybox, sleep, '1000']\n")
	defineFor(t, "directory", "rootfs: host\nstop_signal: SIGKILL\ncommand: [sleep, infinity]\n")
	must(t, "systemctl", "start", "unchanged", "directory")
	if out := must(t, "unitc", "changes", "unchanged"); out != "" {
		t.Errorf("a read-only one has changed %s", out)
	}
	if out, status := command(t, "unitc", "changes", "directory"); status != 1 || !strings.Contains(out, "no image") {
		t.Errorf("%d, %s", status, out)
	}
}

// Capabilities of programs are those that the container's root gave.
//
//lab:once
func TestExportKeepsCapabilities(t *testing.T) {
	cleanReload(t)
	loadConfigured(t, "localhost/capable:1", `{"Cmd": ["/bin/sh", "-c", "echo ready; exec sleep 1000"]}`)
	defineFor(t, "capable", "image: localhost/capable:1\ninit: true\nnetwork_mode: none\n")
	must(t, "systemctl", "start", "capable")
	awaitLine(t, "capable", "ready")
	var plan struct{ Root struct{ Lowers []string } }
	if err := json.Unmarshal([]byte(file(t, "/run/unitc/capable/plan.json")), &plan); err != nil || len(plan.Root.Lowers) == 0 {
		t.Fatal(err)
	}
	must(t, "systemctl", "stop", "capable")
	program := plan.Root.Lowers[len(plan.Root.Lowers)-1] + "/bin/busybox"
	must(t, "setcap", "cap_chown+ep", program)
	t.Cleanup(func() { must(t, "setcap", "-r", program) })
	must(t, "systemctl", "start", "capable")
	dir := t.TempDir()
	must(t, "sh", "-c", "unitc export capable | tar -C "+dir+" --xattrs --xattrs-include='*' -x")
	if out := must(t, "getcap", "-n", dir+"/bin/busybox"); !strings.HasSuffix(out, "cap_chown=ep\n") || strings.Contains(out, "rootid") {
		t.Errorf("the program has %q", out)
	}
}

// A user's container is told and exported as root's is.
//
//lab:once
func TestUserChangesAndExport(t *testing.T) {
	s := newSession(t)
	saved := savedImage(t, "localhost/mine:1", `{"Cmd": ["/bin/sh", "-c", "PATH=/bin; echo b >>/etc/passwd; busybox rm /seed/first; busybox mkdir /new; busybox chown 1000 /new; echo done; exec sleep 1000"]}`)
	must(t, "cp", saved, s.home+"/mine.tar")
	must(t, "chown", somebody, s.home+"/mine.tar")
	s.must("unitc", "--user", "load", "--quiet", s.home+"/mine.tar")
	s.define("mine.yaml", "image: localhost/mine:1\ninit: true\nnetwork_mode: none\n")
	s.must("systemctl", "--user", "start", "mine")
	s.says("mine", "done")
	if got, want := s.must("unitc", "--user", "changes", "mine"), "C /etc\nC /etc/passwd\nA /new\nC /seed\nD /seed/first\n"; got != want {
		t.Errorf("it has changed\n%s", got)
	}
	s.must("unitc", "--user", "export", "-o", s.home+"/root.tar", "mine")
	if out := s.must("stat", "-c", "%U", s.home+"/root.tar"); out != somebody+"\n" {
		t.Errorf("the file is %s's", out)
	}
	if out := s.must("tar", "--numeric-owner", "-tvf", s.home+"/root.tar"); !strings.Contains(out, " 1000/0 ") || !strings.Contains(out, "./new/") || strings.Contains(out, "seed/first") {
		t.Errorf("it has\n%s", out)
	}
	s.must("systemctl", "--user", "stop", "mine")
}
