// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// views are what an operator looks at, by the peer whose containers are there.
// systemctl's list is of the same machine in the same turn.
var views = map[string]map[string][]string{
	"unitc": {
		"ps": {"/usr/local/bin/unitc", "ps"}, "ps_json": {"/usr/local/bin/unitc", "ps", "--json"}, "stats": {"/usr/local/bin/unitc", "stats", "--no-stream"},
		"list_units": {"systemctl", "list-units", "--type=service", "--no-pager"},
	},
	"quadlet": {
		"ps": {"/usr/bin/podman", "ps"}, "ps_json": {"/usr/bin/podman", "ps", "--format=json"}, "stats": {"/usr/bin/podman", "stats", "--no-stream", "--no-reset"},
		"list_units": {"systemctl", "list-units", "--type=service", "--no-pager"},
	},
}

// listings: what it takes to see n containers, that of those who are asked
// included.
func (b *bench) listings() error {
	for _, n := range []int{100, 1000} {
		s := samples{}
		var peers []*peer
		for _, p := range b.wide() {
			// A thousand containers of podman take minutes to start and to stop.
			if views[p.name] == nil || b.quick && n > 100 && p.name == "quadlet" {
				continue
			}
			peers = append(peers, p)
			err := b.view(p, n, s)
			if err != nil && strings.Contains(p.name, "unitc") {
				return err
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "left out: %d containers of %s: %v\n", n, p.name, err)
			}
		}
		s.print(peers)
	}
	return nil
}

// view looks at n containers of a peer, again and again and in turns.
func (b *bench) view(p *peer, n int, s samples) error {
	if err := b.have([]*peer{p}, n); err != nil {
		return err
	}
	defer crowd("stop", p, n)
	if err := crowd("start", p, n); err != nil {
		return err
	}
	var list []*peer
	for name := range views[p.name] {
		list = append(list, &peer{name: name})
	}
	return rounds(b.n(10, 5), list, func(verb *peer, count bool) error {
		argv := views[p.name][verb.name]
		settle()
		cpu, t := busy(), now()
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%q: %w: %s", argv, err, out)
		}
		wall := now() - t
		settle()
		if count {
			s.add(fmt.Sprintf("%s_%d_ms", verb.name, n), p.name, ms(wall))
			s.add(fmt.Sprintf("%s_%d_cpu_ms", verb.name, n), p.name, ms(busy()-cpu))
		}
		return nil
	})
}

// crowd starts or stops n units, some at a time: how long a thousand at once would
// wait for their turn is not what is measured here.
func crowd(verb string, p *peer, n int) error {
	for some := range slices.Chunk(instances(p, n), 20) {
		if err := systemctl(append([]string{verb}, some...)...); err != nil {
			return err
		}
	}
	return nil
}
