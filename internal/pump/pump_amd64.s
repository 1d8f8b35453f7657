// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// The program: read(0) to write(1) up to the end of input. It knows no address
// but that of its buffer and of the words behind it, and no memory but these.
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
	JLE	keep
	ADDQ	AX, R13
	SUBQ	AX, R12
	JNE	write
	JMP	read
keep: // what is left goes into a file, descriptor 3, and the helper goes on with it
	MOVQ	SP, DI   // the name
	XORL	SI, SI
	MOVL	$319, AX // memfd_create
	SYSCALL
	MOVQ	AX, DI
	MOVQ	R13, SI
	MOVQ	R12, DX
	MOVL	$1, AX
	SYSCALL
	CMPQ	AX, R12
	JNE	fail
	MOVQ	SP, AX
	MOVL	$0x80001e8, DI // verbAt: behind the header and textSize
	PUSHQ	$0
	PUSHQ	DI
	PUSHQ	AX
	ADDL	$4, DI // the path is behind the verb
	MOVQ	SP, SI
	LEAQ	16(SP), DX
	MOVL	$59, AX // execve
	SYSCALL
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

// The program of ExecWatch: one byte of 0, and nothing else.
TEXT ·watch(SB),NOSPLIT|NOFRAME,$0-0
	MOVQ	$0x61772d6374696e75, AX // "unitc-wa", watchName in pump.go
	MOVQ	$0x686374, CX           // "tch"
	PUSHQ	CX
	PUSHQ	AX
	MOVQ	SP, SI
	MOVL	$15, DI  // PR_SET_NAME
	MOVL	$157, AX // prctl
	SYSCALL
	MOVQ	SP, R12 // the name
	PUSHQ	$0
again:
	XORL	AX, AX
	XORL	DI, DI
	MOVQ	SP, SI
	MOVL	$1, DX
	SYSCALL
	CMPQ	AX, $-4 // EINTR
	JEQ	again
	XORL	DI, DI
	TESTQ	AX, AX
	JGT	over
	MOVL	$0x80001e8, DI // LostVerb: behind the header and textSize
	PUSHQ	$0
	PUSHQ	DI
	PUSHQ	R12
	ADDL	$11, DI // the path is behind the verb
	MOVQ	SP, SI
	LEAQ	16(SP), DX
	MOVL	$59, AX // execve
	SYSCALL
	MOVL	$1, DI
over:
	MOVL	$231, AX // exit_group
	SYSCALL
	INT	$3

// func watchAddress() unsafe.Pointer
TEXT ·watchAddress(SB),NOSPLIT,$0-8
	LEAQ	·watch(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
