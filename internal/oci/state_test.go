// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// saved makes the state of a container, whose process is this one.
func saved(t *testing.T, c *call, id string) *container {
	t.Helper()
	k, err := c.newContainer(id)
	if err != nil {
		t.Fatal(err)
	}
	k.PID, k.Made, k.Bundle = os.Getpid(), true, "/bundle"
	k.spec = &specs.Spec{Version: specs.Version, Process: &specs.Process{Args: []string{"x"}}, Linux: &specs.Linux{CgroupsPath: "/x"}}
	if err := errors.Join(k.saveConfig(), k.save()); err != nil {
		t.Fatal(err)
	}
	return k
}

// Files that end early are an error each time they are looked at, and the
// container can be deleted.
func TestDamagedFiles(t *testing.T) {
	c := &call{root: t.TempDir()}
	k := saved(t, c, "box")
	k.unlock()
	for _, name := range []string{stateFile, configFile} {
		data, err := os.ReadFile(k.dir + name)
		if err != nil {
			t.Fatal(err)
		}
		for n := range data {
			if err := os.WriteFile(k.dir+name, data[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := openAndConfigure(c, "box"); !errors.As(err, new(*damaged)) {
					t.Fatalf("%s, %d of %d bytes: %v", name, n, len(data), err)
				}
			}
		}
		if err := os.WriteFile(k.dir+name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := openAndConfigure(c, "box"); err != nil {
		t.Errorf("whole again: %v", err)
	}
	if err := os.WriteFile(k.dir+stateFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	force := &call{root: c.root, args: []string{"box"}, options: options{"force": {"true"}}}
	if err := deleteContainer(force); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(k.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the state is still there: %v", err)
	}
}

func openAndConfigure(c *call, id string) error {
	k, err := c.open(id)
	if err != nil {
		return err
	}
	defer k.unlock()
	if _, err = k.config(); err != nil {
		_, again := k.config() // what could not be read is not remembered
		if again == nil {
			return errors.New("the second reading succeeds")
		}
	}
	return err
}

// Who waits for the lock of a container that is deleted meanwhile finds none, and
// not the next one of that name.
func TestLockOfADeletedContainer(t *testing.T) {
	c := &call{root: t.TempDir()}
	k := saved(t, c, "box")
	got := make(chan error)
	go func() {
		other, err := c.open("box")
		other.unlock()
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("the lock is held, and an open gives %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := k.remove(); err != nil {
		t.Fatal(err)
	}
	next := saved(t, c, "box")
	defer next.unlock()
	k.unlock()
	if err := <-got; !errors.Is(err, errNotExist) {
		t.Errorf("open gives %v", err)
	}
}

func TestRelock(t *testing.T) {
	c := &call{root: t.TempDir()}
	k := saved(t, c, "box")
	k.unlock()
	if err := k.relock(); err != nil {
		t.Fatalf("it is the same container: %v", err)
	}
	if err := k.remove(); err != nil {
		t.Fatal(err)
	}
	k.unlock()
	if err := k.relock(); !errors.Is(err, errNotExist) {
		t.Errorf("a deleted container is locked: %v", err)
	}
	saved(t, c, "box").unlock()
	if err := k.relock(); !errors.Is(err, errNotExist) {
		t.Errorf("another container of the name is locked: %v", err)
	}
	if _, err := c.look("box"); err != nil {
		t.Error(err)
	}
}

// A container has no state yet while it is being made, and is not damaged.
func TestLookAtTheBeginning(t *testing.T) {
	c := &call{root: t.TempDir()}
	k, err := c.newContainer("box")
	if err != nil {
		t.Fatal(err)
	}
	seen, err := c.look("box")
	if err != nil || seen.status() != specs.StateCreating {
		t.Errorf("look gives %v", err)
	}
	k.unlock() // as its creator's death does
	if _, err := c.look("box"); !errors.As(err, new(*damaged)) {
		t.Errorf("what a killed creator has left: %v", err)
	}
}

// The name of the start FIFO goes before its process is let go.
func TestTakeFIFO(t *testing.T) {
	k := &container{dir: t.TempDir()}
	if err := unix.Mkfifo(k.dir+startFIFO, 0o600); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Open(k.dir+startFIFO, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(name)
	opened := make(chan error)
	go func() {
		f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", name), os.O_WRONLY, 0)
		f.Close()
		opened <- err
	}()
	fifo, err := k.takeFIFO()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fifo)
	if err := <-opened; err != nil {
		t.Error(err)
	}
	if _, err := k.takeFIFO(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a second start gives %v", err)
	}
}
