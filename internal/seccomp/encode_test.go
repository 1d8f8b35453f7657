// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"
	"testing"
	"unsafe"
)

// TestEncode: what comes back is what was there, and the instructions are laid
// out as the kernel reads them.
func TestEncode(t *testing.T) {
	program, err := Compile(Default(Options{Arch: Native}), Native)
	if err != nil {
		t.Fatal(err)
	}
	data, err := program.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var back Program
	if err := back.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	if back.Flags != program.Flags || !slices.Equal(back.Filter, program.Filter) {
		t.Error("the program changed on the way")
	}
	fprog := program.Fprog()
	inMemory := unsafe.Slice((*byte)(unsafe.Pointer(fprog.Filter)), 8*int(fprog.Len))
	if !slices.Equal(inMemory, data[encodedHeader:]) {
		t.Error("the encoded instructions differ from those in memory")
	}
	for n := range data {
		if err := back.UnmarshalBinary(data[:n]); err == nil {
			t.Errorf("%d of %d bytes were taken", n, len(data))
		}
	}
	damaged := slices.Clone(data)
	damaged[len(encodingMagic)-1]++
	if err := back.UnmarshalBinary(damaged); err == nil {
		t.Error("another version was taken")
	}
	if err := back.UnmarshalBinary(append(data, 0)); err == nil {
		t.Error("a longer text was taken")
	}
}
