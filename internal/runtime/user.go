// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/protection"
)

// User is who the payload runs as, in the container's ids.
type User struct {
	UID, GID uint32
	Groups   []uint32
	Home     string
}

// Limits on the hostile files passwd and group (CVE-2026-47262): 10 MiB, and
// 1 MiB for a line.
const (
	maxNameFile = 10 << 20
	maxNameLine = 1 << 20
)

// lookUpUser turns `user:` into ids by the root file system's own passwd and
// group, fixes the capabilities of a payload that is not root, and sets HOME.
func lookUpUser(l *Launch) error {
	if l.plan.Root.Kind == plan.RootBundle || l.plan.Bundle != "" {
		return exactUser(l, l.nameDirs())
	}
	u, err := resolveUser(l.nameDirs(), l.plan)
	if err != nil {
		return err
	}
	if l.opt.InUserNamespace {
		if err := checkMapped(u); err != nil {
			return fmt.Errorf("user %q: %w", l.plan.User, err)
		}
	}
	l.user = u
	settleUser(l)
	return nil
}

// checkMapped: an id that this process's namespace has not would be an invalid argument
// to many a call.
func checkMapped(u User) error {
	for _, part := range []struct {
		file string
		ids  []uint32
	}{{"uid_map", []uint32{u.UID}}, {"gid_map", append([]uint32{u.GID}, u.Groups...)}} {
		maps, err := readMap(os.Getpid(), part.file)
		if err != nil {
			return err
		}
		for _, id := range part.ids {
			if _, err := hostID(maps, id); err != nil {
				return fmt.Errorf("%w; its ids are those that /etc/subuid and /etc/subgid give", err)
			}
		}
	}
	return nil
}

// settleUser writes the user that was found into the configuration.
func settleUser(l *Launch) {
	u, p := l.user, l.spec.Process
	p.User.UID, p.User.GID, p.User.AdditionalGids = u.UID, u.GID, u.Groups
	if u.UID != 0 && p.Capabilities != nil && len(p.Capabilities.Ambient) == 0 {
		// As execve(2) would: nothing effective, and nothing to gain later.
		p.Capabilities.Effective, p.Capabilities.Permitted, p.Capabilities.Inheritable = nil, nil, nil
	}
	if !slices.ContainsFunc(p.Env, func(e string) bool { return strings.HasPrefix(e, "HOME=") }) {
		p.Env = append(slices.Clone(p.Env), "HOME="+u.Home)
	}
}

// exactUser takes process.user as it stands, ids and capabilities; only HOME
// is looked up where it is not given.
func exactUser(l *Launch, roots []*os.File) error {
	p := l.spec.Process
	for _, id := range append([]uint32{p.User.UID, p.User.GID}, p.User.AdditionalGids...) {
		if id > maxID {
			return fmt.Errorf("process.user: id %d is not from 0 to %d", id, uint32(maxID))
		}
	}
	l.user = User{UID: p.User.UID, GID: p.User.GID, Groups: p.User.AdditionalGids, Home: "/"}
	if slices.ContainsFunc(p.Env, func(e string) bool { return strings.HasPrefix(e, "HOME=") }) {
		return nil
	}
	uid := strconv.FormatUint(uint64(p.User.UID), 10)
	e, err := findEntry(roots, nameFile{path: "etc/passwd"}, func(f []string) bool { return len(f) > 5 && f[2] == uid })
	if err == nil {
		l.user.Home = cleanHome(e[5])
	} else if !errors.Is(err, errNoEntry) {
		return err
	}
	p.Env = append(slices.Clone(p.Env), "HOME="+l.user.Home)
	return nil
}

// resolveUser: "" is 0:0; a number is an id whatever the image's files call it
// (CVE-2016-3697); a name must be there. A number without an entry has group 0
// and home "/", as in Docker.
func resolveUser(roots []*os.File, p *plan.Plan) (User, error) {
	name, group, hasGroup := strings.Cut(p.User, ":")
	u := User{Home: "/"}
	switch id, isID, err := parseID(name); {
	case err != nil:
		return u, fmt.Errorf("user %q: %w", p.User, err)
	case name == "" || isID:
		u.UID = id
		if e, err := findEntry(roots, hostFallback(p, "etc/passwd"), func(f []string) bool { return len(f) > 5 && f[2] == strconv.FormatUint(uint64(id), 10) }); err == nil {
			if u.GID, err = strictID(e[3]); err != nil {
				return u, fmt.Errorf("user %q: gid in etc/passwd: %w", p.User, err)
			}
			u.Home, name = cleanHome(e[5]), e[0]
		} else if !errors.Is(err, errNoEntry) {
			return u, fmt.Errorf("user %q: %w", p.User, err)
		}
	default:
		e, err := findEntry(roots, hostFallback(p, "etc/passwd"), func(f []string) bool { return len(f) > 5 && f[0] == name })
		if err != nil {
			return u, &nameError{"user", name, ErrNoUser, err}
		}
		if u.UID, err = strictID(e[2]); err != nil {
			return u, fmt.Errorf("user %q: uid in etc/passwd: %w", name, err)
		}
		if u.GID, err = strictID(e[3]); err != nil {
			return u, fmt.Errorf("user %q: gid in etc/passwd: %w", name, err)
		}
		u.Home = cleanHome(e[5])
	}
	var err error
	if hasGroup && group != "" {
		if u.GID, err = resolveGroup(roots, p, group, ErrNoUser); err != nil {
			return u, err
		}
	} else if name != "" {
		if u.Groups, err = memberOf(roots, p, name); err != nil {
			return u, err
		}
	}
	for _, g := range p.Groups {
		id, err := resolveGroup(roots, p, g, ErrNoGroup)
		if err != nil {
			return u, err
		}
		u.Groups = append(u.Groups, id)
	}
	slices.Sort(u.Groups)
	u.Groups = slices.Compact(u.Groups)
	return u, nil
}

func resolveGroup(roots []*os.File, p *plan.Plan, group string, missing error) (uint32, error) {
	id, isID, err := parseID(group)
	if err != nil || isID {
		return id, err
	}
	e, err := findEntry(roots, hostFallback(p, "etc/group"), func(f []string) bool { return len(f) > 2 && f[0] == group })
	if err != nil {
		return 0, &nameError{"group", group, missing, err}
	}
	if id, err = strictID(e[2]); err != nil {
		return 0, fmt.Errorf("group %q: gid in etc/group: %w", group, err)
	}
	return id, nil
}

// memberOf lists the groups that name a user as a member.
func memberOf(roots []*os.File, p *plan.Plan, user string) ([]uint32, error) {
	var groups []uint32
	_, err := findEntry(roots, hostFallback(p, "etc/group"), func(f []string) bool {
		if len(f) > 3 && slices.Contains(strings.Split(f[3], ","), user) {
			if id, err := strictID(f[2]); err == nil {
				groups = append(groups, id)
			}
		}
		return false
	})
	if err != nil && !errors.Is(err, errNoEntry) {
		return nil, err
	}
	return groups, nil
}

// nameFile is where a name file is read: inside the rootfs, or, with `rootfs:
// host`, the host's own, which the payload will see at the same place.
type nameFile struct {
	path string
	host bool
}

func hostFallback(p *plan.Plan, path string) nameFile {
	return nameFile{path, p.Root.Kind == plan.RootHost}
}

var errNoEntry = errors.New("no such entry inside the root file system")

// ErrNoUser is a user, or the group that is written behind one, that the root file
// system does not have; ErrNoGroup is a further group.
var (
	ErrNoUser  = errors.New("no such user")
	ErrNoGroup = errors.New("no such group")
)

// nameError is a name that could not be looked up; it is missing where there is
// no entry of it.
type nameError struct {
	kind, name string
	missing    error
	err        error
}

func (e *nameError) Error() string { return fmt.Sprintf("%s %q: %v", e.kind, e.name, e.err) }

func (e *nameError) Unwrap() error { return e.err }

func (e *nameError) Is(target error) bool {
	return target == e.missing && errors.Is(e.err, errNoEntry)
}

// findEntry reads a colon-separated file until match. Only a regular file is
// read, and not without end: the root file system is untrusted.
func findEntry(roots []*os.File, file nameFile, match func([]string) bool) ([]string, error) {
	fd, err := openNames(roots, file)
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("%w (there is no %s)", errNoEntry, file.path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s of the root file system: %w", file.path, err)
	}
	f := os.NewFile(uintptr(fd), file.path)
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	largest, longest := int64(maxNameFile), maxNameLine
	if protection.Off("name-file-limit") {
		largest, longest = 100*largest, 100*longest
	} else if !st.Mode().IsRegular() || st.Size() > largest {
		return nil, fmt.Errorf("%s of the root file system is not a regular file below %d MiB", file.path, maxNameFile>>20)
	}
	lines := bufio.NewScanner(io.LimitReader(f, largest))
	lines.Buffer(make([]byte, 0, 4096), longest)
	for lines.Scan() {
		if fields := strings.Split(lines.Text(), ":"); match(fields) {
			return fields, nil
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s of the root file system: %w", file.path, err)
	}
	return nil, errNoEntry
}

// openNames opens the file in the first directory that has it. A whiteout of
// a layer, a device with the number 0:0, hides those below it.
func openNames(roots []*os.File, file nameFile) (int, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY, Resolve: inRoot}
	if file.host {
		return unix.Openat2(unix.AT_FDCWD, "/"+file.path, &unix.OpenHow{Flags: how.Flags})
	}
	if protection.Off("in-root") {
		how.Resolve = 0
	}
	for _, dir := range roots {
		fd, err := inroot.Open(int(dir.Fd()), file.path, &how)
		switch {
		case errors.Is(err, unix.ENXIO):
			return -1, unix.ENOENT
		case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR):
			continue
		}
		return fd, err
	}
	return -1, unix.ENOENT
}

// parseID tells numbers from names. A number that does not fit is an error: it
// must never become a name or 0 (CVE-2024-40635).
func parseID(s string) (uint32, bool, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" || protection.Off("numbers-are-ids") {
		return 0, false, nil
	}
	id, err := strictID(s)
	return id, err == nil, err
}

// maxID is the largest id: 2^32-1 means "no change" to setresuid(2).
const maxID = 1<<32 - 2

func strictID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if (err != nil || n > maxID) && !protection.Off("ids-that-fit") {
		return 0, fmt.Errorf("%q is not an id from 0 to %d", s, uint32(maxID))
	}
	return uint32(n), nil
}

// cleanHome keeps a home directory from smuggling lines into other files
// (CVE-2022-4318).
func cleanHome(s string) string {
	if protection.Off("clean-home") {
		return s
	}
	if !strings.HasPrefix(s, "/") || strings.ContainsAny(s, "\x00\n") {
		return "/"
	}
	return s
}
