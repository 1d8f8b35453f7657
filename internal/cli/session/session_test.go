// SPDX-License-Identifier: Apache-2.0

package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// child is a process of this machine in the place of one in a container.
type child struct{ *exec.Cmd }

func (c child) Signal(sig unix.Signal) error { return c.Process.Signal(sig) }

func (c child) Wait() (unix.WaitStatus, error) {
	state, err := c.Process.Wait()
	if err != nil {
		return 0, err
	}
	ws, _ := state.Sys().(syscall.WaitStatus)
	return unix.WaitStatus(ws), nil
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

func start(t *testing.T, script string) (c child, in, out, errs *os.File) {
	t.Helper()
	theirIn, in := pipe(t)
	out, theirOut := pipe(t)
	errs, theirErr := pipe(t)
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirIn, theirOut, theirErr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{theirIn, theirOut, theirErr} {
		f.Close()
	}
	return child{cmd}, in, out, errs
}

// The last words arrive, and who holds the pipes in the background is not
// waited for.
func TestPipes(t *testing.T) {
	c, in, out, errs := start(t, "read line; echo \"got $line\"; echo oops >&2; sleep 60 & echo $!; seq 20000; exit 7")
	input, write := pipe(t)
	write.WriteString("a line\n")
	var stdout, stderr bytes.Buffer
	began := time.Now()
	status, err := Pipes(c, caught(t), Streams{In: input, Out: &stdout, Err: &stderr}, in, out, errs)
	if err != nil || status.ExitStatus() != 7 {
		t.Errorf("%v %v", status, err)
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if len(lines) != 20002 || lines[0] != "got a line" || lines[20001] != "20000" || stderr.String() != "oops\n" {
		t.Errorf("%d lines, the first %q, the last %q, errors %q", len(lines), lines[0], lines[len(lines)-1], stderr.String())
	}
	if time.Since(began) > 50*time.Second {
		t.Error("it waited for what went on in the background")
	}
	pid, err := strconv.Atoi(lines[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

func caught(t *testing.T) *Signals {
	t.Helper()
	s := Catch()
	t.Cleanup(s.Release)
	return s
}

// What comes while a process is being started ends the start, or is the
// process's if it runs by then.
func TestSignalsOfAStart(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGUSR1, unix.SIGTERM, unix.SIGHUP} {
		signals := caught(t)
		ctx, done := signals.Starting()
		c, in, out, errs := start(t, "while :; do sleep 0.01; done")
		in.Close()
		if err := unix.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		if sig == unix.SIGUSR1 {
			for len(signals.queue) > 0 {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(10 * time.Millisecond) // so that it is seen now and then by Starting
			if ctx.Err() != nil {
				t.Error("SIGUSR1 has ended the start")
			}
		} else {
			<-ctx.Done()
		}
		done()
		if got := signals.Ended(); sig == unix.SIGUSR1 && got != 0 || sig != unix.SIGUSR1 && got != sig {
			t.Errorf("%v: the start was ended by %v", sig, got)
		}
		status, err := Pipes(c, signals, Streams{Out: io.Discard, Err: io.Discard}, nil, out, errs)
		if errors.Is(err, ErrHangup) != (sig == unix.SIGHUP) || err != nil && sig != unix.SIGHUP || status.Signal() != sig {
			t.Errorf("%v: %v, %v", sig, status, err)
		}
		signals.Release()
	}
}

// A writer to nobody is told so.
func TestReaderGone(t *testing.T) {
	c, in, out, errs := start(t, "trap '' PIPE; while echo x; do :; done 2>/dev/null; exit 3")
	in.Close()
	r, w := pipe(t)
	r.Close()
	status, err := Pipes(c, caught(t), Streams{Out: w, Err: os.Stderr}, nil, out, errs)
	if err != nil || status.ExitStatus() != 3 {
		t.Errorf("%v %v", status, err)
	}
}

func TestEnds(t *testing.T) {
	for text, want := range map[string]unix.WaitStatus{
		"exited 3": 3 << 8, "exited 0": 0, "killed KILL": unix.WaitStatus(unix.SIGKILL), "dumped SEGV": unix.WaitStatus(unix.SIGSEGV), "killed 15": unix.WaitStatus(unix.SIGTERM), "": unix.WaitStatus(unix.SIGKILL),
	} {
		if got := parseEnd(text); got != want {
			t.Errorf("%q: %#x, want %#x", text, uint32(got), uint32(want))
		}
	}
}

// dial is the helper's end of the socket.
func dial(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestContainer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	r, w := pipe(t)
	c, err := Listen(path, []*os.File{r, w, w}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	helper := dial(t, path)
	unix.Sendmsg(helper, []byte("start"), nil, nil, 0)
	buf, oob := make([]byte, 64), make([]byte, unix.CmsgSpace(12))
	_, n, _, _, err := unix.Recvmsg(helper, buf, oob, unix.MSG_CMSG_CLOEXEC)
	messages, _ := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%v, %d messages", err, len(messages))
	}
	if fds, err := unix.ParseUnixRights(&messages[0]); err != nil || len(fds) != 3 {
		t.Errorf("%v %v", fds, err)
	}
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	unix.Sendmsg(helper, []byte("started "+strconv.Itoa(sleeper.Process.Pid)), nil, nil, 0)
	if err := c.AwaitStart(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := sleeper.Wait(); err == nil {
		t.Error("the signal did not arrive")
	}
	unix.Sendmsg(dial(t, path), []byte("ended killed TERM"), nil, nil, 0)
	if status, err := c.Wait(); err != nil || status.Signal() != unix.SIGTERM {
		t.Errorf("%v %v", status, err)
	}
}

func TestContainerThatDoesNotStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	c, err := Listen(path, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	unix.Sendmsg(dial(t, path), []byte("failed no such image"), nil, nil, 0)
	job := make(chan error, 1)
	job <- errors.New("the job failed")
	var failed *ErrFailed
	if err := c.AwaitStart(context.Background(), job); !errors.As(err, &failed) || failed.Why != "no such image" {
		t.Errorf("%v", err)
	}
	// Nothing but systemd's word; the first may be unread still.
	job = make(chan error, 1)
	job <- errors.New("the job failed")
	if err := c.AwaitStart(context.Background(), job); err == nil || err.Error() != "the job failed" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.AwaitStart(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
