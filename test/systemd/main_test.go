// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// journal keeps all that the tests write; what is under test is unitc's part of
// the way, not journald's limits.
const journal = `[Journal]
RateLimitIntervalSec=0
RuntimeMaxUse=6G
RuntimeKeepFree=1M
SystemMaxUse=6G
SystemKeepFree=1M
`

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("UNITC_LAB") == "" {
		fmt.Fprintln(os.Stderr, "these tests change the machine they run on; start them with bin/lab gotest SUITE ./test/systemd")
		os.Exit(2)
	}
	// Most tests wait for grace periods, not for a processor.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		f.Value.Set("8")
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	before := takeSnapshot()
	status := m.Run()
	startSlice()
	if left := before.awaitSame(time.Minute); left != "" {
		fmt.Fprintf(os.Stderr, "after all tests this differs from before:\n%s", left)
		status = max(status, 1)
	}
	os.Exit(status)
}

func prepare() error {
	dir := "/run/systemd/journald.conf.d"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(dir+"/50-test.conf", []byte(journal), 0o644); err != nil {
		return err
	}
	if out, err := exec.Command("systemctl", "restart", "systemd-journald.service").CombinedOutput(); err != nil {
		return fmt.Errorf("restarting journald: %w\n%s", err, out)
	}
	startSlice()
	// Package net finds out once what the machine can: not in a test's namespace,
	// where there may be no IPv6.
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		return err
	}
	return l.Close()
}

// startSlice makes the slice part of the state before: it stays when its last
// unit ends, and one of the tests uninstalls it. A snapshot tells if it fails.
func startSlice() { _ = exec.Command("systemctl", "start", "unitc.slice").Run() }
