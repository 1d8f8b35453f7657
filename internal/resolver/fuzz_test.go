// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"errors"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Whatever comes in: no panic, and what goes out is an answer to it.
func FuzzAnswer(f *testing.F) {
	root, locked := records(f)
	locked.Unlock()
	r := New(root, "")
	r.ask = func(string, []byte, bool) ([]byte, error) { return nil, errors.New("nobody") }
	for _, name := range []string{"db.", "3.0.0.10.in-addr.arpa.", "."} {
		f.Add(question(f, name, dnsmessage.TypeA))
	}
	f.Add([]byte{0, 7, 0x28, 0, 0, 2, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, message []byte) {
		answer := r.Answer(message, web, false)
		if answer == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(answer); err != nil {
			t.Fatalf("%x gives %x: %v", message, answer, err)
		}
		if q, _, _ := parse(message); q.question.Name.Length > 0 && (len(m.Questions) != 1 || m.Questions[0] != q.question) {
			t.Fatalf("%x gives %x, which is to another question", message, answer)
		}
		if !m.Response || answer[0] != message[0] || answer[1] != message[1] || len(answer) > smallest {
			t.Fatalf("%x gives %x", message, answer)
		}
	})
}

// A server's answer is accepted only if it repeats the question.
func FuzzAccept(f *testing.F) {
	asked := question(f, "example.org.", dnsmessage.TypeA)
	f.Add(asked)
	f.Fuzz(func(t *testing.T, answer []byte) {
		if got, err := accept(answer, asked, asked); err == nil && (len(got) < headerSize || got[2]&0x80 == 0) {
			t.Fatalf("%x was accepted", answer)
		}
	})
}
