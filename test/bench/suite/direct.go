// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
)

// runner is a program that runs the payload itself, without systemd.
type runner struct {
	name string
	argv []string
	as   func(*exec.Cmd) // how it is started besides, nil = as any program
}

// helperPeer is unitc-exec run as the unit of a definition would run it, by
// this program in place of systemd.
const helperPeer = "direct-unitc-exec"

var runners = []runner{
	{name: "direct-exec", argv: []string{payload, "stamp", stamps + "/direct-exec-1"}},
	{name: "direct-floor", argv: []string{floor, "direct", root, scratch + "/floor", stamps, "/bin/payload", "stamp", "/out/direct-floor-1"}},
	{name: "direct-unitc", argv: []string{"/usr/local/bin/unitc-runtime", "run", "-b", scratch + "/direct/direct-unitc", "bench-unitc"}},
	{name: "direct-bubblewrap", argv: []string{"/usr/bin/bwrap", "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev",
		"--tmpfs", "/tmp", "--bind", stamps, "/out", "/bin/payload", "stamp", "/out/direct-bubblewrap-1"}},
	{name: "direct-crun", argv: []string{"/usr/bin/crun", "run", "-b", scratch + "/direct/direct-crun", "bench-crun"}},
	{name: "direct-runc", argv: []string{"/usr/bin/runc", "run", "-b", scratch + "/direct/direct-runc", "bench-runc"}},
	// With a scope that systemd makes, as engines run them.
	{name: "direct-unitc-scope", argv: []string{"/usr/local/bin/unitc-runtime", "--systemd-cgroup", "run", "-b", scratch + "/direct/direct-unitc-scope", "bench-unitc-scope"}},
	{name: "direct-crun-scope", argv: []string{"/usr/bin/crun", "--systemd-cgroup", "run", "-b", scratch + "/direct/direct-crun-scope", "bench-crun-scope"}},
	{name: "direct-runc-scope", argv: []string{"/usr/bin/runc", "--systemd-cgroup", "run", "-b", scratch + "/direct/direct-runc-scope", "bench-runc-scope"}},
}

// direct: from the fork of the program to the payload's first instruction.
func (b *bench) direct() error {
	var peers, engines []*peer
	ways := map[*peer]runner{}
	helper, err := b.helper()
	if err != nil {
		return err
	}
	for _, r := range append(slices.Clone(runners), helper...) {
		if !b.wantPeer.MatchString(r.name) {
			continue
		}
		if _, err := os.Stat(r.argv[0]); err != nil {
			fmt.Fprintf(os.Stderr, "left out: %s: %v\n", r.name, err)
			continue
		}
		dir := scratch + "/direct/" + r.name
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		config, err := bundle([]string{"stamp", "/out/" + r.name + "-1"})
		if err != nil {
			return err
		}
		if err := os.WriteFile(dir+"/config.json", config, 0o644); err != nil {
			return err
		}
		p := &peer{name: r.name}
		ways[p] = r
		if _, _, err := runOnce(p, r); err != nil {
			fmt.Fprintf(os.Stderr, "left out: %s: %v\n", r.name, err)
			continue
		}
		peers = append(peers, p)
		if _, takesBundle := bundleOf(r.argv); takesBundle {
			engines = append(engines, p)
		}
	}
	s := samples{}
	for range 3 {
		for _, p := range peers {
			if err := usageOnce(p, ways[p], s); err != nil {
				return err
			}
		}
	}
	err = rounds(b.n(30, 7), peers, func(p *peer, count bool) error {
		settle()
		first, cpu, err := runOnce(p, ways[p])
		if err == nil && count {
			s.add("direct_ms", p.name, ms(first))
			s.add("direct_cpu_ms", p.name, ms(cpu))
		}
		return err
	})
	if err == nil {
		err = rounds(b.n(30, 7), engines, func(p *peer, count bool) error {
			settle()
			took, cpu, err := cycleOnce(p, ways[p].argv)
			if err == nil && count {
				s.add("cycle_ms", p.name, ms(took))
				s.add("cycle_cpu_ms", p.name, ms(cpu))
			}
			return err
		})
	}
	s.print(peers)
	return err
}

// bundleOf is the bundle that a command line of an OCI runtime names.
func bundleOf(argv []string) (dir string, found bool) {
	i := slices.Index(argv, "-b")
	if i < 0 {
		return "", false
	}
	return argv[i+1], true
}

// cycleOnce is what engines do with a container: create, start until the
// payload speaks, delete.
func cycleOnce(p *peer, argv []string) (took, cpu time.Duration, err error) {
	clear(p)
	dir, _ := bundleOf(argv)
	id := argv[len(argv)-1]
	run := func(args ...string) error {
		words := slices.Concat(argv[1:slices.Index(argv, "run")], args) // with the flags before it
		if err := exec.Command(argv[0], words...).Run(); err != nil {
			return fmt.Errorf("%s %s: %w", argv[0], strings.Join(words, " "), err)
		}
		return nil
	}
	used, t := busy(), now()
	if err := run("create", "-b", dir, id); err != nil {
		return 0, 0, err
	}
	if err := run("start", id); err != nil {
		return 0, 0, err
	}
	if _, err := stamp(p, "1"); err != nil {
		return 0, 0, err
	}
	if err := run("delete", "--force", id); err != nil {
		return 0, 0, err
	}
	took = now() - t
	settle()
	return took, busy() - used, nil
}

// runOnce runs a program until its payload has spoken, then kills the payload. A
// program that waits for its payload ends then; where it leaves that to systemd,
// this one waits in systemd's place.
func runOnce(p *peer, r runner) (first, cpu time.Duration, err error) {
	clear(p)
	before := processSet()
	used, t := busy(), now()
	cmd := exec.Command(r.argv[0], r.argv[1:]...)
	if r.as != nil {
		r.as(cmd)
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	at, err := stamp(p, "1")
	if err != nil {
		cmd.Process.Kill()
		return 0, 0, err
	}
	settle()
	used = busy() - used
	for _, pid := range processes() {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if !before[pid] && string(comm) == "payload\n" {
			if proc, err := os.FindProcess(pid); err == nil {
				proc.Kill()
				proc.Wait() // it is a child of this program's (CLONE_PARENT), or an error
			}
		}
	}
	<-ended
	return at - t, used, nil
}

// usageOnce adds the page faults of a program until its payload has ended, and its
// peak memory; those of children for which it waits as well.
func usageOnce(p *peer, r runner, s samples) error {
	file := scratch + "/usage"
	r.argv = append([]string{payload, "usage", file}, r.argv...)
	if _, _, err := runOnce(p, r); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var faults, peak float64
	if _, err := fmt.Sscan(string(text), &faults, &peak); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	s.add("direct_faults", p.name, faults)
	s.add("direct_peak_kib", p.name, peak)
	return nil
}

// helper makes a definition and what systemd gives its service: a delegated
// cgroup, a directory, and somebody who listens to what it tells.
func (b *bench) helper() ([]runner, error) {
	if !b.wantPeer.MatchString(helperPeer) {
		return nil, nil
	}
	p := definition(helperPeer, false, "logging: {driver: direct}\nsystemd: {cgroup: service}\n")
	if err := p.write("stamp /out/" + helperPeer + "-1"); err != nil {
		return nil, err
	}
	if err := systemctl("daemon-reload"); err != nil {
		return nil, err
	}
	out, err := exec.Command("systemctl", "cat", p.service("1")).Output()
	if err != nil {
		return nil, err
	}
	argv := directive(string(out), "ExecStart")
	if len(argv) < 3 {
		return nil, fmt.Errorf("no command in %s", out)
	}
	argv[0] = strings.TrimLeft(argv[0], "@-:+!")
	environment := directive(string(out), "Environment")
	own, err := cgroupfs.Of("self")
	if err != nil {
		return nil, err
	}
	group := "/sys/fs/cgroup" + own + "/helper"
	if err := os.MkdirAll(group, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Setxattr(group, "trusted.delegate", []byte("1"), 0); err != nil {
		return nil, fmt.Errorf("marking %s as delegated: %w", group, err)
	}
	dir, err := os.Open(group)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(scratch+"/state", 0o755); err != nil {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: scratch + "/notify", Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	go func() {
		for message := make([]byte, 4096); ; {
			if _, err := conn.Read(message); err != nil {
				return
			}
		}
	}()
	as := func(cmd *exec.Cmd) {
		cmd.Env = append([]string{"PATH=/usr/bin:/bin", "NOTIFY_SOCKET=" + scratch + "/notify", "RUNTIME_DIRECTORY=" + scratch + "/state", "INVOCATION_ID=0123456789abcdef0123456789abcdef"}, environment...)
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	}
	return []runner{{helperPeer, argv, as}}, nil
}

// directive is the words of a unit's lines of one name; unitc quotes none of those
// that are read here.
func directive(unit, name string) (words []string) {
	for line := range strings.Lines(unit) {
		if value, found := strings.CutPrefix(line, name+"="); found {
			words = append(words, strings.Fields(value)...)
		}
	}
	return words
}
