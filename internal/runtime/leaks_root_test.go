// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
)

func init() {
	probes["key"] = func(description string) string {
		_, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", description, 0)
		return outcome(err)
	}
	probes["kill"] = func(pid string) string {
		n, err := strconv.Atoi(pid)
		if err != nil {
			return err.Error()
		}
		return outcome(unix.Kill(n, 0))
	}
	// Another program, and one probe in it.
	probes["exec"] = func(arg string) string {
		program, probe, _ := strings.Cut(arg, ",")
		out, err := exec.Command(program, "payload", probe).Output()
		if err != nil {
			return err.Error()
		}
		seen := map[string]string{}
		if err := json.Unmarshal(out, &seen); err != nil {
			return err.Error()
		}
		return seen[probe]
	}
}

// A key in the helper's session keyring is not found from inside, even where
// seccomp would let the payload look.
func TestSessionKeyring(t *testing.T) {
	errs := make(chan map[string]string, 2)
	go func() {
		goruntime.LockOSThread() // keyrings are a thread's own
		defer close(errs)
		if _, err := unix.KeyctlJoinSessionKeyring("unitc-test"); err != nil {
			errs <- map[string]string{"join": err.Error()}
			return
		}
		if _, err := unix.AddKey("user", "unitc-secret", []byte("x"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
			errs <- map[string]string{"add": err.Error()}
			return
		}
		errs <- map[string]string{"outside": probes["key"]("unitc-secret")}
		c := newContainer(t)
		c.service.UsernsMode, c.service.SecurityOpt = "host", []string{"seccomp=unconfined"}
		errs <- c.run("key=unitc-secret")
	}()
	expect(t, <-errs, map[string]string{"outside": "ok"})
	expect(t, <-errs, map[string]string{"key=unitc-secret": "ENOKEY"})
}

// What systemd hands to the helper is the helper's: its notify socket, passed
// sockets, credentials, watchdog.
func TestNothingOfSystemdReachesThePayload(t *testing.T) {
	for _, name := range []string{"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDNAMES", "CREDENTIALS_DIRECTORY", "WATCHDOG_USEC", "INVOCATION_ID", "JOURNAL_STREAM", "RUNTIME_DIRECTORY", "MAINPID"} {
		t.Setenv(name, "/run/secret")
	}
	t.Setenv("LISTEN_FDS", "2")
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0) // without CLOEXEC, as systemd passes them
	must(t, err)
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	for _, init := range []bool{false, true} {
		c := newContainer(t)
		c.service.Init = init
		c.look(map[string]string{
			"fds": "0 1 2",
			"env": "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\ncontainer=unitc\nHOME=/",
		})
	}
}

// CVE-2026-57231 and CVE-2020-14370: nothing of the host's or of another
// container's environment.
func TestEnvironmentsAreDisjoint(t *testing.T) {
	t.Setenv("HOSTSECRET", "x")
	text := "one"
	a := newContainer(t)
	a.service.Environment = []definition.Env{{Name: "A", Value: &text}}
	if got := a.run("env")["env"]; strings.Contains(got, "HOSTSECRET") || !strings.Contains(got, "A=one") {
		t.Errorf("the first container's environment: %s", got)
	}
	if got := newContainer(t).run("env")["env"]; strings.Contains(got, "A=one") {
		t.Errorf("the second container's environment: %s", got)
	}
}

// The state of unitc and the sockets of systemd are not there, with the host's
// /usr as the root file system neither.
func TestTheHostsRunIsNotInside(t *testing.T) {
	tools := newContainer(t)
	c := newContainer(t)
	c.service.RootFS = "host"
	c.service.Volumes = []definition.Volume{{Type: definition.VolumeBind, Source: tools.root, Target: "/srv"}}
	want := []string{"list=/run", "stat=/run/unitc", "stat=/run/systemd", "stat=/var/run/dbus", "stat=/etc/shadow", "stat=/etc/unitc", "stat=/root/.ssh", "list=/home"}
	c.service.Command = append([]string{"/srv/payload", "payload"}, want...)
	out, err := c.exec()
	must(t, err)
	seen := map[string]string{}
	must(t, json.Unmarshal(out, &seen))
	expect(t, seen, map[string]string{
		"list=/run": "lock", "stat=/run/unitc": "ENOENT", "stat=/run/systemd": "ENOENT", "stat=/var/run/dbus": "ENOENT",
		"stat=/etc/shadow": "ENOENT", "stat=/etc/unitc": "ENOENT", "stat=/root/.ssh": "ENOENT", "list=/home": "",
	})
}

// CVE-2024-5154 and its kind: files that runtimes write into a root file system
// are links to the host. Nothing is written through them, and they stay.
func TestLinksOfTheImageAreNotWrittenThrough(t *testing.T) {
	decoy := t.TempDir()
	must(t, os.WriteFile(decoy+"/file", []byte("of the host"), 0o644))
	c := newContainer(t)
	names := []string{"etc/mtab", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/passwd", "etc/group", "etc/localtime", "etc/machine-id", ".dockerenv"}
	for _, name := range names {
		must(t, os.Symlink(decoy+"/file", filepath.Join(c.root, name)))
	}
	must(t, os.Symlink(decoy, c.root+"/run"))
	must(t, os.Symlink(decoy, c.root+"/var"))
	c.service.Hostname, c.service.Domainname = "box", "example.org"
	c.look(map[string]string{"hostname": "box", "read=/etc/hosts": "ENOENT", "create=/etc/hosts": "ENOENT"})
	entries, err := os.ReadDir(decoy)
	must(t, err)
	text, err := os.ReadFile(decoy + "/file")
	must(t, err)
	if len(entries) != 1 || string(text) != "of the host" {
		t.Errorf("the decoy on the host has %v and %q", entries, text)
	}
	for _, name := range names {
		if target, err := os.Readlink(filepath.Join(c.root, name)); err != nil || target != decoy+"/file" {
			t.Errorf("%s is %q (%v)", name, target, err)
		}
	}
}

// CVE-2022-4318: a home directory, or HOME itself, that would add a line to
// passwd if anybody wrote it there.
func TestHostileHomes(t *testing.T) {
	passwd := "a:x:5:5::relative:/bin/sh\nb:x:6:6::/home/\x00b:/bin/sh\nc:x:7:7:::/bin/sh\nd:x:8:8::/home/d:/bin/sh\n"
	for user, want := range map[string]string{"a": "HOME=/", "b": "HOME=/", "c": "HOME=/", "d": "HOME=/home/d"} {
		c := newContainer(t)
		c.write("etc/passwd", passwd)
		c.service.User = user
		lines := strings.Split(c.run("env")["env"], "\n")
		if got := lines[len(lines)-1]; got != want {
			t.Errorf("user %s: %q, want %q", user, got, want)
		}
	}
	c := newContainer(t)
	c.write("etc/passwd", passwd)
	home := "x\nroot2::0:0::/:/bin/sh"
	c.service.User, c.service.Environment = "1234", []definition.Env{{Name: "HOME", Value: &home}}
	c.look(map[string]string{"read=/etc/passwd": passwd, "ids": "1234 0 []"})
	if got, err := os.ReadFile(c.root + "/etc/passwd"); err != nil || string(got) != passwd {
		t.Errorf("etc/passwd is %q (%v)", got, err)
	}
}

// A setuid program of the image gives nothing under no_new_privs; without that
// the same file gives root inside, so the test is known to bite.
func TestSetuidProgramsGiveNothing(t *testing.T) {
	for option, want := range map[string]string{"": "1000\t1000\t1000\t1000", "no-new-privileges=false": "1000\t0\t0\t0"} {
		c := newContainer(t)
		copyFile(t, c.root+"/payload", c.root+"/suid")
		must(t, os.Chmod(c.root+"/suid", os.ModeSetuid|0o755))
		c.service.User = "1000"
		if option != "" {
			c.service.SecurityOpt = []string{option}
		}
		c.look(map[string]string{"exec=/suid,status=Uid": want, "status=Uid": "1000\t1000\t1000\t1000", "stat=/suid": "104755 0:0"})
	}
}

// Processes of the host cannot be signalled: they are not there, and with the
// host's PID namespace they belong to somebody else.
func TestSignalsToTheHost(t *testing.T) {
	sleep := exec.Command("sleep", "60")
	must(t, sleep.Start())
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	probe := fmt.Sprintf("kill=%d", sleep.Process.Pid)
	for _, test := range []struct {
		pid, userns, user, want string
	}{
		{"", "", "", "ESRCH"},
		{"", "host", "", "ESRCH"},
		{"host", "", "", "EPERM"},
		{"host", "host", "1000", "EPERM"},
		{"host", "host", "", "ok"}, // the two relaxations together: it bites
	} {
		c := newContainer(t)
		c.service.PID, c.service.UsernsMode, c.service.User = test.pid, test.userns, test.user
		if got := c.run(probe)[probe]; got != test.want {
			t.Errorf("pid %q, userns_mode %q, user %q: %s, want %s", test.pid, test.userns, test.user, got, test.want)
		}
	}
}

// CVE-2023-25809: without a cgroup namespace the tree is the host's, and still
// read-only; hooks into it are not there.
func TestCgroupNamespaceOfTheHost(t *testing.T) {
	c := newContainer(t)
	c.service.Cgroup, c.service.UsernsMode = "host", "host"
	host, err := os.Readlink("/proc/self/ns/cgroup")
	must(t, err)
	c.look(map[string]string{
		"link=/proc/self/ns/cgroup": host, "create=/sys/fs/cgroup/x": "EROFS", "write=/sys/fs/cgroup/cgroup.procs": "EROFS", "remount=/sys/fs/cgroup": "EPERM",
		"stat=/sys/fs/cgroup/release_agent": "ENOENT",
	})
}

// CVE-2026-40226, CVE-2025-24965: files in or beside a root file system that
// other tools take for configuration are data here.
func TestConfigurationInTheImageIsIgnored(t *testing.T) {
	c := newContainer(t)
	plain := c.run("status=CapEff", "env", "ids", "mounts")
	must(t, os.MkdirAll(c.root+"/etc/unitc", 0o755))
	for name, text := range map[string]string{
		"etc/unitc/test.yaml": "privileged: true\n", "config.json": `{"process": {"user": {"uid": 7}}}`, ".krun_config.json": "{}", "etc/environment": "EVIL=1\n",
		"etc/ld.so.preload": "/evil.so\n",
	} {
		c.write(name, text)
	}
	must(t, os.WriteFile(c.root+".nspawn", []byte("[Exec]\nPrivateUsers=no\n"), 0o644))
	defer os.Remove(c.root + ".nspawn")
	c.look(plain)
}

// security_opt's mask and unmask, from inside; a profile or a label that the
// host cannot give refuses the start.
func TestSecurityOptions(t *testing.T) {
	c := newContainer(t)
	c.write("srv/secret", "x")
	c.service.SecurityOpt = []string{"mask=/srv/secret", "unmask=/sys/module"}
	c.look(map[string]string{"read=/srv/secret": "", "list=/sys/firmware": ""})
	if seen := c.run("list=/sys/module"); seen["list=/sys/module"] == "" {
		t.Error("/sys/module is masked all the same")
	}
	for _, option := range []string{"apparmor=no-such-profile", "label=type:no_such_t"} {
		c := newContainer(t)
		c.service.SecurityOpt, c.service.Command = []string{option}, []string{"/payload", "payload"}
		if out, err := c.exec(); err == nil {
			t.Errorf("%s: started without it: %s", option, out)
		}
	}
}
