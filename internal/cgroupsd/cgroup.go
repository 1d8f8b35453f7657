// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/waiting"
)

// mountPoint of cgroup v2 (C-1).
const mountPoint = "/sys/fs/cgroup"

// leaf is the payload's cgroup below the delegated one: no process may be in
// an inner node (C-3).
const leaf = "payload"

// AwaitScope waits until systemd has moved pid into the scope and gives the
// scope's directory. The kernel's own records are asked rather than the bus: see
// startPrivate. ctx bounds it. answered is how long systemd's answer to the
// request was waited for: one that has much to do makes the scope later, and looks in the meantime
// only take the processor from it.
func AwaitScope(ctx context.Context, s *plan.Scope, pid int, answered time.Duration) (*os.File, error) {
	if realm.Own() != nil {
		return AwaitUserScope(ctx, s, pid, answered)
	}
	path := "/proc/" + strconv.Itoa(pid) + "/cgroup"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	w := arrival{path: mountPoint + cgroupfs.SlicePath(s.Slice) + "/" + s.Name + "/cgroup.events", fd: -1}
	defer w.close()
	buf := make([]byte, 4096)
	began := time.Now()
	for looked, told := time.Duration(0), time.Duration(0); ; {
		elapsed := time.Since(began)
		if elapsed >= told+waiting.Long {
			told = elapsed
			waiting.Tell()
		}
		// The process's own record takes the lock under which it is moved: it is read
		// when the scope has somebody, and else ever less often.
		if w.populated() || elapsed >= looked+min(max(looked/2, 5*time.Millisecond), 200*time.Millisecond) {
			looked = elapsed
			n, err := unix.Pread(fd, buf, 0)
			if err != nil {
				return nil, fmt.Errorf("reading the cgroup of process %d: %w", pid, err)
			}
			group, err := cgroupfs.Parse(string(buf[:n]))
			if err != nil {
				return nil, err
			}
			if group[strings.LastIndexByte(group, '/')+1:] == s.Name {
				return openDelegated(group)
			}
			if ctx.Err() != nil {
				return nil, fmt.Errorf("process %d is in %s and not in %s: systemd did not start the scope: %w", pid, group, s.Name, ctx.Err())
			}
		}
		w.wait(min(max(150*time.Microsecond, elapsed/8, answered/16), 20*time.Millisecond))
	}
}

// arrival watches for the first process of a cgroup that is to be made
// (cgroup-v2, cgroup.events).
type arrival struct {
	path string
	fd   int // -1 = it has not been seen yet
}

func (w *arrival) populated() bool {
	if w.fd < 0 {
		fd, err := unix.Open(w.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return false
		}
		w.fd = fd
	}
	var events [256]byte
	n, err := unix.Pread(w.fd, events[:], 0)
	if err != nil {
		w.close() // it was the scope of an earlier start, which has gone
	}
	return err == nil && strings.Contains("\n"+string(events[:n]), "\npopulated 1")
}

// wait ends when the cgroup's events change, once it is there; a hundred helpers
// that wait must leave the processor to PID 1.
func (w *arrival) wait(pause time.Duration) {
	// Not time.Sleep: Go's timers take several times the processor time.
	ts := unix.NsecToTimespec(pause.Nanoseconds())
	if w.fd < 0 {
		_ = unix.Nanosleep(&ts, nil)
		return
	}
	// What comes between is a change that has been missed: never for long.
	ts = unix.NsecToTimespec(max(pause, 5*time.Millisecond).Nanoseconds())
	_, _ = unix.Ppoll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLPRI}}, &ts, nil)
}

func (w *arrival) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
		w.fd = -1
	}
}

// OwnDelegated opens this process's own cgroup, which `Delegate=yes` of the
// service has made ours.
func OwnDelegated() (*os.File, error) {
	group, err := cgroupfs.Of("self")
	if err != nil {
		return nil, err
	}
	return openDelegated(group)
}

// OwnUnit is the directory of the cgroup of the unit that this process belongs
// to: systemd puts ExecStopPost= of a delegated one in ".control" (C-7).
func OwnUnit() (string, error) {
	group, err := cgroupfs.Of("self")
	if err != nil {
		return "", err
	}
	return mountPoint + strings.TrimSuffix(group, "/.control"), nil
}

// openDelegated opens a cgroup and checks systemd's mark that everything below
// it is ours (C-8).
func openDelegated(group string) (*os.File, error) {
	dir, err := os.OpenFile(mountPoint+group, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if realm.Own() != nil {
		// A user's systemd may leave no mark; what was not delegated is not the user's.
		if st, err := dir.Stat(); err == nil && int(st.Sys().(*syscall.Stat_t).Uid) == os.Geteuid() {
			return dir, nil
		}
	}
	var mark [8]byte
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		if n, err := unix.Fgetxattr(int(dir.Fd()), name, mark[:]); err == nil && string(mark[:n]) == "1" {
			return dir, nil
		}
	}
	dir.Close()
	return nil, fmt.Errorf("systemd has not delegated the cgroup %s (no delegate mark on it); is Delegate= overridden by a drop-in?", group)
}

// relayLeaf is the relay's, in the service's own delegated cgroup.
const relayLeaf = "relay"

// Leaf makes and opens the payload's leaf below a delegated cgroup.
func Leaf(dir *os.File) (*os.File, error) { return openLeaf(dir, leaf) }

// RelayLeaf is Leaf for the process that stays beside the payload.
func RelayLeaf(dir *os.File) (*os.File, error) { return openLeaf(dir, relayLeaf) }

// NetworkLeaf is Leaf for the process that connects the payload.
func NetworkLeaf(dir *os.File) (*os.File, error) { return openLeaf(dir, networkLeaf) }

// networkLeaf is beside the payload's.
const networkLeaf = "network"

// NetworkBeside is the directory of that leaf beside the payload's.
func NetworkBeside(payload string) string { return path.Dir(payload) + "/" + networkLeaf }

// KillNetwork ends what is in the network leaf of a unit of a slice, if it is
// there (cgroup-v2, cgroup.kill), and waits until its ports are free again.
func KillNetwork(slice, unit string, patience time.Duration) error {
	return killLeaf(slicePath(slice)+"/"+unit+"/"+networkLeaf, patience)
}

func killLeaf(leaf string, patience time.Duration) error {
	err := os.WriteFile(leaf+"/cgroup.kill", []byte("1"), 0)
	for deadline := time.Now().Add(patience); err == nil && cgroupfs.Populated(leaf); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s has processes %v after they were killed", leaf, patience)
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) { // it has gone, or is going
		return nil
	}
	return err
}

// KillNetworks is KillNetwork for all scopes of a user's, whatever their slices, of which
// over says so; false = none of them has any such process.
func KillNetworks(over func(scope string) bool, patience time.Duration) (found bool, err error) {
	err = filepath.WalkDir(slicePath("-.slice"), func(dir string, entry fs.DirEntry, err error) error {
		name := path.Base(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV):
			return nil // it has gone meanwhile
		case err != nil:
			return err
		case !entry.IsDir() || !strings.HasSuffix(name, ".scope"):
			return nil
		}
		if leaf := dir + "/" + networkLeaf; strings.HasPrefix(name, "unitc-") && cgroupfs.Populated(leaf) && over(name) {
			found = true
			if err := killLeaf(leaf, patience); err != nil {
				return err
			}
		}
		return fs.SkipDir
	})
	return found, err
}

func openLeaf(dir *os.File, leaf string) (*os.File, error) {
	if err := unix.Mkdirat(int(dir.Fd()), leaf, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("mkdir %s/%s: %w", dir.Name(), leaf, err)
	}
	fd, err := unix.Openat(int(dir.Fd()), leaf, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s/%s: %w", dir.Name(), leaf, err)
	}
	return os.NewFile(uintptr(fd), dir.Name()+"/"+leaf), nil
}

// Enter moves pid into a cgroup and reads back that it is there.
func Enter(dir *os.File, pid int) error {
	fd, err := unix.Openat(int(dir.Fd()), "cgroup.procs", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %s/cgroup.procs: %w", dir.Name(), err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(strconv.Itoa(pid))); err != nil {
		return fmt.Errorf("moving process %d into %s: %w", pid, dir.Name(), err)
	}
	group, err := cgroupfs.Of(strconv.Itoa(pid))
	if err != nil {
		return err
	}
	if mountPoint+group != dir.Name() {
		return fmt.Errorf("process %d is in %s after it was moved into %s", pid, group, dir.Name())
	}
	return nil
}

// slicePath is where a slice is: the root of a user's systemd is not the host's.
func slicePath(slice string) string {
	return mountPoint + cgroupfs.OwnRoot() + cgroupfs.SlicePath(slice)
}

// Populated tells whether a unit of a slice still has processes, without asking
// systemd (cgroup-v2, cgroup.events).
func Populated(slice, unit string) bool { return cgroupfs.Populated(slicePath(slice) + "/" + unit) }
