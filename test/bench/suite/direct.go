// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"
)

// runner is a program that runs the payload itself, without systemd.
type runner struct {
	name string
	argv []string
}

var runners = []runner{
	{"direct-exec", []string{payload, "stamp", stamps + "/direct-exec-1"}},
	{"direct-floor", []string{floor, "direct", root, scratch + "/floor", stamps, "/bin/payload", "stamp", "/out/direct-floor-1"}},
	{"direct-unitc", []string{"/usr/local/bin/unitc-runtime", "run", "-b", scratch + "/direct/direct-unitc", "bench-unitc"}},
	{"direct-bubblewrap", []string{"/usr/bin/bwrap", "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev",
		"--tmpfs", "/tmp", "--bind", stamps, "/out", "/bin/payload", "stamp", "/out/direct-bubblewrap-1"}},
	{"direct-crun", []string{"/usr/bin/crun", "run", "-b", scratch + "/direct/direct-crun", "bench-crun"}},
	{"direct-runc", []string{"/usr/bin/runc", "run", "-b", scratch + "/direct/direct-runc", "bench-runc"}},
}

// direct: from the fork of the program to the payload's first instruction.
func (b *bench) direct() error {
	var peers, engines []*peer
	argv := map[string][]string{}
	for _, r := range runners {
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
		argv[p.name] = r.argv
		if _, _, err := runOnce(p, r.argv); err != nil {
			fmt.Fprintf(os.Stderr, "left out: %s: %v\n", r.name, err)
			continue
		}
		peers = append(peers, p)
		if _, takesBundle := bundleOf(r.argv); takesBundle {
			engines = append(engines, p)
		}
	}
	s := samples{}
	err := rounds(b.n(30, 7), peers, func(p *peer, count bool) error {
		settle()
		first, cpu, err := runOnce(p, argv[p.name])
		if err == nil && count {
			s.add("direct_ms", p.name, ms(first))
			s.add("direct_cpu_ms", p.name, ms(cpu))
		}
		return err
	})
	if err == nil {
		err = rounds(b.n(30, 7), engines, func(p *peer, count bool) error {
			settle()
			took, cpu, err := cycleOnce(p, argv[p.name])
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
	used, t := busy(), now()
	for _, args := range [][]string{{"create", "-b", dir, id}, {"start", id}} {
		if err := exec.Command(argv[0], args...).Run(); err != nil {
			return 0, 0, fmt.Errorf("%s %s: %w", argv[0], args[0], err)
		}
	}
	if _, err := stamp(p, "1"); err != nil {
		return 0, 0, err
	}
	if err := exec.Command(argv[0], "delete", "--force", id).Run(); err != nil {
		return 0, 0, fmt.Errorf("%s delete: %w", argv[0], err)
	}
	took = now() - t
	settle()
	return took, busy() - used, nil
}

// runOnce runs a program until its payload has spoken, then ends the payload.
func runOnce(p *peer, argv []string) (first, cpu time.Duration, err error) {
	clear(p)
	before := processSet()
	used, t := busy(), now()
	cmd := exec.Command(argv[0], argv[1:]...)
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
			}
		}
	}
	<-ended
	return at - t, used, nil
}
