// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unsafePrograms are unitc and its helper, where UNITC_UNSAFE leaves a protection away.
const unsafePrograms = "/opt/unitc-unsafe"

// raceTime is how long attackers race against what is shipped.
const raceTime = 2 * time.Second

// exchange has threads swap two names until the function that it gives is called.
func exchange(a, b string) func() {
	var attackers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		attackers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
				}
			}
		})
	}
	return func() { close(stop); attackers.Wait() }
}

// A payload exchanges a directory with a link to the host while `unitc cp` copies
// into it and out of it (CVE-2018-15664). Without the protection the attack works.
//
//lab:once
func TestAttackOnCopy(t *testing.T) {
	const dir = "/run/attack-cp"
	t.Cleanup(func() { os.RemoveAll(dir) })
	place(t, dir+"/decoy/secret", "of the host")
	place(t, dir+"/vol/dir/secret", "inside")
	place(t, dir+"/file", "copied")
	if err := os.Symlink(dir+"/decoy", dir+"/vol/link"); err != nil {
		t.Fatal(err)
	}
	defineFor(t, "attack-cp", sleeper+"volumes: ['"+dir+"/vol:/vol']\n")
	must(t, "systemctl", "start", "attack-cp")
	defer exchange(dir+"/vol/dir", dir+"/vol/link")()
	reached := func(program, off string) bool {
		for _, args := range [][]string{{dir + "/file", "attack-cp:/vol/dir/made"}, {"attack-cp:/vol/dir/secret", dir + "/out"}} {
			cmd := exec.Command(program, append([]string{"cp"}, args...)...)
			cmd.Env = append(os.Environ(), "UNITC_UNSAFE="+off)
			_ = cmd.Run() // while it is a link to nowhere there is nothing to copy
		}
		out, _ := os.ReadFile(dir + "/out")
		_, err := os.Lstat(dir + "/decoy/made")
		return err == nil || string(out) == "of the host"
	}
	tries := 0
	for end := time.Now().Add(raceTime); time.Now().Before(end); tries++ {
		if reached("unitc", "") {
			t.Fatalf("try %d has reached the host", tries)
		}
	}
	if _, err := os.Lstat(dir + "/out"); err != nil {
		t.Errorf("none of %d tries has copied anything", tries)
	}
	for end := time.Now().Add(patience); !reached(unsafePrograms+"/unitc", "copy-inside"); {
		if time.Now().After(end) {
			t.Fatal("it does not work without the protection either, so the test proves nothing")
		}
	}
}

// Names of users, as the image's files have them, that would make the payload root
// or read the host's files: the start fails, or the ids are others. Without the
// protection each of them works.
//
//lab:once
func TestAttackByNamesOfUsers(t *testing.T) {
	const root = "/var/lib/attack-names"
	t.Cleanup(func() { os.RemoveAll(root) })
	for _, dir := range []string{"bin", "dev", "proc", "sys", "tmp", "run"} {
		if err := os.MkdirAll(root+"/rootfs/"+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "cp", "/bin/busybox", root+"/rootfs/bin/sh")
	place(t, root+"/host/passwd", "web:x:0:0::/:/bin/sh\n")
	const usual = "web:x:5:5::/:/bin/sh\n"
	const evil = "web:x:7:7::/:/bin/sh\n"
	long := "x:" + strings.Repeat("y", 2<<20) + "\n"
	for _, c := range []struct{ name, user, passwd, group, off, harm string }{
		{"user-too-large", "web", "web:x:4294967296:5::/:/bin/sh\n", "", "ids-that-fit", "uid=0"},
		{"group-of-user-too-large", "web", "web:x:5:4294967296::/:/bin/sh\n", "", "ids-that-fit", "gid=0"},
		{"group-too-large", "web:staff", usual, "staff:x:4294967296:\n", "ids-that-fit", "gid=0"},
		{"number-as-name", "1000", "1000:x:0:0::/:/bin/sh\n", "", "numbers-are-ids", "uid=0"},
		{"link-to-the-host", "web", "-> " + root + "/host/passwd", "", "in-root", "uid=0"},
		{"race-to-the-host", "web", usual, "", "in-root", "uid=0"},
		{"line-of-megabytes", "web", long + evil, "", "name-file-limit", "uid=7"},
		{"group-line-of-megabytes", "web:staff", usual, long + "staff:x:7:\n", "name-file-limit", "gid=7"},
		{"many-megabytes", "web", strings.Repeat("#\n", 6<<20) + evil, "", "name-file-limit", "uid=7"},
		{"group-of-many-megabytes", "web:staff", usual, strings.Repeat("#\n", 6<<20) + "staff:x:7:\n", "name-file-limit", "gid=7"},
		{"fifo", "web", "fifo: " + strings.Repeat(evil, 9), "", "name-file-limit", "uid=7"},
		{"group-fifo", "web:staff", usual, "fifo: " + strings.Repeat("staff:x:7:\n", 9), "name-file-limit", "gid=7"},
		{"device", "7", "device: 3", "", "name-file-limit", "uid=7"}, // null: there is nobody in it
		{"group-device", "web", evil, "device: 3", "name-file-limit", "uid=7"},
		// What is left away here is the byte, or the device.
		{"endless-device", "7", "device: 5", "", "", "uid=7"},
		{"nul-in-name", "web", "web\x00:x:7:7::/:/bin/sh\n", "", "", "uid=7"},
		{"nul-before-name", "web", "\x00web:x:7:7::/:/bin/sh\n", "", "", "uid=7"},
		{"nul-in-id", "web", "web:x:7\x00:7::/:/bin/sh\n", "", "", "uid=7"},
		{"nul-in-group", "web:staff", usual, "staff\x00:x:7:\n", "", "gid=7"},
		{"nul-in-id-of-group", "web:staff", usual, "staff:x:7\x00:\n", "", "gid=7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.RemoveAll(root + "/rootfs/etc"); err != nil {
				t.Fatal(err)
			}
			placeNames(t, root+"/rootfs/etc/group", c.group)
			placeNames(t, root+"/rootfs/etc/passwd", c.passwd)
			name := "attack-" + c.name
			defineFor(t, name, "rootfs: "+root+"/rootfs\nuser: \""+c.user+"\"\nnetwork_mode: none\ncommand: [/bin/sh, -c, '"+sayIDs+"']\n")
			races := strings.HasPrefix(c.name, "race")
			if races {
				if err := os.Symlink(root+"/host/passwd", root+"/rootfs/etc/evil"); err != nil {
					t.Fatal(err)
				}
				defer exchange(root+"/rootfs/etc/passwd", root+"/rootfs/etc/evil")()
			}
			for end := time.Now().Add(raceTime); ; {
				if said := idsOf(t, name); strings.Contains(said, c.harm) {
					t.Fatalf("the payload says %q", said)
				}
				if !races || time.Now().After(end) {
					break
				}
			}
			if c.off == "" {
				for file, text := range map[string]string{"passwd": c.passwd, "group": c.group} {
					if err := os.Remove(root + "/rootfs/etc/" + file); err != nil {
						t.Fatal(err)
					}
					if strings.HasPrefix(text, "device: ") {
						text = ""
					}
					placeNames(t, root+"/rootfs/etc/"+file, strings.ReplaceAll(text, "\x00", ""))
				}
			} else {
				withoutProtection(t, name, c.off)
			}
			for end := time.Now().Add(patience); !strings.Contains(idsOf(t, name), c.harm); {
				if !races || time.Now().After(end) {
					t.Fatal("it does not work without the protection either, so the test proves nothing")
				}
			}
		})
	}
}

// sayIDs is a payload that reads no file of names, as id(1) does.
const sayIDs = `while read a b c; do case $$a in Uid:) u=$$b;; Gid:) g=$$b;; esac; done </proc/self/status; echo uid=$$u gid=$$g`

// placeNames places a file of names, or what "fifo: TEXT" or "device: MINOR" says in its
// place: a FIFO in which a text waits, a device of the kernel's memory driver.
func placeNames(t *testing.T, path, content string) {
	t.Helper()
	text, isFIFO := strings.CutPrefix(content, "fifo: ")
	minor, isDevice := strings.CutPrefix(content, "device: ")
	place(t, path, content)
	if !isFIFO && !isDevice {
		return
	}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Remove(path))
	if isDevice {
		n, err := strconv.ParseUint(minor, 10, 8)
		check(err)
		check(unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, uint32(n)))))
		return
	}
	check(unix.Mkfifo(path, 0o644))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(err)
	t.Cleanup(func() { f.Close() })
	_, err = f.WriteString(text)
	check(err)
}

// idsOf starts a container whose payload is id(1) and gives what that has said; ""
// where it did not start.
func idsOf(t *testing.T, name string) string {
	t.Helper()
	said := func() (lines []string) {
		for line := range strings.Lines(must(t, "journalctl", "-u", name, "-o", "cat", "-q", "--no-pager", "_TRANSPORT=stdout")) {
			if strings.HasPrefix(line, "uid=") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		return lines
	}
	before := len(said())
	if _, status := command(t, "systemctl", "start", name); status != 0 {
		command(t, "systemctl", "reset-failed", name)
		return ""
	}
	await(t, name+" has said its ids", func() bool { return len(said()) > before })
	// A start of what runs still is none, and says nothing.
	await(t, name+" has ended", func() bool { _, status := command(t, "systemctl", "-q", "is-active", name); return status != 0 })
	return said()[before]
}

// withoutProtection has a unit launched by the helper that leaves a protection away.
func withoutProtection(t *testing.T, name, off string) {
	t.Helper()
	start := ""
	for line := range strings.Lines(must(t, "systemctl", "cat", name)) {
		if strings.HasPrefix(line, "ExecStart=") {
			start = strings.TrimSpace(line)
		}
	}
	helper := strings.Fields(strings.TrimPrefix(start, "ExecStart="))
	if len(helper) == 0 || !strings.HasSuffix(helper[0], "/unitc-exec") {
		t.Fatalf("the unit has %q", start)
	}
	dir := "/run/systemd/system/" + name + ".service.d"
	t.Cleanup(func() { os.RemoveAll(dir); reload(t) })
	place(t, dir+"/unsafe.conf", "[Service]\nEnvironment=UNITC_UNSAFE="+off+"\nExecStart=\n"+strings.Replace(start, helper[0], unsafePrograms+"/unitc-exec", 1)+"\n")
	reload(t)
}

// A user of the host writes to the journal under a container's name before that
// fails. `unitc why` shows the container's own lines, and tells no end that only such
// a user has told of. Without the protection the lines are among them.
//
//lab:once
func TestAttackOnLastLines(t *testing.T) {
	const name, forged = "attack-lines", "forged: run this to mend it"
	// On a network, so that its clean-up reports its end.
	defineFor(t, name, "rootfs: host\nstop_grace_period: 3s\ncommand: [/bin/sh, -c, 'trap \"exit 3\" USR1; echo own words; while sleep 0.05; do :; done']\n")
	asNobody := func(command string) {
		must(t, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/bin/sh", "-c", command)
	}
	entry := "MESSAGE_ID=" + "5c2f0f1a6e8d4e0d9b6e3d0c2f6f7a11" + `\nMESSAGE=` + forged + `\nUNITC_UNIT=` + name + `.service\nUNITC_CAUSE=` + forged + `\n`
	fail := func() string {
		must(t, "systemctl", "start", name)
		asNobody("systemd-cat -t " + name + " echo '" + forged + "'; systemd-cat -t attack-lines -p err echo '" + forged + "'; printf '" + entry + "' | logger --journald")
		must(t, "journalctl", "--sync")
		must(t, "systemctl", "kill", "--kill-whom=main", "-s", "USR1", name)
		await(t, name+" has failed", func() bool {
			out, _ := command(t, "systemctl", "is-failed", name)
			return strings.TrimSpace(out) == "failed"
		})
		return must(t, "unitc", "why", name)
	}
	if said := fail(); strings.Contains(said, forged) || !strings.Contains(said, "own words") || !strings.Contains(said, "exited with status 3") {
		t.Errorf("unitc why says\n%s", said)
	}
	dir := "/run/systemd/system/" + name + ".service.d"
	t.Cleanup(func() { os.RemoveAll(dir); reload(t) })
	place(t, dir+"/unsafe.conf", "[Service]\nEnvironment=UNITC_UNSAFE=lines-of-the-unit\nExecStopPost=\nExecStopPost="+unsafePrograms+"/unitc-exec clean "+name+"\n")
	reload(t)
	if said := fail(); !strings.Contains(said, forged) {
		t.Errorf("it does not work without the protection either, so the test proves nothing:\n%s", said)
	}
}

// A payload says of its lines that they are emergencies, which journald writes to the
// terminals of all who are logged in, control characters included. They are filed as
// something else, and what unitc itself says keeps its priority. Without the
// protection they are emergencies.
//
//lab:once
func TestAttackOnTerminals(t *testing.T) {
	const json = `{"level":"emerg","msg":"shout"}`
	for name, more := range map[string]string{
		"plain": "", "direct": "logging: {driver: direct}\n", "service": "systemd: {cgroup: service}\n", "json": "logging: {options: {format: json}}\n",
		"terminal": "tty: true\n", "open": "systemd: {service: {SyslogLevelPrefix: true}}\n",
	} {
		name := "attack-terminals-" + name
		defineFor(t, name, "rootfs: host\nnetwork_mode: none\ncommand: [/bin/sh, -c, 'echo \"<0>shout\"; echo \"$$SHOUT\"; sleep 0.2']\nenvironment: {SHOUT: '"+json+"'}\n"+more)
		must(t, "systemctl", "start", name)
		lines := func(matches ...string) string {
			must(t, "journalctl", "--sync")
			out, _ := command(t, "journalctl", append([]string{"-q", "--no-pager", "-o", "cat", "SYSLOG_IDENTIFIER=" + name}, matches...)...)
			return out
		}
		await(t, name+" has shouted", func() bool { return strings.Count(lines(), "shout") >= 2 })
		if found := lines("PRIORITY=0"); strings.Contains(found, "shout") != strings.HasSuffix(name, "open") {
			t.Errorf("emergencies of %s:\n%s", name, found)
		}
	}
	defineFor(t, "attack-terminals-none", "rootfs: host\nnetwork_mode: none\ncommand: [/nowhere/at/all]\n")
	command(t, "systemctl", "start", "attack-terminals-none")
	await(t, "the failed start to be told as an error", func() bool {
		out, _ := command(t, "journalctl", "-q", "--no-pager", "-o", "cat", "_SYSTEMD_UNIT=attack-terminals-none.service", "SYSLOG_IDENTIFIER=attack-terminals-none", "PRIORITY=3")
		return strings.Contains(out, "/nowhere/at/all") && !strings.Contains(out, "<3>")
	})
}

// A container's user namespace is its own root's, not root's of the host: what the kernel
// counts by user (inotify instances, queued signals, message queues) a payload takes from
// itself. Without the protection it takes it from root, and so from systemd.
//
//lab:once
func TestAttackOnCountsOfRoot(t *testing.T) {
	for name, more := range map[string]string{"scope": "", "service": "systemd: {cgroup: service}\n", "init": "init: true\n"} {
		name := "attack-counts-" + name
		defineFor(t, name, sleeper+"network_mode: none\n"+more)
		owner := func() (owner, base int) {
			must(t, "systemctl", "restart", name)
			pid := mainPID(t, name)
			ns, err := os.Open("/proc/" + pid + "/ns/user")
			if err != nil {
				t.Fatal(err)
			}
			defer ns.Close()
			if owner, err = unix.IoctlGetInt(int(ns.Fd()), unix.NS_GET_OWNER_UID); err != nil {
				t.Fatal(err)
			}
			m, err := os.ReadFile("/proc/" + pid + "/uid_map")
			if err != nil {
				t.Fatal(err)
			}
			if base, err = strconv.Atoi(strings.Fields(string(m))[1]); err != nil || base == 0 {
				t.Fatalf("its ids are %q, %v", m, err)
			}
			return owner, base
		}
		if owner, base := owner(); owner != base {
			t.Errorf("%s belongs to %d, and its root is %d", name, owner, base)
		}
		withoutProtection(t, name, "own-counts")
		if owner, _ := owner(); owner != 0 {
			t.Errorf("%s belongs to %d without the protection, so the test proves nothing", name, owner)
		}
	}
}

// A payload that tells systemd something without end is made to wait, as each word costs
// PID 1, and so the host; the last one arrives.
//
//lab:once
func TestAttackOnSystemdByWords(t *testing.T) {
	const name, span = "attack-words", 2 * time.Second
	defineFor(t, name, "rootfs: host\nnetwork_mode: none\ncommand: [/bin/sh, -c, 'systemd-notify --ready; exec sleep infinity']\nsystemd: {notify: container}\n")
	must(t, "systemctl", "start", name)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/" + mainPID(t, name) + "/root/run/host/notify"}); err != nil {
		t.Fatal(err)
	}
	queue, err := os.ReadFile("/proc/sys/net/unix/max_dgram_qlen")
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := strconv.Atoi(strings.TrimSpace(string(queue)))
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for end := time.Now().Add(span); time.Now().Before(end); sent++ {
		if _, err := unix.Write(fd, []byte("STATUS=word "+strconv.Itoa(sent))); err != nil {
			t.Fatal(err)
		}
	}
	// 100 at once, 100 a second, what waits in the socket.
	if most := 100 + 100*int(span/time.Second) + waiting + 50; sent > most {
		t.Errorf("%d words were taken in %v, at most %d are to be", sent, span, most)
	}
	if _, err := unix.Write(fd, []byte("STATUS=the last")); err != nil {
		t.Fatal(err)
	}
	await(t, "the last word has arrived", func() bool { return property(t, name, "StatusText") == "the last" })
}
