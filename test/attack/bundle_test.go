// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/planner"
)

// target is a container under attack, as a bundle.
type target struct {
	t   *testing.T
	dir string
	// root is its root file system; the attacker has written it.
	root string
	// service is the definition that the planner makes the configuration of.
	service definition.Service
	// spec changes the configuration after that.
	spec func(*specs.Spec)
	// off are the protections that are left away, "" = what is shipped.
	off string
	// loose: the protection is left away, and the attack must succeed.
	loose bool
	// caller changes the call of the runtime: descriptors, environment, credentials.
	caller func(*exec.Cmd)
	// program is another copy of the runtime; "" = by off.
	program string
}

// firstID is where ids of containers begin.
const firstID = 1 << 30

var self = func() string { s, _ := os.Executable(); return s }()

func newTarget(t *testing.T, off string) *target {
	t.Helper()
	c := &target{t: t, dir: t.TempDir(), off: off}
	must(t, os.Chmod(c.dir, 0o755))
	c.root = c.dir + "/rootfs"
	for _, d := range []string{"", "/etc", "/tmp", "/srv", "/proc", "/sys", "/dev"} {
		must(t, os.Mkdir(c.root+d, 0o755))
	}
	must(t, os.Chmod(c.root+"/tmp", 0o1777))
	// A link where it can be: starts are many, and the file is large.
	if os.Link(self, c.root+"/payload") != nil {
		data, err := os.ReadFile(self)
		must(t, err)
		must(t, os.WriteFile(c.root+"/payload", data, 0o755))
	}
	c.service = definition.Service{Name: "target", RootFS: c.root, NetworkMode: "none"}
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hostIDs gives the payload the ids of the host, as `userns_mode: host` does.
func (c *target) hostIDs() *target { c.service.UsernsMode = "host"; return c }

// write puts a file into the root file system.
func (c *target) write(path, text string) {
	c.t.Helper()
	must(c.t, os.MkdirAll(filepath.Dir(c.root+"/"+path), 0o755))
	must(c.t, os.WriteFile(c.root+"/"+path, []byte(text), 0o644))
}

// link puts a link there, in the place of what is there.
func (c *target) link(to, path string) {
	c.t.Helper()
	must(c.t, os.RemoveAll(c.root+"/"+path))
	must(c.t, os.Symlink(to, c.root+"/"+path))
}

// configure writes config.json for a payload that runs probes.
func (c *target) configure(probes ...string) error {
	c.t.Helper()
	if len(c.service.Command) == 0 {
		c.service.Command = append([]string{"/payload", "payload"}, probes...)
		defer func() { c.service.Command = nil }()
	}
	p, err := planner.Build(&c.service, planner.Facts{IDStart: firstID})
	if err != nil {
		return err
	}
	s := p.Spec
	s.Root = &specs.Root{Path: "rootfs", Readonly: c.service.ReadOnly}
	s.Process.Rlimits = nil // the machine of the tests may not raise any
	s.Linux.Resources, s.Linux.CgroupsPath = nil, ""
	if c.service.UsernsMode == "" {
		// Bundles have the ids that their files have on disk.
		for _, d := range []string{"", "/etc", "/tmp", "/srv", "/proc", "/sys", "/dev"} {
			must(c.t, os.Lchown(c.root+d, firstID, firstID))
		}
	}
	if c.spec != nil {
		c.spec(s)
	}
	data, err := json.Marshal(s)
	must(c.t, err)
	return os.WriteFile(c.dir+"/config.json", data, 0o644)
}

var containers atomic.Int32

// command is a call of the runtime.
func (c *target) command(args ...string) *exec.Cmd {
	program := c.program
	switch {
	case program != "":
	case c.off == "":
		program = shipped
	default:
		program = unsafeBuild
	}
	cmd := exec.Command(program, append([]string{"--root", c.dir + "/state", "--cgroup-manager", "disabled"}, args...)...)
	cmd.Env = append(os.Environ(), "UNITC_UNSAFE="+c.off)
	if c.caller != nil {
		c.caller(cmd)
	}
	return cmd
}

// start runs the payload with probes and gives what they saw.
func (c *target) start(probes ...string) (map[string]string, error) {
	c.t.Helper()
	if err := c.configure(probes...); err != nil {
		return nil, err
	}
	return look(c.command("run", "--bundle", c.dir, fmt.Sprintf("target-%d", containers.Add(1))))
}

func look(cmd *exec.Cmd) (map[string]string, error) {
	var out, fault bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &fault
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s%s", err, out.Bytes(), fault.Bytes())
	}
	seen := map[string]string{}
	if err := json.Unmarshal(out.Bytes(), &seen); err != nil {
		return nil, fmt.Errorf("the payload printed %q %q", out.Bytes(), fault.Bytes())
	}
	return seen, nil
}

// see is start for a payload that must start.
func (c *target) see(probes ...string) map[string]string {
	c.t.Helper()
	seen, err := c.start(probes...)
	must(c.t, err)
	return seen
}

// one is what a single probe sees.
func (c *target) one(probe string) string { c.t.Helper(); return c.see(probe)[probe] }

// held is a container that runs until the test ends.
type held struct {
	*target
	id  string
	out *bufio.Reader
	end func()
}

func (c *target) hold(probes ...string) *held {
	c.t.Helper()
	must(c.t, c.configure(append(probes, "hold")...))
	h := &held{target: c, id: fmt.Sprintf("held-%d", containers.Add(1))}
	cmd := c.command("run", "--bundle", c.dir, h.id)
	var fault bytes.Buffer
	cmd.Stderr = &fault
	in, err := cmd.StdinPipe()
	must(c.t, err)
	out, err := cmd.StdoutPipe()
	must(c.t, err)
	must(c.t, cmd.Start())
	ended := false
	h.end = func() {
		if !ended {
			ended = true
			in.Close()
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait()
		}
	}
	c.t.Cleanup(h.end)
	h.out = bufio.NewReader(out)
	if line, err := h.out.ReadString('\n'); err != nil || line != "holding\n" {
		h.end()
		c.t.Fatalf("the payload said %q: %v: %s", line, err, fault.Bytes())
	}
	return h
}

// exec runs probes in the held container by `exec`.
func (h *held) exec(options []string, probes ...string) (map[string]string, error) {
	args := append([]string{"exec"}, options...)
	args = append(append(args, h.id, "/payload", "payload"), probes...)
	return look(h.command(args...))
}

// decoy is a directory of the host that nobody inside may reach.
func decoy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for up := dir; up != "/"; up = filepath.Dir(up) {
		if st, err := os.Stat(up); err == nil && st.Mode().Perm()&0o005 != 0o005 {
			must(t, os.Chmod(up, st.Mode()|0o755))
		}
	}
	must(t, os.Chmod(dir, 0o777))
	must(t, os.WriteFile(dir+"/secret", []byte("of the host"), 0o644))
	return dir
}

// touched tells whether a decoy is not what it was.
func touched(t *testing.T, dir string) bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	text, err := os.ReadFile(dir + "/secret")
	return err != nil || len(entries) != 1 || string(text) != "of the host"
}

// leak is a descriptor without close-on-exec, at number n of the runtime.
func leak(t *testing.T, path string, n int) func(*exec.Cmd) {
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return func(cmd *exec.Cmd) {
		for len(cmd.ExtraFiles) < n-3 {
			cmd.ExtraFiles = append(cmd.ExtraFiles, nil)
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
}

// credentials has the runtime called with what a careless caller leaves behind:
// by a shell of this binary that changes itself before.
func credentials(change string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Args = append([]string{self, "payload", change, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = self
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
	}
}
