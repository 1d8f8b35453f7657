// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A signal ends a wait that has a limit (signal(7)): journald is waited for all the
// same.
func TestJournalIsAskedAmongSignals(t *testing.T) {
	path := t.TempDir() + "/socket"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		time.Sleep(200 * time.Millisecond)
		_, _ = conn.Write([]byte("{}\x00"))
	}()
	defer func(before string) { journalService = before }(journalService)
	journalService = path
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, over := unix.Gettid(), make(chan bool)
	go func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
				_ = unix.Tgkill(os.Getpid(), thread, unix.SIGCHLD)
			}
		}
	}()
	if !askJournal(10 * time.Second) {
		t.Error("a journald that answers has not answered")
	}
	close(over)
}
