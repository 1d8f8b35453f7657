// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package seccomptest

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// swapon is a call that no program makes by itself, and that fails with another
// errno: EFAULT, or EPERM for who is not root.
func swapon(flags uintptr) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_SWAPON, 0, flags, 0)
	return errno
}

const (
	processVariable = "UNITC_SECCOMPTEST_PROCESS"
	askVariable     = "UNITC_SECCOMPTEST_ASK"
)

// One process refuses it to itself, one only asks whether it is refused.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(processVariable) != "":
		runtime.LockOSThread() // so that the other call is another thread's
		if (Refusal{Calls: []string{"swapon"}, Errno: unix.EXDEV}).Process() != nil {
			os.Exit(100)
		}
		other := make(chan unix.Errno)
		go func() { other <- swapon(0) }()
		if got := <-other; got != unix.EXDEV {
			os.Exit(int(got))
		}
		os.Exit(int(swapon(0)))
	case os.Getenv(askVariable) != "":
		os.Exit(int(swapon(0)))
	}
	os.Exit(m.Run())
}

// status is what a program of this test's ends with.
func status(variable string) int {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{variable + "=1"}
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode()
}

func TestThread(t *testing.T) {
	before := swapon(0)
	ended := errors.New("ended")
	err := Refusal{Calls: []string{"swapoff", "swapon"}, Errno: unix.EXDEV}.Thread(func() error {
		if got := swapon(0); got != unix.EXDEV {
			t.Errorf("the thread gets %v", got)
		}
		if got := status(askVariable); got != int(unix.EXDEV) {
			t.Errorf("a program that it starts gets %v", unix.Errno(got))
		}
		return ended
	})
	if err != ended {
		t.Error(err)
	}
	if got := swapon(0); got != before || before == unix.EXDEV {
		t.Errorf("another thread gets %v, before %v", got, before)
	}
}

func TestProcess(t *testing.T) {
	if got := status(processVariable); got != int(unix.EXDEV) {
		t.Errorf("it gets %v", unix.Errno(got))
	}
}

func TestArguments(t *testing.T) {
	r := Refusal{Calls: []string{"swapon"}, Errno: unix.EXDEV, Args: []specs.LinuxSeccompArg{{Index: 1, Value: 7, Op: specs.OpEqualTo}}}
	err := r.Thread(func() error {
		if with, without := swapon(7), swapon(6); with != unix.EXDEV || without == unix.EXDEV {
			t.Errorf("it gets %v with the argument and %v with another", with, without)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAsk(t *testing.T) {
	let := swapon(6)
	answer := func(args [6]uint64) unix.Errno {
		if args[1] == 7 {
			return unix.EXDEV
		}
		return 0
	}
	err := Ask([]string{"swapon"}, answer, func() error {
		if with, without := swapon(7), swapon(6); with != unix.EXDEV || without != let {
			t.Errorf("it gets %v with the argument and %v with another", with, without)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// What ends its goroutine, as t.Fatal does, lets the test end.
func TestFatalInside(t *testing.T) {
	do := func() error { runtime.Goexit(); return nil }
	if err := (Refusal{Calls: []string{"swapon"}, Errno: unix.EXDEV}).Thread(do); err != nil {
		t.Error(err)
	}
	if err := Ask([]string{"swapon"}, func([6]uint64) unix.Errno { return 0 }, do); err != nil {
		t.Error(err)
	}
}

// A name that is no call's would refuse nothing, and the test would pass.
func TestUnknownCall(t *testing.T) {
	do := func() error { t.Error("it is done all the same"); return nil }
	none := []string{"swopon"}
	if err := (Refusal{Calls: none, Errno: unix.EXDEV}).Thread(do); err == nil {
		t.Error("a misspelt call is refused")
	}
	if err := Ask(none, func([6]uint64) unix.Errno { return 0 }, do); err == nil {
		t.Error("a misspelt call is asked about")
	}
}
