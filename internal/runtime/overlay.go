// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
)

// openLayers opens the layers of an image, topmost first, and the directory in
// which the container writes, each as a detached mount with the container's id
// mapping: what is on disk belongs to the ids of the image, whatever the range
// of the unit, and layers are shared by all of them.
func openLayers(l *Launch) error {
	r := l.plan.Root
	if len(r.Lowers) == 0 {
		return errors.New("overlay without a lower directory")
	}
	for _, dir := range r.Lowers {
		f, err := l.openLayer(dir)
		if err != nil {
			return err
		}
		l.layers = append(l.layers, f)
	}
	if r.Upper == "" {
		return nil
	}
	if filepath.Dir(r.Upper) != filepath.Dir(r.Work) {
		return fmt.Errorf("upper %s and work %s must be neighbours", r.Upper, r.Work)
	}
	var err error
	l.writable, err = l.openLayer(filepath.Dir(r.Upper))
	return err
}

func (l *Launch) openLayer(dir string) (*os.File, error) {
	f, err := cloneTree(unix.AT_FDCWD, dir, false, unix.MS_PRIVATE)
	if err != nil {
		return nil, err
	}
	l.own(f)
	if l.anchor == nil {
		return f, nil
	}
	return f, idmap(f, l.anchor.user, false, dir)
}

func isOverlay(l *Launch) bool { return l.plan.Root.Kind == plan.RootOverlay }

// mountOverlay attaches the layers below a small tmpfs and stacks them. It is
// mount(2) and not fsconfig(2): that takes at most 255 bytes for the list of
// lowers, and one by one only since Linux 6.8. Short relative names keep the
// list of hundreds of layers below the page that mount(2) takes.
func mountOverlay(c *compiler) {
	at := c.opt.AttachPoint
	places := c.newMount("layers", "tmpfs", mountOptions{
		set:  unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		data: []string{"mode=0711", "size=1m", "nr_inodes=" + strconv.Itoa(len(c.layers)+64)},
	})
	c.p.Call("move_mount", "layers dst="+at, unix.SYS_MOVE_MOUNT, places, c.p.Str(""), unix.AT_FDCWD, c.p.Str(at), unix.MOVE_MOUNT_F_EMPTY_PATH)
	c.p.Call("fchdir", "layers", unix.SYS_FCHDIR, places)
	var lowers []string
	for i, f := range c.layers {
		lowers = append(lowers, strconv.Itoa(i))
		c.attachLayer(strconv.Itoa(i), f)
	}
	options := ""
	if c.writable != nil {
		c.attachLayer("w", c.writable)
		r := c.plan.Root
		options = ",upperdir=w/" + filepath.Base(r.Upper) + ",workdir=w/" + filepath.Base(r.Work)
	} else {
		// Nothing is to be kept, but mount points that the image lacks must be made
		// somewhere; set-rootfs-readonly closes it.
		for _, dir := range []string{"w", "w/upper", "w/work"} {
			c.p.Call("mkdirat", "layers/"+dir, unix.SYS_MKDIRAT, unix.AT_FDCWD, c.p.Str(dir), 0o755)
		}
		options = ",upperdir=w/upper,workdir=w/work"
	}
	data := "lowerdir=" + strings.Join(lowers, ":") + options
	if len(data) >= os.Getpagesize() {
		c.err = fmt.Errorf("%d layers are more than one mount can take", len(lowers))
		return
	}
	c.p.Call("mkdirat", "layers/root", unix.SYS_MKDIRAT, unix.AT_FDCWD, c.p.Str("root"), 0o755)
	c.p.Call("mount", "overlay "+data, unix.SYS_MOUNT, c.p.Str("overlay"), c.p.Str("root"), c.p.Str("overlay"), unix.MS_NODEV, c.p.Str(data))
	c.rootReg = c.p.Reg()
	c.p.Call("openat", "layers/root", unix.SYS_OPENAT, unix.AT_FDCWD, c.p.Str("root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0).Into(c.rootReg)
	c.p.Call("chdir", "/", unix.SYS_CHDIR, c.p.Str("/"))
}

func (c *compiler) attachLayer(name string, f *os.File) {
	c.p.Call("mkdirat", "layers/"+name, unix.SYS_MKDIRAT, unix.AT_FDCWD, c.p.Str(name), 0o755)
	c.p.Call("move_mount", f.Name()+" dst=layers/"+name, unix.SYS_MOVE_MOUNT, int(f.Fd()), c.p.Str(""), unix.AT_FDCWD, c.p.Str(name), unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// rootDir is the root file system in calls of the child: a descriptor of this
// process, or what mountOverlay has opened.
func (c *compiler) rootDir() any {
	if isOverlay(c.Launch) {
		return c.rootReg
	}
	return int(c.root.Fd())
}

// nameDirs are where passwd and group are looked for, the first that has the
// file wins.
func (l *Launch) nameDirs() []*os.File {
	if l.root != nil {
		return []*os.File{l.root}
	}
	return l.layers
}
