// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// selinuxFiles are a host's configuration around the policy, as selinux_config(5),
// lxc_contexts(5), file_contexts(5) and dbus-daemon(1) have it.
var selinuxFiles = map[string]string{
	"config":                           "SELINUX=permissive\nSELINUXTYPE=lab\n",
	"lab/contexts/lxc_contexts":        "process = \"system_u:system_r:container_t:s0\"\nfile = \"system_u:object_r:container_file_t:s0\"\n",
	"lab/contexts/files/file_contexts": "/.*\tsystem_u:object_r:host_file_t:s0\n",
	"lab/contexts/dbus_contexts":       "<busconfig><selinux></selinux></busconfig>\n",
}

// A host with SELinux and a policy for containers, which systemd has loaded at
// boot: what SELinux holds is seen from inside and asked of the kernel.
//
//lab:once
func TestBootSELinux(t *testing.T) {
	phases(t, func(t *testing.T) {
		policy, err := os.ReadFile("testdata/selinux.policy")
		if err != nil {
			t.Fatal(err)
		}
		writeDown(t, "/etc/selinux/lab/policy/policy.33", string(policy))
		for name, text := range selinuxFiles {
			writeDown(t, "/etc/selinux/"+name, text)
		}
	}, func(t *testing.T) {
		// The third boot is there for the power cut, and has no other tests.
		writeDown(t, "/run/unitc-lab/kernel", "security=selinux selinux=1 enforcing=0")
	}, func(t *testing.T) {
		enforce(t, true)
		t.Cleanup(func() { enforce(t, false) })
		if own := processLabel(t, "self"); own != "system_u:system_r:host_t:s0" {
			t.Fatalf("the policy was not loaded at boot: this test runs as %q", own)
		}
		if doctor := run(t, "unitc", "doctor"); !strings.Contains(doctor, "SELinux is enforcing; containers run as system_u:system_r:container_t:s0 with categories of their own") {
			t.Errorf("unitc doctor says nothing of the label:\n%s", doctor)
		}
		for _, dir := range []string{"mine", "shared", "plain", "crun"} {
			write(t, selinuxDir+"/"+dir+"/free", "x")
		}
		write(t, selinuxDir+"/plain/kept", "x")
		write(t, selinuxDir+"/word", "x")
		if err := unix.Setxattr(selinuxDir+"/plain/kept", "security.selinux", []byte("system_u:object_r:secret_file_t:s0"), 0); err != nil {
			t.Fatal(err)
		}
		write(t, "/etc/unitc/selinux.yaml", labelled)
		run(t, "systemctl", "daemon-reload")
		t.Cleanup(func() {
			forget(t, "selinux-joined", "selinux-a", "selinux-b", "selinux-options", "selinux-disable", "selinux-crun", "selinux-unknown", "selinux-forbidden")
			os.Remove("/etc/unitc/selinux.yaml")
			run(t, "systemctl", "daemon-reload")
			os.RemoveAll(selinuxDir)
		})
		// All at once, and not one by one: the machine is slow.
		if out, err := exec.Command("systemctl", "start", "selinux-a", "selinux-options", "selinux-disable", "selinux-crun", "selinux-unknown", "selinux-forbidden").CombinedOutput(); err == nil {
			t.Errorf("all of them were started: %s", out)
		}
		a := ofSELinux(t, "a")
		a.awaitWord("ready")
		run(t, "systemctl", "start", "selinux-joined", "selinux-b")
		t.Run("default", func(t *testing.T) { selinuxDefault(t, ofSELinux(t, "a")) })
		t.Run("apart", func(t *testing.T) { selinuxApart(t, a.label, ofSELinux(t, "joined"), ofSELinux(t, "b")) })
		t.Run("options", selinuxOptions)
		t.Run("refusals", selinuxRefusals)
		t.Run("runtimes", selinuxRuntimes)
	})
}

const (
	selinuxDir  = "/srv/selinux"
	sharedLabel = "system_u:object_r:container_file_t:s0"
	hostLabel   = "system_u:object_r:host_file_t:s0"
)

// labelled are containers with volumes of all kinds and with labels of all kinds.
const labelled = `x-sleeps: &sleeps
  rootfs: host
  network_mode: none
  command: [sleep, infinity]
services:
  a:
    rootfs: host
    volumes: [data:/data, "/srv/selinux/mine:/mine:Z", "/srv/selinux/shared:/shared:z", "/srv/selinux/plain:/plain"]
    tmpfs: [/scratch]
    secrets: [word]
    healthcheck: {test: [CMD-SHELL, "cat /proc/self/attr/current >/mine/health"], interval: 2s}
    post_start: [{command: [sh, -c, "cat /proc/self/attr/current >/mine/hook"]}, {command: [sh, -c, "cat /proc/self/attr/current >/mine/privileged"], privileged: true}]
    command:
    - sh
    - -c
    - |
      cat /proc/self/attr/current >/mine/label
      for d in data mine shared scratch dev/shm dev/mqueue tmp; do touch /$$d/made || echo "cannot write to $$d"; done
      cat /run/secrets/word /etc/hosts /plain/free >/dev/null && echo reads
      touch /plain/made 2>/dev/null && echo "writes to what is the host's"
      cat /plain/kept 2>/dev/null && echo "reads what is kept from it"
      echo ready
      exec sleep infinity
  joined:
    <<: *sleeps
    ipc: service:a
    command: [sh, -c, "cat /dev/shm/made && echo ready; exec sleep infinity"]
  b:
    <<: *sleeps
    volumes: ["/srv/selinux/mine:/mine", "/srv/selinux/shared:/shared"]
    command: [sh, -c, "cat /proc/self/attr/current /shared/made || exit 12; cat /mine/made || exit 13; exec sleep infinity"]
  options:
    <<: *sleeps
    userns_mode: host
    security_opt: [label=type:other_t, "label=level:s0:c9,c5", label=user:lab_u, label=role:lab_r, label=filetype:other_file_t]
  disable:
    <<: *sleeps
    security_opt: [label=disable]
  crun:
    <<: *sleeps
    runtime: crun
    volumes: ["/srv/selinux/crun:/mine:Z"]
  unknown:
    <<: *sleeps
    security_opt: [label=type:unknown_t]
  forbidden:
    <<: *sleeps
    command: [/usr/bin/sleep, infinity]
    security_opt: [label=type:forbidden_t]
volumes: {data: {}}
secrets: {word: {file: /srv/selinux/word}}
`

// labelledContainer is one of them.
type labelledContainer struct {
	*container
	root  string // as the host sees it
	label string // of its first process
}

func ofSELinux(t *testing.T, name string) *labelledContainer {
	t.Helper()
	c := &container{t, "selinux-" + name, "unitc-selinux-" + name + ".scope"}
	pid := c.show("MainPID")
	if pid == "0" {
		return &labelledContainer{container: c}
	}
	return &labelledContainer{c, "/proc/" + pid + "/root", processLabel(t, pid)}
}

// has compares labels of files, by path inside.
func (c *labelledContainer) has(want map[string]string) {
	c.t.Helper()
	for path, label := range want {
		if got := fileLabel(c.root + path); got != label {
			c.t.Errorf("%s: %s is labelled %q, want %q", c.name, path, got, label)
		}
	}
}

// execs compares the label of what joins it.
func (c *labelledContainer) execs(label string) {
	c.t.Helper()
	if got := strings.TrimRight(run(c.t, "unitc", "exec", c.name, "cat", "/proc/self/attr/current"), "\x00"); got != label {
		c.t.Errorf("%s: what joins it runs as %q, want %q", c.name, got, label)
	}
}

// By default a payload has the label of the host's policy for containers, with
// categories that nobody else has. What it is to have is labelled for it.
func selinuxDefault(t *testing.T, a *labelledContainer) {
	if said := a.journal(); said != "reads\nready" {
		t.Errorf("it says:\n%s", said)
	}
	level, ok := strings.CutPrefix(a.label, "system_u:system_r:container_t:")
	if !ok || !regexp.MustCompile(`^s0:c\d+,c\d+$`).MatchString(level) {
		t.Fatalf("it runs as %q", a.label)
	}
	own := "system_u:object_r:container_file_t:" + level
	a.has(map[string]string{
		"": own, "/tmp/made": own, "/scratch": own, "/scratch/made": own, "/run/secrets/word": own, "/etc/hosts": own, "/etc/resolv.conf": own,
		"/dev": own, "/dev/null": own, "/dev/pts": own, "/dev/shm/made": own, "/dev/mqueue": own, "/proc/kcore": own,
		"/data": sharedLabel, "/data/made": sharedLabel, "/shared/free": sharedLabel, "/shared/made": sharedLabel,
		"/mine": own, "/mine/free": own, "/mine/made": own,
		"/usr": hostLabel, "/plain/free": hostLabel,
	})
	await(t, "there was a check", func() bool { data, _ := os.ReadFile(selinuxDir + "/mine/health"); return len(data) > 0 })
	for name, want := range map[string]string{"label": a.label, "hook": a.label, "health": a.label, "privileged": "system_u:system_r:host_t:s0"} {
		got, err := os.ReadFile(selinuxDir + "/mine/" + name)
		if strings.TrimRight(string(got), "\x00\n") != want {
			t.Errorf("%s: it runs as %q (%v), want %q", name, got, err, want)
		}
	}
	a.execs(a.label)
}

// Who shares another's memory has its level. Any other of the same type reaches
// what is all containers', and not what is that one's own.
func selinuxApart(t *testing.T, label string, joined, b *labelledContainer) {
	if joined.awaitWord("ready"); joined.label != label {
		t.Errorf("what shares its memory runs as %q and not as %q", joined.label, label)
	}
	b.says([]string{"exited with status 13; SELinux refused search of a dir named mine", "label the volume with `:z` or `:Z`"})
	if said := b.journal(); !strings.HasPrefix(said, "system_u:system_r:container_t:s0:c") || strings.HasPrefix(said, label) {
		t.Errorf("the other one says %q", said)
	}
	// It was SELinux alone.
	enforce(t, false)
	run(t, "systemctl", "start", b.name)
	await(t, "it has read all", func() bool { return command(t, b.show("MainPID")) == "sleep" })
	enforce(t, true)
}

// Each part of a label can be chosen, and none be had. The keyring has it too, so
// that the payload may use its own.
func selinuxOptions(t *testing.T) {
	const label = "lab_u:lab_r:other_t:s0:c5,c9"
	c := ofSELinux(t, "options")
	if c.label != label {
		t.Errorf("it runs as %q", c.label)
	}
	c.has(map[string]string{"/tmp": "system_u:object_r:other_file_t:s0:c5,c9"})
	c.execs(label)
	if keyrings := sessionKeyrings(t); !slices.Contains(keyrings, label) {
		t.Errorf("session keyrings have the labels %q", keyrings)
	}
	if out := run(t, "unitc", "check", "/etc/unitc/selinux.yaml"); !strings.Contains(out, " 0 errors") {
		t.Errorf("unitc check says:\n%s", out)
	}
	c = ofSELinux(t, "disable")
	if c.label != "system_u:system_r:host_t:s0" {
		t.Errorf("without a label it runs as %q", c.label)
	}
	c.has(map[string]string{"/tmp": hostLabel})
}

// sessionKeyrings are the labels of those that this test may see.
func sessionKeyrings(t *testing.T) (labels []string) {
	for _, line := range strings.Split(run(t, "cat", "/proc/keys"), "\n") {
		number, err := strconv.ParseInt(strings.Fields(line)[0], 16, 32)
		if err != nil || !strings.Contains(line, "_ses") {
			continue
		}
		b := make([]byte, 256)
		if n, err := unix.KeyctlBuffer(unix.KEYCTL_GET_SECURITY, int(number), b, 0); err == nil {
			labels = append(labels, strings.TrimRight(string(b[:min(n, len(b))]), "\x00"))
		}
	}
	return labels
}

// A start that the policy does not let happen says why, and what to do.
func selinuxRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		errno string
		words []string
	}{
		"selinux-unknown": {"22", []string{"set-selinux-label", "system_u:system_r:unknown_t:s0:c", "invalid argument; the loaded policy does not know that label; correct or remove it"}},
		"selinux-forbidden": {"13", []string{"exec-payload", "permission denied; SELinux does not let /usr/bin/sleep, which has the label " + hostLabel + ", begin with the label system_u:system_r:forbidden_t:s0:c",
			"`security_opt: [label=type:…]`"}},
	} {
		if got := show(t, name, "StatusErrno"); got != c.errno {
			t.Errorf("%s: systemd was told of errno %s", name, got)
		}
		said := run(t, "journalctl", "-q", "-o", "cat", "-u", name)
		for _, word := range c.words {
			if !strings.Contains(said, word) {
				t.Errorf("%s: the journal does not say %q:\n%s", name, word, said)
			}
		}
	}
}

// The OCI runtime carries out the labels of its configuration, and another one
// those of a plan.
func selinuxRuntimes(t *testing.T) {
	const label, file = "system_u:system_r:container_t:s0:c20,c30", "system_u:object_r:container_file_t:s0:c20,c30"
	b := newBox(t, "cgroupfs")
	b.spec.Process.SelinuxLabel, b.spec.Linux.MountLabel = label, file
	b.start("{}")
	var state struct{ PID int }
	out, err := b.call("state", b.id)
	if err != nil || json.Unmarshal([]byte(out), &state) != nil {
		t.Fatalf("state: %v: %s", err, out)
	}
	pid := strconv.Itoa(state.PID)
	await(t, "the payload runs", func() bool { return command(t, pid) == "sleep" })
	if got := processLabel(t, pid); got != label {
		t.Errorf("unitc-runtime: the payload runs as %q", got)
	}
	for _, path := range []string{"/dev", "/dev/shm", "/dev/mqueue"} {
		if got := fileLabel("/proc/" + pid + "/root" + path); got != file {
			t.Errorf("unitc-runtime: %s is labelled %q", path, got)
		}
	}
	const other = "system_u:system_r:other_t:s0:c20,c30"
	for want, flags := range map[string][]string{label: nil, other: {"--process-label", other}} {
		args := append(append([]string{"exec"}, flags...), b.id, "cat", "/proc/self/attr/current")
		if got := strings.TrimRight(run(t, "unitc-runtime", args...), "\x00"); got != want {
			t.Errorf("unitc-runtime %q: it runs as %q", args, got)
		}
	}
	c := ofSELinux(t, "crun")
	level, ok := strings.CutPrefix(c.label, "system_u:system_r:container_t:")
	if !ok {
		t.Errorf("crun: the payload runs as %q", c.label)
	}
	own := "system_u:object_r:container_file_t:" + level
	c.has(map[string]string{"/dev": own, "/tmp": own, "/mine/free": own})
}

func enforce(t *testing.T, on bool) {
	t.Helper()
	value := "0"
	if on {
		value = "1"
	}
	if err := os.WriteFile("/sys/fs/selinux/enforce", []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func processLabel(t *testing.T, pid string) string {
	t.Helper()
	label, err := os.ReadFile("/proc/" + pid + "/attr/current")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(label), "\x00\n")
}

func fileLabel(path string) string {
	b := make([]byte, 256)
	n, err := unix.Getxattr(path, "security.selinux", b)
	if err != nil {
		return err.Error()
	}
	return unix.ByteSliceToString(b[:n])
}

// command is the name of what a process runs.
func command(t *testing.T, pid string) string {
	t.Helper()
	name, err := os.ReadFile("/proc/" + pid + "/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(name))
}
