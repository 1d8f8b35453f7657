// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"encoding/binary"
	"fmt"

	"github.com/unitc/unitc/internal/busvalue"
)

// wire is a D-Bus message that grows (D-Bus specification, "Marshaling"). The
// one call of every start is written by this and not by godbus, which looks at
// types by reflection and reads answers in goroutines: 1 ms of a start.
type wire []byte

func (w *wire) pad(n int) {
	for len(*w)%n != 0 {
		*w = append(*w, 0)
	}
}

func (w *wire) u32(v uint32) {
	w.pad(4)
	*w = binary.LittleEndian.AppendUint32(*w, v)
}

func (w *wire) u64(v uint64) {
	w.pad(8)
	*w = binary.LittleEndian.AppendUint64(*w, v)
}

func (w *wire) boolean(v bool) {
	n := uint32(0)
	if v {
		n = 1
	}
	w.u32(n)
}

func (w *wire) str(s string) {
	w.u32(uint32(len(s)))
	*w = append(append(*w, s...), 0)
}

func (w *wire) signature(s string) {
	*w = append(append(append(*w, byte(len(s))), s...), 0)
}

// array writes the elements that do writes, each aligned to align.
func (w *wire) array(align int, do func()) {
	w.u32(0)
	at := len(*w) - 4
	w.pad(align)
	from := len(*w)
	do()
	binary.LittleEndian.PutUint32((*w)[at:], uint32(len(*w)-from))
}

// variant writes one of the types that variantOf and scopeProperties give.
func (w *wire) variant(value any) error {
	switch v := value.(type) {
	case bool:
		w.signature("b")
		w.boolean(v)
	case string:
		w.signature("s")
		w.str(v)
	case int32:
		w.signature("i")
		w.u32(uint32(v))
	case uint32:
		w.signature("u")
		w.u32(v)
	case uint64:
		w.signature("t")
		w.u64(v)
	case []string:
		w.signature("as")
		w.array(4, func() { each(v, w.str) })
	case []uint32:
		w.signature("au")
		w.array(4, func() { each(v, w.u32) })
	case []byte:
		w.signature("ay")
		w.array(1, func() { *w = append(*w, v...) })
	case []busvalue.DeviceRule:
		structs(w, "a(ss)", v, func(r busvalue.DeviceRule) { w.str(r.Path); w.str(r.Permissions) })
	case []busvalue.DeviceRate:
		structs(w, "a(st)", v, func(r busvalue.DeviceRate) { w.str(r.Path); w.u64(r.Rate) })
	case []busvalue.Address:
		structs(w, "a(iayu)", v, func(a busvalue.Address) {
			w.u32(uint32(a.Family))
			w.array(1, func() { *w = append(*w, a.Address...) })
			w.u32(a.Prefix)
		})
	case []busvalue.Program:
		structs(w, "a(ss)", v, func(p busvalue.Program) { w.str(p.AttachType); w.str(p.Path) })
	case busvalue.Interfaces:
		w.signature("(bas)")
		w.pad(8)
		w.boolean(v.Allow)
		w.array(4, func() { each(v.Names, w.str) })
	case []busvalue.Bind:
		structs(w, "a(iiqq)", v, func(b busvalue.Bind) {
			w.u32(uint32(b.Family))
			w.u32(uint32(b.Protocol))
			*w = binary.LittleEndian.AppendUint16(*w, b.Ports)
			*w = binary.LittleEndian.AppendUint16(*w, b.First)
		})
	case []busvalue.Set:
		structs(w, "a(iiss)", v, func(s busvalue.Set) {
			w.u32(uint32(s.Source))
			w.u32(uint32(s.Family))
			w.str(s.Table)
			w.str(s.Name)
		})
	default:
		return fmt.Errorf("no D-Bus type for %T", value)
	}
	return nil
}

// structs writes an array of them, each aligned to 8.
func structs[T any](w *wire, signature string, list []T, fields func(T)) {
	w.signature(signature)
	w.array(8, func() {
		each(list, func(v T) {
			w.pad(8)
			fields(v)
		})
	})
}

func each[T any](list []T, do func(T)) {
	for _, v := range list {
		do(v)
	}
}

// busHello is the first message to a bus daemon, with serial 1.
func busHello() []byte {
	const name = "org.freedesktop.DBus"
	return call(1, "/org/freedesktop/DBus", name, "Hello", name, "", nil)
}

// startTransientUnit is the call, with serial 2.
func startTransientUnit(name string, props []property) ([]byte, error) {
	body := make(wire, 0, 1024)
	body.str(name)
	body.str("fail")
	var err error
	body.array(8, func() {
		for _, p := range props {
			body.pad(8)
			body.str(p.Name)
			if e := body.variant(p.Value); e != nil {
				err = fmt.Errorf("%s: %w", p.Name, e)
			}
		}
	})
	body.array(8, func() {}) // no auxiliary units
	if err != nil {
		return nil, err
	}
	return call(2, managerPath, managerName+".Manager", "StartTransientUnit", managerName, "ssa(sv)a(sa(sv))", body), nil
}

// call is the message of a method call, which starts no service that is not there
// (NO_AUTO_START): a bus daemon would wait for PID 1 to come to the bus.
func call(serial uint32, path, iface, method, destination, signature string, body []byte) []byte {
	w := make(wire, 0, 256+len(body))
	w = append(w, 'l', 1, 2, 1) // little-endian, a call, the flag, version 1
	w.u32(uint32(len(body)))
	w.u32(serial)
	w.array(8, func() {
		w.field(1, "o", path)
		w.field(2, "s", iface)
		w.field(3, "s", method)
		w.field(6, "s", destination)
		if signature != "" {
			w.pad(8)
			w = append(w, 8)
			w.signature("g")
			w.signature(signature)
		}
	})
	w.pad(8)
	return append(w, body...)
}

// field is one of a message's header.
func (w *wire) field(code byte, kind, value string) {
	w.pad(8)
	*w = append(*w, code)
	w.signature(kind)
	w.str(value)
}
