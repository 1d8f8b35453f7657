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

	"github.com/unitc/unitc/internal/inroot"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
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

// imageMount is an image beside the root file system: what stands in its place
// until it is mounted.
type imageMount struct {
	layers []*os.File
	dir    bool        // else its subpath is a file
	tree   program.Reg // the detached mount, once attach-images has run
}

// openImages takes mounts of the layers, with the container's ids.
func openImages(l *Launch) error { return l.findImages(l.openLayer) }

// findImages opens the layers of images that are mounted, by a function that
// owns what it opens.
func (l *Launch) findImages(open func(dir string) (*os.File, error)) error {
	if len(l.plan.Images) == 0 {
		return nil
	}
	l.images = map[string]*imageMount{}
	for _, m := range l.spec.Mounts {
		lowers := l.plan.Images[m.Destination]
		if lowers == nil {
			continue
		}
		i := &imageMount{dir: true}
		for _, dir := range lowers {
			f, err := open(dir)
			if err != nil {
				return err
			}
			i.layers = append(i.layers, f)
		}
		if unsafeSubpath := l.plan.Subpaths[m.Destination]; unsafeSubpath != "" {
			var err error
			if i.dir, err = findInLayers(i.layers, unsafeSubpath); err != nil {
				return fmt.Errorf("subpath %s of the image on %s: %w", unsafeSubpath, m.Destination, err)
			}
		}
		l.images[m.Destination] = i
	}
	return nil
}

// findInLayers tells whether a path of an image is a directory. The overlay is
// not there yet; the topmost layer that has the path decides.
func findInLayers(layers []*os.File, unsafePath string) (dir bool, err error) {
	for _, layer := range layers {
		how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: inRoot}
		fd, err := inroot.Open(int(layer.Fd()), unsafePath, &how)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		unix.Close(fd)
		if err != nil || st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 { // a whiteout
			break
		}
		return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
	}
	return false, unix.ENOENT
}

func hasImages(l *Launch) bool { return len(l.images) > 0 }

// attachImages stacks the layers of each image on a small tmpfs of its own and
// takes the result away as a detached mount. An overlay without a directory to
// write in wants two layers: the lowest is an empty one.
func attachImages(c *compiler) {
	for _, m := range c.spec.Mounts {
		i := c.images[m.Destination]
		if i == nil {
			continue
		}
		i.tree = c.p.Reg()
		mark := c.p.Mark()
		places := c.beginStack("image", len(i.layers))
		lowers := c.attachLayers(i.layers)
		c.p.Call("mkdirat", "image/empty", unix.SYS_MKDIRAT, unix.AT_FDCWD, c.p.Str("empty"), 0o755)
		c.stack("image", "lowerdir="+strings.Join(append(lowers, "empty"), ":"), unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV)
		if unsafeSubpath := c.plan.Subpaths[m.Destination]; unsafeSubpath == "" {
			c.p.Call("open_tree", "image/root", unix.SYS_OPEN_TREE, unix.AT_FDCWD, c.p.Str("root"), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC).Into(i.tree)
		} else {
			root, place := c.p.Reg(), c.p.Reg()
			c.p.Call("openat", "image/root", unix.SYS_OPENAT, unix.AT_FDCWD, c.p.Str("root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0).Into(root)
			how, size := c.how(unix.O_PATH|unix.O_CLOEXEC, inRoot)
			c.p.Call("openat2", "image/root/"+unsafeSubpath, unix.SYS_OPENAT2, root, c.p.Str(unsafeSubpath), how, size).Into(place)
			c.p.Call("open_tree", "image/root/"+unsafeSubpath, unix.SYS_OPEN_TREE, place, c.p.Str(""), unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC).Into(i.tree)
			c.close(place)
			c.close(root)
		}
		c.close(places)
		c.p.Release(mark)
	}
	c.p.Call("chdir", "/", unix.SYS_CHDIR, c.p.Str("/"))
}

func isOverlay(l *Launch) bool { return l.plan.Root.Kind == plan.RootOverlay }

// mountOverlay attaches the layers below a small tmpfs and stacks them. It is
// mount(2) and not fsconfig(2): that takes at most 255 bytes for the list of
// lowers, and one by one only since Linux 6.8. Short relative names keep the
// list of hundreds of layers below the page that mount(2) takes.
func mountOverlay(c *compiler) {
	c.beginStack("layers", len(c.layers))
	lowers := c.attachLayers(c.layers)
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
	c.stack("layers", "lowerdir="+strings.Join(lowers, ":")+options, unix.MS_NODEV)
	c.rootReg = c.p.Reg()
	c.p.Call("openat", "layers/root", unix.SYS_OPENAT, unix.AT_FDCWD, c.p.Str("root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0).Into(c.rootReg)
	c.p.Call("chdir", "/", unix.SYS_CHDIR, c.p.Str("/"))
}

// beginStack makes a small tmpfs at the attach point, over what is there, and
// the working directory.
func (c *compiler) beginStack(label string, layers int) program.Reg {
	at := c.opt.AttachPoint
	places := c.newMount(label, "tmpfs", mountOptions{
		set:  unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		data: []string{"mode=0711", "size=1m", "nr_inodes=" + strconv.Itoa(layers+64)},
	})
	c.p.Call("move_mount", label+" dst="+at, unix.SYS_MOVE_MOUNT, places, c.p.Str(""), unix.AT_FDCWD, c.p.Str(at), unix.MOVE_MOUNT_F_EMPTY_PATH)
	c.p.Call("fchdir", label, unix.SYS_FCHDIR, places)
	return places
}

// attachLayers gives the layers names in the working directory.
func (c *compiler) attachLayers(layers []*os.File) (names []string) {
	for i, f := range layers {
		names = append(names, strconv.Itoa(i))
		c.attachLayer(strconv.Itoa(i), f)
	}
	return names
}

// stack mounts the overlay on a directory "root".
func (c *compiler) stack(label, data string, flags int) {
	if c.opt.InUserNamespace {
		data += ",userxattr" // the other attributes are root's (overlayfs.rst)
	}
	data += quotedContext(c.spec)
	if len(data) >= os.Getpagesize() {
		c.err = errors.New("an image has more layers than one mount can take")
		return
	}
	c.p.Call("mkdirat", label+"/root", unix.SYS_MKDIRAT, unix.AT_FDCWD, c.p.Str("root"), 0o755)
	c.p.Call("mount", "overlay "+data, unix.SYS_MOUNT, c.p.Str("overlay"), c.p.Str("root"), c.p.Str("overlay"), flags, c.p.Str(data))
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
