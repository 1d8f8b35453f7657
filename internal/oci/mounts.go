// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
	"github.com/unitc/unitc/internal/oci/bundle"
)

// ownMount is the mount namespace of this process.
const ownMount = "/proc/self/ns/mnt"

// inheritMount: a container for which no mount namespace is listed has that of
// the runtime (runtime-spec, config-linux.md, "Namespaces").
func inheritMount(s *specs.Spec) {
	if !bundle.HasNamespace(s, specs.MountNamespace) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.MountNamespace, Path: ownMount})
	}
}

func inheritsMount(s *specs.Spec) bool {
	for _, n := range s.Linux.Namespaces {
		if n.Path == ownMount {
			return true
		}
	}
	return false
}

// showCgroups: without privilege the hierarchy is mounted only in a cgroup
// namespace of one's own (cgroup2's fs_context, FS_USERNS_MOUNT); elsewhere the
// caller's mount is shown, as by runc.
func showCgroups(s *specs.Spec) {
	if !rootless() || bundle.HasNamespace(s, specs.CgroupNamespace) {
		return
	}
	for i, m := range s.Mounts {
		if m.Type == "cgroup" || m.Type == "cgroup2" {
			s.Mounts[i].Type, s.Mounts[i].Source = "bind", cgroupfs.Mount()
			s.Mounts[i].Options = append(slices.Clone(m.Options), "rbind")
		}
	}
}

// makeAttachPoint makes the directory on which the root file system is mounted.
// Where that is done in our own mount namespace it is a mount that propagates
// nothing: below systemd's shared /run every other namespace would get a copy.
func (k *container) makeAttachPoint(s *specs.Spec) error {
	dir := k.dir + attachDir
	if err := os.Mkdir(dir, 0o700); err != nil || !inheritsMount(s) {
		return err
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting the attach point: %w", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the attach point private: %w", err)
	}
	return nil
}

// removeAttachPoint takes the mounts of a container that has ended away with
// their place; those in a namespace of its own went with that.
func (k *container) removeAttachPoint() error {
	dir := k.dir + attachDir
	for {
		err := unix.Rmdir(dir)
		if !errors.Is(err, unix.EBUSY) {
			if errors.Is(err, unix.ENOENT) {
				return nil
			}
			return err
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmounting %s: %w", dir, err)
		}
	}
}
