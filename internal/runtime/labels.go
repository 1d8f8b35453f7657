// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
)

// Where the kernel shows which security modules run. A test has others.
var (
	selinuxRoot      = "/sys/fs/selinux"
	selinuxMagic     = int64(unix.SELINUX_MAGIC)
	appArmorEnabled  = "/sys/module/apparmor/parameters/enabled"
	appArmorProfiles = "/sys/kernel/security/apparmor/profiles"
	// Below procfs.
	selinuxExecFile  = "thread-self/attr/exec"
	appArmorExecFile = "thread-self/attr/apparmor/exec"
	selinuxKeyFile   = "thread-self/attr/keycreate"
)

// What a label needs and the host has not.
var (
	ErrNoSELinux  = errors.New("this host runs without SELinux")
	ErrNoAppArmor = errors.New("this host runs without AppArmor")
)

// SELinux tells whether the host runs with it (is_selinux_enabled(3)).
func SELinux() bool {
	var st unix.Statfs_t
	return unix.Statfs(selinuxRoot, &st) == nil && (selinuxMagic == 0 || int64(st.Type) == selinuxMagic)
}

// canonical is the label as the kernel says it (security_canonicalize_context(3)),
// and an error where its policy does not know the label.
var canonical = func(label string) (string, error) { return askSELinux("context", label) }

// askSELinux puts a question to the kernel's policy and gives the answer.
func askSELinux(file, question string) (string, error) {
	f, err := os.OpenFile(selinuxRoot+"/"+file, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.Write([]byte(question + "\x00")); err != nil {
		return "", err
	}
	b := make([]byte, 4096)
	n, err := f.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return unix.ByteSliceToString(b[:n]), nil
}

// CanonicalLabel is a label as records of the kernel have it: categories may be
// written in any order.
func CanonicalLabel(label string) string {
	if said, err := canonical(label); err == nil {
		return said
	}
	return label
}

// SELinuxKnows tells whether the loaded policy has a label. Before one is loaded
// the kernel knows none.
func SELinuxKnows(label string) bool {
	_, err := canonical(label)
	return label != "" && err == nil
}

// SELinuxDomain is the label with which a service begins that runs a program
// (security_compute_create(3)).
func SELinuxDomain(program string) (string, error) {
	parent, err := os.ReadFile("/proc/1/attr/current")
	if err != nil {
		return "", err
	}
	b := make([]byte, 4096)
	n, err := unix.Getxattr(program, "security.selinux", b)
	if err != nil {
		return "", fmt.Errorf("getxattr security.selinux %s: %w", program, err)
	}
	class, err := os.ReadFile(selinuxRoot + "/class/process/index")
	if err != nil {
		return "", err
	}
	return askSELinux("create", unix.ByteSliceToString(parent)+" "+unix.ByteSliceToString(b[:n])+" "+string(class))
}

// SELinuxEnters tells whether a process with one label may begin another with a
// label of a container, also under no_new_privs.
func SELinuxEnters(domain, label string) (bool, error) {
	for class, permission := range map[string]string{"process": "transition", "process2": "nnp_transition"} {
		dir := selinuxRoot + "/class/" + class
		index, err := os.ReadFile(dir + "/index")
		if errors.Is(err, os.ErrNotExist) {
			continue // the policy does not tell them apart
		}
		bit, worse := os.ReadFile(dir + "/perms/" + permission)
		if err = errors.Join(err, worse); err != nil {
			return false, err
		}
		number, err := strconv.Atoi(string(bit))
		if err != nil {
			return false, fmt.Errorf("%s/perms/%s: %w", dir, permission, err)
		}
		answer, err := askSELinux("access", domain+" "+label+" "+string(index))
		if err != nil {
			return false, err
		}
		// "ALLOWED DECIDED AUDITALLOW AUDITDENY SEQUENCE FLAGS", the first four in base 16.
		allowed, _, _ := strings.Cut(answer, " ")
		mask, err := strconv.ParseUint(allowed, 16, 32)
		if err != nil {
			return false, fmt.Errorf("selinuxfs says %q: %w", answer, err)
		}
		if mask>>(number-1)&1 == 0 {
			return false, nil
		}
	}
	return true, nil
}

// AppArmor tells whether the host runs with it.
func AppArmor() bool {
	b, err := os.ReadFile(appArmorEnabled)
	return err == nil && strings.TrimSpace(string(b)) == "Y"
}

// AppArmorHas tells whether a profile of that name is loaded. Each line of the
// list is "NAME (MODE)" (aa-status(8)).
func AppArmorHas(profile string) bool {
	if !AppArmor() {
		return false
	}
	f, err := os.Open(appArmorProfiles)
	if err != nil {
		return false // securityfs is not there: nobody can tell
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, _, ok := strings.Cut(lines.Text(), " ("); ok && name == profile {
			return true
		}
	}
	return false
}

func hasLabels(l *Launch) bool {
	return hasSELinuxLabel(l) || hasAppArmorProfile(l) || l.spec.Linux.MountLabel != ""
}

// checkLabels refuses labels for a module that does not run. The attribute files
// may be there all the same, another module's.
func checkLabels(l *Launch) error {
	fault := func(step string, exit int, what string, err error) error {
		return &StepError{Step: step, Exit: exit, Err: fmt.Errorf("%s: %w", what, err)}
	}
	switch selinux := SELinux(); {
	case hasSELinuxLabel(l) && !selinux:
		return fault("set-selinux-label", exitSELinux, "label "+l.spec.Process.SelinuxLabel, ErrNoSELinux)
	case l.spec.Linux.MountLabel != "" && !selinux:
		return fault("set-selinux-label", exitSELinux, "mount label "+l.spec.Linux.MountLabel, ErrNoSELinux)
	case hasAppArmorProfile(l) && !AppArmor():
		return fault("set-apparmor-profile", exitAppArmor, "profile "+l.spec.Process.ApparmorProfile, ErrNoAppArmor)
	}
	for _, v := range []struct{ what, label string }{{"label ", l.spec.Process.SelinuxLabel}, {"mount label ", l.spec.Linux.MountLabel}} {
		if v.label == "" {
			continue
		}
		if _, err := canonical(v.label); err != nil {
			return fault("set-selinux-label", exitSELinux, v.what+v.label, err)
		}
	}
	return nil
}

func hasSELinuxLabel(l *Launch) bool    { return l.spec.Process.SelinuxLabel != "" }
func hasAppArmorProfile(l *Launch) bool { return l.spec.Process.ApparmorProfile != "" }

// setSELinuxLabel sets the context that execve(2) enters. The write goes to the
// private procfs: through the container's own /proc it could be redirected
// (CVE-2019-16884). The policy checks the label at the write, and the
// transition at the exec, which it refuses with EACCES.
func setSELinuxLabel(c *compiler) {
	label, err := canonical(c.spec.Process.SelinuxLabel)
	if err != nil {
		c.err = fmt.Errorf("label %s: %w", c.spec.Process.SelinuxLabel, err)
		return
	}
	c.writeProc(selinuxExecFile, c.spec.Process.SelinuxLabel)
	c.compareProc(selinuxExecFile, label)
}

// setAppArmorProfile sets the profile that execve(2) enters. The file of the
// module's own is there since Linux 5.1; the one above it is that of the first
// module.
func setAppArmorProfile(c *compiler) {
	c.writeProc(appArmorExecFile, "exec "+c.spec.Process.ApparmorProfile)
}

// contextOption labels a file system that the launch makes (mount(8), context=).
func (c *compiler) contextOption(kind string) []string {
	switch kind {
	case "proc", "sysfs", "cgroup2", "mqueue": // the last: labelQueues
		return nil // these have contexts of their own
	}
	return mountContext(c.spec)
}

func mountContext(s *specs.Spec) []string {
	if label := s.Linux.MountLabel; label != "" {
		return []string{"context=" + label}
	}
	return nil
}

// labelQueues labels the directory of message queues. They are the namespace's own
// file system, mounted in the kernel already, which takes no context.
func (c *compiler) labelQueues(label string, mnt program.Reg) {
	if c.spec.Linux.MountLabel == "" {
		return
	}
	value := []byte(c.spec.Linux.MountLabel + "\x00")
	c.p.Call("fchdir", label, unix.SYS_FCHDIR, mnt)
	c.p.Call("setxattr", label+" security.selinux="+c.spec.Linux.MountLabel, unix.SYS_SETXATTR, c.p.Str("."), c.p.Str("security.selinux"), c.p.Bytes(value), len(value), 0)
	c.p.Call("chdir", "/", unix.SYS_CHDIR, c.p.Str("/"))
}

// quotedContext is the same for mount(2), where a comma ends an option and
// quotes keep it: categories are separated by commas.
func quotedContext(s *specs.Spec) string {
	if label := s.Linux.MountLabel; label != "" {
		return `,context="` + label + `"`
	}
	return ""
}

// LabelPipe gives a pipe that unitc has made for a payload a label of files that the
// payload may use: a pipe has the label of who made it, and an operator's may have
// categories that no container reaches. What is no pipe stays as it is. Where the
// policy refuses this, it decides whether the payload may use the pipe.
func LabelPipe(f *os.File, label string) {
	var st unix.Stat_t
	if label == "" || f == nil {
		return
	}
	control(f, func(fd int) {
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
			_ = unix.Fsetxattr(fd, "security.selinux", []byte(label+"\x00"), 0)
		}
	})
}

// control lends a descriptor without making it block, as Fd would.
func control(f *os.File, do func(fd int)) {
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { do(int(fd)) }) // it is closed
	}
}

// unlabelled are directories whose label the host itself lives by.
var unlabelled = []string{
	"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp",
	"/usr", "/var", "/var/lib", "/var/log", "/var/tmp",
}

// labelSource labels what a bind mount comes from, where the plan says so.
func (l *Launch) labelSource(f *os.File, m specs.Mount) error {
	if label := l.plan.Relabel[m.Destination]; label != "" {
		return relabel(f, m.Source, label)
	}
	label := l.plan.LabelNew[m.Destination]
	if label == "" {
		return nil
	}
	b := make([]byte, 4096)
	n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), "security.selinux", b)
	if err == nil && unix.ByteSliceToString(b[:n]) == label {
		return nil
	}
	// What cannot be written keeps its label, and the policy decides.
	if err := relabel(f, m.Source, label); err != nil && !errors.Is(err, unix.EROFS) {
		return err
	}
	return nil
}

// relabel gives a tree a label, `z` and `Z` of a volume. It walks on descriptors
// and follows no link: the content is a payload's.
func relabel(f *os.File, source, label string) error {
	if slices.Contains(unlabelled, filepath.Clean(source)) {
		return fmt.Errorf("%s: its label is the host's: mount a directory below it, or drop z and Z", source)
	}
	place := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := unix.Setxattr(place, "security.selinux", []byte(label+"\x00"), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("labelling %s %s: %w", source, label, err)
	}
	if !isDir(f) {
		return nil
	}
	fd, err := unix.Open(place, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", source, err)
	}
	dir := os.NewFile(uintptr(fd), source)
	defer dir.Close()
	return relabelBelow(dir, label, 0)
}

func relabelBelow(dir *os.File, label string, depth int) error {
	if depth > 1000 {
		return fmt.Errorf("labelling %s: too deep", dir.Name())
	}
	for {
		entries, err := dir.ReadDir(256)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", dir.Name(), err)
		}
		for _, e := range entries {
			place := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), e.Name())
			if err := unix.Lsetxattr(place, "security.selinux", []byte(label+"\x00"), 0); err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("labelling %s/%s %s: %w", dir.Name(), e.Name(), label, err)
			}
			if !e.IsDir() {
				continue
			}
			fd, err := unix.Openat(int(dir.Fd()), e.Name(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
				continue // exchanged meanwhile
			}
			if err != nil {
				return fmt.Errorf("opening %s/%s: %w", dir.Name(), e.Name(), err)
			}
			sub := os.NewFile(uintptr(fd), dir.Name()+"/"+e.Name())
			err = relabelBelow(sub, label, depth+1)
			sub.Close()
			if err != nil {
				return err
			}
		}
	}
}
