// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What stands beside a file may be anything, and keeps nobody who reads it.
func TestOddFilesBesideACandidate(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"a FIFO":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"a socket": func(path string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
		},
		"a directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"a huge file": func(path string) error {
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				return err
			}
			return os.Truncate(path, 1<<40)
		},
	} {
		for _, beside := range []string{".env", "compose.env", "compose.override.yaml", "compose.yaml"} {
			t.Run(name+" "+beside, func(t *testing.T) {
				t.Chdir(t.TempDir())
				if beside != "compose.yaml" {
					if err := os.WriteFile("compose.yaml", []byte("name: compose\nservices: {web: {rootfs: host}}\n"), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if err := put(beside); err != nil {
					t.Fatal(err)
				}
				_, err := ReadCandidate("compose.yaml", "", nil)
				if err == nil || !strings.Contains(err.Error(), beside) {
					t.Errorf("the error is %v", err)
				}
			})
		}
	}
}
