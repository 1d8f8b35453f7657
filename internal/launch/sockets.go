// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/realm"
)

// firstSocket is where the descriptors begin that systemd passes to a service
// which has a .socket (sd_listen_fds(3)).
const firstSocket = 3

// takeSockets counts them. From here on they pass no exec of the helper's: the
// payload alone has them, or a connection to it would stay open behind it.
func takeSockets() (n int, names string, err error) {
	defer func() {
		for _, name := range []string{"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
			os.Unsetenv(name)
		}
	}()
	if u := realm.Own(); os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) && (u == nil || os.Getenv("LISTEN_PID") != listenEntered) {
		return 0, "", nil
	}
	n, err = strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1<<16 {
		return 0, "", fmt.Errorf("LISTEN_FDS=%q: no number of descriptors", os.Getenv("LISTEN_FDS"))
	}
	for fd := firstSocket; fd < firstSocket+n; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return 0, "", fmt.Errorf("descriptor %d of LISTEN_FDS=%d: %w", fd, n, err)
		}
	}
	return n, os.Getenv("LISTEN_FDNAMES"), nil
}
