// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func cloneShared(args *cloneArgs, size uintptr, c *child) (r uintptr)
//
// clone3(2) for a child on a stack of its own in the caller's memory: what the
// caller's stack holds may be another's by the time the child runs.
TEXT ·cloneShared(SB),NOSPLIT,$0-32
	MOVQ	args+0(FP), DI
	MOVQ	size+8(FP), SI
	MOVQ	c+16(FP), R12
	MOVQ	$435, AX // clone3
	SYSCALL
	TESTQ	AX, AX
	JZ	child
	MOVQ	AX, r+24(FP)
	RET
child:
	XORQ	BP, BP
	SUBQ	$16, SP
	MOVQ	R12, 0(SP)
	CALL	·begin(SB)
	INT	$3 // not reached
