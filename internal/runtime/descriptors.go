// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
)

func closeDescriptors(c *compiler) {
	first := 3 + c.opt.PreserveFDs
	c.p.Call("close_range", fmt.Sprintf("%d.. CLOEXEC", first), unix.SYS_CLOSE_RANGE, first, int(^uint32(0)), unix.CLOSE_RANGE_CLOEXEC)
	c.preserve(c.opt.PreserveFDs)
}

// verifyDescriptors reads back that all others close on exec. The child has those
// of this process, and its steps open theirs at the lowest free numbers.
func verifyDescriptors(c *compiler) { c.mustCloseFrom(3 + c.opt.PreserveFDs) }

func (c *compiler) mustCloseFrom(first int) {
	last := max(c.highest, highestDescriptor()) + program.MaxRegs
	c.p.Each("fcntl", fmt.Sprintf("%d..%d must close on exec", first, last), first, last, unix.FD_CLOEXEC, unix.EBADF,
		unix.SYS_FCNTL, 0, 0, unix.F_GETFD, 0)
}

// highestDescriptor is the largest number of an open descriptor of this process;
// where /proc does not tell, that of any program that has not asked for more.
func highestDescriptor() int {
	const usual = 255
	dir, err := unix.Open("/proc/self/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return usual
	}
	defer unix.Close(dir)
	highest := dir
	var b [4096]byte
	for {
		n, err := unix.Getdents(dir, b[:])
		if err != nil {
			return usual
		}
		if n == 0 {
			return highest
		}
		for rest := b[:n]; len(rest) > 19; { // struct linux_dirent64: ino, off, reclen, type, name
			size := int(binary.NativeEndian.Uint16(rest[16:]))
			if fd, err := strconv.Atoi(unix.ByteSliceToString(rest[19:size])); err == nil {
				highest = max(highest, fd)
			}
			rest = rest[size:]
		}
	}
}
