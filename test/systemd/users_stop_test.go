// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"path/filepath"
	"strings"
	"testing"
)

// A stop makes no namespace of the user's for what the user alone can take away, whatever
// modes that has; what other ids have written is taken away in it, also what an earlier
// one could not.
//
//lab:once
func TestUserStopWithoutNamespace(t *testing.T) {
	s := newSession(t)
	archive := savedImage(t, "localhost/box:1", `{"Cmd": ["sh"]}`)
	must(t, "install", "-o", somebody, archive, s.home+"/box.tar")
	s.must("unitc", "--user", "load", s.home+"/box.tar")
	const image = "image: localhost/box:1\npull_policy: never\nnetwork_mode: none\nstop_grace_period: 0s\ncommand: [/bin/busybox, sh, -c, 'cd /; mkdir -p shut/in/deep odd; echo x >shut/in/deep/file; ln -s /home odd/link; chmod 0 odd shut/in/deep shut/in shut; WRITE; echo ready; exec sleep 1000']\n"
	s.define("own.yaml", strings.Replace(image, "WRITE", "true", 1))
	s.define("dir.yaml", "rootfs: host\nnetwork_mode: none\nstop_grace_period: 0s\ncommand: [sleep, \"1000\"]\n")
	s.define("foreign.yaml", strings.Replace(image, "WRITE", "mkdir theirs; echo x >theirs/file; chown -R 33:33 theirs", 1))
	s.must("systemctl", "--user", "start", "own", "dir", "foreign")
	s.says("own", "ready")
	s.says("foreign", "ready")
	// From here on a namespace cannot be made.
	place(t, "/etc/subuid", "another:100000:65536\n")
	s.must("systemctl", "--user", "stop", "own", "dir", "foreign")
	trash := s.home + "/.local/share/unitc/trash/*"
	for _, name := range []string{"own", "dir"} {
		s.isGone(name)
		if text := s.logs(name); strings.Contains(text, "usermod") {
			t.Errorf("the stop of %s wanted a namespace:\n%s", name, text)
		}
	}
	s.isGone("foreign")
	s.says("unitc-sweep", "usermod")
	if left, _ := filepath.Glob(trash); len(left) != 1 {
		t.Errorf("the trash has %q, and should have what foreign wrote", left)
	}
	place(t, "/etc/subuid", somebody+":100000:65536\n")
	s.must("systemctl", "--user", "start", "foreign")
	await(t, "it runs again", func() bool { return strings.Count(s.logs("foreign"), "ready\n") == 2 })
	s.must("systemctl", "--user", "stop", "foreign")
	s.isGone("foreign")
	await(t, "the trash is empty", func() bool { left, _ := filepath.Glob(trash); return len(left) == 0 })
	if out := must(t, "ls", "/home"); !strings.Contains(out, somebody) {
		t.Errorf("a link was followed: /home has %q", out)
	}
}
