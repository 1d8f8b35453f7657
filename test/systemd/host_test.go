// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
)

// command runs a program and gives its output, both streams, and its status.
func command(t *testing.T, name string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0", "COLUMNS=1000")
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrWaitDelay) {
		t.Errorf("%s %q has ended, and somebody whom it has left behind holds its output", name, args)
	}
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// must is command for what has to succeed.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, status := command(t, name, args...)
	if status != 0 {
		t.Fatalf("%s %q exits with %d:\n%s", name, args, status, out)
	}
	return out
}

// property is one property of a unit, as systemctl prints it.
func property(t *testing.T, unit, name string) string {
	t.Helper()
	if kind, isPlain := plainProperties[name]; isPlain && strings.HasSuffix(unit, ".service") {
		if value, err := askBus(unit, kind, name); err == nil {
			return value
		}
	}
	return strings.TrimSuffix(must(t, "systemctl", "show", "--value", "-p", name, "--", unit), "\n")
}

// place writes a file for the time of the test; a content "-> x" is a link. With the
// last drop-in its directory goes: one without its definition is told of at each reload.
func place(t *testing.T, path, content string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if target, isLink := strings.CutPrefix(content, "-> "); err == nil && isLink {
		err = os.Symlink(target, path)
	} else if err == nil {
		err = os.WriteFile(path, []byte(content), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.RemoveAll(path)
		if dir := filepath.Dir(path); strings.HasSuffix(dir, ".d") {
			os.Remove(dir) // unless it has others
		}
	})
}

// plainProperties are those that tests wait for: words and numbers, which need no
// program to print them.
var plainProperties = map[string]string{
	"ActiveState": "Unit", "SubState": "Unit",
	"MainPID": "Service", "Result": "Service", "NRestarts": "Service", "ExecMainStatus": "Service", "StatusText": "Service",
}

var bus struct {
	sync.Mutex
	conn *dbus.Conn
}

// busConn is a connection to PID 1 that is kept. To start systemctl takes a hundred
// times as long as to ask.
func busConn() (*dbus.Conn, error) {
	bus.Lock()
	defer bus.Unlock()
	if bus.conn == nil || !bus.conn.Connected() { // some tests stop the bus
		conn, err := dbus.NewSystemConnectionContext(context.Background())
		if err != nil {
			return nil, err
		}
		bus.conn = conn
	}
	return bus.conn, nil
}

func askBus(unit, kind, name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := busConn()
	if err != nil {
		return "", err
	}
	ask := conn.GetUnitPropertyContext
	if kind != "Unit" {
		ask = func(ctx context.Context, unit, name string) (*dbus.Property, error) {
			return conn.GetUnitTypePropertyContext(ctx, unit, kind, name)
		}
	}
	p, err := ask(ctx, unit, name)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(p.Value.Value()), nil
}

// job does what `systemctl VERB UNIT` does, for the tests that do it hundreds of
// times. done: PID 1 says so.
func job(t *testing.T, verb, unit string) (done bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ended := make(chan string, 1)
	conn, err := busConn()
	if err == nil {
		_, err = map[string]func(context.Context, string, string, chan<- string) (int, error){
			"start": conn.StartUnitContext, "restart": conn.RestartUnitContext, "stop": conn.StopUnitContext,
		}[verb](ctx, unit, "replace", ended)
	}
	if err != nil {
		t.Fatalf("%s of %s: %v", verb, unit, err)
	}
	select {
	case result := <-ended:
		return result == "done"
	case <-time.After(5 * patience): // it has time-outs of its own
		t.Fatalf("%s of %s does not end", verb, unit)
		return false
	}
}

// resetFailed forgets a failure, if there is one.
func resetFailed(unit string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if conn, err := busConn(); err == nil {
		_ = conn.ResetFailedUnitContext(ctx, unit)
	}
}

// reload reads all definitions again. Tests that ask while a reload is running
// share the next one.
func reload(t *testing.T) {
	t.Helper()
	if out, err := reloads.join().wait(); err != nil {
		t.Fatalf("systemctl daemon-reload: %v\n%s", err, out)
	}
}

var reloads sharing

// sharing are runs of one command, one at a time. Who joins gets a run that begins
// after that.
type sharing struct {
	mu      sync.Mutex
	next    *sharedRun // it has not begun
	owed    bool       // nobody waits for the one that is due
	running sync.Mutex
}

type sharedRun struct {
	done chan struct{}
	out  []byte
	err  error
}

func (r *sharedRun) wait() ([]byte, error) { <-r.done; return r.out, r.err }

func (s *sharing) join() *sharedRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		r := &sharedRun{done: make(chan struct{})}
		s.next = r
		go func() {
			s.running.Lock()
			defer s.running.Unlock()
			s.mu.Lock()
			s.next, s.owed = nil, false
			s.mu.Unlock()
			r.out, r.err = exec.Command("systemctl", "daemon-reload").CombinedOutput()
			close(r.done)
		}()
	}
	return s.next
}

// owe leaves a run to who needs one next.
func (s *sharing) owe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed = true
}

// pay makes up for what is owed.
func (s *sharing) pay() {
	s.mu.Lock()
	owed := s.owed
	s.mu.Unlock()
	if owed {
		_, _ = s.join().wait() // a snapshot tells if it fails
	}
}

// cleanReload is registered before definitions are placed, so that it runs
// after they are gone. A reload is among the dearest things here: the one that the
// next test's definitions need will do, or a snapshot's.
func cleanReload(t *testing.T) {
	t.Helper()
	t.Cleanup(reloads.owe)
}
