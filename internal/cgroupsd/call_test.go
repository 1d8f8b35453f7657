// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
)

// What is written by hand godbus reads as what was meant.
func TestStartTransientUnitOnTheWire(t *testing.T) {
	scope := &plan.Scope{Name: "unitc-web.scope", Slice: "unitc.slice", Description: "wäb", BoundTo: "web.service"}
	for _, d := range [][2]string{
		{"MemoryMax", "64M"}, {"MemoryHigh", "50%"}, {"AllowedCPUs", "0-3,9"}, {"DeviceAllow", "/dev/fuse rw"},
		{"IOReadBandwidthMax", "/dev/sda 5M"}, {"IPAddressDeny", "any"}, {"SendSIGHUP", "no"}, {"IPIngressFilterPath", "/a /b"}, {"OOMPolicy", "kill"},
		{"RestrictNetworkInterfaces", "~lo wg0"}, {"SocketBindAllow", "tcp:80-90"}, {"SocketBindDeny", "any"}, {"NFTSet", "cgroup:inet:filter:web"}, {"BPFProgram", "egress:/sys/fs/bpf/x"},
	} {
		scope.Properties = append(scope.Properties, definition.Directive{Name: d[0], Value: d[1]})
	}
	props, err := scopeProperties(scope, 4711)
	if err != nil {
		t.Fatal(err)
	}
	message, err := startTransientUnit(scope.Name, props)
	if err != nil {
		t.Fatal(err)
	}
	m, err := dbus.DecodeMessage(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	var name, mode string
	var got []struct {
		Name  string
		Value dbus.Variant
	}
	var aux []auxUnit
	if err := dbus.Store(m.Body, &name, &mode, &got, &aux); err != nil {
		t.Fatal(err)
	}
	if m.Type != dbus.TypeMethodCall || m.Serial() != 2 || m.Flags != dbus.FlagNoAutoStart || name != scope.Name || mode != "fail" || len(aux) != 0 || len(got) != len(props) {
		t.Fatalf("read back %v", m)
	}
	for field, want := range map[dbus.HeaderField]any{
		dbus.FieldPath: dbus.ObjectPath(managerPath), dbus.FieldInterface: managerName + ".Manager", dbus.FieldMember: "StartTransientUnit", dbus.FieldDestination: managerName,
	} {
		if v := m.Headers[field].Value(); v != want {
			t.Errorf("header %d is %v, want %v", field, v, want)
		}
	}
	for i, p := range props {
		want := dbus.MakeVariant(p.Value)
		into := reflect.New(reflect.TypeOf(p.Value))
		if err := got[i].Value.Store(into.Interface()); err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if got[i].Name != p.Name || got[i].Value.Signature() != want.Signature() || !reflect.DeepEqual(into.Elem().Interface(), p.Value) {
			t.Errorf("%s=%v was read as %s=%v", p.Name, want, got[i].Name, got[i].Value)
		}
	}
	if _, err := startTransientUnit("x", []property{{"X", 1.5}}); err == nil {
		t.Error("a type without a form was written")
	}
}

// Answers come behind signals, in PID 1's byte order and in pieces.
func TestAnswerOfACall(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, kind := range []dbus.Type{dbus.TypeMethodReply, dbus.TypeError} {
			stream := bytes.NewBufferString("OK 0123\r\n")
			signal := &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/x")), dbus.FieldInterface: dbus.MakeVariant("a.b"), dbus.FieldMember: dbus.MakeVariant("UnitNew"),
				dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf("")),
			}, Body: []any{"some unit"}}
			answer := &dbus.Message{Type: kind, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldReplySerial: dbus.MakeVariant(uint32(1)), dbus.FieldErrorName: dbus.MakeVariant(errUnitExists),
			}}
			for _, m := range []*dbus.Message{signal, answer} {
				if err := m.EncodeTo(stream, order); err != nil {
					t.Fatal(err)
				}
			}
			c, theirs := pair(t)
			go func() {
				defer unix.Close(theirs)
				for _, b := range stream.Bytes() {
					_, _ = unix.Write(theirs, []byte{b})
				}
			}()
			if err := c.welcome(true); err != nil {
				t.Fatal(err)
			}
			if got, err := c.answer(true); err != nil || got.kind != byte(kind) {
				t.Errorf("%v: answer of kind %d (%v), want %d", order, got, err, kind)
			}
			if _, err := c.answer(true); !errors.Is(err, errHungUp) {
				t.Errorf("behind the end: %v", err)
			}
			c.Close()
		}
	}
}

// A bus daemon answers Hello, tells the name that it gives, and passes on what
// PID 1 answers.
func TestCallByWayOfABus(t *testing.T) {
	for _, test := range []struct {
		hello, call dbus.Message
		welcome     bool
		lost        bool
	}{
		{busAnswer(""), busAnswer(""), true, false},
		{busAnswer(""), busAnswer(errUnitExists), true, false},
		{busAnswer(""), busAnswer("org.freedesktop.DBus.Error.NoReply"), true, true},
		{busAnswer("org.freedesktop.DBus.Error.LimitsExceeded"), busAnswer(""), false, false},
	} {
		stream := bytes.NewBufferString("OK 0123\r\n")
		acquired := dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/DBus")), dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.DBus"),
			dbus.FieldMember: dbus.MakeVariant("NameAcquired"), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf("")),
		}, Body: []any{":1.7"}}
		for _, m := range []*dbus.Message{&test.hello, &acquired, &test.call} {
			if err := m.EncodeTo(stream, binary.LittleEndian); err != nil {
				t.Fatal(err)
			}
		}
		c, theirs := pair(t)
		c.bus = true
		// Without patience it goes on from where it was, however little has come.
		err := c.welcome(false)
		for ; errors.Is(err, errNotYet) && stream.Len() > 0; err = c.welcome(false) {
			if _, err := unix.Write(theirs, stream.Next(1)); err != nil {
				t.Fatal(err)
			}
		}
		if (err == nil) != test.welcome {
			t.Errorf("welcomed with %v, want it: %v", err, test.welcome)
		}
		if err == nil {
			if _, err := unix.Write(theirs, stream.Bytes()); err != nil {
				t.Fatal(err)
			}
			got, err := c.answer(true)
			if err != nil || got.kind != byte(test.call.Type) || got.lost() != test.lost {
				t.Errorf("answer of kind %d, lost: %v (%v), want %d, %v", got.kind, got.lost(), err, test.call.Type, test.lost)
			}
		}
		unix.Close(theirs)
		c.Close()
	}
}

// How often a service was restarted is asked in one call, and only an answer of the
// right form is believed.
func TestRestartsByWayOfABus(t *testing.T) {
	for _, test := range []struct {
		answer any
		want   uint32
		ok     bool
	}{
		{uint32(0), 0, true}, {uint32(70000), 70000, true}, {"none", 0, false}, {uint64(7), 0, false}, {nil, 0, false},
	} {
		var stream bytes.Buffer
		stream.WriteString("OK 0123\r\n")
		hello, reply := busAnswer(""), busAnswer("")
		if test.answer != nil {
			reply.Body = []any{dbus.MakeVariant(test.answer)}
			reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.ParseSignatureMust("v"))
		} else {
			reply = busAnswer("org.freedesktop.systemd1.NoSuchUnit")
		}
		for _, m := range []*dbus.Message{&hello, &reply} {
			if err := m.EncodeTo(&stream, binary.LittleEndian); err != nil {
				t.Fatal(err)
			}
		}
		c, theirs := pair(t)
		c.bus = true
		if err := c.wait(busPatience); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(theirs, stream.Bytes()); err != nil {
			t.Fatal(err)
		}
		if n, ok := c.restarts("9my-web@1.service"); n != test.want || ok != test.ok {
			t.Errorf("%v: %d, %v", test.answer, n, ok)
		}
		m, err := dbus.DecodeMessage(os.NewFile(uintptr(theirs), "bus"))
		if err != nil {
			t.Fatal(err)
		}
		if path := m.Headers[dbus.FieldPath].Value(); path != dbus.ObjectPath(managerPath+"/unit/_39my_2dweb_401_2eservice") || !reflect.DeepEqual(m.Body, []any{managerName + ".Service", "NRestarts"}) {
			t.Errorf("asked %v of %v", m.Body, path)
		}
	}
}

func busAnswer(refusal string) dbus.Message {
	m := dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(uint32(1))}}
	if refusal != "" {
		m.Type, m.Headers[dbus.FieldErrorName] = dbus.TypeError, dbus.MakeVariant(refusal)
	}
	return m
}

// A bus daemon that listens and does not answer is not waited for long, and the
// call has not been sent by then.
func TestSilentBus(t *testing.T) {
	c, theirs := pair(t)
	defer unix.Close(theirs)
	c.bus, c.scope, c.request = true, &plan.Scope{Name: "unitc-none.scope", Slice: "unitc.slice"}, []byte("a call")
	if err := c.wait(busPatience); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.await(t.Context()); ok || err != nil {
		t.Errorf("%v (%v), want another try", ok, err)
	}
	buf := make([]byte, 16)
	if n, _, err := unix.Recvfrom(theirs, buf, unix.MSG_DONTWAIT); n > 0 || err != nil {
		t.Errorf("it was sent: %q (%v)", buf[:max(n, 0)], err)
	}
}

func TestUnwelcome(t *testing.T) {
	c, theirs := pair(t)
	if err := c.welcome(false); !errors.Is(err, errNotYet) {
		t.Errorf("without an answer: %v", err)
	}
	_, _ = unix.Write(theirs, []byte("REJECTED\r\n"))
	if err := c.welcome(true); err == nil {
		t.Error("a rejected call went on")
	}
	c.Close()
	unix.Close(theirs)
}

// A PID 1 that is executed again closes the connection; one that has not read the
// call will not make the scope, and nothing is to be waited for.
func TestUnreadCall(t *testing.T) {
	c, theirs := pair(t)
	c.scope, c.pid = &plan.Scope{Name: "unitc-none.scope", Slice: "unitc.slice"}, os.Getpid()
	if err := c.send([]byte("a call")); err != nil {
		t.Fatal(err)
	}
	unix.Close(theirs)
	began := time.Now()
	if ok, err := c.await(t.Context()); ok || err != nil {
		t.Errorf("%v (%v), want another try", ok, err)
	}
	if time.Since(began) >= reexecPatience {
		t.Error("a scope was waited for that nobody makes")
	}
}

func pair(t *testing.T) (*Call, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &Call{fd: fds[0], done: func() {}}, fds[1]
}

// A scope of an earlier start may still be there when it is first looked for.
func TestArrivalInAScopeThatIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	gone, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) // as unreadable as events of what has gone
	if err != nil {
		t.Fatal(err)
	}
	w := arrival{path: dir + "/cgroup.events", fd: gone}
	if w.populated() || w.fd != -1 {
		t.Errorf("what has gone is still watched, by %d", w.fd)
	}
	if w.populated() {
		t.Error("what is not there has a process")
	}
	if err := os.WriteFile(w.path, []byte("populated 1\nfrozen 0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !w.populated() {
		t.Error("the process in the new one is not seen")
	}
	w.close()
}
