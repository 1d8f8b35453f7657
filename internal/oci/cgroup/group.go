// SPDX-License-Identifier: Apache-2.0

// Package cgroup keeps the cgroup v2 directory of a container of the OCI
// command line: it makes it, writes limits to its files, freezes, kills, reads
// figures and removes it. Engines that ask for a systemd scope get one of
// cgroupsd, which is then a directory like any other. The room knows no
// container and no bus.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
)

// Locate is the path of a container's cgroup below the mount. What is not
// absolute is placed beside this process's own (runtime-spec config-linux.md, "Cgroups Path").
func Locate(cgroupsPath, id string) (string, error) {
	if cgroupsPath == "" {
		cgroupsPath = id
	}
	if filepath.IsAbs(cgroupsPath) {
		return filepath.Clean(cgroupsPath), nil
	}
	own, err := cgroupfs.Of("self")
	if err != nil {
		return "", err
	}
	// Cleaned as if it were absolute: it may not climb.
	return filepath.Join(filepath.Dir(own), filepath.Clean("/"+cgroupsPath)), nil
}

// Group is a cgroup by its path below the mount; "" is no cgroup at all, on
// which everything does nothing.
type Group string

func (g Group) file(name string) string { return cgroupfs.Mount() + string(g) + "/" + name }

// Dir opens the directory.
func (g Group) Dir() (*os.File, error) {
	return os.OpenFile(cgroupfs.Mount()+string(g), unix.O_DIRECTORY, 0)
}

// Create makes the directory and what is missing above it, and passes the
// controllers down as far as they can be: a cgroup with processes of its own
// cannot pass any (cgroups(7), "no internal processes"). found = somebody else
// has made it.
func (g Group) Create() (found bool, err error) {
	if g == "" || g == "/" {
		return false, nil
	}
	path := cgroupfs.Mount()
	parts := strings.Split(strings.TrimPrefix(string(g), "/"), "/")
	for i, name := range parts {
		passControllers(path)
		path += "/" + name
		err := os.Mkdir(path, 0o755)
		last := i == len(parts)-1
		if err != nil && (!errors.Is(err, fs.ErrExist) || last && g.Populated()) {
			return false, fmt.Errorf("creating the cgroup: %w", err)
		}
		found = last && err != nil
	}
	if g.read("cgroup.type") == "domain invalid" {
		if !found {
			_ = unix.Rmdir(path)
		}
		return found, fmt.Errorf("creating the cgroup: below %s is place for threads alone: it has processes of its own and passes controllers on", filepath.Dir(string(g)))
	}
	if g.Frozen() { // the first process would never get anywhere
		if !found {
			err = g.Remove()
		}
		return found, errors.Join(fmt.Errorf("the cgroup %s is frozen", g), err)
	}
	return found, nil
}

func passControllers(dir string) {
	available, err := os.ReadFile(dir + "/cgroup.controllers")
	if err != nil {
		return
	}
	passed, _ := os.ReadFile(dir + "/cgroup.subtree_control")
	for c := range strings.FieldsSeq(string(available)) {
		if !slices.Contains(strings.Fields(string(passed)), c) && !pass(dir, c) {
			return
		}
	}
}

// pass passes one controller down, unless there are processes: some controllers
// could be passed then, but would leave below only place for threads. A limit
// that needs it fails later, by name.
func pass(dir, controller string) bool {
	procs, _ := os.ReadFile(dir + "/cgroup.procs")
	if _, err := os.Stat(dir + "/cgroup.type"); err == nil && len(procs) > 0 { // the root has none
		return false
	}
	_ = write(dir+"/cgroup.subtree_control", "+"+controller)
	return true
}

// write writes a control file; it must exist. It waits: os.OpenFile would set
// O_NONBLOCK, and with that Linux 6.16 takes no memory back for a new memory.max.
func write(path, value string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if _, err = unix.Write(fd, []byte(value)); err != nil {
		err = &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return errors.Join(err, unix.Close(fd))
}

func (g Group) read(name string) string {
	b, _ := os.ReadFile(g.file(name))
	return strings.TrimSpace(string(b))
}

// field is the value of a line "key value" of a file.
func (g Group) field(file, key string) (uint64, bool) {
	for line := range strings.Lines(g.read(file)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == key {
			n, err := strconv.ParseUint(v, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// Own gives the directory to a user, with the files that delegation is made of
// (cgroups(7), /sys/kernel/cgroup/delegate): who has more of them could lift
// limits.
func (g Group) Own(uid int) error {
	files := []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
	if b, err := os.ReadFile("/sys/kernel/cgroup/delegate"); err == nil {
		files = strings.Fields(string(b))
	}
	if err := os.Chown(g.file(""), uid, -1); err != nil {
		return err
	}
	for _, f := range files {
		if strings.Contains(f, "/") {
			continue
		}
		if err := os.Chown(g.file(f), uid, -1); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Exists tells whether there is a directory.
func (g Group) Exists() bool {
	if g == "" {
		return false
	}
	_, err := os.Stat(cgroupfs.Mount() + string(g))
	return err == nil
}

// Populated tells whether a process lives in it or below.
func (g Group) Populated() bool {
	n, _ := g.field("cgroup.events", "populated")
	return n == 1
}

// Enter moves a process in.
func (g Group) Enter(pid int) error {
	if err := write(g.file("cgroup.procs"), strconv.Itoa(pid)); err != nil {
		return fmt.Errorf("moving process %d: %w", pid, err)
	}
	return nil
}

// PIDs are the processes in it and below.
func (g Group) PIDs() ([]int, error) {
	if g == "" {
		return nil, errors.New("the container has no cgroup of its own")
	}
	pids := []int{}
	err := filepath.WalkDir(cgroupfs.Mount()+string(g), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path + "/cgroup.procs")
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			return nil // threaded, or gone meanwhile
		}
		for line := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return err
	})
	return pids, err
}

// freezeTimeout bounds the wait for processes in uninterruptible sleep.
const freezeTimeout = 10 * time.Second

// Freeze freezes or thaws, and waits until it is so.
func (g Group) Freeze(frozen bool) error {
	state := "0"
	if frozen {
		state = "1"
	}
	if err := write(g.file("cgroup.freeze"), state); err != nil {
		return fmt.Errorf("freezer: %w", err)
	}
	for deadline := time.Now().Add(freezeTimeout); g.Frozen() != frozen; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			if frozen {
				_ = write(g.file("cgroup.freeze"), "0")
			}
			return fmt.Errorf("freezer: the processes have not come to cgroup.freeze=%s within %v", state, freezeTimeout)
		}
	}
	return nil
}

// Frozen tells whether all its processes are frozen.
func (g Group) Frozen() bool {
	n, _ := g.field("cgroup.events", "frozen")
	return n == 1
}

// Kill ends every process in it and below, those that fork meanwhile too. There is
// no other way where cgroup.kill (Linux 5.14) is missing: signals would race them.
func (g Group) Kill() error { return write(g.file("cgroup.kill"), "1") }

// Signal sends a signal to every process in it and below.
func (g Group) Signal(signal unix.Signal) error {
	pids, err := g.PIDs()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("signalling process %d: %w", pid, err)
		}
	}
	return nil
}

// removeTimeout bounds the wait for killed processes to leave.
const removeTimeout = 10 * time.Second

// Remove removes the directory and those below it. Processes that were killed
// leave a little later.
func (g Group) Remove() error {
	if g == "" || g == "/" {
		return nil
	}
	for deadline := time.Now().Add(removeTimeout); ; time.Sleep(time.Millisecond) {
		err := removeTree(cgroupfs.Mount() + string(g))
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("removing the cgroup: %w", err)
		}
	}
}

// AwaitRemoval waits for somebody else to remove it, and tells whether it is gone.
func (g Group) AwaitRemoval() bool {
	for deadline := time.Now().Add(removeTimeout); g.Exists(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

func removeTree(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	entries, rerr := os.ReadDir(dir)
	if rerr != nil {
		return rerr
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(dir + "/" + e.Name()); err != nil {
				return err
			}
		}
	}
	if err = unix.Rmdir(dir); err != nil {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}
