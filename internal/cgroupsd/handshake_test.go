// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// A server that, like PID 1, forgets what it reads together with BEGIN must
// still see the first call.
func TestFirstCallIsNotReadWithBegin(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	served := make(chan string, 1)
	go func() { served <- servePID1(server) }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	g, err := greet(ctx, client, 1000)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dbus.NewConn(g)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal("1000")}); err != nil {
		t.Fatal(err)
	}
	m := &Manager{conn: conn}
	var answer string
	if err := m.call(ctx, "StopUnit", &answer, "web.service"); err != nil {
		t.Fatalf("%v; the server: %s", err, <-served)
	}
	if answer != "/job" {
		t.Errorf("the call was answered with %q", answer)
	}
	if what := <-served; what != "" {
		t.Error(what)
	}
}

// servePID1 answers one handshake and one call; it gives what was wrong.
func servePID1(conn net.Conn) string {
	defer conn.Close()
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		return err.Error()
	}
	// 31303030 is "1000" in hexadecimal digits.
	if got := string(buf[:n]); got != "\x00AUTH EXTERNAL 31303030\r\nBEGIN\r\n" {
		return "the first read gave " + strings.ToValidUTF8(got, "?")
	}
	if _, err := conn.Write([]byte("OK 0123456789abcdef0123456789abcdef\r\n")); err != nil {
		return err.Error()
	}
	call, err := dbus.DecodeMessage(conn)
	if err != nil {
		return err.Error()
	}
	reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()),
		dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf("")),
	}, Body: []any{"/job"}}
	if err := reply.EncodeTo(conn, binary.LittleEndian); err != nil {
		return err.Error()
	}
	return ""
}

func TestRefusedHandshake(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		buf := make([]byte, 4096)
		server.Read(buf)
		server.Write([]byte("REJECTED\r\n"))
		server.Close()
	}()
	_, err := greet(context.Background(), client, 0)
	if err == nil || !strings.Contains(err.Error(), `"REJECTED"`) {
		t.Errorf("got error %v", err)
	}
}
