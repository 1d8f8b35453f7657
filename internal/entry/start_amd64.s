// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

DATA ·processors+0(SB)/8, $"GOMAXPRO"
DATA ·processors+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL ·processors(SB), RODATA|NOPTR, $16

#define SYS_prctl          157
#define PR_SET_TIMERSLACK  29
#define SLACK              100000000 // ns
#define SYS_prlimit64      302
#define RLIMIT_NOFILE      7
#define FEW_FILES          3

// Go's monitor (sysmon) looks every 20 µs in the first millisecond whether a thread
// waits in a system call while others could run, of which there are none. What a
// timer may be late is inherited by threads, and by children: for a program
// without.
TEXT ·startAlone(SB), NOSPLIT|NOFRAME, $0
	MOVQ $SYS_prctl, AX
	MOVQ $PR_SET_TIMERSLACK, DI
	MOVQ $SLACK, SI
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	SYSCALL

	// Go reads its cgroup and its mounts, to know of how many processors it may
	// make use, and the size of huge pages. It goes on without where no file can be
	// opened. The standard streams can, which it opens where they are closed.
	// Package syscall sets the soft limit to the hard one less 1 as soon as it
	// begins; where it would not, the limit stays.
	MOVQ $SYS_prlimit64, AX
	XORL DI, DI
	MOVQ $RLIMIT_NOFILE, SI
	XORL DX, DX
	LEAQ ·openFiles(SB), R10
	SYSCALL
	CMPQ AX, $0
	JNE  limited
	MOVQ ·openFiles+8(SB), AX
	CMPQ AX, $(FEW_FILES+2)
	JCS  limited
	MOVQ AX, ·fewFiles+8(SB)
	MOVQ $FEW_FILES, ·fewFiles+0(SB)
	MOVQ $SYS_prlimit64, AX
	LEAQ ·fewFiles(SB), DX
	XORL R10, R10
	SYSCALL
limited:
	XORL DX, DX // no function for the end (3.4.1, rdx)
	JMP  ·start(SB)

// The words from argc to the environment's last go down by one, and one more
// variable takes the place that is free then, in front of the environment's end.
// Of two of one name Go takes the first. DX stays as the kernel left it.
TEXT ·start(SB), NOSPLIT|NOFRAME, $0
	CALL github·com∕unitc∕unitc∕internal∕slack·begin(SB)
	MOVQ ·memProfileRate(SB), AX
	MOVQ $0, (AX)
	MOVQ 0(SP), CX
	LEAQ 16(SP)(CX*8), AX // behind argc, argv and its end
count:
	CMPQ (AX), $0
	JEQ  move
	ADDQ $8, AX
	JMP  count
move:
	MOVQ AX, CX
	SUBQ SP, CX
	SHRQ $3, CX
	MOVQ SP, SI
	SUBQ $8, SP
	MOVQ SP, DI
	CLD
	REP; MOVSQ
	LEAQ ·processors(SB), AX
	MOVQ AX, (DI)
	JMP  _rt0_amd64_linux(SB)
