// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A volume with a size is a project of its file system's (project quotas of
// ext4 and XFS): its directory has a number, what is made below inherits
// it, and the kernel refuses what is more than the number's limit with EDQUOT.
// A payload in a user namespace of its own cannot change the number
// (fileattr_set_prepare in the kernel's fs/file_attr.c).

// errOtherSize: a tmpfs takes size= among its options, a device has one.
var errOtherSize = errors.New("size beside type, device or o; what is mounted there has a size of its own")

// sizeOption is the driver option, in bytes.
const sizeOption = "size"

// ErrNoQuota is the base of the error for a file system that cannot limit a
// directory.
var ErrNoQuota = errors.New("no project quotas")

// Size is the limit of the volume in bytes, 0 for none.
func (v *Volume) Size() (int64, error) {
	text := v.Options[sizeOption]
	if text == "" || text == "0" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < minSize || n > maxSize {
		return 0, fmt.Errorf("volume %s: driver_opts size %q; a number of bytes from %d on", v.Name, text, minSize)
	}
	return n, nil
}

// The kernel counts in blocks of 1 KiB, and an empty directory takes up to 64.
const (
	minSize = 64 << 10
	maxSize = 1 << 60
)

// isOwn: the volume lies in the store, and is no file system of its own.
func (v *Volume) isOwn() bool {
	return v.Options["type"] == "" && v.Options["device"] == "" && v.Options["o"] == ""
}

// SameButSize tells whether two sets of options differ in nothing but the size,
// which can be changed.
func SameButSize(a, b map[string]string) bool {
	for _, pair := range [][2]map[string]string{{a, b}, {b, a}} {
		for key, value := range pair[0] {
			if key != sizeOption && pair[1][key] != value {
				return false
			}
		}
	}
	return true
}

// Resize gives a volume another size, "" for no limit, at once, also while it
// is used. One that is fuller already takes nothing more.
func (s *Store) Resize(ctx context.Context, name, size string) (Volume, error) {
	lock, err := s.Acquire(ctx, "volume-"+name, nil)
	if err != nil {
		return Volume{}, err
	}
	defer lock.Unlock()
	v, err := s.Volume(name)
	if err != nil {
		return v, err
	}
	options := map[string]string{}
	for key, value := range v.Options {
		options[key] = value
	}
	if options[sizeOption] = size; size == "" {
		delete(options, sizeOption)
	}
	v.Options = options
	fresh := v.Project == 0
	if err := s.limit(ctx, &v, s.VolumeData(name)); err != nil {
		return v, err
	}
	if fresh && v.Project != 0 {
		if err := adopt(s.VolumeData(name), v.Project); err != nil {
			return v, fmt.Errorf("volume %s: giving its files to project %d: %w", name, v.Project, err)
		}
	}
	return v, s.noteVolume(v)
}

// limit makes the directory a project with the volume's size, and reads back
// that it is one.
func (s *Store) limit(ctx context.Context, v *Volume, dir string) error {
	size, err := v.Size()
	if err != nil || size == 0 && v.Project == 0 {
		return err
	}
	if !v.isOwn() {
		return fmt.Errorf("volume %s: %w", v.Name, errOtherSize)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := enforced(d); err != nil {
		return fmt.Errorf("volume %s: size: %s has %w: %w", v.Name, s.dir, ErrNoQuota, err)
	}
	if v.Project == 0 {
		if v.Project, err = s.claim(ctx, d, size); err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
	}
	if err := setLimit(d, v.Project, size); err != nil {
		return fmt.Errorf("volume %s: limiting project %d: %w", v.Name, v.Project, err)
	}
	if err := setProject(d, v.Project); err != nil {
		return fmt.Errorf("volume %s: project %d of %s: %w", v.Name, v.Project, dir, err)
	}
	usage, err := getUsage(d, v.Project)
	if err != nil || usage.Limit != size&^1023 {
		return fmt.Errorf("volume %s: project %d reads back as %+v, want a limit of %d: %w", v.Name, v.Project, usage, size, err)
	}
	return nil
}

// fits tells whether what a volume begins with is within its limit, which does
// not bind us on ext4 (CAP_SYS_RESOURCE).
func fits(v *Volume, dir string) error {
	if v.Options[sizeOption] == "" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	u, err := getUsage(d, v.Project)
	if err == nil && u.Used > u.Limit {
		err = fmt.Errorf("volume %s: %w: it begins with %d bytes, its size is %d", v.Name, unix.EDQUOT, u.Used, u.Limit)
	}
	return err
}

// Projects of volumes have numbers from firstProject on, far above those that
// administrators and other engines count from 1.
const (
	firstProject = 0x75_000000
	projectMask  = 0x00_ffffff
)

// claim finds a number that nobody has: not the kernel, which knows each one
// that has a file or a limit, not a volume of ours, not projid(5). The limit
// makes it taken for every other store on this file system.
func (s *Store) claim(ctx context.Context, d *os.File, size int64) (uint32, error) {
	lock, err := s.Acquire(ctx, "project", nil)
	if err != nil {
		return 0, err
	}
	defer lock.Unlock()
	taken := administered()
	volumes, err := s.Volumes()
	if err != nil {
		return 0, err
	}
	for _, v := range volumes {
		taken[v.Project] = true
	}
	for range 1000 {
		// By chance, so that two stores do not meet at the same number.
		id := firstProject | rand.Uint32()&projectMask
		if taken[id] {
			continue
		}
		usage, err := getUsage(d, id)
		if err != nil {
			return 0, fmt.Errorf("asking for project %d: %w", id, err)
		}
		if usage == (VolumeUsage{}) {
			return id, setLimit(d, id, size)
		}
	}
	return 0, errors.New("no free project number")
}

// administered are the numbers in projid(5) and projects(5); the files may be
// missing.
func administered() map[uint32]bool {
	taken := map[uint32]bool{}
	for path, field := range map[string]int{"/etc/projid": 1, "/etc/projects": 0} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if fields := strings.Split(strings.TrimSpace(line), ":"); len(fields) > field {
				if n, err := strconv.ParseUint(fields[field], 10, 32); err == nil {
					taken[uint32(n)] = true
				}
			}
		}
	}
	return taken
}

// unlimit frees the project of a volume that is gone. What a process killed
// before this leaves is a limit on a number that has no file.
func (s *Store) unlimit(v Volume) error {
	if v.Project == 0 {
		return nil
	}
	d, err := os.Open(s.path("volumes"))
	if err != nil {
		return err
	}
	defer d.Close()
	return setLimit(d, v.Project, 0)
}

// VolumeUsage is what a volume with a size holds, in bytes.
type VolumeUsage struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}

// VolumeUsage asks the kernel; false if the volume has no size.
func (s *Store) VolumeUsage(v Volume) (VolumeUsage, bool, error) {
	if v.Project == 0 || v.Options[sizeOption] == "" {
		return VolumeUsage{}, false, nil
	}
	d, err := os.Open(s.VolumeData(v.Name))
	if err != nil {
		return VolumeUsage{}, true, err
	}
	defer d.Close()
	u, err := getUsage(d, v.Project)
	return u, true, err
}

// adopt gives what is below a directory to its project. The content is a
// container's, which may run: no step leaves the directory or follows a link,
// and nothing but directories and regular files is opened. What has no blocks,
// a link or a pipe, stays outside.
func adopt(dir string, project uint32) error {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for todo := []string{"."}; len(todo) > 0; {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		f, err := openInside(root, name)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		names, err := adoptOne(f, project)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, n := range names {
			todo = append(todo, filepath.Join(name, n))
		}
	}
	return nil
}

// adoptOne gives the names in a directory, which is read when new entries
// inherit the project already.
func adoptOne(f *os.File, project uint32) ([]string, error) {
	if err := setProject(f, project); err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil || !st.IsDir() {
		return nil, err
	}
	return f.Readdirnames(-1)
}

// openInside gives nil for what is no directory and no regular file, and for
// what is gone.
func openInside(root *os.File, name string) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	fd, err := unix.Openat2(int(root.Fd()), name, &how)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "openat2", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "fstat", Path: name, Err: err}
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return nil, nil
	}
	// An ioctl needs more than O_PATH; the kind is known now.
	return os.OpenFile("/proc/self/fd/"+strconv.Itoa(fd), os.O_RDONLY|unix.O_NONBLOCK, 0)
}
