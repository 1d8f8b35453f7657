// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// README's first command: what it shows is there, and nothing of it stays.
func TestTry(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it boots a machine in namespaces, as root")
	}
	mounts := func() string {
		b, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := mounts()
	cmd := exec.Command("make", "--no-print-directory", "-C", "../..", "try")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make try: %v\n%s", err, out)
	}
	rest := string(out)
	for _, want := range []string{
		"$ systemctl daemon-reload\n", "$ systemctl start hello web worker@1 worker@2\n",
		"Active: active (running)", "hello from a container that systemd runs", "unitc-hello.scope", "Apache License",
		"$ systemctl kill ", "NRestarts=1\n", "$ systemctl stop hello\n", "goodbye\n", "$ systemctl start hello\n",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("it does not show %q, or not in this order:\n%s", want, out)
		}
		rest = after
	}
	if after := mounts(); after != before {
		t.Errorf("mounts before:\n%s\nafter:\n%s", before, after)
	}
	// A machine's cgroup is named after the process that booted it.
	own, err := ownCgroup()
	if err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(own, cgroupPrefix+"*"))
	for _, dir := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix), "-")
		if n, err := strconv.Atoi(pid); err == nil && unix.Kill(n, 0) == unix.ESRCH {
			t.Errorf("%s is left", dir)
		}
	}
}
