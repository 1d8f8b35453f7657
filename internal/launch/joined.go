// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/runtime"
)

// joinedNamespaces finds the namespaces of others that a definition asks for, and whose
// they are: a process that must be there until its namespaces have been opened.
func joinedNamespaces(s *definition.Service) (planner.Joined, neighbours, error) {
	var all neighbours
	j, err := all.join(s)
	if err != nil {
		all.close()
		return j, nil, err
	}
	return j, all, nil
}

func (all *neighbours) join(s *definition.Service) (planner.Joined, error) {
	var j planner.Joined
	if path, ok := strings.CutPrefix(s.NetworkMode, "ns:"); ok {
		if _, err := os.Stat(path); err != nil {
			return j, &planner.KeyError{Key: "network_mode", What: err.Error(), Cure: "make it with `ip netns add`, or correct the path"}
		}
		j.Network = path
	}
	for _, n := range []struct {
		key, mode, file string
		path            *string
	}{
		{"network_mode", s.NetworkMode, "net", &j.Network},
		{"pid", s.PID, "pid", &j.PID},
		{"ipc", s.IPC, "ipc", &j.IPC},
	} {
		if !definition.JoinsContainer(n.mode) {
			continue
		}
		pid, err := all.find(n.key, n.mode)
		if err != nil {
			return j, err
		}
		*n.path = fmt.Sprintf("/proc/%d/ns/%s", pid, n.file)
		if n.key == "network_mode" {
			j.HostNetwork = sameFile(*n.path, "/proc/self/ns/net")
			if realm.Own() != nil && j.HostNetwork {
				return j, &planner.KeyError{Key: n.key, What: "the joined container has the host's network, over which a user has no power", Cure: "write `network_mode: host` here, too"}
			}
			continue
		}
		if n.key == "ipc" {
			j.Shm = pid
		}
		level, err := joinedLevel(pid)
		if err != nil {
			return j, err
		}
		if j.PID != "" && n.key == "ipc" && level != j.Level {
			return j, &planner.KeyError{Key: "ipc", What: s.IPC + " has another SELinux label than " + s.PID, Cure: "join one container with both `pid:` and `ipc:`"}
		}
		j.Level = level
		user, err := foreignUser(pid)
		if err != nil {
			return j, err
		}
		if j.PID != "" && n.key == "ipc" && user != j.User && !sameFile(user, j.User) {
			return j, &planner.KeyError{Key: "ipc", What: s.IPC + " has other user ids than " + s.PID, Cure: "join one container with both `pid:` and `ipc:`"}
		}
		j.User = user
	}
	return j, nil
}

// joinedLevel is the level of a container's SELinux label: another one would
// keep what joins it from what it joins.
func joinedLevel(pid int) (string, error) {
	if !runtime.SELinux() {
		return "", nil
	}
	label, err := os.ReadFile(fmt.Sprintf("/proc/%d/attr/current", pid))
	if err != nil {
		return "", fmt.Errorf("reading the label of the joined container: %w", err)
	}
	return planner.ContainerLevel(strings.TrimRight(string(label), "\x00\n")), nil
}

// foreignUser is the path of a process's user namespace, "" = this one.
func foreignUser(pid int) (string, error) {
	path := fmt.Sprintf("/proc/%d/ns/user", pid)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("reading the user namespace of the joined container: %w", err)
	}
	if sameFile(path, "/proc/self/ns/user") {
		return "", nil
	}
	return path, nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// neighbourPID is the main process of the container that a namespace key names.
func neighbourPID(key, mode string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	m, err := cgroupsd.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	return neighbourOf(ctx, m, key, nameOf(mode))
}

func neighbourOf(ctx context.Context, m *cgroupsd.Manager, key, name string) (int, error) {
	pid, err := m.MainPID(ctx, name+".service")
	if err == nil && pid == 0 {
		err = notThere(key, name)
	}
	return pid, err
}

func notThere(key, name string) error {
	return &planner.KeyError{Key: key, What: name + ".service does not run", Cure: "start it; it must run for as long as this one does"}
}

// nameOf is the NAME of service:NAME and container:NAME.
func nameOf(mode string) string {
	_, name, _ := strings.Cut(mode, ":")
	return name
}
