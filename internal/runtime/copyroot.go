// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// copyRoot is the root file system as tmpcopyup sees it. An image is stacked for
// that once more and read-only: the child's own stack exists in the child alone.
func (l *Launch) copyRoot() (*os.File, error) {
	if !isOverlay(l) {
		return l.root, nil
	}
	if l.stacked != nil {
		return l.stacked, nil
	}
	dirs := l.plan.Root.Lowers
	if l.plan.Root.Upper != "" {
		dirs = append([]string{l.plan.Root.Upper}, dirs...)
	}
	var layers []*os.File
	for _, dir := range dirs {
		f, err := l.openLayer(dir)
		if err != nil {
			return nil, err
		}
		layers = append(layers, f)
	}
	done := make(chan error)
	go func() {
		// Never unlocked: the thread ends with its mount namespace, and what it has
		// mounted lives as long as the descriptor.
		goruntime.LockOSThread()
		var err error
		l.stacked, err = stackHere(l.opt.AttachPoint, layers)
		done <- err
	}()
	if err := <-done; err != nil {
		return nil, err
	}
	l.own(l.stacked)
	return l.stacked, nil
}

// stackHere mounts layers, the topmost first, over each other in a mount
// namespace of this thread's own. See mountOverlay for the relative names.
func stackHere(at string, layers []*os.File) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return nil, fmt.Errorf("unshare CLONE_NEWNS: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("making / private: %w", err)
	}
	places, err := newMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, "mode=0711", "size=1m", "nr_inodes="+strconv.Itoa(len(layers)+16))
	if err != nil {
		return nil, err
	}
	defer places.Close()
	if err := unix.MoveMount(int(places.Fd()), "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return nil, fmt.Errorf("move_mount dst=%s: %w", at, err)
	}
	if err := unix.Fchdir(int(places.Fd())); err != nil {
		return nil, fmt.Errorf("fchdir: %w", err)
	}
	names := []string{}
	for i, f := range layers {
		name := strconv.Itoa(i)
		if err := unix.Mkdir(name, 0o755); err != nil {
			return nil, fmt.Errorf("mkdir layers/%s: %w", name, err)
		}
		if err := unix.MoveMount(int(f.Fd()), "", unix.AT_FDCWD, name, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return nil, fmt.Errorf("move_mount %s dst=layers/%s: %w", filepath.Base(f.Name()), name, err)
		}
		names = append(names, name)
	}
	for _, dir := range []string{"empty", "root"} {
		if err := unix.Mkdir(dir, 0o755); err != nil {
			return nil, fmt.Errorf("mkdir layers/%s: %w", dir, err)
		}
	}
	// An overlay that is not written to wants two layers.
	data := "lowerdir=" + strings.Join(append(names, "empty"), ":")
	if err := unix.Mount("overlay", "root", "overlay", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, data); err != nil {
		return nil, fmt.Errorf("mount overlay %s: %w", data, err)
	}
	return os.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}
