// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// answerOnce reads one call and answers it; a signal comes first, as from PID 1.
func answerOnce(t *testing.T, conn net.Conn, order binary.ByteOrder, answer func(call *dbus.Message) *dbus.Message) {
	defer conn.Close()
	call, err := dbus.DecodeMessage(conn)
	if err != nil {
		t.Error(err)
		return
	}
	signal := &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/x")), dbus.FieldInterface: dbus.MakeVariant("a.b"), dbus.FieldMember: dbus.MakeVariant("C"),
	}}
	for _, m := range []*dbus.Message{signal, answer(call)} {
		if err := m.EncodeTo(conn, order); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	}
}

func ask(t *testing.T, order binary.ByteOrder, answer func(call *dbus.Message) *dbus.Message, args ...any) (Answer, error) {
	client, server := net.Pipe()
	defer client.Close()
	go answerOnce(t, server, order, answer)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := client.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	return question(&greeted{Conn: client, in: bufio.NewReader(client)}, "ListUnitsByPatterns", args...)
}

func TestQuestion(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		var got []any
		a, err := ask(t, order, func(call *dbus.Message) *dbus.Message {
			got = call.Body
			return &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf("", uint32(0), "")),
			}, Body: []any{"web.service", uint32(7), "é"}}
		}, []string{}, []string{"*.service"})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got[1].([]string)[0] != "*.service" {
			t.Errorf("asked with %v", got)
		}
		first, at := a.Text(0)
		n, at := a.Number(at)
		last, at := a.Text(at)
		if first != "web.service" || n != 7 || last != "é" || at != len(a.Body) {
			t.Errorf("%v: read %q %d %q to %d of %d", order, first, n, last, at, len(a.Body))
		}
		if _, next := a.Text(at); next != -1 {
			t.Errorf("behind the end there is %d", next)
		}
	}
}

func TestRefusedQuestion(t *testing.T) {
	_, err := ask(t, binary.LittleEndian, func(call *dbus.Message) *dbus.Message {
		return &dbus.Message{Type: dbus.TypeError, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()), dbus.FieldErrorName: dbus.MakeVariant("org.freedesktop.DBus.Error.AccessDenied"),
			dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf("")),
		}, Body: []any{"no"}}
	})
	var refused dbus.Error
	if !errors.As(err, &refused) || refused.Name != "org.freedesktop.DBus.Error.AccessDenied" {
		t.Errorf("got %v", err)
	}
}

// Whatever PID 1 sends, reading it ends.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 'a', 0, 0, 0, 9}, 0)
	f.Fuzz(func(t *testing.T, body []byte, at int) {
		a := Answer{body, binary.LittleEndian}
		for range 100 {
			if _, at = a.Text(at); at < 0 {
				return
			}
		}
	})
}
