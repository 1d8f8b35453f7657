// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/oci/cgroup"
)

var lookVerbs = []verb{
	{name: "state", args: "<container-id>", help: "print the state of a container", least: 1, most: 1, run: state},
	{name: "list", args: "", help: "list containers", most: 0, run: list,
		options: []option{{"format", "f", "FORMAT", "table or json"}, {"quiet", "q", "", "ids alone"}}},
	{name: "ps", args: "<container-id> [ps options]", help: "list the processes of a container", least: 1, most: -1, run: ps, foreign: true,
		options: []option{{"format", "f", "FORMAT", "table or json"}}},
	{name: "events", args: "<container-id>", help: "print figures and out-of-memory events", least: 1, most: 1, run: events,
		options: []option{{"interval", "", "DURATION", "time between figures"}, {"stats", "", "", "print figures once"}}},
	{name: "features", args: "", help: "print what this runtime can do", most: 0, run: printFeatures},
	{name: "spec", args: "", help: "write a configuration to start from", most: 0, run: writeSpec,
		options: []option{{"bundle", "b", "DIR", "directory of the bundle"}, {"rootless", "", "", "for a user without privilege"}}},
}

// shown is a container as `state` and `list` print it.
type shown struct {
	Version     string               `json:"ociVersion"`
	ID          string               `json:"id"`
	PID         int                  `json:"pid"`
	Status      specs.ContainerState `json:"status"`
	Bundle      string               `json:"bundle"`
	RootFS      string               `json:"rootfs"`
	Created     time.Time            `json:"created"`
	Annotations map[string]string    `json:"annotations,omitempty"`
	Owner       string               `json:"owner"`
}

func (k *container) show() shown {
	s := shown{Version: specs.Version, ID: k.ID, PID: k.PID, Status: k.status(), Bundle: k.Bundle, RootFS: k.RootFS, Created: k.Created, Owner: userName(k.Owner)}
	if s.Status == specs.StateStopped {
		s.PID = 0
	}
	if spec, err := k.config(); err == nil {
		s.Annotations = spec.Annotations
	}
	return s
}

// userName looks a host's user up by hand: os/user costs a start of 0.1 ms.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	b, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return "#" + id
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == id {
			return f[0]
		}
	}
	return "#" + id
}

func (c *call) printJSON(v any, indent string) error {
	b, err := json.MarshalIndent(v, "", indent)
	if indent == "" {
		b, err = json.Marshal(v)
	}
	if err != nil {
		return err
	}
	_, err = c.stdout.Write(append(b, '\n'))
	return err
}

func state(c *call) error {
	k, err := c.look(c.args[0])
	if err != nil {
		return err
	}
	return c.printJSON(k.show(), "  ")
}

func list(c *call) error {
	format := c.get("format")
	if format != "" && format != "table" && format != "json" {
		return errors.New("invalid format option")
	}
	entries, err := os.ReadDir(c.root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var all []shown
	for _, e := range entries {
		if !e.IsDir() || checkID(e.Name()) != nil {
			continue
		}
		k, err := c.look(e.Name())
		if err != nil {
			fmt.Fprintf(os.Stderr, "load container %s: %v\n", e.Name(), err)
			continue
		}
		all = append(all, k.show())
	}
	if c.has("quiet") {
		for _, s := range all {
			fmt.Fprintln(c.stdout, s.ID)
		}
		return nil
	}
	if format == "json" {
		return c.printJSON(all, "") // null for none, as runc has it
	}
	w := tabwriter.NewWriter(c.stdout, 12, 1, 3, ' ', 0)
	fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.PID, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return w.Flush()
}

func ps(c *call) error {
	format := c.get("format")
	if format != "" && format != "table" && format != "json" {
		return errors.New("invalid format option")
	}
	k, err := c.look(c.args[0])
	if err != nil {
		return err
	}
	pids := []int{}
	if k.group().Exists() {
		if pids, err = k.group().PIDs(); err != nil {
			return err
		}
	} else if alive(k.PID, k.StartTime) {
		pids = []int{k.PID}
	}
	if format == "json" {
		return c.printJSON(pids, "")
	}
	args := c.args[1:]
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	out, err := exec.Command("ps", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	lines := strings.Split(string(out), "\n")
	column := slices.Index(strings.Fields(lines[0]), "PID")
	if column < 0 {
		return errors.New("couldn't find PID field in ps output")
	}
	fmt.Fprintln(c.stdout, lines[0])
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		if pid, err := strconv.Atoi(fields[column]); err == nil && slices.Contains(pids, pid) {
			fmt.Fprintln(c.stdout, line)
		}
	}
	return nil
}

// event is one line of `events`.
type event struct {
	Type string        `json:"type"`
	ID   string        `json:"id"`
	Data *cgroup.Stats `json:"data,omitempty"`
}

func events(c *call) error {
	interval := 5 * time.Second
	if c.given("interval") {
		d, err := time.ParseDuration(c.get("interval"))
		if err != nil || d <= 0 {
			return errors.New("duration interval must be greater than 0")
		}
		interval = d
	}
	k, err := c.look(c.args[0])
	if err != nil {
		return err
	}
	if k.status() == specs.StateStopped {
		return fmt.Errorf("container with id %s is not running", k.ID)
	}
	if k.Cgroup == "" {
		return errors.New("the container has no cgroup of its own")
	}
	if c.has("stats") {
		return c.printJSON(event{"stats", k.ID, k.group().Stats()}, "")
	}
	killed := k.group().OOMKills()
	// Asked a hundred times a second at most: the kernel tells by inotify, which
	// ends with the directory as well, but not why.
	const tick = 100 * time.Millisecond
	for next := time.Now(); k.status() != specs.StateStopped; time.Sleep(min(tick, interval)) {
		if n := k.group().OOMKills(); n > killed {
			killed = n
			if err := c.printJSON(event{"oom", k.ID, nil}, ""); err != nil {
				return err
			}
		}
		if now := time.Now(); !now.Before(next) {
			next = now.Add(interval)
			if err := c.printJSON(event{"stats", k.ID, k.group().Stats()}, ""); err != nil {
				return err
			}
		}
	}
	return nil
}
