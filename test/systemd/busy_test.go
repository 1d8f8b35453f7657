// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// PID 1 stands still while a container comes up and ends: from before it has read
// who the main process is, and from when the payload runs. It knows all the same
// that the start has succeeded, and the payload's exit status.
func TestEndsWhileSystemdIsBusy(t *testing.T) { // alone: one at a time traces PID 1
	for _, p := range placements {
		c := p.define(t, "busy", "rootfs: host\ncommand: [sh, -c, 'exit 3']", "[Unit]", "StartLimitIntervalSec=0")
		for _, program := range []string{"unitc-exec", "unitc-exec", "sh", "sh", "sh"} {
			must(t, "systemctl", "start", "--no-block", "--", c.unit())
			holdManager(t, func() bool { return c.runs(program) }, c.quiet)
			c.await("ActiveState", "failed")
			c.expect(c.unit(), "ExecMainCode=1", "ExecMainStatus=3", "Result=exit-code")
			must(t, "systemctl", "reset-failed", "--", c.unit())
		}
	}
}

// PID 1 may pass over what was said by a process that it has seen end (S-9): 262
// lost one READY=1 in a few hundred. So the helper stays until its words are read.
func TestHelperEndsWhenItsWordsAreRead(t *testing.T) {
	leavesNothing(t, func() {
		for _, p := range placements {
			if p.driver != "direct" {
				continue // it becomes the relay
			}
			c := p.defineTemplate(t, "words@", endless).instance(t, "x")
			c.arm("UNITC_PAUSE_AT", "send-ready")
			must(t, "systemctl", "start", "--no-block", c.unit())
			pid := c.awaitPausedHelper()
			c.disarm()
			var resumed time.Time
			holdManager(t, func() bool { return true }, func() bool {
				if resumed.IsZero() {
					resumed = time.Now()
					if err := unix.Kill(pid, unix.SIGCONT); err != nil {
						t.Error(err)
					}
				}
				return !c.runs("unitc-exec") || time.Since(resumed) > 300*time.Millisecond
			})
			if time.Since(resumed) < 300*time.Millisecond {
				t.Errorf("%s: the helper has ended before systemd could read that the container is up", c.name)
			}
			c.await("ActiveState", "active")
			c.end()
		}
	})
}

// The helper becomes the relay on its first thread. An exec on another one moves the
// process id, and 262 finds no unit for a READY=1 that it reads just then: one start
// in many thousands hung until its time-out.
func TestRelayBeginsOnTheFirstThread(t *testing.T) {
	leavesNothing(t, func() {
		c := scoped.defineTemplate(t, "first-thread@", endless).instance(t, "x")
		for range 10 {
			c.arm("UNITC_PAUSE_AT", "become-relay")
			must(t, "systemctl", "start", "--no-block", c.unit())
			pid := c.awaitPausedHelper()
			c.disarm()
			if thread := execThread(t, pid); thread != pid {
				t.Errorf("thread %d of process %d became the relay", thread, pid)
			}
			c.await("ActiveState", "active")
			c.end()
		}
	})
}

// execThread lets a stopped process go on and gives the thread that becomes another
// program (ptrace(2), PTRACE_EVENT_EXEC).
func execThread(t *testing.T, pid int) (thread int) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		t.Fatal(err)
	}
	var threads []int
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		if _, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(tid), 0, unix.PTRACE_O_TRACEEXEC, 0, 0); e != 0 {
			t.Fatalf("ptrace PTRACE_SEIZE %d: %v", tid, e)
		}
		threads = append(threads, tid)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, tid := range threads {
			var ws unix.WaitStatus
			if got, err := unix.Wait4(tid, &ws, unix.WALL|unix.WNOHANG, nil); err != nil || got != tid || !ws.Stopped() {
				continue
			}
			if ws.TrapCause() == unix.PTRACE_EVENT_EXEC {
				former, err := unix.PtraceGetEventMsg(tid)
				if err != nil {
					t.Error(err)
				}
				if err := unix.PtraceDetach(tid); err != nil {
					t.Error(err)
				}
				return int(former)
			}
			_ = unix.PtraceCont(tid, 0)
		}
	}
	t.Fatalf("process %d became no other program", pid)
	return 0
}

// holdManager stops PID 1 when something is so, and lets it go when something
// else is: ptrace(2) can, where no signal from within a PID namespace does.
func holdManager(t *testing.T, from, to func() bool) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.PtraceSeize(1); err != nil {
		t.Fatalf("ptrace PTRACE_SEIZE 1: %v", err)
	}
	defer func() {
		if err := unix.PtraceDetach(1); err != nil {
			t.Errorf("ptrace PTRACE_DETACH 1: %v", err)
		}
	}()
	for deadline := time.Now().Add(time.Second); !from() && time.Now().Before(deadline); {
		runtime.Gosched() // it may be over already, and is as good a case
	}
	if err := unix.PtraceInterrupt(1); err != nil {
		t.Fatalf("ptrace PTRACE_INTERRUPT 1: %v", err)
	}
	for {
		if _, err := unix.Wait4(1, nil, unix.WALL, nil); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	for deadline := time.Now().Add(time.Second); !to() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// runs tells whether a process of the container's runs a program.
func (c *container) runs(program string) bool {
	for _, pid := range append(pids("/unitc.slice/"+c.unit()), pids("/unitc.slice/"+c.payloadUnit())...) {
		if comm, _ := os.ReadFile("/proc/" + pid + "/comm"); strings.TrimSpace(string(comm)) == program {
			return true
		}
	}
	return false
}

// quiet tells whether all processes of the service sleep or have ended.
func (c *container) quiet() bool {
	for _, pid := range pids("/unitc.slice/" + c.unit()) {
		stat, _ := os.ReadFile("/proc/" + pid + "/stat")
		if _, rest, ok := strings.Cut(string(stat), ") "); ok && !strings.ContainsAny(rest[:1], "SZ") {
			return false
		}
	}
	return true
}

// A start that waits for somebody else says for what, while it waits and when
// systemd has ended it.
//
//lab:once
func TestSlowStartTellsWhereItIs(t *testing.T) { // alone: nobody else may use networks meanwhile
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			scoped.define(t, "slow-keeps", endless).start()
			cleans := scoped.define(t, "slow-cleans", endless+"\npid: host", "TimeoutStartSec=8")
			swept := scoped.define(t, "slow-swept", endless, "TimeoutStartSec=8")
			dir, err := os.Open("/run/unitc/.networks")
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			for _, c := range []*container{cleans, swept} {
				must(t, "systemctl", "start", "--no-block", c.unit())
			}
			const where = "at claim-network ("
			for _, c := range []*container{cleans, swept} {
				await(t, "its status says where it is", func() bool { return strings.HasPrefix(c.show("StatusText"), "starting for 5s, "+where) })
				await(t, "systemd has ended it", func() bool { return c.show("Result") == "timeout" })
			}
			if err := unix.Flock(int(dir.Fd()), unix.LOCK_UN); err != nil {
				t.Fatal(err)
			}
			for _, c := range []*container{cleans, swept} {
				await(t, "there is an entry", func() bool { return len(c.entries()) > 0 })
				if cause := c.entries()[0]["UNITC_CAUSE"]; !strings.Contains(cause, "longer than systemd waits for a start or a stop; the start was "+where) {
					t.Errorf("the entry of %s says %q", c.name, cause)
				}
			}
		})
	})
}
