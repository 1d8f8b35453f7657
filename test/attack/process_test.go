// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
)

// leakedFD is the number at which a careless caller has left a descriptor open.
const leakedFD = 7

// asUser is process.user, which a definition's `user:` becomes by the image's files.
func asUser(uid uint32) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Process.User.UID, s.Process.User.GID = uid, uid
		c := s.Process.Capabilities
		c.Effective, c.Permitted, c.Inheritable, c.Ambient = nil, nil, nil, nil
	}
}

// processAttacks are about what a process has from its caller, or finds in those
// that come to it.
var processAttacks = []attack{
	{"leaked-descriptor", "2024-21626, SCM_RIGHTS", "a directory of the host is open in the caller", "close-descriptors,verify-descriptors", nil, "",
		func(t *testing.T, c *target) bool {
			c.hostIDs().caller = leak(t, decoy(t), leakedFD)
			probe := fmt.Sprintf("read=/proc/self/fd/%d/secret", leakedFD)
			return c.one(probe) == "of the host"
		}},
	{"directory-of-a-descriptor", "2024-21626, 2019-5736", "the working directory is /proc/self/fd/N of a leaked descriptor", "directory-inside", nil, "",
		func(t *testing.T, c *target) bool {
			c.hostIDs().caller = leak(t, decoy(t), leakedFD)
			c.service.WorkingDir = fmt.Sprintf("/proc/self/fd/%d", leakedFD)
			seen, err := c.start("read=secret")
			return err == nil && seen["read=secret"] == "of the host"
		}},
	{"directory-of-a-descriptor-of-exec", "2024-21626", "the same, of a process that joins", "close-descriptors,verify-descriptors,directory-inside", nil, "",
		func(t *testing.T, c *target) bool {
			h := c.hostIDs().hold()
			c.caller = leak(t, decoy(t), leakedFD)
			seen, err := h.exec([]string{"--cwd", fmt.Sprintf("/proc/self/fd/%d", leakedFD)}, "read=secret")
			return err == nil && seen["read=secret"] == "of the host"
		}},
	{"too-many-sockets", "--preserve-fds", "more descriptors are open than LISTEN_FDS= says", "close-descriptors,verify-descriptors", nil, "",
		func(t *testing.T, c *target) bool {
			open := leak(t, decoy(t), 3)
			c.hostIDs().caller = func(cmd *exec.Cmd) {
				for range 4 {
					open(cmd)
				}
				cmd.Env = append(cmd.Env, "LISTEN_FDS=2")
			}
			got := c.one("fds")
			if !strings.HasPrefix(got, "0 1 2 3 4") {
				t.Errorf("the payload has the descriptors %s", got)
			}
			return got != "0 1 2 3 4"
		}},
	{"overwrite-the-runtime", "2019-5736, 2020-14298", "a payload with CAP_SYS_PTRACE takes hold of the program of processes that join, and writes to it", "seal", nil, "", overwriteRuntime},
	{"look-into-who-joins", "2016-9962", "a payload that may trace looks into processes while they join", "forbid-tracing", nil, "", lookIntoJoiner},
	{"look-into-who-waits", "2016-9962 of a first process", "a container looks into another one that waits for its start in the same PID namespace: its memory, on which no filter lies yet, and by its descriptors a procfs with the host's settings", "forbid-tracing", nil, "", lookIntoWaiting},
	{"groups-of-the-caller", "2022-36109, 2022-2989, 2022-2990, 2022-2995, 2023-25173, 2022-0532", "the caller has groups", "drop-groups,verify-privileges", nil, "",
		func(t *testing.T, c *target) bool {
			c.hostIDs().caller = credentials("!groups")
			c.spec = asUser(1000)
			return c.one("ids") != "1000 1000 []"
		}},
	{"capabilities-of-the-caller", "2016-8867, 2018-10856, 2022-24769, 2022-27649, 2022-27651, 2022-27652, 2022-29162", "the caller has inheritable and ambient capabilities",
		"clear-inherited,verify-privileges", nil, "",
		func(t *testing.T, c *target) bool {
			c.hostIDs().caller = credentials("!capabilities")
			c.spec = asUser(1000)
			return anyCapability(c.see("status=CapInh", "status=CapPrm", "status=CapEff", "status=CapAmb"))
		}},
	{"capabilities-of-who-joins", "2022-27650, 2025-27612", "the same, of a process that joins", "clear-inherited,verify-privileges", nil, "",
		func(t *testing.T, c *target) bool {
			c.spec = asUser(1000)
			h := c.hostIDs().hold()
			c.caller = credentials("!capabilities")
			seen, err := h.exec(nil, "status=CapInh", "status=CapPrm", "status=CapEff", "status=CapAmb")
			must(t, err)
			return anyCapability(seen)
		}},
	{"bounding-set-of-who-joins", "2025-27612", "a process that joins has capabilities that the container lacks", "drop-bounding-set,verify-privileges", nil, "",
		func(t *testing.T, c *target) bool {
			h := c.hold()
			seen, err := h.exec(nil, "status=CapBnd")
			must(t, err)
			return seen["status=CapBnd"] != "00000000000004fb"
		}},
	{"keyring-of-the-caller", "keyring", "a key in the caller's session keyring", "join-keyring", nil, "",
		func(t *testing.T, c *target) bool {
			c.hostIDs().caller = credentials("!keyring")
			c.service.SecurityOpt = []string{"seccomp=unconfined"}
			return c.one("key=attack-secret") == "ok"
		}},
	{"terminal-of-the-caller", "TIOCSTI", "the caller's terminal, whose input a payload would write", "new-session", nil, "",
		func(t *testing.T, c *target) bool {
			c.hostIDs().caller = onTerminal(t)
			return c.one("open=/dev/tty") == "ok"
		}},
	{"environment-of-the-caller", "2021-20188, 2020-14370, 2021-3602, 2026-57231", "a secret in the caller's environment", "",
		func(c *target) {
			value := "x"
			c.service.Environment = []definition.Env{{Name: "HOSTSECRET", Value: &value}}
		}, "`environment:` has it",
		func(t *testing.T, c *target) bool {
			c.caller = func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "HOSTSECRET=x") }
			return strings.Contains(c.one("env"), "HOSTSECRET")
		}},
	{"number-of-a-user", "2024-40635, 2026-46680, 2026-30892, 2016-3697", "`exec --user` with a number that does not fit, which would be 0", "numbers-are-ids", nil, "",
		func(t *testing.T, c *target) bool {
			h := c.hostIDs().hold()
			if seen, err := h.exec([]string{"--user", "1"}, "ids"); err != nil || seen["ids"] != "1 0 []" {
				t.Errorf("user 1 is %v (%v)", seen, err)
			}
			seen, err := h.exec([]string{"--user", "4294967296"}, "ids")
			return err == nil && strings.HasPrefix(seen["ids"], "0 ")
		}},
	{"set-id-program", "no_new_privs", "a set-user-id program of the image", "set-no-new-privs,verify-privileges,load-seccomp", nil, "",
		func(t *testing.T, c *target) bool {
			data, err := os.ReadFile(self)
			must(t, err)
			must(t, os.WriteFile(c.root+"/suid", data, 0o755))
			must(t, os.Chmod(c.root+"/suid", os.ModeSetuid|0o755))
			c.hostIDs().spec = asUser(1000)
			return strings.Contains(c.one("exec=/suid"), "1000\\t0\\t0\\t0")
		}},
	{"double-chroot", "chroot, --no-pivot", "a payload that may change its root climbs out of it", "leave-host-root", nil, "",
		func(t *testing.T, c *target) bool {
			c.hostIDs().service.CapAdd = []string{"CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE"}
			c.service.SecurityOpt = []string{"seccomp=unconfined"}
			d := decoy(t)
			return c.one("escape="+d+"/secret") == "ok"
		}},
	{"signals-to-the-host", "signals", "a signal to a process of the host", "",
		func(c *target) { c.service.PID = "host" }, "`pid: host` and `userns_mode: host`",
		func(t *testing.T, c *target) bool {
			return c.hostIDs().one(fmt.Sprintf("kill=%d", os.Getpid())) == "ok"
		}},
	{"abstract-sockets", "2020-15257", "a socket of the runtime's in the host's network namespace", "",
		func(c *target) {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			must(c.t, err)
			c.t.Cleanup(func() { unix.Close(fd) })
			must(c.t, unix.Bind(fd, &unix.SockaddrUnix{Name: "@unitc-attack"}))
		}, "the test has one",
		func(t *testing.T, c *target) bool {
			c.hostIDs().service.NetworkMode = "host"
			c.hold()
			return strings.Contains(c.one("read=/proc/net/unix"), "@unitc-attack")
		}},
}

func anyCapability(seen map[string]string) bool {
	for _, set := range seen {
		if set != "0000000000000000" {
			return true
		}
	}
	return false
}

// onTerminal gives the runtime a controlling terminal.
func onTerminal(t *testing.T) func(*exec.Cmd) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { master.Close() })
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { slave.Close() })
	return func(cmd *exec.Cmd) {
		cmd.Stdin = slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	}
}

// watch runs a probe in a container that another one joins again and again, until
// the race is over, and gives what the probe has seen.
func watch(t *testing.T, h *held, probe string) (tried, reached int) {
	t.Helper()
	var watchers sync.WaitGroup
	outcomes := make(chan string, 2)
	for range cap(outcomes) {
		cmd := h.command("exec", h.id, "/payload", "payload", probe)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		ready := make([]byte, len("ready\n"))
		_, err = io.ReadFull(out, ready)
		must(t, err)
		watchers.Go(func() {
			text, _ := io.ReadAll(out)
			_ = cmd.Wait()
			outcomes <- string(text)
		})
	}
	for end := time.Now().Add(raceTime); time.Now().Before(end); {
		_, err := h.exec(nil, "cwd")
		must(t, err)
	}
	must(t, os.WriteFile(h.root+"/tmp/stop", nil, 0o644))
	watchers.Wait()
	close(outcomes)
	for text := range outcomes {
		var a, b int
		if _, err := fmt.Sscanf(text, `{"`+probe+`":"%d %d"}`, &a, &b); err != nil {
			t.Fatalf("the watcher said %q: %v", text, err)
		}
		tried, reached = tried+a, reached+b
	}
	return tried, reached
}

func lookIntoJoiner(t *testing.T, c *target) bool {
	c.service.SecurityOpt, c.service.CapAdd = []string{"seccomp=unconfined"}, []string{"CAP_SYS_PTRACE"}
	h := c.hold()
	tried, reached := watch(t, h, "spy")
	if tried == 0 {
		t.Error("no process was seen")
	}
	return reached > 0
}

// lookIntoWaiting has two containers of one pod, as far as processes go.
func lookIntoWaiting(t *testing.T, c *target) bool {
	h := c.hostIDs().hold()
	out, err := h.command("state", h.id).Output()
	must(t, err)
	var state specs.State
	must(t, json.Unmarshal(out, &state))
	neighbour := newTarget(t, c.off).hostIDs()
	neighbour.spec = func(s *specs.Spec) {
		for i, n := range s.Linux.Namespaces {
			if n.Type == specs.PIDNamespace {
				s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/pid", state.Pid)
			}
		}
	}
	must(t, neighbour.configure("cwd"))
	id := fmt.Sprintf("waiting-%d", containers.Add(1))
	must(t, neighbour.command("create", "--bundle", neighbour.dir, id).Run())
	defer func() { _ = neighbour.command("delete", "--force", id).Run() }()
	seen, err := h.exec(nil, "neighbours")
	must(t, err)
	switch seen["neighbours"] {
	case "1 seen":
		return false
	case "1 seen, its memory, settings of the host":
		return true
	}
	t.Errorf("the attacker has reached %q", seen["neighbours"])
	return true
}

// overwriteRuntime starts everything detached: a program that runs is not written to.
func overwriteRuntime(t *testing.T, c *target) bool {
	source := shipped
	if c.loose {
		source = unsafeBuild
	}
	before := contents(t, source)
	c.program = c.dir + "/runtime"
	must(t, os.WriteFile(c.program, []byte(before), 0o755))
	c.service.CapAdd = []string{"CAP_SYS_PTRACE"} // or it would not get hold of it
	must(t, c.hostIDs().configure("overwrite"))
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	run := c.command("run", "--detach", "--bundle", c.dir, "overwritten")
	run.Stdout, run.Stderr = w, os.Stderr
	must(t, run.Run())
	w.Close()
	for end := c.until(); time.Now().Before(end) && (!c.loose || contents(t, c.program) == before); {
		_, _ = look(c.command("exec", "overwritten", "/payload", "payload", "cwd"))
	}
	must(t, os.WriteFile(c.root+"/tmp/stop", nil, 0o644))
	said, err := io.ReadAll(r)
	must(t, err)
	var tried, held int
	if _, err := fmt.Sscanf(string(said), "ready\n{\"overwrite\":\"%d %d\"}", &tried, &held); err != nil || held == 0 {
		t.Errorf("the attacker has got hold of nothing: %q (%v)", said, err)
	}
	return contents(t, c.program) != before
}
