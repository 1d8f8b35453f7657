// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel wakes who waits for a message to be taken, at that time and no sooner.
func TestMarkIsAwaited(t *testing.T) {
	runtime.LockOSThread() // sleeps counts this one's
	defer runtime.UnlockOSThread()
	path := t.TempDir() + "/notify"
	systemd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(systemd)
	if err := unix.Bind(systemd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	n, err := openNotifier()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.await(time.Minute); err != nil {
		t.Errorf("with nothing to wait for: %v", err)
	}
	for range 2 {
		if err := n.send("MAINPID=1"); err != nil {
			t.Fatal(err)
		}
		if err := n.mark(); err != nil {
			t.Fatal(err)
		}
		if began := time.Now(); n.await(20*time.Millisecond) != nil || time.Since(began) < 20*time.Millisecond {
			t.Errorf("it was awaited for %v, and nobody had taken it", time.Since(began))
		}
		taken := make(chan string)
		go func() {
			time.Sleep(50 * time.Millisecond)
			var got []string
			for buf := make([]byte, 4096); len(got) < 2; {
				k, _, err := unix.Recvfrom(systemd, buf, 0)
				if err != nil {
					break
				}
				got = append(got, string(buf[:k]))
			}
			taken <- strings.Join(got, " ")
		}()
		before := sleeps(t)
		if err := n.await(time.Minute); err != nil {
			t.Error(err)
		}
		if times := sleeps(t) - before; times > 20 {
			t.Errorf("it looked %d times", times)
		}
		// Both have been taken by now.
		if waiting, err := unix.IoctlGetInt(n.tail, unix.SIOCOUTQ); err != nil || waiting != 0 {
			t.Errorf("%d bytes are still to be taken (%v)", waiting, err)
		}
		if got := <-taken; !strings.HasPrefix(got, "MAINPID=1 X_UNITC_MARK=") {
			t.Errorf("systemd was told %q", got)
		}
	}
	if err := (&notifier{fd: -1}).barrier(); err != nil {
		t.Errorf("outside systemd: %v", err)
	}
}

// sleeps is how often this thread has waited for something (getrusage(2), ru_nvcsw).
func sleeps(t *testing.T) int64 {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return u.Nvcsw
}
