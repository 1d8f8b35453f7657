// SPDX-License-Identifier: Apache-2.0

// Package pump is the smallest program that copies its standard input to its
// standard output: what stays beside a container for its log lines. cat(1) does
// the same, for 0.4 ms of processor time at each start (it is linked to a C
// library, and looks for its locale) and 90 KiB for as long as the container
// runs; this takes 0.02 ms and two pages. It is no file of its own that could be
// missing or replaced: its few instructions are in this program (pump_amd64.s, pump_arm64.s) and
// become one in memory.
package pump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the assembly has as numbers.
const (
	textAt     = 0x8000000
	bufferAt   = 0x10000000
	bufferSize = 0x20000 // as cat's
	textSize   = 256     // bytes copied; the program is shorter
)

// Rest is the descriptor of a file with what could not be written, for the helper
// that takes the program's place then; Verb is that one's argument.
const (
	Rest = 3
	Verb = "log"
)

// LostVerb is the helper's argument when it takes the place of ExecWatch's program.
const LostVerb = "relay-lost"

// names are what the kernel knows the programs by; of a file without one it would be a
// number.
const (
	name      = "unitc-relay"
	watchName = "unitc-watch"
)

// Exec replaces this process by the program. Where that cannot write, as when journald
// was stopped, it becomes the helper again, whose path is given. Exec returns only with
// an error: a host may forbid programs that are in no file (vm.memfd_noexec, SELinux).
func Exec(argv []string, helper string) error {
	return become(name, argv, text, Verb, helper)
}

// ExecWatch replaces this process by a program that waits at descriptor 0: a byte
// ends it, the end of the stream makes it the helper again. It returns as Exec does.
func ExecWatch(helper string) error {
	return become(watchName, []string{watchName}, watchText, LostVerb, helper)
}

func become(name string, argv []string, text func() []byte, verb, helper string) error {
	if machine == 0 {
		return errors.ErrUnsupported
	}
	fd, err := create(name)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	defer unix.Close(fd)
	program := image(text(), verb, helper)
	if n, err := unix.Write(fd, program); err != nil || n != len(program) {
		return fmt.Errorf("writing %d bytes of the program, of %d: %w", n, len(program), err)
	}
	args, err := syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return err
	}
	env, empty := [1]*byte{}, [1]byte{}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&empty)),
		uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])), unix.AT_EMPTY_PATH, 0)
	runtime.KeepAlive(args)
	return fmt.Errorf("execveat: %w", errno)
}

// create makes the file. Linux 6.3 wants to be told that it is to be executed;
// those before do not know the word.
func create(name string) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	return fd, err
}

// image is the program as an ELF file (elf(5)): a header, and segments of the text,
// which cannot be written to, of the buffer, which cannot be executed, and the word
// that the stack cannot be either.
func image(text []byte, verb, helper string) []byte {
	const (
		header, entry = 64, 56
		start         = header + 3*entry
		load, stack   = 1, 0x6474e551 // PT_LOAD, PT_GNU_STACK
		exec, write   = 5, 6          // PF_R with PF_X or PF_W
	)
	b := append(make([]byte, 0, 640), 0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	le := binary.LittleEndian
	half := func(v ...uint16) {
		for _, v := range v {
			b = le.AppendUint16(b, v)
		}
	}
	word := func(v ...uint32) {
		for _, v := range v {
			b = le.AppendUint32(b, v)
		}
	}
	long := func(v ...uint64) {
		for _, v := range v {
			b = le.AppendUint64(b, v)
		}
	}
	half(2, machine) // ET_EXEC
	word(1)
	long(textAt+start, header, 0)
	word(0)
	half(header, entry, 3, 0, 0, 0)
	word(load, exec)
	size := start + textSize + uint64(len(verb)+len(helper)+2)
	long(0, textAt, textAt, size, size, 0x1000)
	word(load, write)
	long(0, bufferAt, bufferAt, 0, bufferSize, 0x1000)
	word(stack, write)
	long(0, 0, 0, 0, 0, 16)
	b = append(b, text...)
	return append(b, verb+"\x00"+helper+"\x00"...)
}
