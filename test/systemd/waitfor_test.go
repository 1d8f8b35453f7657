// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"net"
	"os"
	"strings"
	"testing"
)

// A start waits for what its definition says, each start anew; who stops the
// container ends the wait, and who stops the wait starts the container.
func TestWaitFor(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	const path = "/run/verb wait$%n"
	t.Cleanup(func() { os.Remove(path) })
	const name, waits = "verb-wait", "unitc-wait-verb-wait.service"
	defineFor(t, name, "rootfs: host\ninit: true\nnetwork_mode: none\ncommand: [sleep, infinity]\nx-wait-for: [dns:localhost, 'address:127.0.0.1', 'path:"+strings.ReplaceAll(path, "$", "$$")+"', 'tcp:"+address+"']\n")
	start := func(says string) {
		t.Helper()
		must(t, "systemctl", "start", "--no-block", name)
		await(t, "it is known what is waited for", func() bool { return strings.Contains(property(t, waits, "StatusText"), says) })
		if got := list(t, "unitc", "ps", "--json")[name].State; got != "waiting" {
			t.Errorf("the container is %s meanwhile", got)
		}
	}
	start("no such file or directory")
	place(t, path, "")
	await(t, "the port is waited for", func() bool { return strings.Contains(property(t, waits, "StatusText"), address) })
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the container runs", func() bool { return property(t, name, "ActiveState") == "active" })
	await(t, "the log tells how long it took", func() bool {
		return strings.Contains(must(t, "journalctl", "-q", "-o", "cat", "-u", waits), "tcp:"+address+" is there after ")
	})
	l.Close()

	must(t, "systemctl", "restart", "--no-block", name)
	await(t, "it waits again", func() bool { return strings.Contains(property(t, waits, "StatusText"), address) })
	must(t, "systemctl", "stop", name)
	if got := property(t, waits, "ActiveState"); got == "activating" {
		t.Error("the wait goes on when its container is stopped")
	}
	start(address)
	must(t, "systemctl", "stop", waits)
	await(t, "the container runs", func() bool { return property(t, name, "ActiveState") == "active" })

	// Of an instance it is the instance's own.
	place(t, definitions+"verb-waits@.yaml", "rootfs: host\ninit: true\ncommand: [sleep, infinity]\nx-wait-for: path:/run/verb-%i\n")
	t.Cleanup(func() { os.Remove(definitions + "verb-waits@.yaml"); must(t, "systemctl", "daemon-reload") })
	must(t, "systemctl", "daemon-reload")
	must(t, "systemctl", "start", "--no-block", "verb-waits@one", "verb-waits@two")
	place(t, "/run/verb-two", "")
	await(t, "the second runs", func() bool { return property(t, "verb-waits@two", "ActiveState") == "active" })
	if got := property(t, "unitc-wait-verb-waits@one.service", "StatusText"); !strings.Contains(got, "path:/run/verb-one") {
		t.Errorf("the first waits for %q", got)
	}
	must(t, "systemctl", "stop", "verb-waits@one", "verb-waits@two")
	if out, status := command(t, "unitc", "wait-for", "--timeout", "50ms", "path:/no/such"); status != 1 || !strings.Contains(out, "not there after 50ms") {
		t.Errorf("a time-out: %d\n%s", status, out)
	}
	if out, status := command(t, "unitc", "wait-for", "name"); status != 2 || !strings.Contains(out, "dns:NAME") {
		t.Errorf("what nothing can wait for: %d\n%s", status, out)
	}
	check := t.TempDir() + "/web.yaml"
	place(t, check, "rootfs: host\ncommand: x\nx-wait-for: [dms:name]\n")
	if out, status := command(t, "unitc", "check", check); status != 1 || !strings.Contains(out, "web.yaml:3:14: error: x-wait-for[0]: ") || !strings.Contains(out, "did you mean dns:") {
		t.Errorf("a fault: %d\n%s", status, out)
	}
}
