// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/postmortem"
	"github.com/unitc/unitc/internal/waiting"
)

// A start that takes long tells systemd each time and the journal once of each place,
// and neither of them anything once it is over.
func TestWhereabouts(t *testing.T) {
	path := t.TempDir() + "/notify"
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	n, err := openNotifier()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	stderr, tell := journal.Stderr, waiting.Tell
	journal.Stderr = &log
	t.Cleanup(func() { journal.Stderr, waiting.Tell = stderr, tell })
	heard := func() string {
		buffer := make([]byte, 4096)
		_ = socket.SetReadDeadline(time.Now().Add(time.Second))
		n, err := socket.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}

	var w whereabouts
	first, second, network := "first-step", "second-step", "join-network"
	w.step.Store(&first)
	w.begin(n)
	for range 2 {
		waiting.Tell()
		if got := heard(); strings.TrimSpace(got) != "STATUS=starting for 0s, at first-step" {
			t.Errorf("systemd is told %q", got)
		}
	}
	w.step.Store(&second)
	w.network.Store(&network)
	waiting.Tell()
	heard()
	w.end()
	waiting.Tell()
	if want := "<4>" + postmortem.SlowStart + "at first-step after 0s\n<4>" + postmortem.SlowStart + "at second-step, its network at join-network after 0s\n"; log.String() != want {
		t.Errorf("the journal has\n%s\nwant\n%s", log.String(), want)
	}
	_ = socket.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := socket.Read(make([]byte, 100)); err == nil {
		t.Error("it goes on telling")
	}
}
