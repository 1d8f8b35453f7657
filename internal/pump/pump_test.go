// SPDX-License-Identifier: Apache-2.0

package pump

import (
	"bytes"
	"crypto/rand"
	"debug/elf"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/seccomp/seccomptest"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[0] == "unitc-relay" && os.Args[1] == Verb {
		rest, err := io.ReadAll(io.NewSectionReader(os.NewFile(Rest, "rest"), 0, 1<<20))
		if err == nil {
			_, err = os.Stderr.Write(rest)
		}
		if err != nil {
			os.Exit(4)
		}
		os.Exit(5)
	}
	if len(os.Args) == 2 && os.Args[0] == watchName && os.Args[1] == LostVerb {
		os.Exit(6)
	}
	if path := os.Getenv("UNITC_WATCH"); path != "" {
		os.Stderr.WriteString(ExecWatch(path).Error())
		os.Exit(3)
	}
	if os.Getenv("UNITC_PUMP") != "" {
		signal.Ignore(unix.SIGPIPE)
		os.Stderr.WriteString(Exec([]string{"unitc-relay"}, os.Getenv("UNITC_PUMP")).Error())
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func command(t *testing.T) *exec.Cmd {
	t.Helper()
	if machine == 0 {
		t.Skip("there is no such program for this processor")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.Stderr = []string{"UNITC_PUMP=/nowhere"}, os.Stderr
	return cmd
}

// All that goes in comes out, whatever the sizes, and the end is the end.
func TestPump(t *testing.T) {
	sent := make([]byte, 3<<20+17)
	_, _ = rand.Read(sent)
	cmd := command(t)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer in.Close()
		for at, n := 0, 1; at < len(sent); at, n = at+n, n*3%70001+1 {
			_, _ = in.Write(sent[at:min(at+n, len(sent))])
		}
	}()
	got, err := cmd.Output()
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d came out (%v)", len(got), len(sent), err)
	}
}

// kernels that are not this one.
var kernels = map[string]seccomptest.Refusal{
	"before 6.3": {Calls: []string{"memfd_create"}, Errno: unix.EINVAL,
		Args: []specs.LinuxSeccompArg{{Index: 1, Value: unix.MFD_EXEC, ValueTwo: unix.MFD_EXEC, Op: specs.OpMaskedEqual}}},
	"since 6.3, strict": {Calls: []string{"memfd_create"}, Errno: unix.EINVAL,
		Args: []specs.LinuxSeccompArg{{Index: 1, Value: unix.MFD_EXEC, ValueTwo: 0, Op: specs.OpMaskedEqual}}},
	"no such files":  {Calls: []string{"memfd_create"}, Errno: unix.EACCES},
	"none may begin": {Calls: []string{"execveat"}, Errno: unix.EACCES},
}

// The program begins on kernels that want to be told that it will, and on those
// that do not know the word; where it cannot, the caller learns that and goes on.
func TestKernelsOfEachAge(t *testing.T) {
	for kernel, begins := range map[string]bool{"before 6.3": true, "since 6.3, strict": true, "no such files": false, "none may begin": false} {
		cmd := command(t)
		var fault strings.Builder
		cmd.Stderr, cmd.Stdin = &fault, strings.NewReader("line\n")
		var out []byte
		err := kernels[kernel].Thread(func() (err error) {
			out, err = cmd.Output()
			return err
		})
		if begins && (err != nil || string(out) != "line\n") {
			t.Errorf("%s: it gave %q: %v: %s", kernel, out, err, fault.String())
		}
		if !begins && (cmd.ProcessState.ExitCode() != 3 || len(out) > 0 || !strings.Contains(fault.String(), "permission denied")) {
			t.Errorf("%s: it gave %q and %q (%v)", kernel, out, fault.String(), err)
		}
	}
}

// Where nobody listens it ends with an error and does not spin.
func TestPumpWithoutAReader(t *testing.T) {
	cmd := command(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	cmd.Stdin, cmd.Stdout = strings.NewReader("x"), full
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("it ended with %v", err)
	}
}

// Where nobody takes what it writes, the helper gets all that was not taken.
func TestPumpGivesWayToTheHelper(t *testing.T) {
	cmd := command(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	var got bytes.Buffer
	sent := strings.Repeat("a line\n", 9000)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = []string{"UNITC_PUMP=" + self}, strings.NewReader(sent), w, &got
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Fatalf("it ended with %v", err)
	}
	if !strings.HasPrefix(sent, got.String()) || got.Len() == 0 {
		t.Errorf("%d bytes of %d: %.20q", got.Len(), len(sent), got.String())
	}
}

// It is called what the relay is called, and has no more than it needs.
func TestPumpFromOutside(t *testing.T) {
	cmd := command(t)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = in.Write([]byte("x"))
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	dir := "/proc/" + strconv.Itoa(cmd.Process.Pid)
	comm, _ := os.ReadFile(dir + "/comm")
	args, _ := os.ReadFile(dir + "/cmdline")
	maps, _ := os.ReadFile(dir + "/maps")
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if string(comm) != name+"\n" || string(args) != "unitc-relay\x00" {
		t.Errorf("its name is %q, its arguments %q", comm, args)
	}
	for line := range strings.Lines(string(maps)) {
		if f := strings.Fields(line); strings.Contains(f[1], "w") && strings.Contains(f[1], "x") {
			t.Errorf("it could change itself: %s", line)
		}
	}
}

// A byte ends the program that waits, and the end of the stream makes it the helper.
func TestWatch(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for sent, want := range map[string]int{"x": 0, "": 6} {
		cmd := command(t)
		cmd.Env = []string{"UNITC_WATCH=" + self}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		comm := ""
		for deadline := time.Now().Add(20 * time.Second); comm != watchName+"\n" && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			b, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/comm")
			comm = string(b)
		}
		_, _ = io.WriteString(in, sent)
		in.Close()
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != want || comm != watchName+"\n" {
			t.Errorf("with %q %q ended: %v", sent, comm, err)
		}
	}
}

// ends are exit_group and the trap behind it, as assemblers write them.
var ends = map[string][][]byte{
	"amd64": {{0xb8, 231, 0, 0, 0, 0x0f, 0x05, 0xcc}, {0xb8, 231, 0, 0, 0, 0x0f, 0x05, 0xcd, 0x03}},
	"arm64": {{0xc8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4, 0, 0, 0x20, 0xd4}},
}

func TestImage(t *testing.T) {
	if machine == 0 {
		t.Skip("there is no such program for this processor")
	}
	f, err := elf.NewFile(bytes.NewReader(image(text(), Verb, "/helper")))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != elf.Machine(machine) || len(f.Progs) != 3 || f.Entry != textAt+64+3*56 {
		t.Errorf("the file is %+v", f.FileHeader)
	}
	// All of the program is in what is copied.
	for _, text := range [][]byte{text(), watchText()} {
		if !slices.ContainsFunc(ends[runtime.GOARCH], func(end []byte) bool { return bytes.Contains(text, end) }) {
			t.Errorf("the end is missing: % x", text)
		}
	}
}
