// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"bytes"
	"path"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot"
)

// etcLink reads where /etc/FILE leads in a root file system, "" if it is no
// link; found tells whether it is there at all.
func etcLink(root, file string) (target string, found bool) {
	rootFD, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(rootFD)
	etc, err := inroot.Open(rootFD, "etc", &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return "", false
	}
	defer unix.Close(etc)
	var st unix.Stat_t
	if err := unix.Fstatat(etc, file, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return "", false
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", true
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(etc, file, b)
	if err != nil || n == 0 || n == len(b) || bytes.IndexByte(b[:n], 0) >= 0 {
		return "", true
	}
	target = string(b[:n])
	if !path.IsAbs(target) {
		target = "/etc/" + target
	}
	// A place in the root file system, resolved there once more by the mount.
	if target = path.Clean(target); target == "/" || target == "/etc/"+file {
		return "", true
	}
	return target, true
}
