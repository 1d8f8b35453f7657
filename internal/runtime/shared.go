// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
)

// clonedFD is where the child that goes into another mount namespace leaves
// what it has cloned; the helper has far fewer descriptors open.
const clonedFD = 700

// cloneOf clones the mount at a directory of another container, which only a
// process in its mount namespace can (open_tree(2)); pid is one of its processes.
// The path is as the payload there has made it, and may lead through no link.
func cloneOf(pid int, path string) (*os.File, error) {
	ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/mnt")
	if err != nil {
		return nil, fmt.Errorf("opening the mount namespace of process %d: %w", pid, err)
	}
	defer ns.Close()
	p := program.New()
	p.Step("clone-mount", exitNamespace)
	dir, tree := p.Reg(), p.Reg()
	how := program.Keep(p, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	p.Call("setns", ns.Name(), unix.SYS_SETNS, int(ns.Fd()), unix.CLONE_NEWNS)
	p.Call("openat2", path, unix.SYS_OPENAT2, unix.AT_FDCWD, p.Str(path), how, unix.SizeofOpenHow).Into(dir)
	p.Call("open_tree", path, unix.SYS_OPEN_TREE, dir, p.Str(""), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH).Into(tree)
	p.Call("dup3", "", unix.SYS_DUP3, tree, clonedFD, unix.O_CLOEXEC)
	p.Sync("clone")
	var f *os.File
	err = hold(p, 0, func(child *program.Child) error {
		if err := child.AwaitSync(); err != nil {
			return err
		}
		process, err := unix.PidfdOpen(child.PID, 0)
		if err != nil {
			return fmt.Errorf("pidfd_open: %w", err)
		}
		defer unix.Close(process)
		// The very file: another opening of it would not keep the mount.
		fd, err := unix.PidfdGetfd(process, clonedFD, 0)
		if err != nil {
			return fmt.Errorf("pidfd_getfd: %w", err)
		}
		f = os.NewFile(uintptr(fd), path)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s of process %d: %w", path, pid, err)
	}
	if err := setPropagation(f, unix.MS_PRIVATE, false); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
