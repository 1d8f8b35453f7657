// SPDX-License-Identifier: Apache-2.0

package units

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/unitc/unitc/internal/cgroupsd"
)

// What godbus writes is read back, and a list that is cut anywhere is an error.
func TestReadUnits(t *testing.T) {
	want := []dbus.UnitStatus{
		{Name: "web.service", Description: "Container web", LoadState: "loaded", ActiveState: "active", SubState: "running", Path: "/u/web_2eservice", JobPath: "/"},
		{Name: "a.service", Description: "é\x01", LoadState: "loaded", ActiveState: "activating", SubState: "start", Path: "/u/a", JobId: 12, JobType: "start", JobPath: "/j/12"},
		{Name: "b.service", Path: "/", JobPath: "/"},
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		m := godbus.Message{Type: godbus.TypeMethodReply, Headers: map[godbus.HeaderField]godbus.Variant{
			godbus.FieldReplySerial: godbus.MakeVariant(uint32(1)), godbus.FieldSignature: godbus.MakeVariant(godbus.SignatureOf(want)),
		}, Body: []any{want}}
		var wire bytes.Buffer
		if err := m.EncodeTo(&wire, order); err != nil {
			t.Fatal(err)
		}
		length := int(order.Uint32(wire.Bytes()[4:]))
		body := wire.Bytes()[wire.Len()-length:]
		got, err := readUnits(cgroupsd.Answer{Body: body, Order: order})
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d units: %v", len(got), err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("read %+v, want %+v", got[i], want[i])
			}
		}
		for cut := range length {
			if list, err := readUnits(cgroupsd.Answer{Body: body[:cut], Order: order}); err == nil {
				t.Fatalf("%d of %d bytes are read as %v", cut, length, list)
			}
		}
	}
}
