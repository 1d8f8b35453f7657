// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// int80 makes an i386 call without arguments from a 64-bit process, as an
// attacker would who wants another numbering than the filter's. The code is
// written at run time, for Go has no assembly files for tests alone.
func int80(nr uintptr) uintptr {
	code := []byte{
		0xb8, byte(nr), byte(nr >> 8), byte(nr >> 16), byte(nr >> 24), // mov $nr, %eax
		0xcd, 0x80, // int $0x80
		0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, // movabs $result, %rcx
		0x48, 0x89, 0x01, // mov %rax, (%rcx)
		0xc3, // ret
	}
	page, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		panic(err)
	}
	result := (*uintptr)(unsafe.Pointer(&page[1024]))
	*(*uintptr)(unsafe.Pointer(&code[9])) = uintptr(unsafe.Pointer(result))
	copy(page, code)
	entry := uintptr(unsafe.Pointer(&page[0]))
	closure := &entry // a Go function value points to its code's address
	(*(*func())(unsafe.Pointer(&closure)))()
	return *result
}

// TestKernelForeign: i386 and x32 calls are the end of the process, unless
// 32-bit programs are wanted.
func TestKernelForeign(t *testing.T) {
	const i386Getpid = 20
	native, compat := Options{Arch: Native}, Options{Arch: Native, Compat32: true}
	ownPid := nativeProbe(unix.SYS_GETPID)
	for name, c := range map[string]struct {
		options Options
		probe   probe
		killed  bool
	}{
		"i386":             {native, probe{ABI: "int80", Nr: i386Getpid}, true},
		"i386 with compat": {compat, probe{ABI: "int80", Nr: i386Getpid}, false},
		"x32":              {native, nativeProbe(x32Bit | unix.SYS_GETPID), true},
		"x32 with compat":  {compat, nativeProbe(x32Bit | unix.SYS_GETPID), true},
	} {
		t.Run(name, func(t *testing.T) {
			answers, exit, stderr := runChild(t, Default(c.options), ownPid, c.probe)
			switch {
			case c.killed && signalOf(exit) != unix.SIGSYS:
				t.Errorf("ended by %v, want SIGSYS: %v %s", exit, answers, stderr)
			case !c.killed && (exit != nil || len(answers) != 2 || answers[1].Value != answers[0].Value):
				t.Errorf("%v: answers %v, want the pid twice: %s", exit, answers, stderr)
			}
		})
	}
}
