// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// The agent's files in a VM.
const (
	agentDir   = "/usr/lib/unitc-lab"
	bootCount  = "/var/lib/unitc-lab/boot"
	rebootWish = "/run/unitc-lab/reboot"
	kernelWish = "/run/unitc-lab/kernel"
)

// agentUnit comes after everything else, so that what the command sees is a
// system that is up. The tests' own noise must not hit its limits.
const agentUnit = `[Unit]
Description=Lab agent
After=multi-user.target

[Service]
Type=exec
ExecStart=` + agentDir + `/lab agent
Environment=HOME=/root LANG=C.UTF-8
WorkingDirectory=/root
RuntimeDirectory=unitc-lab
StateDirectory=unitc-lab
TasksMax=infinity
OOMPolicy=continue
OOMScoreAdjust=-900
`

// cmdAgent runs in the VM, once in each boot: it runs the command and reports.
// A command that wants to be run again after a reboot leaves a file at
// rebootWish, in which "reset" asks for a boot without a shutdown. What is in
// kernelWish goes to the command line of the next boot's kernel.
func cmdAgent([]string) error {
	device, err := findPort()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	// Ends a line that the last boot may have left unfinished.
	if _, err := f.WriteString("\n"); err != nil {
		return err
	}
	p := &port{w: f}
	last, err := agentBoot(p, f)
	if err != nil {
		last = frame{Done: true, Exit: 1, Fault: err.Error()}
	}
	wish, err := os.ReadFile(rebootWish)
	last.Again = last.Fault == "" && err == nil
	if words, err := os.ReadFile(kernelWish); err == nil {
		last.Kernel = strings.TrimSpace(string(words))
	}
	if err := p.send(last); err != nil || !last.Again {
		return err
	}
	if strings.TrimSpace(string(wish)) == "reset" {
		return os.WriteFile("/proc/sysrq-trigger", []byte("b"), 0)
	}
	return exec.Command("systemctl", "--no-block", "reboot").Run()
}

func agentBoot(p *port, in io.Reader) (frame, error) {
	b, err := os.ReadFile(agentDir + "/job.json")
	if err != nil {
		return frame{}, err
	}
	var j job
	if err := json.Unmarshal(b, &j); err != nil {
		return frame{}, err
	}
	b, err = os.ReadFile(bootCount)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return frame{}, err
	}
	boot, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	boot++
	if err := writeSynced(bootCount, strconv.Itoa(boot)); err != nil {
		return frame{}, err
	}
	if err := p.send(frame{Boot: boot}); err != nil {
		return frame{}, err
	}
	cmd := exec.Command(j.Command[0], j.Command[1:]...)
	cmd.Env = append(append(os.Environ(), "PATH="+machinePath), j.Env...)
	cmd.Env = append(cmd.Env, fmt.Sprintf("UNITC_LAB_BOOT=%d", boot))
	cmd.Dir = cmp.Or(j.Dir, "/root")
	if j.Terminal {
		err = runOnTerminal(cmd, j.Winsize, in, stream{p, 1})
	} else {
		cmd.Stdout, cmd.Stderr = stream{p, 1}, stream{p, 2}
		err = cmd.Run()
	}
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		return frame{}, fmt.Errorf("running %s: %w", j.Command[0], err)
	}
	code := cmd.ProcessState.ExitCode()
	if code < 0 {
		code = 255 // a signal, as systemd-run has it in the fast lane
	}
	return frame{Done: true, Exit: code}, nil
}

// writeSynced writes a file that a reset must not take back.
func writeSynced(path, content string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		return err
	}
	// ext4 commits a new file's directory entry along with it.
	return f.Sync()
}

// findPort does not wait for udev's link: the device node is devtmpfs's.
func findPort() (string, error) {
	names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err == nil && strings.TrimSpace(string(b)) == portName {
			return "/dev/" + filepath.Base(filepath.Dir(name)), nil
		}
	}
	return "", fmt.Errorf("looking for the virtio port %s: not among %d", portName, len(names))
}
