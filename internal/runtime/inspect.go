// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	goruntime "runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot"
)

// ExplainExec says why execve(2) gave its errno: one errno has many causes, and
// the file that is missing is often not the one that was named. It looks at the
// payload's tree while the child waits for the end. "" = nothing was found out.
func (l *Launch) ExplainExec(pid int, err error) string {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return ""
	}
	root, rerr := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if rerr != nil {
		return ""
	}
	defer root.Close()
	in := &inspection{l, root}
	candidates := execCandidates(l.spec.Process.Args[0], l.spec.Process.Env)
	for _, p := range candidates {
		if !path.IsAbs(p) {
			p = path.Join(l.spec.Process.Cwd, p)
		}
		if text, exists := in.explainFile(p, errno, 0); exists {
			if text == "" {
				text = in.explainLabel(p, errno)
			}
			return text
		}
	}
	name := l.spec.Process.Args[0]
	switch {
	case errno != unix.ENOENT:
		return ""
	case len(candidates) == 1 && strings.Contains(name, "/"):
		return name + " is not inside the root file system; correct `command:` or `entrypoint:`, or install the program there"
	}
	return fmt.Sprintf("no directory of PATH (%s) inside the root file system has %s; write the program's full path in `command:`, or install it there",
		pathOf(l.spec.Process.Env), name)
}

// explainLabel speaks of what is left when nothing is wrong with a program, and
// SELinux holds the payload: the search in PATH goes on after a refusal.
func (l *inspection) explainLabel(name string, errno unix.Errno) string {
	if !hasSELinuxLabel(l.Launch) || errno != unix.EACCES && errno != unix.EPERM && errno != unix.ENOENT {
		return ""
	}
	label := "no label"
	if f, err := l.openInside(name, unix.O_PATH); err == nil {
		defer f.Close()
		b := make([]byte, 4096)
		if n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), "security.selinux", b); err == nil {
			label = "the label " + unix.ByteSliceToString(b[:n])
		}
	}
	return fmt.Sprintf("SELinux does not let %s, which has %s, begin with the label %s (`ausearch -m avc`): label the root file system as a container's "+
		"(`chcon -R -t container_file_t`), write another `security_opt: [label=type:…]` or `label=disable`, or, where no container begins, "+
		"install unitc's module (`semodule -i unitc.cil`, see FILES in unitc(1))", name, label, l.spec.Process.SelinuxLabel)
}

// inspection is a look at a payload's tree.
type inspection struct {
	*Launch
	tree *os.File
}

// maxInterpreters is how deep the kernel follows "#!" (exec.c, bprm depth).
const maxInterpreters = 5

// explainFile finds what is wrong with one program; exists is false where
// there is none of that name.
func (l *inspection) explainFile(name string, errno unix.Errno, depth int) (text string, exists bool) {
	f, err := l.openInside(name, unix.O_PATH)
	if err != nil {
		link, err := l.openInside(name, unix.O_PATH|unix.O_NOFOLLOW)
		if err != nil {
			return "", false
		}
		defer link.Close()
		return name + " is a symbolic link that leads nowhere inside the root file system; correct the link or install what it names", true
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", true
	}
	if text := l.explainMode(name, f, &st, errno); text != "" {
		return text, true
	}
	// Never a device or a pipe: reading those has effects.
	if f, err = l.openInside(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY); err != nil {
		return "", true
	}
	defer f.Close()
	if text := l.explainCapabilities(name, f, errno); text != "" {
		return text, true
	}
	head := make([]byte, 4096)
	n, _ := io.ReadFull(f, head)
	head = head[:n]
	interpreter, what, text := parseHead(name, f, head)
	if text != "" || interpreter == "" || depth >= maxInterpreters {
		return text, true
	}
	text, exists = l.explainFile(interpreter, errno, depth+1)
	if !exists {
		return fmt.Sprintf("%s is there, but its %s %s is not inside the root file system; install that, or use a program that does not need it", name, what, interpreter), true
	}
	return text, true
}

func (l *inspection) openInside(unsafePath string, flags uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: inRoot}
	fd, err := inroot.Open(int(l.tree.Fd()), strings.TrimPrefix(path.Clean("/"+unsafePath), "/"), &how)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), unsafePath), nil
}

// explainMode is about the file as such: its type, permissions and mount.
func (l *inspection) explainMode(name string, f *os.File, st *unix.Stat_t, errno unix.Errno) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return name + " is a directory; name the program in it"
	default:
		return name + " is no regular file"
	}
	if errno != unix.EACCES {
		return ""
	}
	var fs unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &fs) == nil && fs.Flags&unix.ST_NOEXEC != 0 {
		return name + " is on a volume mounted noexec; drop that option, or move the program"
	}
	if st.Mode&0o111 == 0 {
		return fmt.Sprintf("%s has mode %04o: nobody may execute it; `chmod +x` it", name, st.Mode&0o7777)
	}
	uid, gid := l.hostIDs()
	may := st.Mode & 0o001
	switch {
	case st.Uid == uid:
		may = st.Mode & 0o100
	case st.Gid == gid:
		may = st.Mode & 0o010
	}
	if may == 0 && l.user.UID != 0 {
		return fmt.Sprintf("user %d of the container may not execute %s (mode %04o); change its mode or owner, or `user:`", l.user.UID, name, st.Mode&0o7777)
	}
	return ""
}

// hostIDs are the payload's ids as fstat(2) shows them here.
func (l *Launch) hostIDs() (uid, gid uint32) {
	uid, gid = l.user.UID, l.user.GID
	if l.anchor != nil {
		uid, _ = hostID(l.spec.Linux.UIDMappings, uid)
		gid, _ = hostID(l.spec.Linux.GIDMappings, gid)
	}
	return uid, gid
}

// parseHead reads a program's beginning: what it wants to be run by, or what
// is wrong with it.
func parseHead(name string, f io.ReaderAt, head []byte) (interpreter, what, text string) {
	switch {
	case len(head) == 0:
		return "", "", name + " is empty; copy the program again"
	case bytes.HasPrefix(head, []byte("#!")):
		line, _, _ := bytes.Cut(head[2:], []byte("\n"))
		if bytes.HasSuffix(line, []byte("\r")) {
			return "", "", "the first line of " + name + " ends in a carriage return, which the kernel takes for a part of the interpreter's name; save the file with Unix line ends"
		}
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			return "", "", name + " names no interpreter behind `#!`"
		}
		return string(fields[0]), "interpreter", ""
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return parseELF(name, f, head)
	}
	return "", "", name + " is neither an ELF program nor a script that begins with `#!`; add the line `#!/bin/sh`, or correct `command:`"
}

// machines are the processors of elf(5), e_machine, by Go's names where this
// program runs on them.
var machines = map[uint16]struct{ name, goarch string }{
	3: {"i386", "386"}, 8: {"mips", "mips"}, 20: {"ppc", ""}, 21: {"ppc64", "ppc64"}, 22: {"s390x", "s390x"}, 40: {"arm", "arm"},
	62: {"x86-64", "amd64"}, 183: {"aarch64", "arm64"}, 243: {"riscv64", "riscv64"}, 258: {"loongarch64", "loong64"},
}

// parseELF reads the processor and the dynamic linker (elf(5)). The file is the
// attacker's: every figure in it is bounded before it is used.
func parseELF(name string, f io.ReaderAt, head []byte) (interpreter, what, text string) {
	const class64, littleEndian, interp, maxHeaders = 2, 1, 3, 64
	if len(head) < 64 {
		return "", "", name + " is cut short: an ELF program has a header of 64 bytes; copy it again"
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[5] != littleEndian {
		order = binary.BigEndian
	}
	machine := order.Uint16(head[18:])
	if m := machines[machine]; m.goarch != goruntime.GOARCH {
		if m.name == "" {
			m.name = fmt.Sprintf("ELF machine %d", machine)
		}
		return "", "", fmt.Sprintf("%s is a program for %s, and this machine is %s; use one built for it (for images: `platform:`)", name, m.name, nativeMachine())
	}
	if head[4] != class64 {
		return "", "", ""
	}
	at, size, count := order.Uint64(head[32:]), uint64(order.Uint16(head[54:])), order.Uint16(head[56:])
	if size < 56 || size > 256 || at > 1<<40 {
		return "", "", name + " is a damaged ELF program; copy it again"
	}
	for i := uint64(0); i < uint64(min(count, maxHeaders)); i++ {
		header := make([]byte, 56)
		if _, err := f.ReadAt(header, int64(at+i*size)); err != nil {
			return "", "", name + " is cut short: its program headers are missing; copy it again"
		}
		if order.Uint32(header) != interp {
			continue
		}
		where, length := order.Uint64(header[8:]), order.Uint64(header[32:])
		if where > 1<<40 || length > unix.PathMax {
			return "", "", name + " is a damaged ELF program; copy it again"
		}
		path := make([]byte, length)
		if _, err := f.ReadAt(path, int64(where)); err != nil {
			return "", "", name + " is cut short; copy it again"
		}
		return unix.ByteSliceToString(path), "dynamic linker", ""
	}
	return "", "", ""
}

func nativeMachine() string {
	for _, m := range machines {
		if m.goarch == goruntime.GOARCH {
			return m.name
		}
	}
	return goruntime.GOARCH
}
