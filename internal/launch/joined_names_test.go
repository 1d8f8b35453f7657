// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

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
		if got := namesOf(process); got != c.want {
			t.Errorf("%s: read %.30q, want %q", name, got, c.want)
		}
	}
}

// namesOf is what is read of a process's resolv.conf, or "none".
func namesOf(process string) string {
	p := &plan.Plan{Spec: &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: process + "/ns/net"}}}}}
	data, err := fileOfJoined(p, "resolv.conf")
	if err != nil {
		return "none"
	}
	return string(data)
}

// A container may link its names to what it sees and may not read: a file of root's on
// a volume that keeps the host's owners (/:/host:ro). Who joins it is not told either.
func TestNamesThatANeighbourMayNotRead(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test needs root: run it as the test command of README.md does")
	}
	const first = 1 << 30
	process := t.TempDir()
	place := process + "/root/etc/resolv.conf"
	if err := os.MkdirAll(process+"/root/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(process+"/uid_map", []byte(fmt.Sprintf("%10d %10d %10d\n", 0, first, 1<<16)), 0o444); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		owner int
		mode  os.FileMode
		want  string
	}{
		{0, 0o600, "none"}, {0, 0o640, "none"}, {0, 0o644, "words"}, {first, 0o600, "words"}, {first + 33, 0o000, "words"}, {first - 1, 0o600, "none"}, {first + 1<<16, 0o660, "none"},
	} {
		if err := errors.Join(os.WriteFile(place, []byte("words"), 0o600), os.Chown(place, c.owner, 0), os.Chmod(place, c.mode)); err != nil {
			t.Fatal(err)
		}
		if got := namesOf(process); got != c.want {
			t.Errorf("of %d with mode %o: read %q, want %q", c.owner, c.mode, got, c.want)
		}
	}
	// What the kernel shows of processes root sees more of than whom it is about.
	if err := errors.Join(os.Remove(place), os.WriteFile(place, nil, 0o644), unix.Mount("/proc/self/limits", place, "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(place, unix.MNT_DETACH)
	if got := namesOf(process); got != "none" {
		t.Errorf("of a procfs: read %.40q", got)
	}
}
