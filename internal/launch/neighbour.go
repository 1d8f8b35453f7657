// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/realm"
)

// neighbour is the first process of a container whose namespaces are joined. They are
// named by its number, which is another process's as soon as it has ended, and until it
// has entered them they are the host's: systemd knows the main process of a start before.
type neighbour struct {
	key, name string
	pid       int
	process   int // pidfd
}

type neighbours []neighbour

// find waits until a container has its namespaces: units are started behind those that
// they join, but one that systemd starts again meanwhile waits for nobody.
func (all *neighbours) find(key, mode string) (int, error) {
	name := nameOf(mode)
	for _, n := range *all {
		if n.name == name {
			return n.pid, nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	m, err := cgroupsd.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	for {
		n, err := meet(ctx, m, key, name)
		if err == nil {
			*all = append(*all, n)
			return n.pid, nil
		}
		if !errors.Is(err, errBeingSetUp) {
			return 0, err
		}
		select {
		case <-time.After(beingSetUpPause):
		case <-ctx.Done():
			return 0, err
		}
	}
}

// beingSetUpPause is between two looks at a container that is being set up.
const beingSetUpPause = 20 * time.Millisecond

var errBeingSetUp = errors.New("it is being set up")

func meet(ctx context.Context, m *cgroupsd.Manager, key, name string) (neighbour, error) {
	n := neighbour{key: key, name: name}
	var err error
	if n.pid, err = neighbourOf(ctx, m, key, name); err != nil {
		return n, err
	}
	again := fmt.Errorf("%s: %s.service: %w", key, name, errBeingSetUp)
	if n.process, err = unix.PidfdOpen(n.pid, 0); err != nil {
		return n, again // it has ended just now
	}
	// Systemd has not reaped it meanwhile: the descriptor is that process's.
	pid, err := neighbourOf(ctx, m, key, name)
	if err == nil && pid != n.pid {
		err = again
	}
	if err == nil && !protection.Off("neighbour-is-there") {
		err = settled(n.pid, realm.StateDir(name))
		if errors.Is(err, errBeingSetUp) {
			err = again
		}
	}
	if err != nil {
		unix.Close(n.process)
		return n, err
	}
	return n, nil
}

// settled tells whether a process has the namespaces that were planned for it.
func settled(pid int, state string) error {
	p, err := plan.Read(state)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(state); err == nil {
			return errBeingSetUp
		}
		return nil // no container of ours: a service with PrivateNetwork=
	}
	if err != nil {
		return err
	}
	for _, n := range p.Spec.Linux.Namespaces {
		file := joinable[n.Type]
		// A user's helper is in the user namespace of the container already.
		if file == "" || file == "user" && realm.Own() != nil {
			continue
		}
		own := fmt.Sprintf("/proc/%d/ns/%s", pid, file)
		if sameFile(own, "/proc/self/ns/"+file) && (n.Path == "" || !sameFile(own, n.Path)) {
			return errBeingSetUp
		}
	}
	return nil
}

// joinable are the namespaces that are joined, as /proc/PID/ns has them.
var joinable = map[specs.LinuxNamespaceType]string{
	specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.PIDNamespace: "pid", specs.UserNamespace: "user",
}

// stillRun is asked when all that is joined has been opened.
func (all neighbours) stillRun() error {
	for _, n := range all {
		if err := unix.PidfdSendSignal(n.process, 0, nil, 0); err != nil {
			return notThere(n.key, n.name)
		}
	}
	return nil
}

func (all neighbours) close() {
	for _, n := range all {
		unix.Close(n.process)
	}
}
