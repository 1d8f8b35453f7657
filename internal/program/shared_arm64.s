// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func cloneShared(args *cloneArgs, size uintptr, c *child) (r uintptr)
//
// What shared_amd64.s does.
TEXT ·cloneShared(SB),NOSPLIT,$0-32
	MOVD	args+0(FP), R0
	MOVD	size+8(FP), R1
	MOVD	c+16(FP), R19
	MOVD	$435, R8 // clone3
	SVC
	CBZ	R0, child
	MOVD	R0, r+24(FP)
	RET
child:
	MOVD	ZR, R29
	SUB	$32, RSP
	MOVD	R19, 8(RSP)
	BL	·begin(SB)
	BRK	// not reached
