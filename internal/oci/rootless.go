// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// rootless tells whether this process has no privilege over the host: it is no
// root, or root of a user namespace of somebody's, as below a rootless engine.
var rootless = sync.OnceValue(func() bool {
	if os.Geteuid() != 0 {
		return true
	}
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(b)), " ") != "0 0 4294967295"
})

// denied tells whether an error is what a caller without privilege has to expect
// of cgroups that nobody has delegated to it.
func denied(err error) bool {
	return rootless() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS))
}
