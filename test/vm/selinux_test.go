// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	registryserver "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
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
// boot, with unitc's module: what SELinux holds is seen from inside and asked of
// the kernel.
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
		// As `restorecon` does with packaging/selinux/unitc.cil.
		programs, err := filepath.Glob("/usr/local/lib/unitc/unitc-*")
		if err != nil || len(programs) == 0 {
			t.Fatalf("programs to label: %v, %v", programs, err)
		}
		for _, program := range programs {
			setLabel(t, program, "system_u:object_r:bin_t:s0")
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
		// As on a host without unitc's module.
		setLabel(t, helper, "system_u:object_r:secret_file_t:s0")
		if doctor := run(t, "unitc", "doctor"); !strings.Contains(doctor, "the helper runs as system_u:system_r:forbidden_t:s0, which may begin no container") {
			t.Errorf("unitc doctor does not say that the policy lets no container begin:\n%s", doctor)
		}
		setLabel(t, helper, "system_u:object_r:bin_t:s0")
		for _, dir := range []string{"mine", "shared", "plain", "crun"} {
			write(t, selinuxDir+"/"+dir+"/free", "x")
		}
		write(t, selinuxDir+"/plain/kept", "x")
		write(t, selinuxDir+"/word", "x")
		setLabel(t, selinuxDir+"/plain/kept", "system_u:object_r:secret_file_t:s0")
		pullLabelled(t)
		write(t, "/etc/unitc/selinux.yaml", labelled)
		run(t, "systemctl", "daemon-reload")
		t.Cleanup(func() {
			forget(t, "selinux-joined", "selinux-a", "selinux-b", "selinux-options", "selinux-disable", "selinux-crun", "selinux-unknown", "selinux-forbidden",
				"selinux-image", "selinux-other", "selinux-hostids")
			os.Remove("/etc/unitc/selinux.yaml")
			run(t, "systemctl", "daemon-reload")
			os.RemoveAll(selinuxDir)
		})
		// All at once, and not one by one: the machine is slow.
		if out, err := exec.Command("systemctl", "start", "selinux-a", "selinux-options", "selinux-disable", "selinux-crun", "selinux-unknown", "selinux-forbidden", "selinux-image", "selinux-hostids").CombinedOutput(); err == nil {
			t.Errorf("all of them were started: %s", out)
		}
		a := ofSELinux(t, "a")
		a.awaitWord("ready")
		ofSELinux(t, "image").awaitWord("ready")
		run(t, "systemctl", "start", "selinux-joined", "selinux-b", "selinux-other")
		t.Run("default", func(t *testing.T) { selinuxDefault(t, ofSELinux(t, "a")) })
		t.Run("apart", func(t *testing.T) { selinuxApart(t, a.label, ofSELinux(t, "joined"), ofSELinux(t, "b")) })
		t.Run("options", selinuxOptions)
		t.Run("refusals", selinuxRefusals)
		t.Run("runtimes", selinuxRuntimes)
		t.Run("images", selinuxImages)
	})
}

const (
	helper      = "/usr/local/lib/unitc/unitc-exec"
	selinuxDir  = "/srv/selinux"
	sharedLabel = "system_u:object_r:container_file_t:s0"
	hostLabel   = "system_u:object_r:host_file_t:s0"
	// serviceLabel is what services run as that have no label of their own.
	serviceLabel = "system_u:system_r:initrc_t:s0"
)

// labelled are containers with volumes of all kinds and with labels of all kinds.
const labelled = `x-sleeps: &sleeps
  rootfs: host
  network_mode: none
  command: [sleep, infinity]
x-ofimage: &ofimage
  image: 127.0.0.1:5124/labelled:1
  pull_policy: never
  network_mode: none
  volumes: [seeded:/seed, {type: image, source: "127.0.0.1:5124/labelled:1", target: /mnt}]
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
    command: [sh, -c, "systemd-notify --ready || exit 14; exec sleep infinity"]
    systemd: {notify: container, service: {TimeoutStartSec: 30s}}
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
  image:
    <<: *ofimage
    stdin_open: true
    tmpfs: ["/copied:tmpcopyup"]
    command:
    - sh
    - -c
    - |
      cat /proc/self/attr/current >/label
      echo more >>/etc/passwd && rm /gone && mkdir /new && mv /seed/sub /new/ || echo "cannot change the image's files"
      for d in seed anon copied new; do touch /$$d/made || echo "cannot write to $$d"; done
      cat /seed/first /mnt/seed/first /copied/first /sys/fs/cgroup/cgroup.controllers >/dev/null && echo ready
      exec sleep infinity
  other:
    <<: *ofimage
    read_only: true
    volumes: [seeded:/seed, "/var/lib/unitc/containers/selinux-image.service/upper:/upper:ro"]
    command: [sh, -c, "ls /seed && echo shares; cat /upper/label || echo ready; exec sleep infinity"]
  hostids:
    <<: *ofimage
    userns_mode: host
    x-persist: true
    systemd: {cgroup: service}
    volumes: []
    command: [sh, -c, "echo more >>/etc/passwd && touch /made /anon/made && echo ready; exec sleep infinity"]
volumes: {data: {}, seeded: {}}
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
	if said := a.journal(); said != "reads\nready\n"+a.name+".service is healthy" {
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
	for name, want := range map[string]string{"label": a.label, "hook": a.label, "health": a.label, "privileged": serviceLabel} {
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
	// The socket by which it says that it is ready is its own, too.
	c.has(map[string]string{"/tmp": "system_u:object_r:other_file_t:s0:c5,c9", "/run/host/notify": "system_u:object_r:other_file_t:s0:c5,c9"})
	c.execs(label)
	if keyrings := sessionKeyrings(t); !slices.Contains(keyrings, label) {
		t.Errorf("session keyrings have the labels %q", keyrings)
	}
	if out := run(t, "unitc", "check", "/etc/unitc/selinux.yaml"); !strings.Contains(out, " 0 errors") {
		t.Errorf("unitc check says:\n%s", out)
	}
	c = ofSELinux(t, "disable")
	if c.label != serviceLabel {
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

const labelledImage = "127.0.0.1:5124/labelled:1"

// pullLabelled gets an image from a registry of the test's own. Its files say
// that they have labels of another host.
func pullLabelled(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:5124")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: registryserver.New(registryserver.Logger(log.New(io.Discard, "", 0)))}
	go server.Serve(l) // it ends with the listener
	defer server.Close()
	busybox, err := os.ReadFile("/usr/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	files := []tar.Header{
		{Name: "bin/", Mode: 0o755}, {Name: "etc/", Mode: 0o755}, {Name: "seed/", Mode: 0o755}, {Name: "seed/sub/", Mode: 0o755}, {Name: "anon/", Mode: 0o755}, {Name: "copied/", Mode: 0o755},
		{Name: "bin/sh", Mode: 0o755, Size: int64(len(busybox))},
		{Name: "etc/passwd", Mode: 0o644}, {Name: "seed/first", Mode: 0o644}, {Name: "copied/first", Mode: 0o644}, {Name: "gone", Mode: 0o644},
	}
	for _, name := range []string{"cat", "ls", "mkdir", "mv", "rm", "sleep", "touch"} {
		files = append(files, tar.Header{Name: "bin/" + name, Linkname: "sh", Mode: 0o777, Typeflag: tar.TypeSymlink})
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range files {
		h.PAXRecords = map[string]string{"SCHILY.xattr.security.selinux": "system_u:object_r:secret_file_t:s0"}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			w.Write(busybox)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(b.Bytes(), types.OCIUncompressedLayer))
	if err == nil {
		img, err = mutate.Config(img, v1.Config{Volumes: map[string]struct{}{"/anon": {}}})
	}
	ref, bad := name.ParseReference(labelledImage, name.Insecure)
	if err = errors.Join(err, bad); err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, "/etc/unitc/registries.conf.d/labelled.conf", "[[registry]]\nlocation = \"127.0.0.1:5124\"\ninsecure = true\n")
	defer os.RemoveAll("/etc/unitc/registries.conf.d")
	run(t, "unitc", "pull", "--quiet", labelledImage)
}

// Containers of one image have its files with a label of their own each, and so
// has on the disk what each of them writes. Their volumes begin with what the image
// has, for all containers.
func selinuxImages(t *testing.T) {
	c, other, hostIDs := ofSELinux(t, "image"), ofSELinux(t, "other"), ofSELinux(t, "hostids")
	own := fileLabelOf(c.label)
	upper := "/var/lib/unitc/containers/selinux-image.service/upper"
	write(t, selinuxDir+"/in", "from the host")
	run(t, "unitc", "cp", selinuxDir+"/in", c.name+":/new/in")
	run(t, "unitc", "exec", c.name, "sh", "-c", "cat /new/in >/new/exec")
	run(t, "unitc", "cp", c.name+":/new/exec", selinuxDir+"/out")
	c.execs(c.label)
	c.has(map[string]string{
		"": own, "/bin/sh": own, "/bin/cat": own, "/etc/passwd": own, "/label": own, "/new": own, "/new/made": own, "/new/in": own, "/new/exec": own,
		"/copied": own, "/copied/first": own, "/mnt/seed/first": own,
		"/seed": sharedLabel, "/seed/first": sharedLabel, "/seed/made": sharedLabel, "/anon": sharedLabel, "/anon/made": sharedLabel,
	})
	for path, want := range map[string]string{upper + "/label": own, upper + "/etc/passwd": own, upper + "/new/in": own, selinuxDir + "/out": hostLabel} {
		if got := fileLabel(path); got != want {
			t.Errorf("on the disk %s is labelled %q, want %q", path, got, want)
		}
	}
	// Pipes have the label of who made them, and an operator's all categories.
	for _, fd := range []string{"0", "1"} {
		if got := fileLabel("/proc/" + c.show("MainPID") + "/fd/" + fd); got != own {
			t.Errorf("descriptor %s is labelled %q", fd, got)
		}
	}
	if got := strings.TrimRight(runAs(t, "system_u:system_r:host_t:s0-s0:c0.c1023", "unitc", "exec", c.name, "cat", "/label"), "\x00"); got != c.label {
		t.Errorf("who has all categories sees %q of the output of unitc exec", got)
	}
	if said := other.awaitWord("ready"); said != "first\nmade\nshares\ncat: can't open '/upper/label': Permission denied\nready" {
		t.Errorf("another container of the image says:\n%s", said)
	}
	other.has(map[string]string{"": fileLabelOf(other.label), "/bin/sh": fileLabelOf(other.label)})
	hostIDs.awaitWord("ready")
	hostIDs.has(map[string]string{"": fileLabelOf(hostIDs.label), "/made": fileLabelOf(hostIDs.label)})
	if c.label == other.label || c.label == hostIDs.label || other.label == hostIDs.label {
		t.Errorf("containers of one image run as %q, %q and %q", c.label, other.label, hostIDs.label)
	}
	// What is kept is there once more.
	run(t, "systemctl", "restart", hostIDs.name)
	again := ofSELinux(t, "hostids")
	again.has(map[string]string{"/made": fileLabelOf(hostIDs.label)})

	run(t, "systemctl", "stop", c.name, other.name, hostIDs.name)
	await(t, "what was written to the image is gone", func() bool {
		_, err := os.Stat(upper)
		return os.IsNotExist(err)
	})
	digest := digestOf(t, labelledImage)
	run(t, "unitc", "rmi", labelledImage)
	// What the others have left is taken away behind their stops, too.
	await(t, "the image is gone", func() bool {
		run(t, "unitc", "prune", "--all")
		return !strings.Contains(run(t, "unitc", "images", "--quiet"), digest)
	})
}

// digestOf is that of the image that has the name in the store.
func digestOf(t *testing.T, name string) string {
	t.Helper()
	var images []struct {
		Digest string
		Names  []string
	}
	if err := json.Unmarshal([]byte(run(t, "unitc", "images", "--json")), &images); err != nil {
		t.Fatal(err)
	}
	for _, i := range images {
		if slices.Contains(i.Names, name) {
			return i.Digest
		}
	}
	t.Fatalf("there is no image %s in %v", name, images)
	return ""
}

// runAs is run with a label.
func runAs(t *testing.T, label, name string, args ...string) string {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const attribute = "/proc/thread-self/attr/exec"
	if err := os.WriteFile(attribute, []byte(label), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(attribute, []byte("\n"), 0)
	return run(t, name, args...)
}

// fileLabelOf is the label of a container's files, where its processes have label.
func fileLabelOf(label string) string {
	return "system_u:object_r:container_file_t:" + strings.TrimPrefix(label, "system_u:system_r:container_t:")
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

func setLabel(t *testing.T, path, label string) {
	t.Helper()
	if err := unix.Setxattr(path, "security.selinux", []byte(label), 0); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
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
