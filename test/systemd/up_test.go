// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// From a file to a container that runs, and back, with nothing left.
func TestUpAndDown(t *testing.T) {
	dir := t.TempDir()
	const installed = "/etc/unitc/verb-up.yaml"
	leavesNothing(t, func() {
		file := dir + "/verb-up.yaml"
		writeFile(t, file, sleeper)
		if out := must(t, "unitc", "up", "--enable", file); !strings.Contains(out, "running") {
			t.Errorf("up says\n%s", out)
		}
		if got := property(t, "verb-up.service", "ActiveState"); got != "active" {
			t.Errorf("after up it is %s", got)
		}
		if !startedWithSystem(t, "verb-up.service") {
			t.Error("it is not enabled")
		}
		pid := mainPID(t, "verb-up")
		must(t, "unitc", "up", file)
		if got := mainPID(t, "verb-up"); got != pid {
			t.Error("the same file once more restarts it")
		}
		writeFile(t, file, sleeper+"mem_limit: 64m\n")
		must(t, "unitc", "up", file)
		if got := property(t, "unitc-verb-up.scope", "MemoryMax"); got != "67108864" || mainPID(t, "verb-up") != pid {
			t.Errorf("a new limit: MemoryMax %s, process %s, before %s", got, mainPID(t, "verb-up"), pid)
		}
		writeFile(t, file, sleeper+"hostname: other\n")
		must(t, "unitc", "up", file)
		if got := mainPID(t, "verb-up"); got == pid {
			t.Error("a new hostname without a restart")
		}

		// A broken one changes nothing.
		writeFile(t, file, sleeper+"mem_limt: 64m\n")
		if out, status := command(t, "unitc", "up", file); status != 1 || !strings.Contains(out, file+":3:1") || !strings.Contains(out, "mem_limit") {
			t.Errorf("a broken file: %d\n%s", status, out)
		}
		if text, _ := os.ReadFile(installed); !strings.Contains(string(text), "hostname: other") {
			t.Errorf("it is installed all the same:\n%s", text)
		}

		must(t, "unitc", "down", "verb-up")
		if _, err := os.Lstat(installed); err == nil {
			t.Error("the definition is still there")
		}
		if _, err := os.Lstat(installed + "~"); err != nil {
			t.Errorf("no copy is kept: %v", err)
		}
		os.Remove(installed + "~")
		if startedWithSystem(t, "verb-up.service") {
			t.Error("it is still enabled")
		}
		if _, status := command(t, "unitc", "down", "verb-up"); status != 3 {
			t.Errorf("down of what is gone: %d", status)
		}
	})
}

// A compose file takes its directory's name and its variables along; one that
// does not start is said with its reason.
func TestUpOfAProject(t *testing.T) {
	dir := t.TempDir() + "/verb-blog"
	leavesNothing(t, func() {
		indented := strings.ReplaceAll(strings.TrimSuffix(sleeper, "\n"), "\n", "\n    ")
		text := "services:\n  web:\n    " + indented + "\n    hostname: ${NAME}\n    secrets: [word]\n  db:\n    " + indented + "\nsecrets: {word: {environment: NAME}}\n"
		writeFile(t, dir+"/compose.yaml", text)
		writeFile(t, dir+"/.env", "NAME=from-env\n")
		must(t, "unitc", "up", dir+"/compose.yaml")
		for _, unit := range []string{"verb-blog-web.service", "verb-blog-db.service", "verb-blog.target"} {
			if got := property(t, unit, "ActiveState"); got != "active" {
				t.Errorf("%s is %s", unit, got)
			}
		}
		if got := must(t, "cat", "/proc/"+mainPID(t, "verb-blog-web")+"/root/etc/hostname"); got != "from-env\n" {
			t.Errorf("the host name is %q", got)
		}
		if got := must(t, "unitc", "exec", "verb-blog-web", "cat", "/run/secrets/word"); got != "from-env" {
			t.Errorf("the secret is %q", got)
		}
		// Paths begin where the file is.
		writeFile(t, dir+"/data/word", "from-data")
		writeFile(t, dir+"/compose.yaml", strings.Replace(text, "  db:\n", "    volumes: ['./data:/data']\n  db:\n", 1))
		if out := must(t, "unitc", "up", dir+"/compose.yaml"); !strings.Contains(out, "begin in '"+dir+"'") {
			t.Errorf("up with a relative path says\n%s", out)
		}
		if got := must(t, "unitc", "exec", "verb-blog-web", "cat", "/data/word"); got != "from-data" {
			t.Errorf("the volume has %q", got)
		}
		pid := mainPID(t, "verb-blog-web")
		if out := must(t, "unitc", "up", dir+"/compose.yaml"); strings.Contains(out, "Replaced") || mainPID(t, "verb-blog-web") != pid {
			t.Errorf("the same file once more:\n%s", out)
		}
		// What Compose merges without being told is a drop-in, and no longer there is none.
		const dropIn = "/etc/unitc/verb-blog.yaml.d/50-compose.override.yaml"
		writeFile(t, dir+"/compose.override.yml", "services: {db: {hostname: override}}\n")
		must(t, "unitc", "up", dir+"/compose.yaml")
		if got := must(t, "unitc", "exec", "verb-blog-db", "cat", "/etc/hostname"); got != "override\n" || mainPID(t, "verb-blog-web") != pid {
			t.Errorf("with an override the host name is %q, or the other one was restarted", got)
		}
		if out := must(t, "unitc", "up", dir+"/compose.yaml"); strings.Contains(out, "Replaced") {
			t.Errorf("the same override once more:\n%s", out)
		}
		os.Remove(dir + "/compose.override.yml")
		if out := must(t, "unitc", "up", dir+"/compose.yaml"); !strings.Contains(out, "Removed '"+dropIn+"'") {
			t.Errorf("without the override:\n%s", out)
		}
		// So are the files that COMPOSE_FILE names, in its order.
		writeFile(t, dir+"/more/b.yaml", "services: {db: {hostname: first, domainname: first}}\n")
		writeFile(t, dir+"/a.yaml", "services: {db: {hostname: second}}\n")
		writeFile(t, dir+"/.env", "NAME=from-env\nCOMPOSE_FILE=compose.yaml:more/b.yaml:a.yaml\n")
		must(t, "unitc", "up", dir+"/compose.yaml")
		if got := must(t, "unitc", "exec", "verb-blog-db", "cat", "/etc/hostname", "/proc/sys/kernel/domainname"); got != "second\nfirst\n" {
			t.Errorf("with COMPOSE_FILE the names are %q", got)
		}
		writeFile(t, dir+"/.env", "NAME=from-env\nCOMPOSE_FILE=compose.yaml:a.yaml\n")
		if out := must(t, "unitc", "up", dir+"/compose.yaml"); !strings.Contains(out, "Removed '/etc/unitc/verb-blog.yaml.d/51-compose.override.yaml'") {
			t.Errorf("with one file less:\n%s", out)
		}
		writeFile(t, dir+"/.env", "NAME=from-env\n")
		writeFile(t, dir+"/compose.override.yml", "services: {db: {hostname: again}}\n") // for down to take away
		must(t, "unitc", "up", dir+"/compose.yaml")
		if out, status := command(t, "unitc", "down", "verb-blog-web"); status != 2 || !strings.Contains(out, "one service of the project verb-blog") {
			t.Errorf("down of one service: %d\n%s", status, out)
		}
		must(t, "unitc", "down", "verb-blog")
		for _, path := range []string{"verb-blog.yaml", "verb-blog.env"} {
			os.Remove("/etc/unitc/" + path + "~")
		}

		writeFile(t, dir+"/fails.yaml", "rootfs: /no/such/directory\ncommand: /bin/true\n")
		out, status := command(t, "unitc", "up", "--name", "verb-fails", dir+"/fails.yaml")
		if status != 1 || !strings.Contains(out, "/no/such/directory") {
			t.Errorf("one that does not start: %d\n%s", status, out)
		}
		must(t, "unitc", "down", "--purge", "verb-fails")
	})
}

// What a project extends and includes comes along as copies, and goes with it.
//
//lab:once
func TestUpOfManyFiles(t *testing.T) {
	dir := t.TempDir() + "/verb-many"
	const files = "/etc/unitc/verb-many.yaml.files"
	compose := dir + "/compose.yaml"
	leavesNothing(t, func() {
		indented := strings.ReplaceAll(strings.TrimSuffix(sleeper, "\n"), "\n", "\n    ")
		writeFile(t, compose, "include: [parts/more.yaml]\nservices:\n  web:\n    extends: {file: ../common/base.yaml, service: base}\n    "+indented+"\n")
		writeFile(t, dir+"/.env", "NAME=project\n")
		writeFile(t, dir+"/../common/base.yaml", "services: {base: {hostname: base, volumes: ['./data:/data']}}\n")
		writeFile(t, dir+"/../common/data/word", "from-data")
		writeFile(t, dir+"/parts/more.yaml", "services:\n  more:\n    "+indented+"\n    hostname: ${PART}\n    env_file: more.env\n")
		writeFile(t, dir+"/parts/.env", "PART=part\n")
		writeFile(t, dir+"/parts/more.env", "GOT=${PART}-${NAME}\n")
		if out := must(t, "unitc", "up", compose); !strings.Contains(out, "Installed '"+files+"'") {
			t.Errorf("up says\n%s", out)
		}
		// The originals of what systemd reads may go.
		for _, path := range []string{dir + "/parts/.env", dir + "/parts/more.yaml"} {
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
		}
		must(t, "systemctl", "daemon-reload")
		must(t, "systemctl", "restart", "verb-many-more")
		if got := must(t, "unitc", "exec", "verb-many-more", "sh", "-c", "echo $GOT; cat /etc/hostname"); got != "part-project\npart\n" {
			t.Errorf("what is included has %q", got)
		}
		if got := must(t, "unitc", "exec", "verb-many-web", "cat", "/data/word", "/etc/hostname"); got != "from-database\n" {
			t.Errorf("what extends has %q", got)
		}
		if out := must(t, "unitc", "cat", "verb-many"); !strings.Contains(out, "# "+files+dir+"/parts/more.yaml\n") || !strings.Contains(out, "PART=part") {
			t.Errorf("cat prints\n%s", out)
		}
		if out := must(t, "unitc", "diff"); out != "" {
			t.Errorf("what was just started differs:\n%s", out)
		}
		for _, path := range []string{dir + "/parts/.env", dir + "/parts/more.yaml"} {
			if err := os.Rename(path+".away", path); err != nil {
				t.Fatal(err)
			}
		}
		if out := must(t, "unitc", "up", compose); strings.Contains(out, "'"+files) {
			t.Errorf("the same once more:\n%s", out)
		}
		writeFile(t, dir+"/../common/base.yaml", "services: {base: {hostname: other}}\n")
		if out := must(t, "unitc", "up", compose); !strings.Contains(out, "Replaced '"+files+"'") || !strings.Contains(out, "verb-many-web: restarted") {
			t.Errorf("with another file:\n%s", out)
		}
		// As it stands there, it is complete.
		if out := must(t, "unitc", "up", "/etc/unitc/verb-many.yaml"); strings.Contains(out, "Installed") || strings.Contains(out, "Removed") {
			t.Errorf("up of what is installed:\n%s", out)
		}
		must(t, "unitc", "check", "/etc/unitc/verb-many.yaml")
		must(t, "unitc", "down", "verb-many")
		if got := must(t, "sh", "-c", "ls -d /etc/unitc/verb-many*"); got != "/etc/unitc/verb-many.env~\n/etc/unitc/verb-many.yaml.files~\n/etc/unitc/verb-many.yaml~\n" {
			t.Errorf("down leaves\n%s", got)
		}
		must(t, "unitc", "up", compose)
		// One that names none has none.
		writeFile(t, compose, "services:\n  web:\n    "+indented+"\n")
		if out := must(t, "unitc", "up", compose); !strings.Contains(out, "Removed '"+files+"'") || !strings.Contains(out, "verb-many-more runs and is no longer in") {
			t.Errorf("without other files:\n%s", out)
		}
		must(t, "unitc", "down", "--purge", "verb-many")
		must(t, "sh", "-c", "rm -r /etc/unitc/verb-many*~")
		if got, _ := command(t, "sh", "-c", "ls -d /etc/unitc/.verb-many* /etc/unitc/verb-many*"); !strings.Contains(got, "cannot access") {
			t.Errorf("left are\n%s", got)
		}
	})
}

//lab:once
func TestEdit(t *testing.T) {
	defineFor(t, "verb-edit", sleeper)
	edit := func(script string) (string, int) {
		cmd := exec.Command("unitc", "edit", "verb-edit")
		path := t.TempDir() + "/editor"
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(os.Environ(), "EDITOR="+path, "SYSTEMD_EDITOR=")
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, status := edit("true"); status != 0 || !strings.Contains(out, "was not changed") {
		t.Errorf("no change: %d\n%s", status, out)
	}
	if out, status := edit(`echo 'mem_limt: 1m' >> "$1"`); status != 1 || !strings.Contains(out, "/etc/unitc/verb-edit.yaml:3:1") || !strings.Contains(out, "is kept in /tmp/") {
		t.Errorf("a mistake: %d\n%s", status, out)
	}
	if out, status := edit(`echo 'mem_limit: 16m' >> "$1"`); status != 0 {
		t.Errorf("a change: %d\n%s", status, out)
	}
	if text, _ := os.ReadFile("/etc/unitc/verb-edit.yaml"); string(text) != sleeper+"mem_limit: 16m\n" {
		t.Errorf("the definition is\n%s", text)
	}
	// Another name of the file stays one.
	const link = "/etc/unitc/verb-edit-two.yaml"
	if err := os.Symlink("verb-edit.yaml", link); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(link)
	if out, status := command(t, "env", "EDITOR=sed -i s/16m/32m/", "SYSTEMD_EDITOR=", "unitc", "edit", "verb-edit-two"); status != 0 || !strings.Contains(out, "Wrote '/etc/unitc/verb-edit.yaml'") {
		t.Errorf("by another name: %d\n%s", status, out)
	}
	if target, err := os.Readlink(link); err != nil || target != "verb-edit.yaml" {
		t.Errorf("the link is %q, %v", target, err)
	}
	if out, status := command(t, "env", "EDITOR=sed -i s/32m/16m/", "SYSTEMD_EDITOR=", "unitc", "edit", "verb-edit"); status != 0 {
		t.Errorf("back again: %d\n%s", status, out)
	}
	os.Remove(link)
	must(t, "systemctl", "daemon-reload")
	must(t, "systemctl", "start", "verb-edit")
	if got := property(t, "unitc-verb-edit.scope", "MemoryMax"); got != "16777216" {
		t.Errorf("systemd was not reloaded: MemoryMax is %s", got)
	}
	// Somebody else was quicker.
	if out, status := edit(`echo '# theirs' >> /etc/unitc/verb-edit.yaml; echo '# mine' >> "$1"`); status != 1 || !strings.Contains(out, "by somebody else") {
		t.Errorf("two at once: %d\n%s", status, out)
	}
	for _, path := range func() []string { l, _ := filepath.Glob("/tmp/unitc-edit-*"); return l }() {
		os.RemoveAll(path)
	}
}

// A full disk leaves what was there, and no half file.
//
//lab:once
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	must(t, "mount", "-t", "tmpfs", "-o", "size=64k", "none", dir)
	t.Cleanup(func() { must(t, "umount", dir) })
	defineFor(t, "verb-full", sleeper+"volumes: ['"+dir+":/data']\n")
	must(t, "systemctl", "start", "verb-full")
	writeFile(t, dir+"/file", "before")
	big := t.TempDir() + "/file"
	writeFile(t, big, strings.Repeat("x", 1<<20))
	out, status := command(t, "unitc", "cp", big, "verb-full:/data/file")
	if status != 1 || !strings.Contains(out, "no space left") || !strings.Contains(out, "the file system that it goes to is full") {
		t.Errorf("cp: %d\n%s", status, out)
	}
	items, _ := os.ReadDir(dir)
	if text, _ := os.ReadFile(dir + "/file"); len(items) != 1 || string(text) != "before" {
		t.Errorf("the directory has %v, the file %q", items, text)
	}
	must(t, "systemctl", "stop", "verb-full")
	loadConfigured(t, "localhost/full:1", `{}`)
	out, status = command(t, "unitc", "save", "-o", dir+"/saved.tar", "localhost/full:1")
	if items, _ := os.ReadDir(dir); status != 1 || !strings.Contains(out, "look with `df "+dir+"`") || len(items) != 1 {
		t.Errorf("save: %d, %s; the directory has %v", status, out, items)
	}

	// Where definitions are: the mount is of this command alone.
	files := t.TempDir()
	writeFile(t, files+"/small.yaml", sleeper)
	writeFile(t, files+"/large.yaml", sleeper+"# "+strings.Repeat("x", 8000)+"\n")
	const script = `mount -t tmpfs -o size=4k none /etc/unitc && cp "$1/small.yaml" /etc/unitc/verb-small.yaml
unitc up --name verb-small "$1/large.yaml"; echo $?; cat /etc/unitc/verb-small.yaml; ls -A /etc/unitc | grep -v verb-small.yaml`
	out, _ = command(t, "unshare", "-m", "sh", "-c", script, "sh", files)
	if !strings.Contains(out, "no space left") || !strings.Contains(out, "look with `df /etc/unitc`") || !strings.HasSuffix(out, "\n1\n"+sleeper) {
		t.Errorf("up on a full disk:\n%s", out)
	}
}

// A service that a project no longer has is named by up, and stopped by down.
func TestUpOfASmallerProject(t *testing.T) {
	dir := t.TempDir() + "/verb-less"
	leavesNothing(t, func() {
		service := "    " + strings.ReplaceAll(strings.TrimSuffix(sleeper, "\n"), "\n", "\n    ") + "\n"
		text := "services:\n  web:\n" + service
		writeFile(t, dir+"/compose.yaml", text+"    depends_on: [idle]\n  idle:\n    scale: 0\n"+service+"  old:\n"+service)
		must(t, "unitc", "up", dir+"/compose.yaml")
		if got := property(t, "verb-less-idle.service", "ActiveState"); got != "inactive" {
			t.Errorf("a service with scale: 0 is %s", got)
		}
		must(t, "systemctl", "start", "verb-less-idle")
		if out := must(t, "unitc", "up", dir+"/compose.yaml"); !strings.Contains(out, "verb-less-idle runs and /etc/unitc/verb-less.yaml wants no instance of it") {
			t.Errorf("up says\n%s", out)
		}
		writeFile(t, dir+"/compose.yaml", text)
		if out := must(t, "unitc", "up", dir+"/compose.yaml"); !strings.Contains(out, "verb-less-old runs and is no longer in /etc/unitc/verb-less.yaml") || strings.Contains(out, "verb-less-web runs and") {
			t.Errorf("up says\n%s", out)
		}
		if out := must(t, "unitc", "logs", "verb-less-old"); !strings.Contains(out, "Started verb-less-old") {
			t.Errorf("its log is\n%s", out)
		}
		must(t, "unitc", "down", "--purge", "verb-less")
		if got := property(t, "verb-less-old.service", "ActiveState"); got == "active" {
			t.Error("what the project no longer has still runs")
		}
	})
}

// A file is called alike by up and down, from its own directory too; what is no file is
// answered with what there is.
//
//lab:once
func TestUpAndDownWhereTheFileIs(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/compose.yaml", "name: verb-here\nservices:\n  one: {rootfs: host, init: true, command: [sleep, infinity]}\n")
	t.Cleanup(func() { command(t, "unitc", "down", "--purge", "verb-here") })
	must(t, "sh", "-c", "cd "+dir+" && unitc up compose.yaml")
	for arg, want := range map[string]string{"verb-here": "unitc up /etc/unitc/verb-here.yaml", dir: dir + "/compose.yaml"} {
		if out, status := command(t, "unitc", "up", arg); status != 2 || !strings.Contains(out, want) {
			t.Errorf("up %s: %d, %s", arg, status, out)
		}
	}
	must(t, "sh", "-c", "cd "+dir+" && unitc down --purge compose.yaml")
	if _, err := os.Stat("/etc/unitc/verb-here.yaml"); err == nil {
		t.Error("the definition is there still")
	}
}

// A job that fails, a migration say, is not begun again for those who wait for it.
func TestUpRunsAFailingJobOnce(t *testing.T) {
	cleanReload(t)
	dir := t.TempDir()
	text := "services:\n  job:\n    rootfs: host\n    command: [sh, -c, 'echo the job has begun; exit 3']\n"
	for _, name := range []string{"a", "b", "c", "d"} {
		text += "  " + name + ":\n    rootfs: host\n    command: [sleep, infinity]\n    depends_on: {job: {condition: service_completed_successfully}}\n"
	}
	writeFile(t, dir+"/migrates.yaml", text)
	t.Cleanup(func() { must(t, "unitc", "down", "migrates") })
	begun := func() int {
		out, _ := command(t, "journalctl", "-b", "-q", "-o", "cat", "-u", "migrates-job")
		return strings.Count(out, "the job has begun\n")
	}
	before := begun()
	if out, status := command(t, "unitc", "up", dir+"/migrates.yaml"); status != 1 || !strings.Contains(out, "migrates-job") {
		t.Errorf("up of a project whose job fails: %d\n%s", status, out)
	}
	got := why(t, "migrates-a")
	if cause, _ := got["cause"].(string); !strings.Contains(cause, "migrates-job.service, which it requires, has failed") || !strings.Contains(fmt.Sprint(got["suggestion"]), "`unitc why migrates-job`") {
		t.Errorf("of who was not started: %v", got)
	}
	if n := begun() - before; n != 1 {
		t.Errorf("the job has begun %d times", n)
	}
}

// A definition that is renamed or removed by hand under what runs: verbs say that it runs
// still, and how to stop it.
//
//lab:once
func TestDefinitionRenamedWhileItRuns(t *testing.T) {
	leavesNothing(t, func() { t.Run("run", renamedWhileItRuns) })
}

func renamedWhileItRuns(t *testing.T) {
	service := "    " + strings.ReplaceAll(strings.TrimSuffix(sleeper, "\n"), "\n", "\n    ") + "\n"
	defineFor(t, "verb-old", sleeper, "verb-new.service")
	defineFor(t, "verb-pair", "services:\n  a:\n"+service+"  b:\n"+service, "verb-pair-a.service", "verb-pair-b.service")
	must(t, "systemctl", "start", "verb-old", "verb-pair-a", "verb-pair-b")
	must(t, "mv", "/etc/unitc/verb-old.yaml", "/etc/unitc/verb-new.yaml")
	defer os.Remove("/etc/unitc/verb-new.yaml")
	must(t, "rm", "/etc/unitc/verb-pair.yaml")
	reload(t)
	if out := must(t, "unitc", "apply"); !strings.Contains(out, "verb-old runs and has no definition any more; stop it with systemctl stop verb-old") {
		t.Errorf("apply says %q", out)
	}
	for name, want := range map[string]string{"verb-old": "systemctl stop verb-old\n", "verb-pair": "systemctl stop verb-pair-a verb-pair-b\n", "verb-pair-a": "systemctl stop verb-pair-a\n"} {
		out, status := command(t, "unitc", "down", name)
		if status != 3 || !strings.Contains(out, "has no definition any more, and runs; stop it with "+want) {
			t.Errorf("down %s: %d, %q", name, status, out)
		}
	}
	must(t, "systemctl", "stop", "verb-old", "verb-pair-a", "verb-pair-b")
	if out, status := command(t, "unitc", "down", "verb-pair"); status != 3 || strings.Contains(out, "runs") {
		t.Errorf("down of what does not run: %d, %q", status, out)
	}
}
