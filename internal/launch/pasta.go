// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/slack"
)

// PastaPaths are where pasta(1) is.
var PastaPaths = []string{"/usr/local/bin/pasta", "/usr/bin/pasta"}

func findPasta() (string, error) {
	for _, path := range PastaPaths {
		if unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	instead := "join a bridge"
	if realm.Own() != nil {
		instead = "write `network_mode: host` or `none`, or `internal: true` at its networks"
	}
	return "", &planner.KeyError{Key: "network_mode", What: "pasta is not installed", Cure: "install it (Debian's package passt), or " + instead}
}

// pastaTimeout bounds pasta's own start.
const pastaTimeout = 30 * time.Second

// startPasta connects the payload by pasta(1), which goes to the background when
// the interface is there and the ports are open. It is born in a leaf of its own
// beside the payload's: it is under the container's limits, ends with them, and
// no stop signal reaches it before the payload has ended.
func (s *starter) startPasta() error {
	if !s.network.HasPasta() {
		return nil
	}
	path, err := findPasta()
	if err != nil {
		return err
	}
	ns, err := s.networkNamespace()
	if err != nil {
		return err
	}
	defer ns.Close()
	name, err := s.nameNetwork(ns)
	defer unnameNetwork(s.stateDir)
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(s.cgroup.Name()))
	if err != nil {
		return err
	}
	defer dir.Close()
	leaf, err := cgroupsd.NetworkLeaf(dir)
	if err != nil {
		return err
	}
	defer leaf.Close()
	ctx, cancel := context.WithTimeout(context.Background(), pastaTimeout)
	defer cancel()
	// It gives up all but two capabilities by itself, keeps root's number for
	// them, and empties its root directory.
	args := append(s.network.PastaOptions(), "--runas", "0:0", "--netns-only", "--no-netns-quit", "--netns", name)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(leaf.Fd())}
	// A file: whoever reads a pipe to its end waits for the process in the background.
	said, err := Memfd("pasta", nil)
	if err != nil {
		return err
	}
	defer said.Close()
	cmd.Stderr = said
	if err := slack.Run(cmd.Run); err != nil {
		text := make([]byte, 2048)
		n, _ := said.ReadAt(text, 0)
		return &planner.KeyError{Key: "network_mode", What: fmt.Sprintf("pasta: %s (%v)", strings.TrimSpace(strings.ReplaceAll(string(text[:n]), "\n", ", ")), err), Cure: "correct the ports, or the host's own network"}
	}
	return keyed(s.network.ConfigurePasta(ns))
}

// netnsFile names the payload's network while pasta opens it: pasta has given
// up by then what it would take to see it below /proc.
const netnsFile = "/netns"

func (s *starter) nameNetwork(ns *os.File) (path string, err error) {
	path = s.stateDir + netnsFile
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return "", err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()), path, "", unix.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("mount %s: %w", path, err)
	}
	return path, nil
}

// unnameNetwork is for clean-up too, after a helper that was killed.
func unnameNetwork(dir string) {
	_ = unix.Unmount(dir+netnsFile, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	_ = os.Remove(dir + netnsFile)
}

// stopPasta ends it where systemd's end of the cgroup would come later.
func stopPasta(slice, unit string) {
	if err := cgroupsd.KillNetwork(slice, unit, cleanTimeout); err != nil {
		fmt.Fprintf(journal.Stderr, "<4>ending pasta: %v\n", err)
	}
}

// takeNetwork has a user's ports free again that a pasta still holds which nobody had to
// wait for: that of this container's last run, or of another one that has ended. It ends
// with its scope, a moment behind the container.
func (s *starter) takeNetwork(request network.Request) (*network.Claim, error) {
	if realm.Own() == nil || !request.LeavesByPasta() || s.plan.Scope == nil {
		return network.Take(request)
	}
	stopPasta(s.plan.Scope.Slice, s.plan.Scope.Name)
	claim, err := network.Take(request)
	var fault *network.Fault
	if !errors.As(err, &fault) {
		return claim, err
	}
	found, killErr := cgroupsd.KillNetworks(func(scope string) bool { return isOver(containerOf(scope), "") }, cleanTimeout)
	if killErr != nil {
		fmt.Fprintf(journal.Stderr, "<4>ending pasta: %v\n", killErr)
	}
	if !found {
		return nil, err
	}
	return network.Take(request)
}

// containerOf is the container that a scope belongs to (definition.Service.ScopeName).
func containerOf(scope string) string {
	return strings.Replace(strings.TrimSuffix(strings.TrimPrefix(scope, "unitc-"), ".scope"), ":", "@", 1)
}
