// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// A user's pasta ends with the payload, or else with the scope; no stop has a process of
// ours for it, and a start has the ports that one holds which is late.
func TestEngineUserPastaWithoutCleanUp(t *testing.T) {
	s := newSession(t)
	outside(t)
	const web = server + "ports: ['18610:80']\n"
	s.define("one.yaml", web+"hostname: one\n")
	s.define("two.yaml", web+"hostname: two\nlogging: {driver: none}\n")
	t.Cleanup(func() { _, _ = s.run("systemctl", "--user", "stop", "one", "two") })
	if got := s.property("one", "ExecStopPost"); got != "" {
		t.Fatalf("its stop has %s", got)
	}
	answers := func(name string) {
		t.Helper()
		asks(t, name, "busybox", "nc", "-w", "5", "127.0.0.1", "18610")
	}
	s.must("systemctl", "--user", "start", "one")
	for range 5 {
		s.must("systemctl", "--user", "restart", "one")
		answers("one")
	}
	for _, name := range []string{"two", "one", "two", "one"} {
		s.must("systemctl", "--user", "stop", "one", "two")
		s.must("systemctl", "--user", "start", name)
		answers(name)
	}
	// With a relay the port is free when the stop is over.
	for range 5 {
		s.must("systemctl", "--user", "start", "one")
		s.must("systemctl", "--user", "stop", "one")
		if out, _ := command(t, "pgrep", "-u", somebody, "pasta"); out != "" {
			t.Errorf("pasta is still there: %s", out)
		}
	}
	s.isGone("one")
	// One that hears nothing keeps nobody from its ports.
	for _, next := range []string{"two", "one"} {
		s.must("systemctl", "--user", "start", "two")
		leaf := "/sys/fs/cgroup/user.slice/user-1500.slice/user@1500.service/unitc.slice/unitc-two.scope/network"
		for _, pid := range strings.Fields(file(t, leaf+"/cgroup.procs")) {
			must(t, "kill", "-STOP", pid)
		}
		s.must("systemctl", "--user", "stop", "two")
		s.must("systemctl", "--user", "start", next)
		answers(next)
		s.must("systemctl", "--user", "stop", next)
	}
	// A program of the user's own is left alone, and told.
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.run("timeout", "30", "busybox", "nc", "-ll", "-p", "18610", "-e", "true")
	}()
	await(t, "it listens", func() bool {
		data, _ := os.ReadFile("/proc/net/tcp6")
		return strings.Contains(string(data), fmt.Sprintf(":%04X %032d:0000 0A ", 18610, 0))
	})
	if _, status := s.run("systemctl", "--user", "start", "one"); status == 0 || !strings.Contains(s.property("one", "StatusText"), "is in use by") {
		t.Errorf("a taken port: %d, %q", status, s.property("one", "StatusText"))
	}
	_, _ = command(t, "pkill", "-u", somebody, "-x", "busybox")
	<-done
	s.isGone("one")
	s.isGone("two")
}
