// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Device rules are a program of type BPF_PROG_TYPE_CGROUP_DEVICE: the kernel
// runs it for each open and mknod. A handful of instructions for each rule
// needs no library.

// device is a rule with its words turned into the kernel's numbers.
type device struct {
	allow        bool
	kind         int32 // 0 = any
	access       int32
	major, minor int64 // -1 = any
}

const (
	devBlock, devChar             = 1, 2
	accessMknod, accessRead, accW = 1, 2, 4
	accessAll                     = 7
)

// alwaysAllowed are the devices that each container has (runtime-spec,
// "Default Devices"), its terminals, and making any node: a node is worth
// nothing without the right to open it.
var alwaysAllowed = []device{
	{true, devChar, accessMknod, -1, -1}, {true, devBlock, accessMknod, -1, -1},
	{true, devChar, accessAll, 1, 3}, {true, devChar, accessAll, 1, 5}, {true, devChar, accessAll, 1, 7}, {true, devChar, accessAll, 1, 8}, {true, devChar, accessAll, 1, 9},
	{true, devChar, accessAll, 5, 0}, {true, devChar, accessAll, 5, 2}, {true, devChar, accessAll, 136, -1},
}

func parseDevice(i int, d specs.LinuxDeviceCgroup) (device, error) {
	p := device{allow: d.Allow, major: -1, minor: -1}
	switch d.Type {
	case "", "a":
	case "b":
		p.kind = devBlock
	case "c":
		p.kind = devChar
	default:
		return p, fmt.Errorf("linux.resources.devices[%d]: unknown type %q", i, d.Type)
	}
	for _, r := range d.Access {
		bit, ok := map[rune]int32{'m': accessMknod, 'r': accessRead, 'w': accW}[r]
		if !ok {
			return p, fmt.Errorf("linux.resources.devices[%d]: unknown access %q", i, d.Access)
		}
		p.access |= bit
	}
	if p.access == 0 {
		p.access = accessAll
	}
	for _, n := range []struct {
		in  *int64
		out *int64
	}{{d.Major, &p.major}, {d.Minor, &p.minor}} {
		if n.in != nil && *n.in >= 0 {
			if *n.in > math.MaxInt32 {
				return p, fmt.Errorf("linux.resources.devices[%d]: number %d is out of range", i, *n.in)
			}
			*n.out = *n.in
		}
	}
	return p, nil
}

// merged joins rights for the same device: an open for reading and writing
// asks for both at once.
func merged(rules []device) []device {
	var out []device
next:
	for _, r := range rules {
		for i := len(out) - 1; i >= 0 && out[i].allow && r.allow; i-- {
			if out[i].kind == r.kind && out[i].major == r.major && out[i].minor == r.minor {
				out[i].access |= r.access
				continue next
			}
		}
		out = append(out, r)
	}
	return out
}

// instruction is struct bpf_insn.
type instruction struct {
	code byte
	regs byte // dst, src << 4
	off  int16
	imm  int32
}

const (
	bpfLoadWord  = 0x61 // dst = *(u32 *)(src + off)
	bpfMovImm    = 0xb7
	bpfAndImm    = 0x57
	bpfShiftImm  = 0x77
	bpfJumpNeImm = 0x55 // if dst != imm
	bpfJumpEqImm = 0x15
	bpfExit      = 0x95
)

// compileDevices: the last rule that matches decides, so they are asked from
// the end; what none matches is denied. Each question loads what it asks for: of
// values that stay in registers the verifier knows more on some ways to a rule than on
// others, and follows each of these: 0.3 ms in place of 0.2.
func compileDevices(rules []device) []instruction {
	const value = 2
	field := func(at int16) instruction { return instruction{bpfLoadWord, value | 1<<4, at, 0} }
	const typeAndAccess, major, minor = 0, 4, 8 // struct bpf_cgroup_dev_ctx
	var p []instruction
	for i := len(rules) - 1; i >= 0; i-- {
		r := rules[i]
		var block []instruction
		if r.kind != 0 {
			block = append(block, field(typeAndAccess), instruction{bpfAndImm, value, 0, 0xffff}, instruction{bpfJumpNeImm, value, 0, r.kind})
		}
		if r.access != accessAll {
			block = append(block, field(typeAndAccess), instruction{bpfShiftImm, value, 0, 16})
			if r.allow { // all that is asked for
				block = append(block, instruction{bpfAndImm, value, 0, ^r.access}, instruction{bpfJumpNeImm, value, 0, 0})
			} else { // any of it
				block = append(block, instruction{bpfAndImm, value, 0, r.access}, instruction{bpfJumpEqImm, value, 0, 0})
			}
		}
		if r.major >= 0 {
			block = append(block, field(major), instruction{bpfJumpNeImm, value, 0, int32(r.major)})
		}
		if r.minor >= 0 {
			block = append(block, field(minor), instruction{bpfJumpNeImm, value, 0, int32(r.minor)})
		}
		verdict := int32(0)
		if r.allow {
			verdict = 1
		}
		block = append(block, instruction{bpfMovImm, 0, 0, verdict}, instruction{bpfExit, 0, 0, 0})
		for k := range block {
			if block[k].code == bpfJumpNeImm || block[k].code == bpfJumpEqImm {
				block[k].off = int16(len(block) - k - 1)
			}
		}
		p = append(p, block...)
		if r.kind == 0 && r.access == accessAll && r.major < 0 && r.minor < 0 {
			return p // nothing beyond is reached, which the verifier refuses
		}
	}
	return append(p, instruction{bpfMovImm, 0, 0, 0}, instruction{bpfExit, 0, 0, 0})
}

// ApplyDevices puts the rules in force, in place of those of an earlier call.
func (g Group) ApplyDevices(list []specs.LinuxDeviceCgroup) error {
	if g == "" {
		return errors.New("there are rules for devices, and the container has no cgroup of its own")
	}
	var rules []device
	for i, d := range list {
		r, err := parseDevice(i, d)
		if err != nil {
			return err
		}
		if r.kind == 0 && r.access == accessAll && r.major < 0 && r.minor < 0 {
			rules = nil // what came before counts no more
		}
		rules = append(rules, r)
	}
	if n := len(rules); n > 0 && rules[0].allow && rules[0].kind == 0 && n == 1 && rules[0].major < 0 && rules[0].minor < 0 && rules[0].access == accessAll {
		return nil // everything is allowed: a privileged container
	}
	rules = merged(append(rules, alwaysAllowed...))
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	defer dir.Close()
	old := attached(int(dir.Fd()))
	prog, err := load(compileDevices(rules))
	if err != nil {
		return fmt.Errorf("loading the device rules: %w", err)
	}
	defer unix.Close(prog)
	if err := attach(int(dir.Fd()), prog); err != nil {
		return fmt.Errorf("attaching the device rules: %w", err)
	}
	for _, id := range old {
		detach(int(dir.Fd()), id)
	}
	return nil
}

// Commands and constants of bpf(2).
const (
	bpfProgLoad, bpfProgAttach, bpfProgDetach, bpfProgByID, bpfProgQuery = 5, 8, 9, 13, 16

	progTypeCgroupDevice, attachCgroupDevice, allowMulti = 15, 6, 2
)

func bpf(cmd int, attr []byte) (int, error) {
	r, _, e := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(unsafe.Pointer(&attr[0])), uintptr(len(attr)))
	if e != 0 {
		return -1, e
	}
	return int(r), nil
}

func load(insns []instruction) (int, error) {
	license := []byte("Apache-2.0\x00")
	// What the kernel reads by address may not lie on a stack that moves.
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&insns[0])
	pin.Pin(&license[0])
	attr := make([]byte, 128)
	binary.NativeEndian.PutUint32(attr[0:], progTypeCgroupDevice)
	binary.NativeEndian.PutUint32(attr[4:], uint32(len(insns)))
	binary.NativeEndian.PutUint64(attr[8:], uint64(uintptr(unsafe.Pointer(&insns[0]))))
	binary.NativeEndian.PutUint64(attr[16:], uint64(uintptr(unsafe.Pointer(&license[0]))))
	// A signal ends the kernel's look at a program (EAGAIN, do_check of
	// kernel/bpf/verifier.c), and Go's scheduler sends some to its own threads.
	fd, err := bpf(bpfProgLoad, attr)
	for begin := time.Now(); errors.Is(err, unix.EAGAIN) && time.Since(begin) < loadPatience; {
		fd, err = bpf(bpfProgLoad, attr)
	}
	return fd, err
}

// loadPatience bounds what goes on where each look is ended; one takes less than a
// millisecond.
const loadPatience = 10 * time.Second

func attach(dir, prog int) error {
	attr := make([]byte, 32)
	for i, v := range []uint32{uint32(dir), uint32(prog), attachCgroupDevice, allowMulti} {
		binary.NativeEndian.PutUint32(attr[4*i:], v)
	}
	_, err := bpf(bpfProgAttach, attr)
	return err
}

// attached are the device programs of the cgroup, by id.
func attached(dir int) []uint32 {
	ids := make([]uint32, 64)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&ids[0])
	attr := make([]byte, 64)
	binary.NativeEndian.PutUint32(attr[0:], uint32(dir))
	binary.NativeEndian.PutUint32(attr[4:], attachCgroupDevice)
	binary.NativeEndian.PutUint64(attr[16:], uint64(uintptr(unsafe.Pointer(&ids[0]))))
	binary.NativeEndian.PutUint32(attr[24:], uint32(len(ids)))
	_, err := bpf(bpfProgQuery, attr)
	if err != nil {
		return nil
	}
	return ids[:min(int(binary.NativeEndian.Uint32(attr[24:])), len(ids))]
}

func detach(dir int, id uint32) {
	attr := make([]byte, 16)
	binary.NativeEndian.PutUint32(attr, id)
	prog, err := bpf(bpfProgByID, attr)
	if err != nil {
		return
	}
	defer unix.Close(prog)
	attr = make([]byte, 32)
	for i, v := range []uint32{uint32(dir), uint32(prog), attachCgroupDevice} {
		binary.NativeEndian.PutUint32(attr[4*i:], v)
	}
	_, _ = bpf(bpfProgDetach, attr)
}

// CanRestrictDevices tells whether the kernel takes device programs.
func CanRestrictDevices() error {
	fd, err := load(compileDevices(nil))
	if err != nil {
		return errors.New(strings.TrimSpace("the kernel takes no device programs: " + err.Error()))
	}
	return unix.Close(fd)
}
