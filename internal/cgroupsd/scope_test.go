// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"encoding/binary"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
)

// oldSystemd answers StartTransientUnit with an error as long as a property is
// asked for, and gives the properties of each call.
func oldSystemd(t *testing.T, lacks, fault string) (*Manager, func() [][]string) {
	client, server := net.Pipe()
	var calls [][]string
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		if _, err := server.Read(buf); err != nil {
			return
		}
		_, _ = server.Write([]byte("OK 0123456789abcdef0123456789abcdef\r\n"))
		for {
			call, err := dbus.DecodeMessage(server)
			if err != nil {
				return
			}
			var names []string
			for _, p := range call.Body[2].([][]any) {
				names = append(names, p[0].(string))
			}
			calls = append(calls, names)
			reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(dbus.ObjectPath("/"))),
			}, Body: []any{dbus.ObjectPath("/job")}}
			if slices.Contains(names, lacks) {
				reply.Type, reply.Headers[dbus.FieldErrorName] = dbus.TypeError, dbus.MakeVariant(fault)
				reply.Headers[dbus.FieldSignature], reply.Body = dbus.MakeVariant(dbus.SignatureOf("")), []any{"Cannot set property " + lacks}
			}
			if reply.EncodeTo(server, binary.LittleEndian) != nil {
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	g, err := greet(ctx, client, 0)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dbus.NewConn(g)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal("0")}); err != nil {
		t.Fatal(err)
	}
	end := func() [][]string {
		conn.Close()
		server.Close()
		cancel()
		<-done
		return calls
	}
	return &Manager{conn: conn}, end
}

// A systemd whose scopes have no OOMPolicy= is asked once more, without it and with
// all the rest; one that has it is asked once; what else it lacks is an error.
func TestScopeOfAnOlderSystemd(t *testing.T) {
	s := &plan.Scope{Name: "unitc-web.scope", Slice: "unitc.slice", BoundTo: "web.service",
		Properties: []definition.Directive{{Name: "OOMPolicy", Value: "kill"}, {Name: "TasksMax", Value: "50"}}}
	props, err := scopeProperties(s, 7)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range props {
		all = append(all, p.Name)
	}
	less := all[:len(all)-1]
	for _, test := range []struct {
		name, lacks, fault string
		want               [][]string
		starts             bool
	}{
		{"systemd 253 and later", "", "", [][]string{all}, true},
		{"systemd 252", "OOMPolicy", errReadOnly, [][]string{all, less}, true},
		{"systemd 250", "OOMPolicy", errUnknownProperty, [][]string{all, less}, true},
		{"no limit on tasks", "TasksMax", errUnknownProperty, [][]string{all, less}, false},
		{"another error", "OOMPolicy", "org.freedesktop.DBus.Error.AccessDenied", [][]string{all}, false},
	} {
		m, end := oldSystemd(t, test.lacks, test.fault)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err := m.startScope(ctx, s, props)
		cancel()
		calls := end()
		if (err == nil) != test.starts {
			t.Errorf("%s: %v", test.name, err)
		}
		if !slices.EqualFunc(calls, test.want, slices.Equal) {
			t.Errorf("%s: it was asked for %q, want %q", test.name, calls, test.want)
		}
	}
}
