// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Boots are measured in a VM, which runs this program once in each. What is to
// come and what was measured is kept on its disk meanwhile.
const (
	bootsFile  = "/var/lib/bench-boots.json"
	rebootWish = "/run/unitc-lab/reboot" // see test/lab/agent.go
	wants      = "/etc/systemd/system/multi-user.target.wants/"
	bootUnits  = "/etc/systemd/system/"
	masks      = "/etc/systemd/system-generators/"
)

// setup is a machine to boot: so many containers of a peer that start with it.
type setup struct {
	Peer string
	N    int
}

// bootState lies in bootsFile.
type bootState struct {
	Left   []setup // the first one is that of this boot
	Values samples
}

// bootPeer is a way to have the payload started at boot.
type bootPeer struct {
	// generator makes its units; those of others are masked in its boots.
	generator string
	// file is where a unit or a definition goes; %d is its number.
	file string
	text string
	// link is set where the file is what systemd wants, and not what a generator reads.
	link bool
	most int
}

const bootCommand = payload + " stamp /dev/null"

var bootPeers = map[string]bootPeer{
	"plain": {file: bootUnits + "plain-%d.service", text: "[Service]\nType=exec\nExecStart=" + bootCommand + "\n", link: true, most: 50},
	"floor": {file: bootUnits + "floor-%[1]d.service", link: true, most: 50,
		text: "[Service]\nType=notify\nNotifyAccess=all\nExecStart=" + floor + " floor-%[1]d " + root + " " + scratch + "/floor " + stamps + " /bin/payload stamp /dev/null\n"},
	"unitc": {generator: "unitc-generator", file: ours + "unitc-%d.yaml", most: 50,
		text: "rootfs: " + root + "\ncommand: [/bin/payload, stamp, /dev/null]\nnetwork_mode: none\nrestart: always\n"},
	"unitc-service": {generator: "unitc-generator", file: ours + "unitc-service-%d.yaml", most: 50,
		text: "rootfs: " + root + "\ncommand: [/bin/payload, stamp, /dev/null]\nnetwork_mode: none\nrestart: always\nsystemd: {cgroup: service}\n"},
	"quadlet": {generator: "podman-system-generator", file: quadlets + "quadlet-%d.container", most: 10,
		text: "[Container]\nImage=" + image + "\nNetwork=none\nExec=/bin/payload stamp /dev/null\n[Service]\nTimeoutStartSec=infinity\n[Install]\nWantedBy=multi-user.target\n"},
}

// boots measures from PID 1's begin to where nothing is left to be started, with
// 0, 10 and 50 containers: `boot_N_ms`. It is to be run again in each boot, until it
// wishes for no other. 0 of a peer is a machine that has its generator, and nothing for it.
func (b *bench) boots() error {
	state, err := readBoots()
	if err != nil {
		return err
	}
	if state == nil {
		if state, err = b.firstBoot(); err != nil {
			return err
		}
	} else {
		now := state.Left[0]
		took, err := bootTime(now)
		if err != nil {
			return fmt.Errorf("%d of %s: %w", now.N, now.Peer, err)
		}
		fmt.Fprintf(os.Stderr, "%d of %s: %v\n", now.N, now.Peer, took)
		state.Values.add(fmt.Sprintf("boot_%d_ms", now.N), now.Peer, ms(took))
		if err := now.remove(); err != nil {
			return err
		}
		state.Left = state.Left[1:]
	}
	if len(state.Left) == 0 {
		state.Values.print(bootPeersInOrder())
		return nil
	}
	if err := state.Left[0].install(); err != nil {
		return err
	}
	if err := state.write(); err != nil {
		return err
	}
	return os.WriteFile(rebootWish, []byte("reset"), 0o644)
}

func bootPeersInOrder() (list []*peer) {
	for _, name := range []string{"plain", "floor", "unitc", "unitc-service", "quadlet"} {
		list = append(list, &peer{name: name})
	}
	return list
}

func readBoots() (*bootState, error) {
	text, err := os.ReadFile(bootsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	state := &bootState{}
	return state, json.Unmarshal(text, state)
}

// write also waits until the disk has all that was done: the VM is reset next.
func (s *bootState) write() error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(bootsFile, text, 0o644); err != nil {
		return err
	}
	return exec.Command("sync").Run()
}

// firstBoot lays out what all boots have, and in which order they come: each round
// in another one.
func (b *bench) firstBoot() (*bootState, error) {
	if err := layOut(); err != nil {
		return nil, err
	}
	var all []setup
	for name, p := range bootPeers {
		for _, n := range []int{0, 10, 50} {
			if b.wantPeer.MatchString(name) && n <= p.most && !(n == 0 && name == "unitc-service") {
				all = append(all, setup{name, n})
			}
		}
	}
	state := &bootState{Values: samples{}}
	for range b.n(3, 1) {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		state.Left = append(state.Left, all...)
	}
	// Directories that the floor needs, and that go with each boot.
	lines := "d " + scratch + "/floor\nd " + stamps + " 0777\n"
	return state, os.WriteFile("/etc/tmpfiles.d/bench.conf", []byte(lines), 0o644)
}

// install has the containers start with the next boot, in which there is no
// generator but the peer's.
func (s setup) install() error {
	p := bootPeers[s.Peer]
	if err := os.MkdirAll(masks, 0o755); err != nil {
		return err
	}
	for _, other := range bootPeers {
		var err error
		switch other.generator {
		case "":
		case p.generator:
			err = os.Remove(masks + other.generator)
		default:
			err = os.Symlink("/dev/null", masks+other.generator)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for i := range s.N {
		file, text := s.file(i), p.text
		if strings.Contains(text, "%[1]d") {
			text = fmt.Sprintf(text, i)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
		if p.link {
			if err := os.Symlink(file, wants+filepath.Base(file)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s setup) file(i int) string { return fmt.Sprintf(bootPeers[s.Peer].file, i) }

func (s setup) remove() error {
	for i := range s.N {
		err := os.Remove(s.file(i))
		if bootPeers[s.Peer].link {
			err = errors.Join(err, os.Remove(wants+filepath.Base(s.file(i))))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bootTime waits until the boot is over and tells how long PID 1 took for it. All
// that was to run must.
func bootTime(s setup) (time.Duration, error) {
	var end int64
	for deadline := now() + 10*time.Minute; end == 0; time.Sleep(200 * time.Millisecond) {
		var err error
		if end, err = ofManager("FinishTimestampMonotonic"); err != nil {
			return 0, err
		}
		if now() > deadline {
			return 0, errors.New("the boot is not over after ten minutes")
		}
	}
	for i := range s.N {
		name := strings.TrimSuffix(filepath.Base(s.file(i)), filepath.Ext(s.file(i)))
		if out, err := exec.Command("systemctl", "is-active", name+".service").CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%s is %s", name, out)
		}
	}
	begin, err := ofManager("UserspaceTimestampMonotonic")
	return time.Duration(end-begin) * time.Microsecond, err
}

// ofManager asks systemd for one of its own times, in µs.
func ofManager(property string) (int64, error) {
	out, err := exec.Command("systemctl", "show", "-P", property).Output()
	if err != nil {
		return 0, fmt.Errorf("systemctl show: %w", err)
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}
