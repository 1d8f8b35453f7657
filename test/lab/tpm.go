// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// startTPM starts swtpm(8), a TPM 2.0 in software, for one boot of a VM, and tells
// what qemu is to be told of it. What it has stored stays in dir.
func startTPM(dir string) (args []string, stop func(), err error) {
	state, socket := filepath.Join(dir, "tpm"), filepath.Join(dir, "tpm-control")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, nil, err
	}
	// It inherits a socket that listens already: qemu need not wait for one.
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	file, err := listener.File()
	if err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	defer file.Close()
	swtpm := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--ctrl", "type=unixio,fd=3")
	swtpm.Stdout, swtpm.Stderr = os.Stderr, os.Stderr
	swtpm.ExtraFiles = []*os.File{file}
	if err := swtpm.Start(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("starting swtpm: %w", err), listener.Close())
	}
	stop = func() {
		swtpm.Process.Kill() // it ends with qemu, or now
		swtpm.Wait()
		listener.Close()
	}
	return []string{
		"-chardev", "socket,id=tpm,path=" + socket,
		"-tpmdev", "emulator,id=tpm0,chardev=tpm",
		"-device", "tpm-tis,tpmdev=tpm0",
	}, stop, nil
}
