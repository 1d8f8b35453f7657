// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel ends a process whose patience is over, whatever it ignores.
func TestEndAfter(t *testing.T) {
	if os.Getenv("UNITC_TEST_ENDS") != "" {
		signal.Ignore(unix.SIGTERM, unix.SIGALRM, unix.SIGHUP)
		endAfter(10 * time.Millisecond)
		time.Sleep(time.Minute) // it is not to come to its end
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEndAfter$")
	cmd.Env = append(os.Environ(), "UNITC_TEST_ENDS=1")
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
		t.Errorf("it ends with %v, want SIGKILL", err)
	}
}
