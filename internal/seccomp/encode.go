// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// encodingMagic begins an encoded program; its last byte counts the versions
// of the form and is raised when the compiler's output changes in meaning.
const encodingMagic = "unitc-bpf\x01"

const encodedHeader = len(encodingMagic) + 4 + 2

// MarshalBinary encodes the program for a cache: the flags and the
// instructions, little-endian as the machines in the table are. Unknown is
// left out. Whoever can write the cache decides what a payload may do, so it
// belongs in a directory that only root writes.
func (p *Program) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, encodedHeader+8*len(p.Filter))
	b = append(b, encodingMagic...)
	b = binary.LittleEndian.AppendUint32(b, p.Flags)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(p.Filter)))
	for _, in := range p.Filter {
		b = binary.LittleEndian.AppendUint16(b, in.Code)
		b = append(b, in.Jt, in.Jf)
		b = binary.LittleEndian.AppendUint32(b, in.K)
	}
	return b, nil
}

// UnmarshalBinary takes back what MarshalBinary made. It checks the form;
// whether the program is well made is for the kernel to check.
func (p *Program) UnmarshalBinary(data []byte) error {
	if len(data) < encodedHeader || string(data[:len(encodingMagic)]) != encodingMagic {
		return fmt.Errorf("encoded filter of %d bytes: not of this version", len(data))
	}
	flags := binary.LittleEndian.Uint32(data[len(encodingMagic):])
	count := int(binary.LittleEndian.Uint16(data[encodedHeader-2:]))
	data = data[encodedHeader:]
	if count == 0 || count > maxInstructions || len(data) != 8*count {
		return fmt.Errorf("encoded filter: %d bytes for %d instructions", len(data), count)
	}
	filter := make([]unix.SockFilter, count)
	for i := range filter {
		in := data[8*i:]
		filter[i] = unix.SockFilter{
			Code: binary.LittleEndian.Uint16(in), Jt: in[2], Jf: in[3], K: binary.LittleEndian.Uint32(in[4:]),
		}
	}
	*p = Program{Filter: filter, Flags: flags}
	return nil
}
