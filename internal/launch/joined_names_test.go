// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"os"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/plan"
)

// What a container has in the place of its names may be anything: who joins its network
// reads a file of that container's, or none.
func TestNamesOfAHostileNeighbour(t *testing.T) {
	secret := t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte("of the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		make func(place string) error
		want string
	}{
		"file":      {func(p string) error { return os.WriteFile(p, []byte("nameserver 127.0.0.1\n"), 0o644) }, "nameserver 127.0.0.1\n"},
		"empty":     {func(p string) error { return os.WriteFile(p, nil, 0o644) }, ""},
		"fifo":      {func(p string) error { return syscall.Mkfifo(p, 0o644) }, "none"},
		"device":    {func(p string) error { return os.Symlink("/dev/zero", p) }, "none"},
		"outside":   {func(p string) error { return os.Symlink(secret, p) }, "none"},
		"above":     {func(p string) error { return os.Symlink("../../../../../../../.."+secret, p) }, "none"},
		"large":     {func(p string) error { return os.WriteFile(p, make([]byte, 2<<20), 0o644) }, "none"},
		"circular":  {func(p string) error { return os.Symlink("resolv.conf", p) }, "none"},
		"directory": {func(p string) error { return os.Mkdir(p, 0o755) }, "none"},
	} {
		process := t.TempDir()
		if err := os.MkdirAll(process+"/root/etc", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := c.make(process + "/root/etc/resolv.conf"); err != nil {
			t.Fatal(err)
		}
		p := &plan.Plan{Spec: &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: process + "/ns/net"}}}}}
		got := "none"
		if data, err := fileOfJoined(p, "resolv.conf"); err == nil {
			got = string(data)
		}
		if got != c.want {
			t.Errorf("%s: read %.30q, want %q", name, got, c.want)
		}
	}
}
