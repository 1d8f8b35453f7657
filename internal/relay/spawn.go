// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot"
	"github.com/unitc/unitc/internal/notification"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/relay/order"
)

// maxOutput is what is kept of a program's output, in bytes (Docker's figure).
const maxOutput = 4096

// maxTail is what is kept of its end: the helper's own words come last.
const maxTail = 512

// process is a program that the relay has started.
type process struct {
	pid, pidfd int
	out        int // read end of its output, non-blocking
	output     []byte
	tail       []byte // the end of what was written
}

// start runs a program of the host with extra as its descriptor 3.
func start(argv []string, extra []int, user *syscall.Credential) (*process, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	defer unix.Close(pipe[1])
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(pipe[0])
		return nil, err
	}
	defer unix.Close(null)
	p := &process{out: pipe[0]}
	if err := p.fork(argv, null, pipe[1], extra, user); err != nil {
		unix.Close(pipe[0])
		return nil, err
	}
	_ = unix.SetNonblock(p.out, true)
	return p, nil
}

// startQuiet is start for a program that writes to the journal itself.
func startQuiet(argv []string, extra []int) (*process, error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(null)
	p := &process{out: -1}
	return p, p.fork(argv, null, order.Journal, extra, nil)
}

func (p *process) fork(argv []string, in, out int, extra []int, user *syscall.Credential) (err error) {
	files := []uintptr{uintptr(in), uintptr(out), uintptr(out)}
	for _, fd := range extra {
		files = append(files, uintptr(fd))
	}
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "GOMAXPROCS=1"}
	if realm.Entered() && user == nil {
		env = append(os.Environ(), env...) // a user's helper was told where their things are
	}
	p.pid, err = syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env: env, Files: files,
		Sys: &syscall.SysProcAttr{PidFD: &p.pidfd, Credential: user},
	})
	return err
}

// drain reads what there is; output beyond maxOutput is read and dropped, so
// that the program does not wait. A program that writes without end does not
// keep the loop from all else.
func (p *process) drain() (open bool) {
	const most = 16
	var b [4096]byte
	for range most {
		n, err := unix.Read(p.out, b[:])
		if n > 0 {
			p.output = append(p.output, b[:min(n, maxOutput-len(p.output))]...)
			p.tail = append(p.tail[max(0, len(p.tail)-maxTail):], b[max(0, n-maxTail):n]...)
			continue
		}
		return err == unix.EAGAIN || err == unix.EINTR
	}
	return true
}

// wait gives the output and the end of a program that has ended or will at once.
func (p *process) wait() (string, syscall.WaitStatus) {
	if p.out >= 0 {
		p.drain()
		unix.Close(p.out)
	}
	var ws syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(p.pid, &ws, 0, nil); err != syscall.EINTR {
			break
		}
	}
	unix.Close(p.pidfd)
	return string(p.output), ws
}

// execSlack is what the helper has beyond the time-out of the program that it
// runs, to end it and to say so.
const execSlack = 5 * time.Second

// execProbe has the helper run the check inside, confined as the payload is.
func (r *relay) execProbe(deadline time.Time) (*attempt, string) {
	return r.programProbe(deadline, []string{r.o.Helper, "probe", r.o.Dir, r.timeoutArgument()}, order.Payload, nil)
}

func (r *relay) timeoutArgument() string { return strconv.FormatInt(int64(r.o.Timeout), 10) }

// nobody may do nothing but speak on the network that it is born in.
var nobody = syscall.Credential{Uid: 65534, Gid: 65534}

// tlsProbe has another program make the check: TLS would be resident here.
func (r *relay) tlsProbe(deadline time.Time) (*attempt, string) {
	ca, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if r.o.CA != "" && err == nil {
		unix.Close(ca)
		ca, err = readInRoot(r.o.CA)
	}
	if err != nil {
		return nil, "tls: ca " + r.o.CA + ": " + err.Error()
	}
	defer unix.Close(ca)
	return r.programProbe(deadline, []string{r.o.Prober, r.o.Target, r.timeoutArgument(), r.o.Name}, ca, &nobody)
}

// programProbe has a program make the check, with extra as its descriptor 3.
func (r *relay) programProbe(deadline time.Time, argv []string, extra int, user *syscall.Credential) (*attempt, string) {
	p, err := start(argv, []int{extra}, user)
	if err != nil {
		return nil, argv[0] + ": " + err.Error()
	}
	a := newAttempt(deadline.Add(execSlack))
	a.fds[0] = unix.PollFd{Fd: int32(p.pidfd), Events: unix.POLLIN}
	a.fds[1] = unix.PollFd{Fd: int32(p.out), Events: unix.POLLIN}
	ended := false
	a.stop = func() {
		if !ended {
			_ = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
			p.wait()
		}
	}
	a.step = func(fd int, _ int16) (bool, string) {
		if fd != p.pidfd {
			if !p.drain() {
				a.fds[1].Fd = -1
			}
			return false, ""
		}
		ended = true
		output, ws := p.wait()
		if ws.Exited() && ws.ExitStatus() == order.ProbeFailed {
			words := lastLine(string(p.tail)) // the helper's own
			if len(output) == maxOutput {
				output += "\n" + words
			}
			if user == nil {
				a.ending = &ending{exit: unfinished, output: output}
			}
			return true, words
		}
		if user == nil { // or it has only asked
			a.ending = &ending{program: true, exit: exitStatus(ws), output: output}
		}
		return true, execFailure(output, ws)
	}
	return a, ""
}

// execFailure says how a check has failed, "" = it has not.
func execFailure(output string, ws syscall.WaitStatus) string {
	text := ""
	switch {
	case ws.Exited() && ws.ExitStatus() == 0:
		return ""
	case ws.Exited():
		text = "exit status " + strconv.Itoa(ws.ExitStatus())
	default:
		text = "killed by " + unix.SignalName(unix.Signal(ws.Signal()))
	}
	if output = notification.OneLine(output); output != "" {
		text += ": " + output
	}
	return text
}

// exitStatus is as a shell has it.
func exitStatus(ws syscall.WaitStatus) int {
	if ws.Exited() {
		return ws.ExitStatus()
	}
	return 128 + int(ws.Signal())
}

func lastLine(text string) string {
	text = strings.TrimRight(text, "\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// fileProbe looks for a file in the payload's tree, and nowhere else.
func fileProbe(path string) string {
	fd, err := openInRoot(path)
	if err != nil {
		return "file " + path + ": " + err.Error()
	}
	unix.Close(fd)
	return ""
}

// openInRoot finds a path as the payload would, without leaving its root.
func openInRoot(path string) (int, error) {
	return inroot.Open(order.Root, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// readInRoot opens a file of the payload's, and nothing that only looks like one:
// opening a device does something already.
func readInRoot(path string) (int, error) {
	place, err := openInRoot(path)
	if err != nil {
		return -1, err
	}
	defer unix.Close(place)
	var st unix.Stat_t
	if err := unix.Fstat(place, &st); err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, unix.EINVAL
	}
	return unix.Open("/proc/self/fd/"+strconv.Itoa(place), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}
