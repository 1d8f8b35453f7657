// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// A program is loaded while signals come all the time, each of which ends the
// kernel's look at it.
func TestLoadUnderSignals(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test needs root: run it as the test command of README.md does")
	}
	var done atomic.Bool
	defer done.Store(true)
	go func() {
		for !done.Load() {
			_ = unix.Kill(os.Getpid(), unix.SIGURG) // as Go's own, which do nothing
		}
	}()
	program := compileDevices(merged(alwaysAllowed))
	for range 300 {
		fd, err := load(program)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
	}
}
