// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// greeted is a connection whose handshake with PID 1 is over. It plays the
// server of godbus's own handshake, which must not reach PID 1: godbus writes
// BEGIN last and its first call right behind, and where PID 1 reads both at
// once, because it was busy, it leaves the call in its buffer until more comes,
// which is never (bus_socket_auth_verify_server in systemd's
// src/libsystemd/sd-bus/bus-socket.c; seen on 252 and 257).
type greeted struct {
	net.Conn
	in     *bufio.Reader
	answer []byte // what godbus's handshake has yet to read
	begun  bool   // it is over as well
}

// greet authenticates as sd-bus does, in one write that ends in BEGIN: when the
// answer is here, BEGIN has been read, and what follows is a read of its own.
// ctx bounds everything that will be done on the connection.
func greet(ctx context.Context, conn net.Conn, uid int) (*greeted, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if _, err := conn.Write([]byte(hello(uid))); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("reading the answer to AUTH: %w", err)
	}
	if !strings.HasPrefix(line, "OK ") {
		return nil, fmt.Errorf("authenticating as user %d: %q", uid, strings.TrimSpace(line))
	}
	return &greeted{Conn: conn, in: in, answer: []byte("REJECTED EXTERNAL\r\n" + line)}, nil
}

// hello has the id in hexadecimal digits of its decimal ones (the D-Bus
// specification, "Authentication protocol").
func hello(uid int) string {
	return fmt.Sprintf("\x00AUTH EXTERNAL %x\r\nBEGIN\r\n", strconv.Itoa(uid))
}

func (g *greeted) Write(b []byte) (int, error) {
	if !g.begun {
		g.begun = bytes.Equal(b, []byte("BEGIN\r\n"))
		return len(b), nil
	}
	return g.Conn.Write(b)
}

func (g *greeted) Read(b []byte) (int, error) {
	if len(g.answer) > 0 {
		n := copy(b, g.answer)
		g.answer = g.answer[n:]
		return n, nil
	}
	return g.in.Read(b)
}
