// SPDX-License-Identifier: Apache-2.0

package waiting

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A lock that another has is waited for; one that nobody has is taken at once, and
// a try does not wait.
func TestFlock(t *testing.T) {
	path := t.TempDir() + "/lock"
	open := func() int {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return int(f.Fd())
	}
	one, other := open(), open()
	if err := Flock(one, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := Flock(other, unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		t.Errorf("a try gives %v", err)
	}
	got := make(chan error)
	go func() { got <- Flock(other, unix.LOCK_EX) }()
	select {
	case err := <-got:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := Flock(one, unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}
