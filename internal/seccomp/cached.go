// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// The default profile for the default capabilities is what nearly every start
// has, so its program is in the binary (cached_*.go): a cache that nobody can
// write to. What else is compiled. defaultProgram is the text of the profile, a
// NUL, and the program as MarshalBinary has it; "" for architectures without one.

// cached is the program of a profile, nil for one that is to be compiled.
func cached(spec *specs.LinuxSeccomp, native uint32) *Program {
	text, code, found := strings.Cut(defaultProgram, "\x00")
	if !found || native != Native || profileText(spec, len(text)) != text {
		return nil
	}
	p := &Program{}
	if p.UnmarshalBinary([]byte(code)) != nil {
		return nil
	}
	return p
}

// profileText is all that a program depends on: two profiles with the same text
// have the same. It is "" for one whose text would be another than size bytes.
func profileText(spec *specs.LinuxSeccomp, size int) string {
	if spec.ListenerPath != "" || spec.ListenerMetadata != "" {
		return ""
	}
	b := make([]byte, 0, size+64)
	word := func(s string) {
		b = append(b, s...)
		b = append(b, '\n')
	}
	errno := func(n *uint) {
		if n != nil {
			b = strconv.AppendUint(b, uint64(*n), 10)
		}
		word("")
	}
	word(string(spec.DefaultAction))
	errno(spec.DefaultErrnoRet)
	for _, a := range spec.Architectures {
		word(string(a))
	}
	word("")
	for _, f := range spec.Flags {
		word(string(f))
	}
	for _, s := range spec.Syscalls {
		word("")
		word(string(s.Action))
		errno(s.ErrnoRet)
		for _, n := range s.Names {
			word(n)
		}
		for _, a := range s.Args {
			b = append(b, ' ')
			b = strconv.AppendUint(b, uint64(a.Index), 10)
			b = append(b, ' ')
			b = strconv.AppendUint(b, a.Value, 10)
			b = append(b, ' ')
			b = strconv.AppendUint(b, a.ValueTwo, 10)
			b = append(b, ' ')
			word(string(a.Op))
		}
		if size > 0 && len(b) > size {
			return ""
		}
	}
	if size > 0 && len(b) != size {
		return ""
	}
	return string(b)
}
