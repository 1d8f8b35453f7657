// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/godbus/dbus/v5"

	"github.com/unitc/unitc/internal/realm"
)

// Answer is the body of a method's reply, and how its numbers are written.
type Answer struct {
	Body  []byte
	Order binary.ByteOrder
}

// maxMessage is the specification's, in bytes ("Message Protocol").
const maxMessage = 128 << 20

// AskPrivate asks PID 1 one question on a connection of its own, and gives the
// answer as it came: godbus takes four times as long for the list of a thousand
// units as PID 1 does, most of it reflection.
func AskPrivate(ctx context.Context, method string, args ...any) (Answer, error) {
	if realm.Own() != nil {
		return Answer{}, errors.New("a user's systemd is asked by its own socket") // the caller asks otherwise
	}
	sock, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: privateSocket, Net: "unix"})
	if err != nil {
		return Answer{}, err
	}
	defer sock.Close()
	if err := fromPID1(sock); err != nil {
		return Answer{}, err
	}
	g, err := greet(ctx, sock, os.Getuid())
	if err != nil {
		return Answer{}, err
	}
	return question(g, method, args...)
}

// question sends one call behind a handshake that is over, and awaits the reply.
func question(g *greeted, method string, args ...any) (Answer, error) {
	call := dbus.Message{Type: dbus.TypeMethodCall, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath:        dbus.MakeVariant(dbus.ObjectPath(managerPath)),
		dbus.FieldDestination: dbus.MakeVariant(managerName),
		dbus.FieldInterface:   dbus.MakeVariant(managerName + ".Manager"),
		dbus.FieldMember:      dbus.MakeVariant(method),
	}, Body: args}
	if len(args) > 0 {
		call.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(args...))
	}
	var b bytes.Buffer
	// The serial is godbus's to give; a message that was never sent by a
	// connection has none, which is not allowed on the wire.
	if err := call.EncodeTo(&b, binary.LittleEndian); err != nil {
		return Answer{}, fmt.Errorf("writing the call %s: %w", method, err)
	}
	binary.LittleEndian.PutUint32(b.Bytes()[8:], 1)
	if _, err := g.Conn.Write(b.Bytes()); err != nil {
		return Answer{}, err
	}
	for {
		message, err := readMessage(g.in)
		if err != nil {
			return Answer{}, fmt.Errorf("reading the answer to %s: %w", method, err)
		}
		switch dbus.Type(message.data[1]) {
		case dbus.TypeMethodReply:
			return Answer{message.data[message.body:], message.order}, nil
		case dbus.TypeError:
			return Answer{}, message.refusal()
		}
		// PID 1 tells everybody of every unit.
	}
}

type message struct {
	data  []byte
	body  int // where it begins
	order binary.ByteOrder
}

// readMessage reads one whole message. Its first 16 bytes are the order of
// bytes, type, flags and version (one each), and the lengths of the body, the
// serial and the length of the header's fields (4 each); the header is padded to
// 8 bytes.
func readMessage(r io.Reader) (message, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return message{}, err
	}
	m := message{order: binary.LittleEndian}
	switch head[0] {
	case 'l':
	case 'B':
		m.order = binary.BigEndian
	default:
		return message{}, fmt.Errorf("byte order %q", head[0])
	}
	bodyLength, fields := int(m.order.Uint32(head[4:])), int(m.order.Uint32(head[12:]))
	if bodyLength > maxMessage || fields > maxMessage {
		return message{}, errors.New("a message longer than 128 MiB")
	}
	m.body = 16 + (fields+7)&^7
	m.data = make([]byte, m.body+bodyLength)
	copy(m.data, head[:])
	_, err := io.ReadFull(r, m.data[len(head):])
	return m, err
}

// refusal is the error that the message is.
func (m *message) refusal() error {
	decoded, err := dbus.DecodeMessage(bytes.NewReader(m.data))
	if err != nil {
		return err
	}
	name, _ := decoded.Headers[dbus.FieldErrorName].Value().(string)
	return dbus.Error{Name: name, Body: decoded.Body}
}

// Text reads a string or an object's path at an offset; next < 0: it ends too
// soon.
func (a *Answer) Text(at int) (text string, next int) {
	b, next := a.Bytes(at)
	return string(b), next
}

// Bytes is Text without a copy.
func (a *Answer) Bytes(at int) (text []byte, next int) {
	length, at := a.Number(at)
	if at < 0 || length > uint32(len(a.Body)) || at+int(length)+1 > len(a.Body) {
		return nil, -1
	}
	return a.Body[at : at+int(length)], at + int(length) + 1
}

// Number reads 4 bytes, which are aligned to 4.
func (a *Answer) Number(at int) (n uint32, next int) {
	if at < 0 {
		return 0, -1
	}
	if at = (at + 3) &^ 3; at+4 > len(a.Body) {
		return 0, -1
	}
	return a.Order.Uint32(a.Body[at:]), at + 4
}
