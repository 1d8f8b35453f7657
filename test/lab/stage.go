// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bootTimeout is far above the two seconds a boot takes: a machine under load
// must not fail, a machine that hangs must not hang us.
const bootTimeout = 2 * time.Minute

const notifySocket = "/run/host/notify"

// cmdStage runs in a mount and a PID namespace of its own: it fills a scratch
// root, boots it and runs the command inside. When it exits, the kernel kills
// the machine and drops the mounts (pid_namespaces(7)).
func cmdStage(args []string) error {
	var j job
	if err := json.Unmarshal([]byte(args[0]), &j); err != nil {
		return err
	}
	root, err := j.scratchRoot()
	if err != nil {
		return err
	}
	ready, err := listenReady(filepath.Join(root, notifySocket))
	if err != nil {
		return err
	}
	machine, err := j.startMachine(root)
	if err != nil {
		return err
	}
	died := make(chan error, 1)
	go func() { died <- machine.Wait() }()
	select {
	case err = <-ready:
		if err != nil {
			return err
		}
	case err = <-died:
		return fmt.Errorf("booting %s: its systemd ended: %w", j.Suite, err)
	case <-time.After(bootTimeout):
		j.enter(machine.Process.Pid, "systemctl", "list-jobs").Run()
		return fmt.Errorf("booting %s: not ready after %v", j.Suite, bootTimeout)
	}
	return j.runInside(machine.Process.Pid)
}

// scratchRoot copies the tree to a tmpfs. A copy takes a quarter of a second; an
// overlay would take none but is no place to test in: overlayfs can be neither
// the upper layer of another nor idmapped (overlayfs: FS_ALLOW_IDMAP is unset).
func (j *job) scratchRoot() (string, error) {
	root := mountpoint()
	if err := scratch(root); err != nil {
		return "", err
	}
	if err := quietly(nil, "cp", "-a", j.Root+"/.", root); err != nil {
		return "", err
	}
	if err := j.fillRoot(root); err != nil {
		return "", err
	}
	// systemd leaves a mounted /run alone; unmounted, it would cover the socket.
	if err := unix.Mount("tmpfs", root+"/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return "", fmt.Errorf("mounting /run: %w", err)
	}
	// What a reload costs is measured among the peers, with all that a host has.
	if j.Suite != peers.name {
		if err := maskGenerators(root); err != nil {
			return "", err
		}
	}
	return root, maskUnits(root)
}

// scratch mounts a tmpfs that no one outside of this process's namespace sees.
func scratch(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	// nsenter(1) looks PIDs up in /proc, which must be this namespace's.
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := unix.Mount("unitc-lab", dir, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mounting a tmpfs on %s: %w", dir, err)
	}
	return nil
}

// fillRoot installs unitc and the caller's files into a tree.
func (j *job) fillRoot(root string) error {
	if j.Source != "" {
		s, err := findSuite(j.Suite)
		if err != nil {
			return err
		}
		if err := quietly(nil, "make", append([]string{"-s", "-C", j.Source, "install", "DESTDIR=" + root}, s.makeVariables()...)...); err != nil {
			return err
		}
	}
	for _, pair := range j.Copies {
		src, dst, ok := strings.Cut(pair, ":")
		if !ok {
			return fmt.Errorf("-copy %s: want SRC:DST", pair)
		}
		dst = filepath.Join(root, dst)
		if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
			return err
		}
		if err := quietly(nil, "cp", "-a", src, dst); err != nil {
			return err
		}
	}
	// Every machine is another one, and none is at its first boot (machine-id(5)).
	id := make([]byte, 16)
	if _, err := unix.Getrandom(id, 0); err != nil {
		return err
	}
	err := writeFiles(root, map[string]string{
		"etc/machine-id":  fmt.Sprintf("%x\n", id),
		"etc/hostname":    "lab\n",
		"etc/resolv.conf": "",
		"etc/hosts":       "127.0.0.1 localhost lab\n::1 localhost\n",
		"etc/.updated":    "",
		"var/.updated":    "",
	})
	if err != nil {
		return err
	}
	// Files newer than /usr spare the boot its updates (systemd-update-done.service(8)).
	later := time.Now().Add(time.Hour)
	for _, stamp := range []string{"etc/.updated", "var/.updated"} {
		if err := os.Chtimes(filepath.Join(root, stamp), later, later); err != nil {
			return err
		}
	}
	return nil
}

func writeFiles(root string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(root, name)
		// It may be a link to somewhere, which must not be written through.
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// listenReady returns a channel that yields once the machine's systemd has
// reported READY=1, when its first transaction is done (sd_notify(3)). It goes on
// reading, for systemd reports each reload as well.
func listenReady(path string) (<-chan error, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	ready := make(chan error, 1)
	go func() {
		buf := make([]byte, 4096)
		for said := false; ; {
			n, err := conn.Read(buf)
			if err != nil && !said {
				ready <- err
			}
			if err != nil {
				return
			}
			for line := range strings.Lines(string(buf[:n])) {
				if !said && strings.TrimSpace(line) == "READY=1" {
					said = true
					ready <- nil
				}
			}
		}
	}()
	return ready, nil
}

// enter is a command in all of the machine's namespaces.
func (j *job) enter(pid int, command ...string) *exec.Cmd {
	args := []string{"-t", strconv.Itoa(pid), "-m", "-u", "-i", "-n", "-p", "-C", "--"}
	cmd := exec.Command("nsenter", append(args, command...)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Env = append([]string{"PATH=" + machinePath, "HOME=/root", "LANG=C.UTF-8"}, j.Env...)
	if term := os.Getenv("TERM"); term != "" {
		cmd.Env = append(cmd.Env, "TERM="+term)
	}
	return cmd
}

// runInside runs the command as a service: entering the namespaces alone would
// leave it outside of the machine's cgroups.
func (j *job) runInside(pid int) error {
	args := []string{"systemd-run", "--quiet", "--wait", "--collect", "--service-type=exec",
		"--working-directory=" + cmp.Or(j.Dir, "/root"), "--property=TasksMax=infinity", "--description=Lab command"}
	if j.Terminal {
		args = append(args, "--pty")
	} else {
		args = append(args, "--pipe")
	}
	cmd := j.enter(pid)
	for _, variable := range cmd.Env {
		args = append(args, "--setenv="+variable)
	}
	args = append(args, "--")
	for _, arg := range j.Command {
		// PID 1 expands variables even in what the shell was to see (systemd.service(5)).
		args = append(args, strings.ReplaceAll(arg, "$", "$$"))
	}
	cmd = j.enter(pid, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var status *exec.ExitError
	if errors.As(err, &status) && status.ExitCode() >= 0 {
		return &statusError{status.ExitCode()}
	}
	return err
}

// startMachine clones the machine's PID 1 straight into its cgroup. The cgroup
// namespace is not among the flags: it would be rooted where *we* are, since
// copy_process() copies namespaces before it enters the new cgroup.
func (j *job) startMachine(root string) (*exec.Cmd, error) {
	cgroup, err := os.Open(j.Cgroup)
	if err != nil {
		return nil, err
	}
	defer cgroup.Close()
	cmd := exec.Command("/proc/self/exe", "machine", root)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET,
		UseCgroupFD: true,
		CgroupFD:    int(cgroup.Fd()),
		Setsid:      true,
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cloning the machine: %w", err)
	}
	return cmd, nil
}
