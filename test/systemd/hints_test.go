// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tree makes a root file system below a directory that the container's root,
// whom the host does not know, may enter.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for dir := root; dir != "/tmp"; dir = filepath.Dir(dir) {
		must(t, "chmod", "755", dir)
	}
	for name, text := range files {
		place(t, filepath.Join(root, name), text)
		must(t, "chmod", "755", filepath.Join(root, name))
	}
	return root
}

// What, where and the cure stand in `systemctl status`, with the exit status
// that systemd names.
func TestStatusNamesTheCure(t *testing.T) {
	full := tree(t, nil)
	if err := unix.Mount("tmpfs", full, "tmpfs", 0, "size=4k,nr_inodes=2"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, "umount", full) })
	place(t, full+"/file", "x") // the last inode
	kill := t.TempDir() + "/kill.json"
	place(t, kill, `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"}]}`)
	for name, test := range map[string]struct {
		yaml   string
		dropIn string
		exit   string
		wanted []string
	}{
		"program": {"rootfs: " + tree(t, nil) + "\ncommand: [/nope]\n", "", "203",
			[]string{"program.yaml:2:1: error: exec-payload: execve /nope: no such file or directory; /nope is not inside the root file system; correct `command:`"}},
		"interpreter": {"rootfs: " + tree(t, map[string]string{"x": "#!/usr/bin/python3\n"}) + "\ncommand: [/x]\n", "", "203",
			[]string{"interpreter.yaml:2:1: error: exec-payload:", "/x is there, but its interpreter /usr/bin/python3 is not inside the root file system; install that"}},
		"user": {"rootfs: host\ncommand: [/bin/true]\nuser: nobodyhere\n", "", "217",
			[]string{`user.yaml:3:1: error: look-up-user: user "nobodyhere": no such entry inside the root file system; write a name that its etc/passwd, or of a group etc/group, has, or a number`}},
		"usersgroup": {"rootfs: host\ncommand: [/bin/true]\nuser: root:nobodyhere\n", "", "217",
			[]string{`usersgroup.yaml:3:1: error: look-up-user: group "nobodyhere": no such entry inside the root file system; write a name that its etc/passwd, or`}},
		"group": {"rootfs: host\ncommand: [/bin/true]\ngroup_add: [nobodyhere]\n", "", "217",
			[]string{`group.yaml:3:1: error: look-up-user: group "nobodyhere": no such entry inside the root file system; write a name that its etc/group has, or a number`}},
		"fulltmpfs": {"rootfs: " + full + "\nuserns_mode: host\ncommand: [/x]\n", "", "226",
			[]string{"fulltmpfs.yaml:1:1: error: mount: mkdirat mounts[0] dst=/proc creating proc: no space left on device; its file system is full (bytes or inodes)"}},
		"descriptors": {"rootfs: host\ncommand: [/bin/true]\n", "LimitNOFILE=12", "",
			[]string{"too many open files; the helper has no descriptors left, of which each volume takes one: raise LimitNOFILE= of the unit"}},
		// Too few for a stream of the helper's own: its words go by the payload's.
		"wordless": {"rootfs: host\ncommand: [/bin/true]\n", "LimitNOFILE=10", "",
			[]string{"too many open files; the helper has no descriptors left"}},
		"files": {"rootfs: host\ncommand: [/bin/true]\n", "LimitFSIZE=0", "233",
			[]string{"error: write-state: ", "file too large; a drop-in of the unit limits the size of files for the helper: take LimitFSIZE= out of it"}},
		"streams": {"rootfs: host\ncommand: [/bin/true]\nulimits: {nofile: 2}\n", "", "209",
			[]string{"streams.yaml:3:1: error: redirect-stdio: dup3 ", " as 2: bad file descriptor; nofile of `ulimits:` is too small"}},
		"twoprocesses": {"rootfs: host\ncommand: [/bin/true]\nuser: nobody\ninit: true\nulimits: {nproc: 1}\n", "", "203",
			[]string{"error: start-init: init: resource temporarily unavailable; a limit lets it have one process, and with `init: true` there are two: raise `pids_limit:`, or nproc of `ulimits:`"}},
		"sandboxed": {"rootfs: host\ncommand: [/bin/true]\n", "RestrictNamespaces=yes", "226",
			[]string{"error: clone-payload: clone3: function not implemented; a drop-in of the unit forbids namespaces (RestrictNamespaces="}},
		"nobody": {"rootfs: host\ncommand: [/bin/true]\n", "User=nobody", "78",
			[]string{"permission denied; the helper has to be root: take User= and DynamicUser= out of the unit's drop-ins"}},
		"noadmin": {"rootfs: host\ncommand: [/bin/true]\n", "CapabilityBoundingSet=~CAP_NET_ADMIN", "",
			[]string{"the helper needs CAP_NET_ADMIN of the host: a drop-in of the unit takes it away"}},
		"tunables": {"rootfs: host\ncommand: [/bin/true]\n", "ProtectKernelTunables=yes", "",
			[]string{"/proc/sys must be writable for the helper: a drop-in of the unit makes it read-only"}},
		"nosocket": {"rootfs: host\nnetwork_mode: none\ncommand: [/bin/true]\n", "RestrictAddressFamilies=AF_INET", "1",
			[]string{"open-notify-socket: ", "take RestrictAddressFamilies= out of it"}},
		"readonly": {"rootfs: host\ncommand: [/bin/true]\n", "ProtectSystem=strict", "",
			[]string{": read-only file system; /run must be writable for the helper"}},
		"nocgroup": {"rootfs: host\ncommand: [/bin/true]\n", "InaccessiblePaths=/sys/fs/cgroup", "219",
			[]string{"; /sys/fs/cgroup must show cgroup v2 and be writable for the helper"}},
	} {
		t.Run(name, func(t *testing.T) {
			cleanReload(t)
			place(t, definitions+name+".yaml", test.yaml)
			if test.dropIn != "" {
				place(t, "/etc/systemd/system/"+name+".service.d/test.conf", "[Service]\n"+test.dropIn+"\n")
			}
			reload(t)
			if out, status := command(t, "systemctl", "start", name); status == 0 {
				t.Fatalf("it started: %s", out)
			}
			out, _ := command(t, "systemctl", "status", "-l", name)
			for _, w := range test.wanted {
				if !strings.Contains(out, w) {
					t.Errorf("systemctl status lacks %q:\n%s", w, out)
				}
			}
			if log := must(t, "journalctl", "-q", "-o", "cat", "-u", name); strings.Contains(log, "<3>") {
				t.Errorf("a priority is text in the log:\n%s", log)
			}
			if got := property(t, name, "ExecMainStatus"); test.exit != "" && got != test.exit {
				t.Errorf("the exit status is %s, want %s", got, test.exit)
			}
			must(t, "systemctl", "reset-failed", name)
		})
	}
	cleanReload(t)
	place(t, definitions+"killed.yaml", "rootfs: host\ncommand: [/bin/sh, -c, 'sleep 0.3; exec hostname x']\nsecurity_opt: [seccomp="+kill+"]\n")
	reload(t)
	must(t, "systemctl", "start", "killed")
	for deadline := time.Now().Add(20 * time.Second); property(t, "killed", "ActiveState") != "failed"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it is still %s", property(t, "killed", "ActiveState"))
		}
	}
	await(t, "systemctl status says why", func() bool {
		out, _ := command(t, "systemctl", "status", "-l", "killed")
		return strings.Contains(out, "killed: the program made a system call that its seccomp profile answers with death")
	})
	must(t, "systemctl", "reset-failed", "killed")
}
