// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/realm"
)

// The names that mean a deletion in a layer's tar (OCI image-spec, layer.md).
const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
	whiteoutMeta   = ".wh..wh." // aufs kept its own files so
)

// Attributes of overlayfs. It reads trusted.* when mounted by the host's root
// and user.* when mounted inside a user namespace ("userxattr"), so an opaque
// directory carries both.
const (
	opaqueTrusted = "trusted.overlay.opaque"
	opaqueUser    = "user.overlay.opaque"
	aclDefault    = "system.posix_acl_default"
	aclAccess     = "system.posix_acl_access"
	capability    = "security.capability"
)

// whiteout places a deletion in the directory on top.
func (a *apply) whiteout(name string) error {
	d := a.top()
	if name == whiteoutOpaque {
		if len(a.stack) == 1 {
			a.res.RootOpaque = true
		}
		return a.opaque()
	}
	if strings.HasPrefix(name, whiteoutMeta) {
		return nil
	}
	gone := strings.TrimPrefix(name, whiteoutPrefix)
	if gone == "" || gone == "." || gone == ".." {
		return fmt.Errorf("%w: a whiteout of %q", ErrRefused, gone)
	}
	d.dirty = true
	err := unix.Mknodat(d.fd, gone, unix.S_IFCHR, 0)
	if err == nil || !errors.Is(err, unix.EEXIST) {
		return err
	}
	// The layer has an entry of that name itself, and it stays whatever the
	// order; of a directory, only what lies below is deleted.
	st, err := lstat(d.fd, gone)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return err
	}
	if _, err := a.descend(gone); err != nil {
		return err
	}
	return a.opaque()
}

// opaque hides what the lowers have in the directory on top.
func (a *apply) opaque() error {
	d := a.top()
	d.hidden = true
	if err := unix.Fsetxattr(d.fd, opaqueTrusted, []byte("y"), 0); err != nil && (realm.Own() == nil || !errors.Is(err, unix.EPERM)) {
		return fmt.Errorf("setxattr %s: %w", opaqueTrusted, err)
	}
	// tmpfs has no user attributes before Linux 6.6; then only the other kind
	// of mount is possible, which a user has not.
	if err := unix.Fsetxattr(d.fd, opaqueUser, []byte("y"), 0); err != nil && (realm.Own() != nil || !errors.Is(err, unix.EOPNOTSUPP)) {
		return fmt.Errorf("setxattr %s: %w", opaqueUser, err)
	}
	return nil
}

// isOpaque tells whether a directory hides what the lowers have: by the attribute
// that a mount of this store's reads.
func isOpaque(fd int) bool {
	name := opaqueTrusted
	if realm.Own() != nil {
		name = opaqueUser
	}
	v, err := getxattr(fd, name)
	return err == nil && v == "y"
}

// isWhiteout recognizes overlayfs's own form of a deletion.
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

const paxXattr = "SCHILY.xattr."

// textACLs are access control lists with the names of users, which may be others here,
// and the attribute that says the same in numbers.
var textACLs = map[string]string{"SCHILY.acl.access": aclAccess, "SCHILY.acl.default": aclDefault}

// xattrs picks the attributes that belong to an image.
func (a *apply) xattrs(h *tar.Header) (map[string]string, error) {
	var kept map[string]string
	for key, value := range h.PAXRecords {
		if attribute, is := textACLs[key]; is {
			if _, too := h.PAXRecords[paxXattr+attribute]; !too {
				a.leaveOut(h.Name, "access control list in words, as of `tar --acls`; `tar --xattrs` writes it so that it can be kept")
			}
			continue
		}
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok {
			continue
		}
		switch {
		case strings.HasPrefix(name, "trusted.overlay."), strings.HasPrefix(name, "user.overlay."):
			// They would steer the mount: a redirect shows any lower file.
			if !protection.Off("layer-files") {
				return nil, fmt.Errorf("%w: attribute %q", ErrRefused, name)
			}
		case name == capability, name == aclAccess, name == aclDefault, strings.HasPrefix(name, "user."):
			if kept == nil {
				kept = map[string]string{}
			}
			kept[name] = value
		case name == "security.selinux":
			// A label of the host that built the image; common, and not ours.
		default:
			a.leaveOut(h.Name, fmt.Sprintf("attribute %q", short(name)))
		}
	}
	return kept, nil
}

// setXattrs needs no order: no attribute here changes another.
func (a *apply) setXattrs(fd int, xattrs map[string]string) error {
	for name, value := range xattrs {
		err := unix.Fsetxattr(fd, name, []byte(value), 0)
		if errors.Is(err, unix.EOPNOTSUPP) && name != capability {
			a.leaveOut(a.top().name, fmt.Sprintf("attribute %q: %v", name, err))
			continue
		}
		if err != nil {
			return fmt.Errorf("setxattr %s: %w", name, err)
		}
	}
	return nil
}

func getxattr(fd int, name string) (string, error) {
	var buf [512]byte
	n, err := unix.Fgetxattr(fd, name, buf[:])
	if errors.Is(err, unix.ERANGE) {
		big := make([]byte, 64<<10)
		n, err = unix.Fgetxattr(fd, name, big)
		if err == nil {
			return string(big[:n]), nil
		}
	}
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
