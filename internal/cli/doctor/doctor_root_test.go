// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"os"
	"strings"
	"testing"
)

// What the checks do is done on this machine, and nothing of it stays.
func TestChecksLeaveNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: run it as the test command of README.md does")
	}
	before := world(t)
	for _, c := range []func(Machine) result{userNamespace, mountInterface, idMapped, overlay, links, nftables} {
		if r := c(Machine{Proc: "/proc", Store: t.TempDir()}); r.state == Unknown || r.what == "" {
			t.Errorf("%+v", r)
		}
	}
	if after := world(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// world is what the checks could leave: mounts and links.
func world(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, path := range []string{"/proc/self/mountinfo", "/proc/1/net/dev"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			name, _, _ := strings.Cut(line, ":")
			if path == "/proc/self/mountinfo" {
				name = line
			}
			b.WriteString(strings.TrimSpace(name) + "\n")
		}
	}
	return b.String()
}
