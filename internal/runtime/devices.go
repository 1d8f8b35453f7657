// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/binary"
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
)

// defaultDevices are in every container (runtime-spec config-linux.md,
// "Default Devices"); ptmx and console are links and ptys.
var defaultDevices = []specs.LinuxDevice{
	{Path: "/dev/null", Type: "c", Major: 1, Minor: 3},
	{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5},
	{Path: "/dev/full", Type: "c", Major: 1, Minor: 7},
	{Path: "/dev/random", Type: "c", Major: 1, Minor: 8},
	{Path: "/dev/urandom", Type: "c", Major: 1, Minor: 9},
	{Path: "/dev/tty", Type: "c", Major: 5, Minor: 0},
}

// devLinks are the links that programs expect (runtime-spec, "/dev symbolic links").
var devLinks = [][2]string{
	{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},
}

// ownDev tells whether /dev is a fresh tmpfs of the plan. Into any other /dev
// nothing is written: it may be a link to the host's (CVE-2026-41579).
func ownDev(l *Launch) bool {
	for _, m := range l.spec.Mounts {
		if path.Clean(m.Destination) == "/dev" {
			return m.Type == "tmpfs"
		}
	}
	return protection.Off("own-dev")
}

// listsDevices tells whether devices are to be in a /dev that is not ours.
func listsDevices(l *Launch) bool { return !ownDev(l) && len(l.spec.Linux.Devices) > 0 }

func createDevices(c *compiler) {
	c.p.Call("umask", "0", unix.SYS_UMASK, 0)
	mark := c.p.Mark()
	dev := c.p.Reg()
	how, size := c.how(unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, resolveNoLinks())
	c.p.Call("openat2", "/dev", unix.SYS_OPENAT2, c.rootDir(), c.p.Str("dev"), how, size).Into(dev)
	for _, l := range devLinks {
		c.p.Call("symlinkat", "/dev/"+l[0]+" -> "+l[1], unix.SYS_SYMLINKAT, c.p.Str(l[1]), dev, c.p.Str(l[0]))
	}
	c.close(dev)
	c.p.Release(mark)
	listed := map[string]bool{}
	for _, d := range c.spec.Linux.Devices {
		listed[path.Clean("/"+d.Path)] = true
	}
	for _, d := range defaultDevices {
		if !listed[d.Path] {
			c.device(d)
		}
	}
	for _, d := range c.spec.Linux.Devices {
		c.device(d)
	}
}

// findDevices is createDevices where /dev is not ours to write to: what the
// configuration lists must be there already, or be elsewhere.
func findDevices(c *compiler) {
	c.p.Call("umask", "0", unix.SYS_UMASK, 0)
	for _, d := range c.spec.Linux.Devices {
		if !strings.HasPrefix(path.Clean("/"+d.Path), "/dev/") {
			c.device(d)
			continue
		}
		c.isDevice(d)
	}
}

// isDevice looks at a node of a /dev that is not ours.
func (c *compiler) isDevice(d specs.LinuxDevice) {
	mark := c.p.Mark()
	node := c.p.Reg()
	clean := path.Clean("/" + d.Path)
	how, size := c.how(unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, resolve())
	c.p.Call("openat2", "device "+clean, unix.SYS_OPENAT2, c.rootDir(), c.p.Str(strings.TrimPrefix(clean, "/")), how, size).Into(node)
	c.verifyDevice(d, node, "")
	c.close(node)
	c.p.Release(mark)
}

// verifyDevice compares what is at a place with the device that is to be there
// (runtime-spec config-linux.md, "Devices": another file is an error).
func (c *compiler) verifyDevice(d specs.LinuxDevice, dir program.Reg, name string) {
	// Of struct statx: mode at 28, the numbers of the device at 128 and 132.
	const mode, major, minor, length = 28, 128, 132, 256
	got, want, mask := make([]byte, length), make([]byte, length), make([]byte, length)
	binary.NativeEndian.PutUint16(want[mode:], uint16(deviceKinds[d.Type]))
	binary.NativeEndian.PutUint16(mask[mode:], unix.S_IFMT)
	if d.Type != "p" {
		binary.NativeEndian.PutUint32(want[major:], uint32(d.Major))
		binary.NativeEndian.PutUint32(want[minor:], uint32(d.Minor))
		binary.NativeEndian.PutUint64(mask[major:], ^uint64(0))
	}
	what := fmt.Sprintf("%s %s %d:%d, which another file is in the place of", d.Path, d.Type, d.Major, d.Minor)
	c.p.Call("statx", d.Path, unix.SYS_STATX, dir, c.p.Str(name), unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, c.p.Bytes(got))
	c.p.CompareBits("compare", what, got, want, mask)
}

var deviceKinds = map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}

// umask is the payload's, 022 as everybody's unless it says otherwise.
func (c *compiler) umask() {
	umask := 0o022
	if c.spec.Process.User.Umask != nil {
		umask = int(*c.spec.Process.User.Umask)
	}
	c.p.Call("umask", fmt.Sprintf("%#o", umask), unix.SYS_UMASK, umask)
}

// device makes a node. One that is there already must be that device.
func (c *compiler) device(d specs.LinuxDevice) {
	kind, ok := deviceKinds[d.Type]
	if !ok {
		c.err = fmt.Errorf("device %s: unknown type %q", d.Path, d.Type)
		return
	}
	clean := path.Clean("/" + d.Path)
	if c.opt.InUserNamespace && kind != unix.S_IFIFO {
		c.hostDevice(clean)
		return
	}
	dir, name := path.Split(clean)
	mark := c.p.Mark()
	parent := c.p.Reg()
	c.open("device "+clean, dir, true, parent)
	mode := uint32(0o666)
	if d.FileMode != nil {
		mode = uint32(*d.FileMode) & 0o7777 // as mknod(2) has the bits, and not os.FileMode
	}
	number := unix.Mkdev(uint32(d.Major), uint32(d.Minor))
	var exists, made program.Label
	c.p.Call("mknodat", clean, unix.SYS_MKNODAT, parent, c.p.Str(name), kind|mode, number).Skip(&exists, unix.EEXIST)
	c.p.Jump(&made)
	c.p.Here(&exists)
	c.verifyDevice(d, parent, name)
	c.p.Here(&made)
	if uid, gid := c.deviceOwner(d); uid != 0 || gid != 0 {
		c.p.Call("fchownat", clean, unix.SYS_FCHOWNAT, parent, c.p.Str(name), int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW)
	}
	c.close(parent)
	c.p.Release(mark)
}

// hostDevice shows the host's node of the same name: a user namespace makes none
// (mknod(2), EPERM). "/" is still the host's.
func (c *compiler) hostDevice(name string) {
	mark := c.p.Mark()
	dst, src := c.p.Reg(), c.p.Reg()
	c.p.Call("open_tree", name+" OPEN_TREE_CLONE", unix.SYS_OPEN_TREE, unix.AT_FDCWD, c.p.Str(name), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC).Into(src)
	c.open("device "+name, name, false, dst)
	c.attach("device "+name, src, dst)
	c.close(src)
	c.close(dst)
	c.p.Release(mark)
}

// deviceOwner is the owner as seen from the host; ids that the container does
// not map become its root's.
func (c *compiler) deviceOwner(d specs.LinuxDevice) (uid, gid uint32) {
	if d.UID != nil {
		uid = *d.UID
	}
	if d.GID != nil {
		gid = *d.GID
	}
	if c.anchor == nil {
		return uid, gid
	}
	hostUID, err := hostID(c.spec.Linux.UIDMappings, uid)
	if err != nil {
		hostUID = c.anchor.base
	}
	hostGID, err := hostID(c.spec.Linux.GIDMappings, gid)
	if err != nil {
		hostGID = c.anchor.baseGID
	}
	return hostUID, hostGID
}
