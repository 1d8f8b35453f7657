// SPDX-License-Identifier: Apache-2.0

package regular

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/x"
	if _, _, err := Read(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("what is not there: %v", err)
	}
	for target, want := range map[string]string{"/dev/null": ErrMasked.Error(), "/dev/zero": "not a regular file", "/": "not a regular file"} {
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(path); err == nil || err.Error() != "read "+path+": "+want {
			t.Errorf("a link to %s: %v", target, err)
		}
		_ = os.Remove(path)
	}
	if err := os.WriteFile(path, make([]byte, Max), 0o640); err != nil {
		t.Fatal(err)
	}
	link := dir + "/link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if data, mode, err := Read(link); err != nil || len(data) != Max || mode != 0o640 {
		t.Errorf("%d bytes, %v: %v", len(data), mode, err)
	}
	for _, size := range []int64{Max + 1, 1 << 40} { // with holes
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(path); err == nil || !strings.Contains(err.Error(), "at most 1048576 are read") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// What is no regular file is not even opened.
func TestReadOpensNothingElse(t *testing.T) {
	path := t.TempDir() + "/fifo"
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, path, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a FIFO: %v", err)
	}
	var event [unix.SizeofInotifyEvent]byte
	if _, err := unix.Read(watch, event[:]); err != unix.EAGAIN {
		t.Errorf("it was opened: %v", err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if _, err := unix.Read(watch, event[:]); err != nil {
		t.Errorf("an open is not seen: %v", err)
	}
}
