// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
)

// A label that nobody would enforce is an error with the name of its step,
// before anything is made, for a first process and one that joins.
func TestLabelsWithoutTheirModule(t *testing.T) {
	root, enabled := selinuxRoot, appArmorEnabled
	defer func() { selinuxRoot, appArmorEnabled = root, enabled }()
	selinuxRoot, appArmorEnabled = "/nonexistent", "/nonexistent"
	h := newContainer(t).hold()
	for _, v := range []struct {
		change func(*plan.Plan)
		step   string
		is     error
	}{
		{func(p *plan.Plan) { p.Spec.Process.SelinuxLabel = "u:r:t:s0" }, "set-selinux-label", ErrNoSELinux},
		{func(p *plan.Plan) { p.Spec.Linux.MountLabel = "u:r:t:s0" }, "set-selinux-label", ErrNoSELinux},
		{func(p *plan.Plan) { p.Spec.Process.ApparmorProfile = "x" }, "set-apparmor-profile", ErrNoAppArmor},
	} {
		c := newContainer(t)
		c.service.Command, c.spec = []string{"/payload", "payload"}, v.change
		_, err := c.exec()
		var step *StepError
		if !errors.As(err, &step) || step.Step != v.step || !errors.Is(err, v.is) {
			t.Errorf("%s: %v", v.step, err)
		}
		process := h.process()
		p := &plan.Plan{Spec: h.plan.Spec}
		spec := *h.plan.Spec
		spec.Process, p.Spec = process, &spec
		linux := *spec.Linux
		spec.Linux = &linux
		v.change(p)
		if linux.MountLabel != "" {
			continue // of no concern to a process
		}
		if _, err := h.probe(ExecConfig{Process: process}, "pid"); !errors.Is(err, v.is) {
			t.Errorf("%s of a joining process: %v", v.step, err)
		}
	}
}

func TestAppArmorProfiles(t *testing.T) {
	enabled, profiles := appArmorEnabled, appArmorProfiles
	defer func() { appArmorEnabled, appArmorProfiles = enabled, profiles }()
	appArmorEnabled, appArmorProfiles = t.TempDir()+"/enabled", t.TempDir()+"/profiles"
	if AppArmorHas("a") {
		t.Error("a host without AppArmor has a profile")
	}
	must(t, os.WriteFile(appArmorEnabled, []byte("Y\n"), 0o644))
	if AppArmorHas("a") {
		t.Error("a host whose profiles nobody can read has one")
	}
	must(t, os.WriteFile(appArmorProfiles, []byte("/usr/bin/a (enforce)\na (complain)\nb//c (enforce)\n"), 0o644))
	for name, want := range map[string]bool{"a": true, "/usr/bin/a": true, "b": false, "b//c": true, "a (complain)": false, "": false} {
		if AppArmorHas(name) != want {
			t.Errorf("%q is loaded: %v", name, !want)
		}
	}
}

// Where AppArmor runs, the profile is what is written before the exec.
func TestAppArmorProfileIsWritten(t *testing.T) {
	enabled, file := appArmorEnabled, appArmorExecFile
	defer func() { appArmorEnabled, appArmorExecFile = enabled, file }()
	appArmorEnabled, appArmorExecFile = t.TempDir()+"/enabled", "thread-self/comm"
	must(t, os.WriteFile(appArmorEnabled, []byte("Y\n"), 0o644))
	c := newContainer(t)
	c.service.Command = []string{"/payload", "payload"}
	c.spec = func(p *plan.Plan) { p.Spec.Process.ApparmorProfile = "unitc-default" }
	p, err := c.plan()
	must(t, err)
	l, err := Prepare(p, Options{Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, AttachPoint: t.TempDir()})
	must(t, err)
	defer l.Close()
	if !strings.Contains(strings.Join(l.Program().Listing(), "\n"), `write /proc/thread-self/comm "exec unitc-default"`) {
		t.Error("nothing writes the profile")
	}
	// The write itself: a file that takes it lets the start go on, one that does not stops it.
	_, err = c.exec()
	must(t, err)
	appArmorExecFile = "thread-self/attr/no-such-file"
	var op *program.OpError
	if _, err := c.exec(); !errors.As(err, &op) || op.Step != "set-apparmor-profile" || op.Exit != exitAppArmor {
		t.Errorf("a profile that cannot be set: %v", err)
	}
}

// Where SELinux runs, the label is what is written before the exec. A file of
// procfs that keeps what is written stands for the attribute.
func TestSELinuxLabelIsWritten(t *testing.T) {
	execFile, keyFile := selinuxExecFile, selinuxKeyFile
	defer func() { selinuxExecFile, selinuxKeyFile = execFile, keyFile }()
	selinuxExecFile, selinuxKeyFile = "self/timerslack_ns", "thread-self/comm"
	pretendSELinux(t, func(label string) (string, error) { return label + "\n", nil })
	c := newContainer(t)
	c.spec = func(p *plan.Plan) { p.Spec.Process.SelinuxLabel = "432" }
	c.look(map[string]string{"read=/proc/self/timerslack_ns": "432\n"})
	h := c.hold()
	seen, err := h.probe(ExecConfig{}, "read=/proc/self/timerslack_ns")
	must(t, err)
	expect(t, seen, map[string]string{"read=/proc/self/timerslack_ns": "432\n"})
	// It is read back.
	pretendSELinux(t, func(string) (string, error) { return "another", nil })
	c.service.Command = []string{"/payload", "payload"}
	var op *program.OpError
	if _, err := c.exec(); !errors.As(err, &op) || op.Step != "set-selinux-label" || op.Exit != exitSELinux {
		t.Errorf("another label than the one that was asked for: %v", err)
	}
}

// pretendSELinux has the host run with it, and a policy.
func pretendSELinux(t *testing.T, policy func(string) (string, error)) {
	t.Helper()
	root, magic, real := selinuxRoot, selinuxMagic, canonical
	t.Cleanup(func() { selinuxRoot, selinuxMagic, canonical = root, magic, real })
	selinuxRoot, selinuxMagic, canonical = t.TempDir(), 0, policy
}

// A label that the policy does not know is an error before anything is made.
func TestLabelThatThePolicyLacks(t *testing.T) {
	pretendSELinux(t, func(string) (string, error) { return "", unix.EINVAL })
	for _, change := range []func(*plan.Plan){
		func(p *plan.Plan) { p.Spec.Process.SelinuxLabel = "u:r:t:s0" },
		func(p *plan.Plan) { p.Spec.Linux.MountLabel = "u:r:t:s0" },
	} {
		c := newContainer(t)
		c.service.Command, c.spec = []string{"/payload", "payload"}, change
		var step *StepError
		if _, err := c.exec(); !errors.As(err, &step) || step.Step != "set-selinux-label" || step.Exit != exitSELinux || !errors.Is(err, unix.EINVAL) {
			t.Errorf("it is started: %v", err)
		}
	}
	if SELinuxKnows("u:r:t:s0") {
		t.Error("the policy has it")
	}
}

// The label of mounts reaches every file system that a launch makes: this kernel
// refuses the option, and says so at the first one.
func TestMountLabelIsAsked(t *testing.T) {
	pretendSELinux(t, func(label string) (string, error) { return label, nil })
	c := newContainer(t)
	c.service.Command = []string{"/payload", "payload"}
	c.spec = func(p *plan.Plan) { p.Spec.Linux.MountLabel = "u:r:t:s0:c1,c2" }
	if _, err := c.exec(); err == nil || !strings.Contains(err.Error(), "context=u:r:t:s0:c1,c2") {
		t.Errorf("the label was not asked for: %v", err)
	}
}

// A refusal at the exec for which the program gives no reason is SELinux's, where
// the payload has a label.
func TestExplainLabel(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/x", nil, 0o755))
	must(t, unix.Setxattr(dir+"/x", "security.selinux", []byte("u:r:usr_t:s0\x00"), 0))
	tree, err := os.Open(dir)
	must(t, err)
	defer tree.Close()
	spec := &specs.Spec{Process: &specs.Process{SelinuxLabel: "u:r:t:s0"}}
	l := &inspection{&Launch{spec: spec}, tree}
	if text := l.explainLabel("/x", unix.EACCES); !strings.HasPrefix(text, "SELinux does not let /x, which has the label u:r:usr_t:s0, begin with the label u:r:t:s0 (") {
		t.Error(text)
	}
	if text := l.explainLabel("/x", unix.E2BIG); text != "" {
		t.Error(text)
	}
	spec.Process.SelinuxLabel = ""
	if text := l.explainLabel("/x", unix.EACCES); text != "" {
		t.Error(text)
	}
}

// What has its label already, and what cannot get one, is left alone.
func TestLabelNew(t *testing.T) {
	const label = "system_u:object_r:container_file_t:s0"
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/file", nil, 0o600))
	get := func(path string) string {
		b := make([]byte, 128)
		n, err := unix.Lgetxattr(path, "security.selinux", b)
		if err != nil {
			return err.Error()
		}
		return unix.ByteSliceToString(b[:n])
	}
	l := &Launch{plan: &plan.Plan{LabelNew: map[string]string{"/data": label}}}
	apply := func() {
		t.Helper()
		f, err := cloneTree(unix.AT_FDCWD, dir, true, unix.MS_PRIVATE)
		must(t, err)
		defer f.Close()
		must(t, l.labelSource(f, specs.Mount{Destination: "/data", Source: dir}))
		must(t, l.labelSource(f, specs.Mount{Destination: "/other", Source: "/"}))
	}
	apply()
	if get(dir) != label || get(dir+"/file") != label {
		t.Errorf("they are labelled %q, %q", get(dir), get(dir+"/file"))
	}
	must(t, unix.Setxattr(dir+"/file", "security.selinux", []byte("u:r:own_t:s0"), 0))
	apply()
	if got := get(dir + "/file"); got != "u:r:own_t:s0" {
		t.Errorf("a file of a volume that is labelled got the label %q", got)
	}
}

// `z` and `Z` label a volume's source, links themselves and never what they lead
// to; what the host lives by keeps its labels.
func TestRelabel(t *testing.T) {
	dir, decoy := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(dir+"/a/b", 0o755))
	must(t, os.WriteFile(dir+"/a/b/file", nil, 0o600))
	must(t, os.WriteFile(decoy+"/file", nil, 0o600))
	must(t, os.Symlink(decoy, dir+"/a/link"))
	f, err := cloneTree(unix.AT_FDCWD, dir, true, unix.MS_PRIVATE)
	must(t, err)
	defer f.Close()
	const label = "system_u:object_r:container_file_t:s0:c1,c2"
	must(t, relabel(f, dir, label))
	get := func(path string) string {
		b := make([]byte, 128)
		n, err := unix.Lgetxattr(path, "security.selinux", b)
		if err != nil {
			return err.Error()
		}
		return unix.ByteSliceToString(b[:n])
	}
	for _, p := range []string{"", "/a", "/a/b", "/a/b/file", "/a/link"} {
		if got := get(dir + p); got != label {
			t.Errorf("%s is labelled %q", p, got)
		}
	}
	for _, p := range []string{"", "/file"} {
		if got := get(decoy + p); got == label {
			t.Errorf("what a link leads to is labelled: %s", p)
		}
	}
	if err := relabel(f, "/etc/", label); err == nil {
		t.Error("/etc was labelled")
	}
}
