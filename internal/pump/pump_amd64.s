// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// The program: read(0) to write(1) up to the end of input. It knows no address
// but that of its buffer, and no memory but that.
//
// ·program is never called here: its bytes are copied (pump.go), with what
// stands behind them.
TEXT ·program(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	$0x65722d6374696e75, AX // "unitc-re", name in pump.go
	MOVQ	$0x79616c, CX           // "lay"
	PUSHQ	CX
	PUSHQ	AX
	MOVQ	SP, SI
	MOVL	$15, DI  // PR_SET_NAME
	MOVL	$157, AX // prctl
	SYSCALL
read:
	XORL	AX, AX
	XORL	DI, DI
	MOVL	$0x10000000, SI // bufferAt
	MOVL	$0x20000, DX    // bufferSize
	SYSCALL
	CMPQ	AX, $-4 // EINTR
	JEQ	read
	XORL	DI, DI
	TESTQ	AX, AX
	JEQ	exit
	JLT	fail
	MOVL	$0x10000000, R13
	MOVQ	AX, R12
write:
	MOVL	$1, AX
	MOVL	$1, DI
	MOVQ	R13, SI
	MOVQ	R12, DX
	SYSCALL
	CMPQ	AX, $-4
	JEQ	write
	TESTQ	AX, AX
	JLE	fail
	ADDQ	AX, R13
	SUBQ	AX, R12
	JNE	write
	JMP	read
fail:
	MOVL	$1, DI
exit:
	MOVL	$231, AX // exit_group
	SYSCALL
	INT	$3

// func address() unsafe.Pointer
TEXT ·address(SB),NOSPLIT,$0-8
	LEAQ	·program(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
