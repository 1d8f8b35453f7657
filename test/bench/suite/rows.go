// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// starts: `systemctl start` to the payload's first instruction and to its own
// return, with the CPU of everything; stop and restart of the same unit.
func (b *bench) starts() error {
	s := samples{}
	err := rounds(b.n(30, 7), b.peers, func(p *peer, count bool) error {
		if p.mate {
			if err := systemctl("start", p.service("2")); err != nil {
				return err
			}
			defer systemctl("stop", p.service("2"))
		}
		settle()
		got, err := b.start(p, "1")
		if err != nil {
			return err
		}
		clear(p)
		t := now()
		if err := systemctl("restart", p.service("1")); err != nil {
			return err
		}
		at, err := stamp(p, "1")
		if err != nil {
			return err
		}
		restart := at - t
		settle()
		cpu, t := busy(), now()
		if err := systemctl("stop", p.service("1")); err != nil {
			return err
		}
		stopped := now() - t
		settle()
		if count {
			s.add("start_ms", p.name, ms(got.first))
			s.add("start_return_ms", p.name, ms(got.returned))
			s.add("start_cpu_ms", p.name, ms(got.cpu))
			s.add("restart_ms", p.name, ms(restart))
			s.add("stop_ms", p.name, ms(stopped))
			s.add("stop_cpu_ms", p.name, ms(busy()-cpu))
		}
		return nil
	})
	s.print(b.peers)
	return err
}

// wide are the peers that rows with many units measure.
func (b *bench) wide() (peers []*peer) {
	for _, p := range b.peers {
		if p.many {
			peers = append(peers, p)
		}
	}
	return peers
}

func instances(p *peer, n int) (units []string) {
	for i := range n {
		units = append(units, p.service(fmt.Sprint(i+1)))
	}
	return units
}

// memory: what is resident beside the payload, for each of n units.
func (b *bench) memory() error {
	s := samples{}
	counts := []int{1, 10, 50}
	if b.quick {
		counts = []int{10}
	}
	for _, n := range counts {
		if err := b.have(b.wide(), n); err != nil {
			return err
		}
		err := rounds(b.n(3, 1), b.wide(), func(p *peer, count bool) error {
			if !count {
				return nil
			}
			before := processSet()
			if err := b.together(p, n); err != nil {
				return err
			}
			settle()
			pss, private := extra(before)
			s.add(fmt.Sprintf("memory_%d_pss_kib", n), p.name, pss/float64(n))
			s.add(fmt.Sprintf("memory_%d_private_kib", n), p.name, private/float64(n))
			return systemctl(append([]string{"stop"}, instances(p, n)...)...)
		})
		if err != nil {
			return err
		}
	}
	s.print(b.peers)
	return nil
}

// together starts n units with one request and waits for the last payload.
func (b *bench) together(p *peer, n int) error {
	clear(p)
	if err := systemctl(append([]string{"start"}, instances(p, n)...)...); err != nil {
		return err
	}
	for i := range n {
		if _, err := stamp(p, fmt.Sprint(i+1)); err != nil {
			return err
		}
	}
	return nil
}

// many: n units started at once, and stopped at once.
func (b *bench) many() error {
	s := samples{}
	counts := []int{10, 50, 100}
	if b.quick {
		counts = []int{50}
	}
	for _, n := range counts {
		if err := b.have(b.wide(), n); err != nil {
			return err
		}
		err := rounds(b.n(5, 2), b.wide(), func(p *peer, count bool) error {
			settle()
			cpu, t := busy(), now()
			if err := b.together(p, n); err != nil {
				return err
			}
			wall := now() - t
			settle()
			used := busy() - cpu
			cpu, t = busy(), now()
			if err := systemctl(append([]string{"stop"}, instances(p, n)...)...); err != nil {
				return err
			}
			stop := now() - t
			settle()
			if count {
				s.add(fmt.Sprintf("many_%d_ms", n), p.name, ms(wall))
				s.add(fmt.Sprintf("many_%d_cpu_ms", n), p.name, ms(used))
				s.add(fmt.Sprintf("many_%d_stop_ms", n), p.name, ms(stop))
				s.add(fmt.Sprintf("many_%d_stop_cpu_ms", n), p.name, ms(busy()-cpu))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.print(b.peers)
	return nil
}

// logs: lines from a payload that writes as fast as it can until journald has
// the last one. A peer that lost a line is an error.
func (b *bench) logs() error {
	const lines = 50_000
	if err := b.command(fmt.Sprintf("lines '%d'", lines)); err != nil {
		return err
	}
	defer b.command("stamp /out/%p-%i")
	s := samples{}
	peers := b.peers
	err := rounds(b.n(5, 2), peers, func(p *peer, count bool) error {
		settle()
		cpu, t := busy(), now()
		// It may be over before systemd calls it started.
		exec.Command("systemctl", "start", p.service("1")).Run()
		for {
			out, _ := exec.Command("systemctl", "show", "-P", "ActiveState", p.service("1")).Output()
			if state := strings.TrimSpace(string(out)); state != "active" && state != "deactivating" && state != "activating" {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		exec.Command("journalctl", "--sync").Run()
		wall, used := now()-t, busy()-cpu
		exec.Command("journalctl", "--rotate", "--vacuum-size=1M").Run()
		settle()
		if count {
			s.add("logs_klines_per_s", p.name, lines/wall.Seconds()/1000)
			s.add("logs_cpu_s", p.name, used.Seconds())
		}
		return nil
	})
	s.print(peers)
	return err
}

// execs: a program that ends at once, run in a running container.
func (b *bench) execs() error {
	verbs := map[string][]string{
		"unitc":   {"/usr/local/bin/unitc", "exec", "unitc-1", "/bin/payload", "true"},
		"quadlet": {"/usr/bin/podman", "exec", "quadlet-1", "/bin/payload", "true"},
	}
	var peers []*peer
	for _, p := range b.peers {
		if verbs[p.name] != nil {
			if _, err := b.start(p, "1"); err != nil {
				return err
			}
			defer systemctl("stop", p.service("1"))
			if out, err := exec.Command(verbs[p.name][0], verbs[p.name][1:]...).CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "left out: exec of %s: %s\n", p.name, out)
				continue
			}
			peers = append(peers, p)
		}
	}
	s := samples{}
	err := rounds(b.n(20, 5), peers, func(p *peer, count bool) error {
		cpu, t := busy(), now()
		if out, err := exec.Command(verbs[p.name][0], verbs[p.name][1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		wall := now() - t
		settle()
		if count {
			s.add("exec_ms", p.name, ms(wall))
			s.add("exec_cpu_ms", p.name, ms(busy()-cpu))
		}
		return nil
	})
	s.print(peers)
	return err
}
