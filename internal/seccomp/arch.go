// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// x32Bit marks a call of the x32 ABI, which shares amd64's audit number
// (arch/x86/include/uapi/asm/unistd.h, __X32_SYSCALL_BIT).
const x32Bit = 0x40000000

// abi is one way into the kernel: an audit architecture and a numbering.
type abi struct {
	arch   specs.Arch
	audit  uint32
	column int
	// narrow: arguments count as 32 bits wide, as in libseccomp (x32 included).
	narrow bool
	// muxed: the socket and IPC calls can also be made through socketcall(2)
	// and ipc(2).
	muxed bool
}

func (a abi) isX32() bool { return a.column == columnX32 }

// base is what the ABI adds to a number of the table.
func (a abi) base() uint32 {
	if a.isX32() {
		return x32Bit
	}
	return 0
}

// abisOf gives the native ABI and, behind it, those its kernel may run beside
// it. No other one can enter that kernel, so a profile's further
// architectures need no code.
func abisOf(native uint32) []abi {
	var (
		amd64 = abi{arch: specs.ArchX86_64, audit: unix.AUDIT_ARCH_X86_64, column: columnAMD64}
		x32   = abi{arch: specs.ArchX32, audit: unix.AUDIT_ARCH_X86_64, column: columnX32, narrow: true}
		i386  = abi{arch: specs.ArchX86, audit: unix.AUDIT_ARCH_I386, column: columnI386, narrow: true, muxed: true}
		arm64 = abi{arch: specs.ArchAARCH64, audit: unix.AUDIT_ARCH_AARCH64, column: columnARM64}
		arm   = abi{arch: specs.ArchARM, audit: unix.AUDIT_ARCH_ARM, column: columnARM, narrow: true}
	)
	switch native {
	case amd64.audit:
		// x32 follows at once: the two share one search.
		return []abi{amd64, x32, i386}
	case arm64.audit:
		return []abi{arm64, arm}
	case i386.audit:
		return []abi{i386}
	case arm.audit:
		return []abi{arm}
	}
	return nil
}

// ociArches are the names that runtime-spec 1.3 lists for architectures.
var ociArches = [...]specs.Arch{
	specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64,
	specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
	specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X,
	specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64,
	specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
}

// selectABIs keeps of the native kernel's ABIs the native one, which every
// filter must answer for, and those the profile asks for.
func selectABIs(asked []specs.Arch, native uint32) ([]abi, []error) {
	var faults []error
	for i, arch := range asked {
		if !slices.Contains(ociArches[:], arch) {
			faults = append(faults, fmt.Errorf("architectures[%d]: unknown architecture %q", i, arch))
		}
	}
	all := abisOf(native)
	if all == nil {
		return nil, append(faults, fmt.Errorf("audit architecture %#x: no system call table", native))
	}
	kept := all[:1]
	for _, a := range all[1:] {
		if slices.Contains(asked, a.arch) {
			kept = append(kept, a)
		}
	}
	return kept, faults
}
