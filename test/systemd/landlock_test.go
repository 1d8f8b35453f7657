// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"net"
	"strings"
	"testing"
)

// reachHost is a payload that tells whether it reaches an abstract socket of the host's.
const reachHost = `command: [perl, -e, 'use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); $$| = 1; print connect(S, pack_sockaddr_un("\0of-the-host")) ? "reached" : "kept out: $$!", "\n"; sleep']
rootfs: host
network_mode: host
stop_signal: SIGKILL
`

func abstractSocket(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", "@of-the-host")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

// In the host's network a payload reaches no abstract socket of the host's, and what joins
// it looks into it as ever. The same container that is let reaches it (CVE-2020-15257).
//
//lab:once
func TestAttackOnAbstractSockets(t *testing.T) {
	abstractSocket(t)
	const open = "security_opt: [landlock=unconfined]\n"
	for name, more := range map[string]string{
		"plain": "", "init": "init: true\n", "setuid": "security_opt: [no-new-privileges=false]\n", "ids": "userns_mode: host\n", "daemon": "user: daemon\n",
		"service": "systemd: {cgroup: service}\n", "open": open,
	} {
		name = "sockets-" + name
		defineFor(t, name, reachHost+more)
		must(t, "systemctl", "start", name)
		if more == open {
			awaitLine(t, name, "reached")
		} else {
			awaitLine(t, name, "kept out: Operation not permitted")
		}
	}
	// Who joins another one's network there is no better off.
	for name, more := range map[string]string{"beside": "", "beside-open": open} {
		name = "sockets-" + name
		defineFor(t, name, strings.Replace(reachHost, "network_mode: host", "network_mode: container:sockets-plain", 1)+more)
		must(t, "systemctl", "start", name)
		awaitLine(t, name, map[string]string{"": "kept out: Operation not permitted", open: "reached"}[more])
	}
	const beside = "tr '\\0' '\\n' </proc/1/environ; echo from beside >/proc/1/fd/2"
	if out := must(t, "unitc", "exec", "sockets-plain", "sh", "-c", beside); !strings.Contains(out, "container=unitc") {
		t.Errorf("what joins reads of the payload's environment:\n%s", out)
	}
	awaitLine(t, "sockets-plain", "from beside")
}

// A user's payload reaches none either.
//
//lab:once
func TestUserAttackOnAbstractSockets(t *testing.T) {
	abstractSocket(t)
	s := newSession(t)
	for name, c := range map[string]struct{ more, says string }{
		"scoped": {"", "kept out: Operation not permitted"}, "open": {"security_opt: [landlock=unconfined]\n", "reached"},
	} {
		s.define(name+".yaml", reachHost+c.more)
		s.must("systemctl", "--user", "start", name)
		s.says(name, c.says)
		s.must("systemctl", "--user", "stop", name)
	}
}
