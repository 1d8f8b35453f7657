// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Where PID 1 has no socket of its own the system bus is asked; where another has
// taken its place nobody is.
func TestPrivateSocketAndBus(t *testing.T) {
	defer func(was string) { privateSocket = was }(privateSocket)
	dir := t.TempDir()
	bus := listen(t, dir+"/bus")
	listen(t, dir+"/taken")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+dir+"/bus")
	for _, test := range []struct {
		socket, fault string
		asked         bool
	}{
		{dir + "/absent", "connecting to systemd: ", true},
		{dir + "/taken", "not by PID 1", false},
	} {
		privateSocket = test.socket
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_, err := Connect(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s: %v, want %q", test.socket, err, test.fault)
		}
		asked := false
		select {
		case <-bus:
			asked = true
		default:
		}
		if asked != test.asked {
			t.Errorf("%s: the bus was asked: %v, want %v (%v)", test.socket, asked, test.asked, err)
		}
	}
}

// listen takes each connection, tells so, reads a word and hangs up.
func listen(t *testing.T, path string) <-chan bool {
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	taken := make(chan bool, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			taken <- true
			_, _ = io.ReadFull(c, make([]byte, 1))
			c.Close()
		}
	}()
	return taken
}
